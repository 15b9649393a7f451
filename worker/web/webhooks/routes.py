"""`POST /webhooks/{source}` and `/webhooks/{source}/{token}`: the door for news of orders.

The order of the checks: a source that is on (404), a sender that nothing could prove (401), an address that failed too
often (429), the announced size (413), the media type (415), the size in fact (413), who sent it (401), well-formed
(400), the order's id (422). Nothing of a body is parsed before its sender is proven, by the address, a header, or the
secret among the body's bytes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial

import structlog
from anyio import CapacityLimiter, move_on_after, to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.requests import ClientDisconnect

from tasks.dispatch import Dispatcher
from worker.errors import WebhookRejectedError
from worker.ledger.web import webhook_refusals
from worker.observability.tracing import tracing
from worker.web.client_address import address_of
from worker.web.metrics.routes import Metrics
from worker.web.problems import ledger_unavailable_problem, problem, report_ledger_error
from worker.web.webhooks.body import (
    LARGEST_BODY_BYTES,
    LARGEST_UNPROVEN_BODY_BYTES,
    check_declared_size,
    kind_of_body,
    read_body,
    rejected,
)
from worker.web.webhooks.failure_limit import FailureLimit
from worker.web.webhooks.intake import Proof, Taken, WebhookIntake, unauthenticated
from worker.web.webhooks.refusal_notes import RefusalNotes

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 4.0
"""A sender waits 5 s within its buyer's checkout, and a timeout breaks that page; a 503 does not."""
_INTAKE_THREADS = 16
_SENDING_THREADS = 4
_MOST_UNANSWERED = 48
"""Webhooks that may wait for the ledger in threads, those that were answered by 503 meanwhile included."""
_LARGE_UNPROVEN_AT_ONCE = 8
_DRAINED_BYTES = 2 * LARGEST_BODY_BYTES
_DRAINED_OF_LIMITED_BYTES = LARGEST_UNPROVEN_BODY_BYTES
_DRAIN_SECONDS = 2.0
_OUTCOMES = {
    401: "unauthenticated",
    404: "unknown_source",
    405: "wrong_method",
    408: "too_slow",
    413: "too_large",
    415: "unsupported_media_type",
    422: "no_order_id",
    429: "limited",
}


@dataclass(frozen=True)
class Refusal:
    """Why a webhook is refused, without the exception that said so: its frames would hold the body."""

    status: int
    title: str
    detail: str
    is_read: bool = False
    """Whether the whole body was taken, so that the connection can go on."""


class WebhookRoutes:
    """Answers 202 with the delivery's id once it is committed, and tells the workers after the answer."""

    def __init__(
        self,
        intake: WebhookIntake,
        dispatcher: Dispatcher,
        failures: FailureLimit,
        metrics: Metrics,
        notes: RefusalNotes,
    ) -> None:
        self._notes = notes
        self._intake = intake
        self._dispatcher = dispatcher
        self._failures = failures
        self._metrics = metrics
        # Threads of their own: neither a slow listing nor a broker that is away keeps a webhook waiting.
        self._intake_threads = ThreadPoolExecutor(_INTAKE_THREADS, thread_name_prefix="webhook")
        self._sending_threads = CapacityLimiter(_SENDING_THREADS)
        self._large_unproven = CapacityLimiter(_LARGE_UNPROVEN_AT_ONCE)
        self._unanswered = 0

    async def receive(self, source: str, token: str | None, request: Request) -> Response:
        """Take one webhook in."""
        began_at_ns = time.time_ns()
        label = source if self._intake.knows(source) else "unknown"
        outcome = await self._outcome(source, token, request)
        if isinstance(outcome, Refusal):
            return self._refuse(outcome, label, request, by_url=token is not None)
        if isinstance(outcome, SQLAlchemyError) or outcome is None:
            if outcome is not None:
                report_ledger_error(outcome)
            self._metrics.count_webhook(label, "ledger_unavailable")
            return ledger_unavailable_problem()
        with tracing().delivery("webhook", outcome.delivery_id, began_at_ns=began_at_ns, source=source):
            return self._accept(source, label, outcome)

    def refuse_method(self, source: str, token: str | None, request: Request) -> Response:
        """Refuse a GET. One that a source's own settings may have caused is noted for the operator."""
        is_meant = "studiocart_secret" in request.query_params if token is None else True
        after = None
        if (
            is_meant
            and self._intake.knows(source)
            and (token is None or self._intake.proof(source, token, request.headers) is not None)
        ):
            after = self._note(source, webhook_refusals.WRONG_METHOD)
            self._metrics.count_webhook(source, "wrong_method")
        answer = problem(405, "A webhook is a POST.", headers={"Allow": "POST"})
        answer.background = after
        return answer

    def _note(self, source: str, kind: str) -> BackgroundTask | None:
        if not self._notes.is_due(source, kind):
            return None
        return BackgroundTask(self._in_thread, self._notes.write, source, kind)

    async def _outcome(
        self, source: str, token: str | None, request: Request
    ) -> Taken | Refusal | SQLAlchemyError | None:
        """What became of it; None where the ledger did not answer in time."""
        try:
            proof = self._admit(source, token, request)
            body = await self._read(proof, request)
            kind = kind_of_body(request.headers.get("content-type", ""))
        except WebhookRejectedError as error:
            refusal = _refusal(error)
        else:
            call = partial(self._intake.take, source, kind, request.headers, body, proof=proof)
            return await self._commit(call)
        is_limited = self._failures.wait_seconds(address_of(request)) is not None
        return replace(
            refusal, is_read=await _drain(request, _DRAINED_OF_LIMITED_BYTES if is_limited else _DRAINED_BYTES)
        )

    def _admit(self, source: str, token: str | None, request: Request) -> Proof:
        """What proves the sender; raises `WebhookRejectedError` for whom nothing could, before the body is read."""
        if not self._intake.knows(source):
            raise rejected(404, "There is no such source, or it is not configured.")
        proof = self._intake.proof(source, token, request.headers)
        if proof is None:
            raise unauthenticated()
        is_proven = proof in {Proof.URL_TOKEN, Proof.HEADER}
        if not is_proven and self._failures.wait_seconds(address_of(request)) is not None:
            raise unauthenticated()
        largest = LARGEST_UNPROVEN_BODY_BYTES if proof is Proof.BODY else LARGEST_BODY_BYTES
        check_declared_size(request.headers.get("content-length"), largest)
        kind_of_body(request.headers.get("content-type", ""))
        return proof

    async def _read(self, proof: Proof, request: Request) -> bytes:
        largest = LARGEST_UNPROVEN_BODY_BYTES if proof is Proof.BODY else LARGEST_BODY_BYTES
        announced = request.headers.get("content-length", "")
        is_small = announced.isascii() and announced.isdigit() and len(announced) < 6
        is_bounded = proof is not Proof.SIGNATURE or (is_small and int(announced) <= LARGEST_UNPROVEN_BODY_BYTES)
        # Anybody can claim a signature: the memory for what is not yet proven is bounded.
        async with nullcontext() if is_bounded else self._large_unproven:
            return await read_body(request, largest)

    async def _commit(self, call: partial[Taken]) -> Taken | Refusal | SQLAlchemyError | None:
        """Take it in within `ANSWER_SECONDS`. What is committed later is delivered twice, which is harmless."""
        if self._unanswered >= _MOST_UNANSWERED:
            return None
        self._unanswered += 1
        intake = asyncio.get_running_loop().run_in_executor(self._intake_threads, _result_of, call)
        intake.add_done_callback(self._note_answered)
        done, _ = await asyncio.wait({intake}, timeout=ANSWER_SECONDS)
        return intake.result() if done else None

    def _note_answered(self, _intake: asyncio.Future[Taken | Refusal | SQLAlchemyError]) -> None:
        self._unanswered -= 1

    def _accept(self, source: str, label: str, taken: Taken) -> Response:
        after: BackgroundTask | None = None
        if taken.order_id is not None:
            self._metrics.count_webhook(label, "accepted")
            after = BackgroundTask(self._in_thread, self._send_order, source, taken.order_id, taken.delivery_id)
        elif taken.polls:
            self._metrics.count_webhook(label, "accepted")
            log.info("webhook accepted: it names no order, so the source is polled", source=source)
            after = BackgroundTasks([BackgroundTask(self._in_thread, self._dispatcher.send_poll, source)])
            note = self._note(source, webhook_refusals.NO_ORDER_ID)
            if note is not None:
                after.tasks.append(note)
        else:
            self._metrics.count_webhook(label, "ignored")
            log.info("webhook ignored: a lead", source=source, delivery_id=taken.delivery_id)
        return JSONResponse({"delivery_id": taken.delivery_id}, 202, background=after)

    def _send_order(self, source: str, order_id: str, delivery_id: str) -> bool:
        """Off the event loop, where a line of the log takes as long as half an answer."""
        log.info("webhook accepted", order=f"{source}/{order_id}", delivery_id=delivery_id)
        return self._dispatcher.send_order(source, order_id)

    def _refuse(self, refusal: Refusal, label: str, request: Request, *, by_url: bool) -> Response:
        address = address_of(request)
        headers = {} if refusal.is_read else {"Connection": "close"}
        if refusal.status == 401:
            wait_seconds = self._failures.count_failure(address)
            if wait_seconds is not None:
                self._metrics.count_webhook(label, "limited")
                return problem(
                    429,
                    "Too many requests from this address failed to authenticate.",
                    headers={**headers, "Retry-After": str(wait_seconds)},
                )
            headers["WWW-Authenticate"] = 'Webhook realm="cartbridge"'
            missing = self._intake.missing_variable(label, by_url=by_url)
            next_step = f"Set {missing}: without it every webhook to this address is refused." if missing else None
            log.warning("webhook refused", source=label, status=401, client=address, next_step=next_step)
        else:
            log.info("webhook refused", source=label, status=refusal.status, why=refusal.detail)
        self._metrics.count_webhook(label, _OUTCOMES.get(refusal.status, "malformed"))
        answer = problem(refusal.status, refusal.detail, title=refusal.title, headers=headers)
        if refusal.status == 401:
            answer.background = self._note(label, webhook_refusals.UNAUTHENTICATED)
        return answer

    async def _in_thread(self, act: Callable[..., bool], *what: str) -> None:
        await to_thread.run_sync(act, *what, limiter=self._sending_threads)


def webhook_routes(
    intake: WebhookIntake, dispatcher: Dispatcher, failures: FailureLimit, metrics: Metrics, notes: RefusalNotes
) -> APIRouter:
    """The two routes: one for senders that prove themselves by a header or a field, one for all others."""
    router = APIRouter(include_in_schema=False)
    routes = WebhookRoutes(intake, dispatcher, failures, metrics, notes)

    @router.post("/webhooks/{source}")
    async def receive_webhook(source: str, request: Request) -> Response:
        return await routes.receive(source, None, request)

    @router.post("/webhooks/{source}/{token}")
    async def receive_webhook_by_url(source: str, token: str, request: Request) -> Response:
        return await routes.receive(source, token, request)

    @router.get("/webhooks/{source}")
    async def refuse_get(source: str, request: Request) -> Response:
        return routes.refuse_method(source, None, request)

    @router.get("/webhooks/{source}/{token}")
    async def refuse_get_by_url(source: str, token: str, request: Request) -> Response:
        return routes.refuse_method(source, token, request)

    return router


def _result_of(call: Callable[[], Taken]) -> Taken | Refusal | SQLAlchemyError:
    """What a call comes to, as a value: an exception that is kept keeps its frames, and they the whole body."""
    try:
        return call()
    except WebhookRejectedError as error:
        return _refusal(error)
    except SQLAlchemyError as error:
        error.__context__ = error.__cause__ = None
        return error.with_traceback(None)


def _refusal(error: WebhookRejectedError) -> Refusal:
    return Refusal(error.status, error.title, str(error), is_read=True)


async def _drain(request: Request, left_bytes: int) -> bool:
    """Take what the sender is still sending, within bounds: a connection closed before loses the answer.

    Whether that was all of it.
    """
    with move_on_after(_DRAIN_SECONDS), suppress(ClientDisconnect, RuntimeError):  # left, or read before
        async for chunk in request.stream():
            left_bytes -= len(chunk)
            if left_bytes < 0:
                return False
        return True
    return False
