"""The web application, put together: webhooks, health, metrics, the JSON API and the operator's page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version

from fastapi import FastAPI

from tasks.dispatch import Dispatcher
from worker.ledger.session import Ledger
from worker.settings.settings import Settings
from worker.settings.types import networks_of
from worker.web.api.events import describe_events
from worker.web.api.routes import api_routes
from worker.web.client_address import ClientAddressMiddleware
from worker.web.health import health_routes
from worker.web.metrics.routes import Metrics, QueueDepths, metrics_routes
from worker.web.middleware import AnswerMiddleware
from worker.web.page.actions.operator import Operator
from worker.web.page.routes import page_routes
from worker.web.problems import add_problem_handlers
from worker.web.webhooks.failure_limit import FailureLimit
from worker.web.webhooks.intake import WebhookIntake
from worker.web.webhooks.refusal_notes import RefusalNotes
from worker.web.webhooks.routes import webhook_routes


def create_app(
    settings: Settings,
    ledger: Ledger,
    dispatcher: Dispatcher,
    *,
    clock: Callable[[], datetime],
    queue_depths: QueueDepths | None = None,
    operator: Operator | None = None,
) -> FastAPI:
    """The app on one ledger. Opens no connection before the first request; `clock` gives aware UTC moments.

    `operator` is what the operator's page acts with; without one it only shows. Closing the ledger is the
    caller's. An app is for one process: counters and the limit on webhooks that fail to authenticate are in memory.
    """
    app = FastAPI(
        title="Cartbridge",
        version=version("cartbridge"),
        description="The listings of the command line, in the shapes of its `--json`, and what an operator may do.",
        # The router of the API serves it, behind the token.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # FastAPI's own would send queries, which hold emails, and exceptions' texts to wherever the environment says.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    metrics = Metrics(ledger, clock=clock, webhook_sources=settings.webhook_sources(), queue_depths=queue_depths)
    failures = FailureLimit()
    intake = WebhookIntake(settings, ledger, clock=clock)
    app.add_middleware(AnswerMiddleware, metrics=metrics)
    app.add_middleware(ClientAddressMiddleware, trusted=networks_of(settings.web.trusted_proxies))
    add_problem_handlers(app)
    app.include_router(webhook_routes(intake, dispatcher, failures, metrics, RefusalNotes(ledger, clock=clock)))
    app.include_router(health_routes(ledger, dispatcher, settings.offers_file))
    app.include_router(metrics_routes(metrics))
    app.include_router(api_routes(settings, ledger, clock=clock, operator=operator))
    describe_events(app)
    app.include_router(page_routes(settings, ledger, clock=clock, operator=operator))
    return app
