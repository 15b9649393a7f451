"""The Celery tasks. Each is thin: it finds its process's runtime and hands over to `workflows`."""

from tasks import control, enrolment, follow_on, ingest, notifications, reconcile, retention

__all__ = ["control", "enrolment", "follow_on", "ingest", "notifications", "reconcile", "retention"]
