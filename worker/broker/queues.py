"""The queues of messages, by name."""

from __future__ import annotations

CONTROL_QUEUE = "control"
INGEST_QUEUE = "ingest"
SYSTEM_QUEUES = ("learningcart", "threedcart", "mail")
"""A step's task goes to its destination's queue, so that a slow system does not hold up another."""
QUEUES = (CONTROL_QUEUE, INGEST_QUEUE, *SYSTEM_QUEUES)
