"""What every command writes goes through here: nothing in it turns the direction of a terminal's text."""

from __future__ import annotations

import io
import sys
from typing import TextIO

from worker.text.control_characters import JSON_CONTROLS


class PlainStream(io.TextIOWrapper):
    """A text stream that shows controls (but for ASCII's own) and halves of characters as escapes, in JSON as JSON's.

    Colours pass: `printing.cell` takes out what else an outsider's text may hold.
    """

    def write(self, text: str, /) -> int:
        """Write the text; never raises for what stands in it."""
        super().write(text.translate(JSON_CONTROLS))
        return len(text)


def guard_streams() -> None:
    """Have this process's stdout and stderr written so. Safe to repeat.

    So are `sys.__stdout__` and `sys.__stderr__`: Celery's handler of SIGTERM writes there, and what is detached raises.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # One that stands in the place of the process's own is somebody else's, who will write to it and close it.
        if stream is getattr(sys, f"__{name}__"):
            guarded = _guarded(stream)
            setattr(sys, name, guarded)
            setattr(sys, f"__{name}__", guarded)


def _guarded(stream: TextIO) -> TextIO:
    if isinstance(stream, PlainStream) or not isinstance(stream, io.TextIOWrapper):
        return stream
    encoding, is_line_buffered = stream.encoding, stream.line_buffering
    return PlainStream(stream.detach(), encoding=encoding, errors="backslashreplace", line_buffering=is_line_buffered)
