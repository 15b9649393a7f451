"""The demo's proof: what really happened in LearningCart, held against the ledger and against what was sold.

Pure: effects, ledger rows and expectations in, one check for each claim out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from worker.cli.demo_facts import Facts
from worker.formatting import counted
from worker.ledger.states import RunState
from worker.sandbox import SECRET_MARKS, Effect
from workflows.keys import references_in
from workflows.plan import ENROLMENT

if TYPE_CHECKING:
    from worker.ledger.shapes import Shape

_SOURCE_ORDER = re.compile(r"\bstudiocart order (\d+)\b")


@dataclass(frozen=True)
class Check:
    """One claim, and what speaks against it."""

    claim: str
    disagreements: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.disagreements


@dataclass(frozen=True)
class CompedOrder:
    """One comped order in LearningCart's books."""

    id: str
    price_id: int
    email: str
    comments: str

    @property
    def reference(self) -> str | None:
        """The one reference it carries; None for none or several."""
        found = references_in(self.comments)
        return next(iter(found)) if len(found) == 1 else None

    @property
    def source_order_id(self) -> str | None:
        """The shop's order it names."""
        found = _SOURCE_ORDER.search(self.comments)
        return found.group(1) if found else None


def comped_orders(effects: Iterable[Effect]) -> list[CompedOrder]:
    """The comped orders of an effect log."""
    return [
        CompedOrder(
            str(effect.facts["order_id"]),
            int(effect.facts["price_id"]),
            str(effect.facts["email"]),
            str(effect.facts["comments"]),
        )
        for effect in effects
        if effect.operation == "addCompOrder"
    ]


def check_effects(effects: Sequence[Effect], facts: Facts) -> Iterator[Check]:
    """LearningCart's books against the ledger, in both directions. `facts` are in full."""
    books = comped_orders(effects)
    enrolments = succeeded_enrolments(facts)
    by_reference: dict[str | None, list[CompedOrder]] = {}
    for order in books:
        by_reference.setdefault(order.reference, []).append(order)
    yield Check(
        f"each of {counted(len(enrolments), 'succeeded enrolment')} has exactly one comped order, with its reference, "
        "price and learner",
        tuple(line for run in enrolments for line in _against_books(run, by_reference)),
    )
    known = {run["result_id"] for run in enrolments}
    yield Check(
        f"none of {counted(len(books), 'comped order')} is without its run",
        tuple(f"LearningCart order {order.id} belongs to no succeeded run" for order in books if order.id not in known),
    )
    yield Check(
        "no reference is in the books twice",
        tuple(
            f"{reference or 'no reference'}: LearningCart orders {', '.join(order.id for order in same)}"
            for reference, same in by_reference.items()
            if reference is None or len(same) > 1
        ),
    )
    yield _check_groups(effects, enrolments)


def _against_books(run: Shape, by_reference: dict[str | None, list[CompedOrder]]) -> Iterator[str]:
    found = [order for reference in sorted(references_of(run)) for order in by_reference.get(reference, [])]
    name = f"run {run['id']} (order {run['order_id']})"
    if len(found) != 1:
        yield f"{name} has {counted(len(found), 'comped order')}"
        return
    [order] = found
    if order.id != run["result_id"]:
        yield f"{name} names LearningCart order {run['result_id']}, its reference is on {order.id}"
    if order.price_id != run["grant"]["price_id"]:
        yield f"{name} grants price {run['grant']['price_id']}, LearningCart order {order.id} has {order.price_id}"
    if order.email.casefold() != str(run["email"]).casefold():
        yield f"{name} is for {run['email']}, LearningCart order {order.id} is for {order.email}"


def _check_groups(effects: Sequence[Effect], enrolments: Sequence[Shape]) -> Check:
    members = {
        (str(effect.facts["email"]).casefold(), int(effect.facts["group_id"]))
        for effect in effects
        if effect.operation == "addCustomerToGroup"
    }
    wanted = {
        (str(run["email"]).casefold(), int(group_id)) for run in enrolments for group_id in run["grant"]["group_ids"]
    }
    return Check(
        f"each learner is in the groups of the course, and in no other: {counted(len(wanted), 'membership')}",
        (
            *(f"{email} is not in group {group_id}" for email, group_id in sorted(wanted - members)),
            *(f"{email} is in group {group_id}, for no run" for email, group_id in sorted(members - wanted)),
        ),
    )


def check_sales(effects: Sequence[Effect], expected: Counter[tuple[str, int]]) -> Check:
    """LearningCart's books against what was sold, without asking the ledger."""
    given = Counter((order.source_order_id or "?", order.price_id) for order in comped_orders(effects))
    return Check(
        f"every paid, mapped, named seat has its course: {expected.total()} sold, {given.total()} given",
        (
            *(f"order {order_id}: no comped order of price {price}" for order_id, price in sorted(expected - given)),
            *(
                f"order {order_id}: a comped order of price {price} too many"
                for order_id, price in sorted(given - expected)
            ),
        ),
    )


def check_reviews(facts: Facts, expected: Counter[tuple[str, str]]) -> Check:
    """What waits for a person is what should, and nothing failed."""
    waiting = Counter((run["order_id"], str(run["reason"])) for run in facts.runs if run["state"] == RunState.REVIEW)
    failed = [run for run in facts.runs if run["state"] == RunState.FAILED]
    return Check(
        f"what needs a person is in review, with a reason, and nothing else is: {counted(expected.total(), 'run')}",
        (
            *(f"order {order_id} is not in review as {reason}" for order_id, reason in sorted(expected - waiting)),
            *(f"order {order_id} is in review as {reason}" for order_id, reason in sorted(waiting - expected)),
            *(f"order {run['order_id']}: run {run['id']} failed ({run['reason']})" for run in failed),
        ),
    )


def check_finished(facts: Facts, statuses: dict[str, str], seconds: float) -> Check:
    """Nothing is left to do, and the ledger knows every order as the shop does (`{order id: status}`)."""
    known = {order["order_id"]: order["status"] for order in facts.orders}
    differing = sorted(
        order_id for order_id in statuses.keys() | known.keys() if statuses.get(order_id) != known.get(order_id)
    )
    return Check(
        f"nothing is left unfinished after {seconds:.0f} s: {counted(len(statuses), 'order')}, each as the shop has it",
        (
            *facts.unfinished(),
            *(
                f"order {order_id} is {statuses.get(order_id, 'not there')!r} in the shop and "
                f"{known.get(order_id, 'not there')!r} in the ledger"
                for order_id in differing
            ),
        ),
    )


def check_faults(hits: dict[str, int]) -> Check:
    """Every fault that was planned took place: one that did not has proven nothing."""
    return Check(
        f"every fault has struck: {len(hits)} of them",
        tuple(f"this never happened: {name}" for name, count in hits.items() if not count),
    )


def check_ends(kills: int, *, stopped_well: bool) -> Check:
    """How the product ended, each time it did."""
    found = {
        "it was never killed": kills == 0,
        "when it was asked to stop it took too long, or ended with an error": not stopped_well,
    }
    return Check(
        "`cartbridge up` ended once by SIGKILL, and once cleanly when it was asked to",
        tuple(sentence for sentence, is_so in found.items() if is_so),
    )


def check_secrecy(places: dict[str, bytes]) -> Check:
    """No credential of the sandbox, each of which bears a mark, is in any of these places (`{name: content}`)."""
    return Check(
        f"no password, key or token is in {' or '.join(places)}",
        tuple(
            f"{name} holds one that begins with {mark}"
            for name, content in places.items()
            for mark in SECRET_MARKS
            if mark.encode() in content
        ),
    )


def succeeded_enrolments(facts: Facts) -> list[Shape]:
    """The runs that gave access."""
    return [run for run in facts.runs if run["workflow"] == ENROLMENT and run["state"] == RunState.SUCCEEDED]


def references_of(run: Shape) -> set[str]:
    """Every reference under which a run, shown in full, has sent anything."""
    return {attempt["reference"] for attempt in attempts_of(run) if attempt["reference"]}


def attempts_of(run: Shape) -> list[dict[str, Any]]:
    """Every attempt of a run that is shown in full, in the order in which they began, each with its `step`."""
    found = [{**attempt, "step": step["name"]} for step in run["steps"] for attempt in step["attempts"]]
    return sorted(
        found, key=lambda attempt: (datetime.fromisoformat(attempt["started_at"]), attempt["step"], attempt["number"])
    )
