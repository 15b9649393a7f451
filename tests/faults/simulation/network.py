"""The network between the product and the systems: it delays, loses, garbles, and carries out late what nobody awaits.

It takes the place of `worker.clients.transport.Transport.send`; the clients above it and the systems behind it are the
real ones. A request that has left is on its own: whether its sender lives, waits or is frozen does not matter to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from tests.faults.simulation.boundaries import operation_under_way
from tests.faults.simulation.virtual_time import Timeline
from worker.clients import transport
from worker.clients.transport import Answer, Exchange, NoAnswer, Transport
from worker.sandbox import wire
from worker.sandbox.learningcart.form import REQUEST_ERROR_PAGE
from worker.sandbox.world import World

NEVER = math.inf
COMPED_ORDER = "learningcart addCompOrder"


@dataclass(frozen=True)
class Fate:
    """What becomes of one request."""

    refused: bool = False
    """No connection can be opened: nothing is sent."""
    frozen_seconds: float = 0.0
    """Between the last check and the first byte: the process is stopped there."""
    travel_seconds: float = 0.02
    """Until the system carries it out; `NEVER`: it is lost on its way."""
    answer_seconds: float = 0.02
    """From then until the answer is back; `NEVER`: it is lost on its way."""
    garbled: str = ""
    """`500`, `html`, `half`, `empty` or `wcf` instead of the answer."""
    cut_seconds: float | None = None
    """When the connection breaks, counted from the sending; None: it holds."""
    gateway_seconds: float | None = None
    """When a gateway answers 504 in the system's stead, counted from the sending; None: there is none."""
    is_stalled: bool = False
    """The system is stalled: what is sent to it queues, and is carried out when the stall is over."""


SMOOTH = Fate()
WCF_PAGE = wire.Answer(400, REQUEST_ERROR_PAGE, "text/html; charset=utf-8")
"""What LearningCart's framework makes of an exception that nobody handles."""


@dataclass(frozen=True)
class Sending:
    """One `addCompOrder` that was carried out, and how it came there."""

    source_order: str
    """`studiocart order 7001`, as the comments say."""
    price_id: int
    order_id: int
    checked_at_seconds: float
    sent_at_seconds: float
    effect_at_seconds: float
    deadline_seconds: float
    is_stalled: bool = False
    """It queued at a stalled system, which answered nothing meanwhile."""


class Network:
    """One network for all processes. `fate_of` is asked for each request, by `system operation`."""

    def __init__(
        self,
        world: World,
        timeline: Timeline,
        *,
        wait: Callable[[float], None],
        fate_of: Callable[[str], Fate] = lambda operation: SMOOTH,
        on_sent: Callable[[str], None] = lambda operation: None,
    ) -> None:
        self.world = world
        self.timeline = timeline
        self.wait = wait
        self.fate_of = fate_of
        self.on_sent = on_sent
        """Told the operation when a request has left and its sender begins to wait."""
        self.in_front: Callable[[str, wire.Request, Callable[[], wire.Answer]], wire.Answer] | None = None
        """What stands before the systems: given a system's name, a request, and what carries it out."""
        self.sendings: list[Sending] = []
        self.requests = 0
        self.comped_orders_sent: list[float] = []
        """When each request for a comped order left, carried out or not."""

    @contextmanager
    def instead_of_sockets(self) -> Iterator[None]:
        """Let every client of this process send through this network."""
        send, monotonic = Transport.__dict__["send"], transport._monotonic
        network = self

        def send_through_it(_: Transport, request: requests.Request, exchange: Exchange) -> Answer | NoAnswer:
            return network._send(request, exchange)

        setattr(Transport, "send", send_through_it)  # noqa: B010  (a plain assignment is one to a method, for mypy)
        transport._monotonic = self.timeline.seconds  # type: ignore[misc]
        try:
            yield
        finally:
            setattr(Transport, "send", send)  # noqa: B010
            transport._monotonic = monotonic  # type: ignore[misc]

    def _send(self, request: requests.Request, exchange: Exchange) -> Answer | NoAnswer:
        operation = operation_under_way()
        fate = self.fate_of(operation)
        self.requests += 1
        if fate.refused:
            return NoAnswer(kind="connection", cause="ConnectionRefusedError", sent=False)
        try:
            exchange.begin_send()
        except transport._SendRefusedError:
            if exchange.refusal is not None:
                raise exchange.refusal from None
            return NoAnswer(kind="timeout", cause="deadline", sent=False)
        checked_at = self.timeline.seconds()
        if fate.frozen_seconds:
            self.wait(fate.frozen_seconds)
        arrived = self._dispatch(operation, request, fate, checked_at, exchange.deadline - exchange.started)
        self.on_sent(operation)
        return self._await(arrived, fate, exchange)

    def _dispatch(
        self, operation: str, request: requests.Request, fate: Fate, checked_at: float, deadline_seconds: float
    ) -> list[wire.Answer]:
        """Let the request travel; the list holds its answer from the moment it was carried out."""
        arrived: list[wire.Answer] = []
        sent_at = self.timeline.seconds()
        known = _read(request)
        if operation == COMPED_ORDER:
            self.comped_orders_sent.append(sent_at)

        def arrive() -> None:
            before = len(self.world.learningcart.orders) if operation == COMPED_ORDER else 0
            arrived.append(self._carry_out(known))
            if operation == COMPED_ORDER and len(self.world.learningcart.orders) > before:
                order = self.world.learningcart.orders[-1]
                self.sendings.append(
                    Sending(
                        source_order=order.comments.partition(" ")[2],
                        price_id=order.price_id,
                        order_id=order.id,
                        checked_at_seconds=checked_at,
                        sent_at_seconds=sent_at,
                        effect_at_seconds=self.timeline.seconds(),
                        deadline_seconds=deadline_seconds,
                        is_stalled=fate.is_stalled,
                    )
                )

        if fate.travel_seconds == 0:
            arrive()
        elif fate.travel_seconds != NEVER:
            self.timeline.after(fate.travel_seconds, arrive)
        return arrived

    def _carry_out(self, request: wire.Request) -> wire.Answer:
        found = self.world.find(request.path)
        if found is None:
            return wire.Answer.of_html("404", "Not found", 404)
        system, below = found
        self.world.log.count_request(system.name, system.route(_below(request, below)).operation)
        known = _below(request, below)
        if self.in_front is None:
            return system.answer(known)
        return self.in_front(system.name, known, lambda: system.answer(known))

    def _await(self, arrived: list[wire.Answer], fate: Fate, exchange: Exchange) -> Answer | NoAnswer:
        left = exchange.deadline - self.timeline.seconds()
        back_after = fate.travel_seconds + fate.answer_seconds
        if fate.cut_seconds is not None and fate.cut_seconds < min(back_after, left):
            self.wait(fate.cut_seconds)
            return NoAnswer(kind="connection", cause="ConnectionResetError", sent=True)
        if fate.gateway_seconds is not None and fate.gateway_seconds < min(back_after, left):
            self.wait(fate.gateway_seconds)
            page = wire.Answer.of_html("504", "Gateway Time-out", 504)
            return Answer(504, CaseInsensitiveDict({"Content-Type": page.content_type}), page.body)
        if back_after > left:
            self.wait(max(left, 0.0))
            return NoAnswer(kind="timeout", cause="deadline", sent=True)
        self.wait(back_after)
        if self.timeline.seconds() > exchange.deadline:  # it was frozen while it waited
            return NoAnswer(kind="timeout", cause="deadline", sent=True)
        return _garble(arrived[0], fate.garbled)


def _read(request: requests.Request) -> wire.Request:
    prepared = request.prepare()
    url = urlsplit(prepared.url or "")
    body = prepared.body or b""
    return wire.Request(
        method=prepared.method or "GET",
        path=unquote(url.path),
        url=f"{url.path}?{url.query}",
        query_text=url.query,
        headers={name.lower(): value for name, value in prepared.headers.items()},
        body=body.encode() if isinstance(body, str) else bytes(body),
    )


def _below(request: wire.Request, path: str) -> wire.Request:
    return wire.Request(request.method, path, request.url, request.query_text, request.headers, request.body)


def _garble(answer: wire.Answer, how: str) -> Answer:
    match how:
        case "500":
            answer = wire.Answer.of_html("Error", "The server met an error.", 500)
        case "html":
            answer = wire.Answer.of_html("Site maintenance", "We are back soon.")
        case "empty":
            answer = wire.Answer(200, b"")
        case "wcf":
            answer = WCF_PAGE
        case _:
            pass
    headers = CaseInsensitiveDict({"Content-Type": answer.content_type, **answer.headers})
    if how == "half":
        return Answer(answer.status, headers, b"", broken="the answer was cut short (IncompleteRead)")
    return Answer(answer.status, headers, answer.body)
