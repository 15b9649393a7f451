"""What changed between two versions of an order: the paths of its fields, for the operator with their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.ledger.orders.recorded_orders import RecordedOrder
from worker.sources.order import Order

Difference = tuple[str, Any, Any]
"""A path, and what stood there before and after; None where nothing did."""

MOST_PATHS = 50
"""How many paths the audit trail keeps of one change; it says how many more there were."""


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The paths at which two of our orders' documents differ, sorted: `lines[31400].seats[buyer].learner.email`.

    Lines and seats go by their ids, so that one that was added or removed is one path and moves no other. Values are
    left out: paths hold no personal data, and so may stand in the audit trail.
    """
    return [path for path, _, _ in differences(before, after)]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """The same paths, each with its values: for the operator's eyes, and not to be kept.

    A path at which only the order of records changed has the records on both sides.
    """
    found: dict[str, Difference] = {}
    for path, old, new in _differences("", before, after):
        found.setdefault(path, (path, old, new))
    return [found[path] for path in sorted(found)]


def reported_changes(before: RecordedOrder, order: Order) -> dict[str, Any]:
    """What the audit trail keeps of a new version of the order in the row `before`: its number and its `changes`.

    The first version changes nothing. `changes_left_out` counts the paths beyond the most that are kept.
    """
    paths = changes(before.document, order.model_dump(mode="json", exclude={"raw"})) if before.version > 0 else []
    left_out = {"changes_left_out": len(paths) - MOST_PATHS} if len(paths) > MOST_PATHS else {}
    return {"version": before.version + 1, "changes": paths[:MOST_PATHS]} | left_out


def _differences(path: str, before: Any, after: Any) -> Iterator[Difference]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in before.keys() | after.keys():
            yield from _differences(f"{path}.{key}" if path else str(key), before.get(key), after.get(key))
    elif _are_records(before) and _are_records(after):
        old, new = _by_id(before), _by_id(after)
        shared = [key for key in old if key in new]
        for key in old.keys() | new.keys():
            yield from _differences(f"{path}[{key}]", old.get(key), new.get(key))
        if shared != [key for key in new if key in old]:
            yield path, before, after
    else:
        yield path, before, after


def _are_records(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(each, Mapping) and "id" in each for each in value)


def _by_id(records: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Records by their ids; a further one of the same id is numbered."""
    found: dict[str, Mapping[str, Any]] = {}
    numbers: dict[str, int] = {}
    for record in records:
        name = str(record["id"])
        number = numbers.get(name, 1)
        key = name if number == 1 else f"{name}#{number}"
        while key in found:
            number += 1
            key = f"{name}#{number}"
        numbers[name] = number
        found[key] = record
    return found
