"""Frontcore on loopback: orders, newest first, with every filter of the document."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from worker.sandbox.clock import Allowance, Clock
from worker.sandbox.config import FrontcoreConfig
from worker.sandbox.seeds import seed_records
from worker.sandbox.wire import Answer, Call, Request, is_id

_DEFAULT_LIMIT: Final = 75
_LARGEST_LIMIT: Final = 250
_TRUE: Final = frozenset({"true", "1"})


class Frontcore:
    """The account's whole state. Every public method is safe from any thread; records given and returned are copies."""

    name = "frontcore"

    def __init__(self, config: FrontcoreConfig, clock: Clock, *, seeded: bool = True) -> None:
        self.config = config
        self._clock = clock
        self._seeded = seeded
        self._lock = threading.RLock()
        self._allowance = Allowance()
        self.reset()

    def reset(self) -> None:
        """Return to the document's own orders, or to none when not seeded."""
        with self._lock:
            records = seed_records(self.name, "orders") if self._seeded else []
            self._orders: dict[int, dict[str, Any]] = {record["id"]: record for record in records}
            self._broken: dict[int, str] = {}

    @property
    def orders(self) -> list[dict[str, Any]]:
        """The orders with everything they hold, by id."""
        with self._lock:
            return [copy.deepcopy(record) for _, record in sorted(self._orders.items())]

    def order(self, order_id: int) -> dict[str, Any]:
        """Return one order. `KeyError` when there is none."""
        with self._lock:
            return copy.deepcopy(self._orders[order_id])

    def add_order(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Take an order and return it whole; what is left out is as in the document's order 27244, with ids of its own.

        `created_at` is the present and `updated_at` null unless given. `ValueError` when the id is taken.
        """
        with self._lock:
            given = copy.deepcopy(dict(order))
            order_id = int(given.pop("id", 0)) or max(self._orders, default=27000) + 1
            if order_id in self._orders:
                raise ValueError(f"order {order_id} exists")
            template = seed_records(self.name, "orders")[0]
            line, relation = template["lines"][0], template["lines"][0]["database_relations"][0]
            line["id"] = 100_000 + order_id
            relation["participant_id"] = 200_000 + order_id
            times = {"created_at": self._now_text(), "updated_at": None, "exported_at": None}
            record = template | times | {"id": order_id, "title": f"Learn REST API #{order_id}"} | given
            self._orders[order_id] = record
            return copy.deepcopy(record)

    def update_order(self, order_id: int, **changes: Any) -> dict[str, Any]:
        """Change fields of an order, and its `updated_at` unless that is among them. `KeyError` when there is none."""
        with self._lock:
            changed = {"updated_at": self._now_text()} | copy.deepcopy(changes) | {"id": order_id}
            self._orders[order_id] = self._orders[order_id] | changed
            return copy.deepcopy(self._orders[order_id])

    def replace_order(self, order_id: int, order: Mapping[str, Any]) -> dict[str, Any]:
        """Put a whole order in another's place, or in an empty one."""
        with self._lock:
            self._orders.pop(order_id, None)
            return self.add_order({**order, "id": order_id})

    def break_order(self, order_id: int, text: str | None) -> None:
        """Answer `text` in an order's place from now on, whether or not it is good JSON; None mends it."""
        with self._lock:
            self._broken.pop(order_id, None)
            if text is not None:
                self._broken[order_id] = text

    def delete_order(self, order_id: int) -> None:
        """Remove an order. `KeyError` when there is none."""
        with self._lock:
            del self._orders[order_id]

    def describe(self) -> dict[str, Any]:
        """Return the orders as JSON."""
        return {"orders": self.orders}

    def route(self, request: Request) -> Call:
        """Name the operation and the id in the path."""
        match request.segments:
            case ["orders"]:
                return Call("list_orders")
            case ["orders", order_id] if is_id(order_id):
                return Call("retrieve_order", {"id": order_id})
            case _:
                return Call("unknown")

    def answer(self, request: Request) -> Answer:
        """Answer a GET with an array, also for one order, as the document has it."""
        call = self.route(request)
        if not self._allowance.take(self.config.requests_per_second):
            return self._error(429, "Too many requests")
        if request.headers.get("x-api-key") != self.config.api_key:
            return self._error(401, "Wrong API Key")
        if call.operation == "unknown":
            return self._error(404, "Not found")
        if request.method != "GET":
            return self._error(405, "Method not allowed")
        try:
            with self._lock:
                found = self._retrieved(call) if call.operation == "retrieve_order" else self._listed(request.query)
                return self._answered(call, [_shown(record, request) for record in found], request)
        except LookupError:
            return self._error(404, "Order not found")
        except (ValueError, OverflowError) as error:
            return self._error(400, f"Invalid value: {error}")

    def _answered(self, call: Call, shown: list[dict[str, Any]], request: Request) -> Answer:
        rows = [self._broken.get(int(record["id"])) or Answer.of_json(record).body.decode() for record in shown]
        body = f"[{','.join(rows)}]"
        if call.operation == "list_orders" and self.config.list_form == "items":
            page = _number(request.query, "page", 1)
            is_last = len(rows) < _number(request.query, "limit", _DEFAULT_LIMIT)
            body = f'{{"items":{body},"pagination":{{"next_page":{"null" if is_last else page + 1}}}}}'
        return replace(Answer.of_json([]), body=body.encode())

    def _retrieved(self, call: Call) -> list[dict[str, Any]]:
        return [self._orders[int(call.ids["id"])]]

    def _listed(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        limit = min(max(_number(query, "limit", _DEFAULT_LIMIT), 1), _LARGEST_LIMIT)
        page = max(_number(query, "page", 1), 1)
        tests: list[Callable[[dict[str, Any]], bool]] = []
        if "course_id" in query:
            course_id = _number(query, "course_id", 0)
            tests.append(lambda record: course_id in _course_ids(record))
        if "since_id" in query:
            since_id = _number(query, "since_id", 0)
            tests.append(lambda record: int(record["id"]) > since_id)
        if query.get("exported", "").lower() not in _TRUE:
            tests.append(lambda record: record.get("exported_at") is None)
        tests += [self._within(name, query) for name in ("created_at", "updated_at", "exported_at")]
        found = [record for record in self._orders.values() if all(test(record) for test in tests)]
        found.sort(key=self._age, reverse=True)
        return found[(page - 1) * limit : page * limit]

    def _within(self, name: str, query: Mapping[str, str]) -> Callable[[dict[str, Any]], bool]:
        """Build the test of a date's `_min` and `_max`, both inclusive; a record without the date fails either."""
        least = self._moment(query[f"{name}_min"]) if query.get(f"{name}_min") else None
        most = self._moment(query[f"{name}_max"]) if query.get(f"{name}_max") else None

        def test(record: dict[str, Any]) -> bool:
            if least is None and most is None:
                return True
            if record.get(name) is None:
                return False
            moment = self._moment(record[name])
            return (least is None or moment >= least) and (most is None or moment <= most)

        return test

    def _age(self, record: dict[str, Any]) -> tuple[datetime, int]:
        created_at = record.get("created_at")
        return (self._moment(created_at) if created_at else datetime.min.replace(tzinfo=UTC), int(record["id"]))

    def _moment(self, text: str) -> datetime:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self._zone)
        return moment.astimezone(UTC)

    @property
    def _zone(self) -> timezone:
        return timezone(timedelta(minutes=self.config.utc_offset_minutes))

    def _now_text(self) -> str:
        return self._clock.now().astimezone(self._zone).isoformat(timespec="seconds")

    def _error(self, status: int, message: str) -> Answer:
        return Answer.of_json({"error": message}, 200 if self.config.error_status == "200" else status)


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    return int(query[name]) if query.get(name) else default


def _course_ids(record: Mapping[str, Any]) -> set[int]:
    return {
        relation.get("course_id")
        for line in record.get("lines") or []
        for relation in line.get("database_relations") or []
    }


def _shown(record: dict[str, Any], request: Request) -> dict[str, Any]:
    """Return an order as asked for: users only with `user_data`, and what `include[]` names.

    The document names the includes and shows none; what they add here is a guess at their least: the course with its
    dates, the participant with a status (1 confirmed).
    """
    shown = copy.deepcopy(record)
    with_users = request.query.get("user_data", "").lower() in _TRUE
    includes = {value for name, value in request.query_pairs if name in ("include[]", "include")}
    for line in shown.get("lines") or []:
        if not with_users:
            line.pop("users", None)
        for relation in line.get("database_relations") or []:
            if "lines.database_relations.course" in includes:
                dates = [{"id": relation.get("coursedate_id"), "status": 1}]
                relation.setdefault("course", {"id": relation.get("course_id"), "coursedates": dates})
            if "lines.database_relations.participants" in includes:
                relation.setdefault("participants", [{"id": relation.get("participant_id"), "status": 1}])
    if "campaign" in includes:
        shown.setdefault("campaign", None)
    return shown
