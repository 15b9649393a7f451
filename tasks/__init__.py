"""The Celery tasks. Each is thin: it finds its process's runtime and hands over to `workflows`."""

from tasks import (
    alerts,
    catalog,
    completions,
    control,
    enrolment,
    follow_on,
    ingest,
    outbox,
    reconcile,
    retention,
    welcome_mail,
)

__all__ = [
    "alerts",
    "catalog",
    "completions",
    "control",
    "enrolment",
    "follow_on",
    "ingest",
    "outbox",
    "reconcile",
    "retention",
    "welcome_mail",
]
