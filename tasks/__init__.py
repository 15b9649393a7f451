"""The Celery tasks. Each is thin: it finds its process's runtime and hands over to `workflows`."""

from tasks import completions, control, enrolment, ingest, outbox, reconcile

__all__ = ["completions", "control", "enrolment", "ingest", "outbox", "reconcile"]
