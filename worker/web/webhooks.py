"""`POST /webhooks/{source}`: the door for news of orders.

The order of the checks: a source that is on (404), the announced size (413), the media type (415), the size in fact
(413), who sent it (401, or 429 for a stranger who keeps trying), well-formed (400), the order's id (422). Only where
the secret may be in the body, and no header claims to prove the sender, does 400 come before 401.
"""

from __future__ import annotations

import time
from functools import partial

import structlog
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.background import BackgroundTask

from worker.errors import WebhookRejectedError
from worker.tracing import tracing
from worker.web.doorbell import Doorbell
from worker.web.metrics import Metrics
from worker.web.problems import problem
from worker.web.strangers import Strangers, address_of
from worker.web.webhook_body import check_declared_size, kind_of_body, read_body, rejected
from worker.web.webhook_intake import Taken, WebhookIntake

log = structlog.get_logger(__name__)

_INTAKE_THREADS = 16
_RINGING_THREADS = 4
_OUTCOMES = {
    401: "unauthenticated",
    404: "unknown_source",
    408: "too_slow",
    413: "too_large",
    415: "unsupported_media_type",
    422: "no_order_id",
}


def webhook_routes(intake: WebhookIntake, doorbell: Doorbell, strangers: Strangers, metrics: Metrics) -> APIRouter:
    """The route. Answers 202 with the delivery's id once it is committed, and rings for it after the answer."""
    router = APIRouter(include_in_schema=False)
    # Threads of their own: neither a slow listing nor a broker that is away keeps a webhook waiting.
    intake_threads = CapacityLimiter(_INTAKE_THREADS)
    ringing_threads = CapacityLimiter(_RINGING_THREADS)

    async def ring(source: str, order_id: str) -> None:
        await to_thread.run_sync(doorbell.ring_order, source, order_id, limiter=ringing_threads)

    async def take(source: str, request: Request) -> Taken:
        if not intake.knows(source):
            raise rejected(404, "There is no such source, or it is not configured.")
        check_declared_size(request.headers.get("content-length"))
        kind = kind_of_body(request.headers.get("content-type", ""))
        body = await read_body(request)
        call = partial(intake.take, source, kind, request.headers, body)
        return await to_thread.run_sync(call, limiter=intake_threads)

    @router.post("/webhooks/{source}")
    async def receive_webhook(source: str, request: Request) -> Response:
        began_at_ns = time.time_ns()
        label = source if intake.knows(source) else "unknown"
        try:
            taken = await take(source, request)
        except WebhookRejectedError as error:
            return refuse(error, label, request)
        except SQLAlchemyError:
            metrics.count_webhook(label, "ledger_unavailable")
            raise
        with tracing().delivery("webhook", taken.delivery_id, began_at_ns=began_at_ns, source=source):
            return accept(source, label, taken)

    def accept(source: str, label: str, taken: Taken) -> Response:
        after = None
        if taken.order_id is None:
            metrics.count_webhook(label, "ignored")
            log.info("webhook ignored: a lead", source=source, delivery_id=taken.delivery_id)
        else:
            metrics.count_webhook(label, "accepted")
            log.info("webhook accepted", order=f"{source}/{taken.order_id}", delivery_id=taken.delivery_id)
            after = BackgroundTask(ring, source, taken.order_id)
        return JSONResponse({"delivery_id": taken.delivery_id}, 202, background=after)

    def refuse(error: WebhookRejectedError, label: str, request: Request) -> Response:
        status, headers = error.status, {}
        if status == 401:
            address = address_of(request)
            wait_seconds = strangers.count_failure(address)
            if wait_seconds is not None:
                metrics.count_webhook(label, "limited")
                return problem(
                    429,
                    "Too many requests from this address failed to authenticate.",
                    headers={"Retry-After": str(wait_seconds)},
                )
            headers["WWW-Authenticate"] = 'Webhook realm="cartbridge"'
            missing = intake.missing_variable(label)
            next_step = f"Set {missing}: without a secret every webhook is refused." if missing else None
            log.warning("webhook refused", source=label, status=status, client=address, next_step=next_step)
        else:
            log.info("webhook refused", source=label, status=status, why=str(error))
        metrics.count_webhook(label, _OUTCOMES.get(status, "malformed"))
        return problem(status, str(error), title=error.title, headers=headers)

    return router
