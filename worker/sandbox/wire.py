"""One request in, one answer out: what the HTTP server hands to a system, and what it gets back. No sockets here."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class Request:
    """A request as it came over the wire, its path cut down to the part below the system's prefix."""

    method: str
    path: str
    """Below the prefix, with its leading slash: `/addCustomer`, `/orders/1109`."""
    url: str = ""
    """Path and query as sent; it may hold passwords, and the error pages of the real systems echo it all the same."""
    query_text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    body: bytes = b""

    @cached_property
    def query(self) -> dict[str, str]:
        """The query's parameters; the last of a repeated name wins, as in PHP. Empty values are kept."""
        return dict(self.query_pairs)

    @cached_property
    def query_pairs(self) -> list[tuple[str, str]]:
        """The query's parameters in their order, repeated names (`include[]`) included."""
        return parse_qsl(self.query_text, keep_blank_values=True)

    @cached_property
    def json_value(self) -> Any:
        """The body as JSON; None when there is no body. Raises `ValueError` for one that is not JSON."""
        try:
            return json.loads(self.body) if self.body.strip() else None
        except RecursionError as error:
            raise ValueError("nested too deep") from error

    @property
    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; empty for none, or for something else. Raises `ValueError` like `json_value`."""
        return self.json_value if isinstance(self.json_value, dict) else {}

    @cached_property
    def segments(self) -> list[str]:
        """The path's parts: `["orders", "1109"]`."""
        return [part for part in self.path.split("/") if part]


@dataclass(frozen=True)
class Answer:
    """A whole answer; the server adds `Content-Length`."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, value: object, status: int = 200, **headers: str) -> Answer:
        """Answer with `value` as compact JSON. Underscores in header names become hyphens (`Retry_After="1"`)."""
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        return cls(status=status, body=body, headers={name.replace("_", "-"): text for name, text in headers.items()})

    @classmethod
    def of_html(cls, title: str, message: str, status: int = 200, **headers: str) -> Answer:
        """Answer with a small page, its texts escaped."""
        page = (
            f"<!DOCTYPE html>\n<html><head><title>{html.escape(title)}</title></head>"
            f"<body><h1>{html.escape(title)}</h1><p>{html.escape(message)}</p></body></html>\n"
        )
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(status=status, body=page.encode(), content_type="text/html; charset=utf-8", headers=named)

    @classmethod
    def of_xml(cls, document: str, status: int = 200) -> Answer:
        """Answer with an XML document."""
        return cls(status=status, body=document.encode(), content_type="application/xml; charset=utf-8")


@dataclass(frozen=True)
class Call:
    """Which operation a request is, and the ids its path names (`{"id": "1109"}`)."""

    operation: str
    ids: Mapping[str, str] = field(default_factory=dict)


def is_id(text: str) -> bool:
    """Tell whether a text is a plain decimal number small enough for a database's id."""
    return text.isascii() and text.isdigit() and len(text) <= 18


class System(Protocol):
    """One of the four systems: a state behind a lock, which answers requests one at a time without a socket."""

    @property
    def name(self) -> str:
        """The word of the glossary: `learningcart`, `studiocart`, `frontcore`, `threedcart`."""

    def route(self, request: Request) -> Call:
        """Name the operation; `unknown` for a path the system does not serve. Changes nothing and never raises."""

    def answer(self, request: Request) -> Answer:
        """Carry the request out. Never raises for what a client may send."""

    def reset(self) -> None:
        """Forget everything but the seeds."""

    def describe(self) -> dict[str, Any]:
        """Say what the system holds, as JSON, for the control interface. Holds no secret."""
