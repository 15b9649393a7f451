"""The Celery tasks. Each is thin: it finds its process's runtime and hands over to `workflows`."""

from tasks import control, enrolment, ingest, reconcile

__all__ = ["control", "enrolment", "ingest", "reconcile"]
