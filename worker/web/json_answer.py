"""JSON as this server answers it: texts that outsiders wrote turn no terminal's or page's text around."""

from __future__ import annotations

import json
from typing import Any

from fastapi.responses import JSONResponse

from worker.text.control_characters import JSON_CONTROLS


class JsonAnswer(JSONResponse):
    """The same JSON, with control and bidirectional characters, and halves of characters, as JSON's own escapes."""

    def render(self, content: Any) -> bytes:
        """The body's bytes; never raises for what stands in a text."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.translate(JSON_CONTROLS).encode()
