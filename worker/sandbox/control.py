"""The control interface under `/_sandbox`: look at the sandbox and change it from another process, in JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from worker.sandbox.faults import Fault
from worker.sandbox.wire import Answer, Request
from worker.sandbox.world import World

CONTROL_PREFIX: Final = "/_sandbox"


class _Source(Protocol):
    def add_order(self, order: dict[str, Any]) -> dict[str, Any]: ...
    def update_order(self, order_id: int, **changes: Any) -> dict[str, Any]: ...
    def replace_order(self, order_id: int, order: dict[str, Any]) -> dict[str, Any]: ...
    def delete_order(self, order_id: int) -> None: ...


class Control:
    """Routes below `/_sandbox`.

    ================================== ============================================================================
    GET /state                         time, faults, request counts and what each system holds
    GET /effects                       the effect log, `?after=N` for those above a number
    GET, POST, DELETE /faults          the faults in force; put one (or a list) in force; put all out of force
    POST /time                         `{"shift_seconds": 3600}` moves the sandbox's clock
    PATCH /config                      `{"learningcart": {"echo_comments": false}}`
    POST /reset                        back to the start
    POST /{source}/orders              a new order (or a list of them) in `studiocart`, `frontcore`, `threedcart`
    PUT, PATCH, DELETE .../orders/{id} replace it, change fields of it, remove it
    POST /learningcart/customers       `{"Email": …, "FirstName": …}`
    POST /learningcart/orders          `{"customer_id": …, "price_id": …, "comments": …}`: made by hand, not by the API
    DELETE /learningcart/orders/{id}   deleted by hand: no API call can do it
    POST /learningcart/completions     `{"customer_id": …, "course_id": …, "completed_at": …}`
    DELETE /learningcart/tokens        every token handed out becomes invalid
    ================================== ============================================================================

    Refusals are `{"error": …}` with 400, 404 or 405.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._sources: Mapping[str, _Source] = {
            "studiocart": world.studiocart,
            "frontcore": world.frontcore,
            "threedcart": world.threedcart,
        }
        self._plain: Mapping[tuple[str, ...], Mapping[str, Callable[[Request], Answer]]] = {
            ("state",): {"GET": self._state},
            ("effects",): {"GET": self._effects},
            ("faults",): {"GET": self._list_faults, "POST": self._inject, "DELETE": self._clear_faults},
            ("time",): {"POST": self._shift},
            ("config",): {"PATCH": self._configure},
            ("reset",): {"POST": self._reset},
            ("learningcart", "customers"): {"POST": self._add_customer},
            ("learningcart", "orders"): {"POST": self._add_learningcart_order},
            ("learningcart", "completions"): {"POST": self._add_completion},
            ("learningcart", "tokens"): {"DELETE": self._revoke_tokens},
        }

    def answer(self, request: Request) -> Answer:
        """Carry a control request out; never raises for what a client may send."""
        parts = tuple(request.segments[1:])
        try:
            if parts[:1] and parts[0] in self._sources and parts[1:2] == ("orders",):
                return self._source_order(request, self._sources[parts[0]], parts[2:])
            if parts[:2] == ("learningcart", "orders") and len(parts) == 3 and request.method == "DELETE":
                return self._delete_learningcart_order(int(parts[2]))
            operations = self._plain.get(parts)
            if operations is None:
                return _refusal(404, "no such control")
            if request.method not in operations:
                return _refusal(405, "method not allowed")
            return operations[request.method](request)
        except KeyError as error:
            return _refusal(404, f"not found: {error}")
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            return _refusal(400, f"not usable: {error}")

    def _state(self, _request: Request) -> Answer:
        world = self._world
        return Answer.of_json(
            {
                "now": world.clock.now().isoformat(),
                "shift_seconds": world.clock.shift_seconds,
                "faults": world.faults.describe(),
                "requests": world.log.request_counts(),
                "effects": len(world.log.effects()),
                "systems": {name: system.describe() for name, system in world.systems.items()},
            }
        )

    def _effects(self, request: Request) -> Answer:
        after = int(request.query.get("after", "0"))
        return Answer.of_json([effect.to_json() for effect in self._world.log.effects(after=after)])

    def _list_faults(self, _request: Request) -> Answer:
        return Answer.of_json(self._world.faults.describe())

    def _inject(self, request: Request) -> Answer:
        faults = [Fault.from_json(value) for value in _one_or_many(request)]
        for fault in faults:
            self._world.faults.inject(fault)
        return Answer.of_json(self._world.faults.describe(), 201)

    def _clear_faults(self, request: Request) -> Answer:
        self._world.faults.clear()
        return self._list_faults(request)

    def _shift(self, request: Request) -> Answer:
        self._world.clock.shift(float(_required(request, "shift_seconds")))
        return Answer.of_json({"now": self._world.clock.now().isoformat()})

    def _configure(self, request: Request) -> Answer:
        for name, changes in request.json_object.items():
            part = getattr(self._world.config, name, None)
            if not is_dataclass(part) or not isinstance(changes, dict):
                raise ValueError(f"no such part: {name}")
            unknown = sorted(set(changes) - {item.name for item in fields(part)})
            if unknown:
                raise ValueError(f"no such setting: {', '.join(unknown)}")
            for setting, value in changes.items():
                setattr(part, setting, frozenset(value) if isinstance(value, list) else value)
        return Answer.of_json({"changed": sorted(request.json_object)})

    def _reset(self, _request: Request) -> Answer:
        self._world.reset()
        return Answer.of_json({"reset": True})

    def _source_order(self, request: Request, source: _Source, rest: tuple[str, ...]) -> Answer:
        if not rest and request.method == "POST":
            added = [source.add_order(order) for order in _one_or_many(request)]
            return Answer.of_json(added if request.body.lstrip().startswith(b"[") else added[0], 201)
        if len(rest) != 1 or request.method not in ("PUT", "PATCH", "DELETE"):
            return _refusal(405, "method not allowed")
        order_id = int(rest[0])
        if request.method == "PUT":
            return Answer.of_json(source.replace_order(order_id, request.json_object))
        if request.method == "PATCH":
            changes = request.json_object
            if "modified_at" in changes:
                changes = changes | {"modified_at": _moment(changes["modified_at"])}
            return Answer.of_json(source.update_order(order_id, **changes))
        source.delete_order(order_id)
        return Answer.of_json({"deleted": order_id})

    def _add_customer(self, request: Request) -> Answer:
        email = str(_required(request, "Email"))
        profile = {name: str(value) for name, value in request.json_object.items() if name != "Email"}
        customer = self._world.learningcart.add_customer(email, **profile)
        return Answer.of_json({"id": customer.id}, 201)

    def _add_learningcart_order(self, request: Request) -> Answer:
        given = request.json_object
        order = self._world.learningcart.add_order(
            int(_required(request, "customer_id")), int(_required(request, "price_id")), str(given.get("comments", ""))
        )
        return Answer.of_json({"id": order.id}, 201)

    def _delete_learningcart_order(self, order_id: int) -> Answer:
        self._world.learningcart.delete_order(order_id)
        return Answer.of_json({"deleted": order_id})

    def _add_completion(self, request: Request) -> Answer:
        given = request.json_object
        completion = self._world.learningcart.add_completion(
            int(_required(request, "customer_id")),
            int(_required(request, "course_id")),
            started_at=_moment(given.get("started_at")),
            completed_at=_moment(given.get("completed_at")),
            score=given.get("score"),
        )
        return Answer.of_json({"course_id": completion.course_id}, 201)

    def _revoke_tokens(self, _request: Request) -> Answer:
        self._world.learningcart.revoke_tokens()
        return Answer.of_json({"revoked": True})


def _one_or_many(request: Request) -> list[dict[str, Any]]:
    value = request.json_value
    many = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in many):
        raise ValueError("an object, or a list of objects")
    return many


def _required(request: Request, name: str) -> Any:
    if name not in request.json_object:
        raise ValueError(f"{name} is missing")
    return request.json_object[name]


def _moment(text: str | None) -> datetime | None:
    """Read an aware ISO 8601 time."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs its offset")
    return moment


def _refusal(status: int, message: str) -> Answer:
    return Answer.of_json({"error": message}, status)
