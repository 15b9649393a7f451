"""One trace from an order's delivery to its comped order, for whoever installs `cartbridge[tracing]`; else nothing.

A trace's id follows from the delivery's id, so that nothing has to travel with a message, and a run that is recovered
after a crash goes on in the trace it began in. Spans hold our ids, steps and outcomes: no address, URL or body.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

Attribute = str | int | None
"""What is None is left out."""


class Tracing:
    """A process's tracer. This one makes no spans and costs nothing."""

    is_on = False

    def delivery(
        self,
        name: str,  # noqa: ARG002
        delivery_id: str,  # noqa: ARG002
        *,
        began_at_ns: int | None = None,  # noqa: ARG002
        **attributes: Attribute,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """The root span of a delivery's trace: made once, where it arrived; its id is known later than it began."""
        return nullcontext()

    def within(self, name: str, delivery_id: str | None, **attributes: Attribute) -> AbstractContextManager[None]:  # noqa: ARG002
        """A span of a delivery's trace, in whatever process; None: of the trace that is under way."""
        return nullcontext()

    def note(self, **attributes: Attribute) -> None:
        """Add to the span under way, if there is one."""

    def close(self) -> None:
        """Send what is left. Waits a few seconds at most."""


OFF = Tracing()
_current = OFF


def tracing() -> Tracing:
    """This process's tracing."""
    return _current


def use_tracing(chosen: Tracing) -> None:
    """Make it this process's."""
    global _current  # noqa: PLW0603  (one a process, as the log is)
    _current = chosen
