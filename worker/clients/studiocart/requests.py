"""How Studiocart's site is asked: where a request's parameters go, and what its answer means.

The plugin reads parameters from the query and from a JSON body on the GET alike. Proxies and CDNs are known that drop
the body of a GET, or refuse such a request with a page of their own: then only the query works. So one way is tried
first, and the other where the first is refused by something that is not the site, or is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final, Literal

from pydantic import SecretStr

from worker.clients.base import Answer, ApiClient, CallLimits
from worker.clients.reading import UnreadableError, as_int, decode, is_html, read_tolerantly
from worker.errors import UnexpectedResponseError

SYSTEM: Final = "studiocart"
ParametersIn = Literal["query", "body"]

_REFUSED_ON_THE_WAY: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.NOT_ACCEPTABLE,
        HTTPStatus.LENGTH_REQUIRED,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.REQUEST_URI_TOO_LONG,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.NOT_IMPLEMENTED,
    }
)
"""What a proxy, a CDN or a firewall answers to a form of request that it does not like."""
_CACHE_HEADERS: Final = ("X-Cache", "X-Cache-Status", "CF-Cache-Status", "X-LiteSpeed-Cache", "X-Proxy-Cache")
_NO_ROUTE: Final = "rest_no_route"
"""The path itself is unknown: no Developer API, the plugin is off, or the base URL wrong. Says nothing of a record."""


class NoRouteError(UnexpectedResponseError):
    """The site's WordPress answers, and has no Studiocart API."""


class RefusedOnTheWayError(UnexpectedResponseError):
    """Something in front of the site refused the request with a page for people: the key was not judged."""


class StudiocartRequests:
    """Asks one site. Remembers which way of sending parameters works; safe to share between threads."""

    def __init__(self, api: ApiClient, api_key: SecretStr, *, first: ParametersIn) -> None:
        self._api = api
        self._api_key = api_key
        self._first: ParametersIn = first
        self.way: ParametersIn = first
        """Where parameters go now."""

    def change_way(self) -> None:
        """Send parameters the other way from now on."""
        self.way = _other(self.way)

    def begin_anew(self) -> None:
        """Neither way works: the next walk begins with the first again."""
        self.way = self._first

    def get(self, operation: str, path: str, parameters: Mapping[str, Any], limits: CallLimits) -> Answer:
        """Return the answer under the status it means: a WordPress error may come with 200."""
        way = self.way
        answer = self._send(way, operation, path, parameters, limits)
        # Without parameters the two differ only by an empty body.
        if not _is_refused_on_the_way(answer) or (way == "query" and not parameters):
            return answer
        other = self._send(_other(way), operation, path, parameters, replace(limits, slot_taken=False))
        if _is_refused_on_the_way(other):
            return answer
        self.way = _other(way)
        return other

    def _send(
        self, way: ParametersIn, operation: str, path: str, parameters: Mapping[str, Any], limits: CallLimits
    ) -> Answer:
        in_query = way == "query"
        answer = self._api.exchange(
            operation,
            "GET",
            path,
            params={name: str(value) for name, value in parameters.items()} if in_query else None,
            json=None if in_query else dict(parameters),
            headers={"x-api-key": self._api_key.get_secret_value(), "Content-Type": "application/json"},
            safe_to_repeat=True,
            limits=limits,
        )
        if _is_from_cache(answer):
            self._api.note(
                f"{operation}: a cache answered, so orders are seen late: exclude the API's path from caching"
            )
        status = _error_status(answer)
        return answer if status is None else replace(answer, status=status)

    def document(self, operation: str, answer: Answer) -> Any:
        """Return a 2xx answer's document; raise the `ApiError` that any other answer stands for."""
        if answer.status == HTTPStatus.NOT_FOUND and error_code(answer) == _NO_ROUTE:
            raise NoRouteError(
                f"{SYSTEM} {operation}: the site has no Studiocart API (rest_no_route). The API is part of Studiocart "
                "Pro on a plan with the Developer API: is that plugin active, and the base URL right?",
                **self._details(operation, answer),
            )
        if answer.status == HTTPStatus.NOT_FOUND and _is_page(answer):
            raise UnexpectedResponseError(
                f"{SYSTEM} {operation}: the web server knows no such address. Check the base URL; a site with plain "
                "permalinks has it at https://SITE/?rest_route=/sc/v1",
                **self._details(operation, answer),
            )
        if answer.status in _REFUSED_ON_THE_WAY and _is_page(answer):
            raise RefusedOnTheWayError(
                f"{SYSTEM} {operation}: refused with HTTP {answer.status} and a page of HTML, by a CDN, a firewall or "
                "a proxy in front of the site; the API key was not judged",
                **self._details(operation, answer),
            )
        error = self._api.error_for(operation, answer, safe_to_repeat=True)
        if error is not None:
            raise error
        problem = ""
        try:
            return self._api.read(operation, answer, safe_to_repeat=True)
        except UnreadableError as unreadable:
            problem = f"the answer {unreadable}"
        raise self._api.unexpected(operation, problem, safe_to_repeat=True, answer=answer)

    def _details(self, operation: str, answer: Answer) -> dict[str, Any]:
        return {"system": SYSTEM, "operation": operation, "status": answer.status, "retryable": True}


def error_code(answer: Answer) -> str:
    """Return the code of WordPress's error, such as `rest_invalid_param`; empty where the answer is none of its."""
    return str(_wordpress_error(answer).get("code", ""))


def is_foreign(answer: Answer) -> bool:
    """Tell a 404 that says nothing about records: of the web server, or of a WordPress without the plugin."""
    return _is_page(answer) or error_code(answer) == _NO_ROUTE


def _other(way: ParametersIn) -> ParametersIn:
    return "body" if way == "query" else "query"


def _is_page(answer: Answer) -> bool:
    is_markup = answer.body.lstrip().startswith(b"<") or is_html(decode(answer.body))
    return is_markup and not error_code(answer)  # a notice or a comment may stand before WordPress's own answer


def _is_from_cache(answer: Answer) -> bool:
    """Whether a cache says that the answer is its own: by its age, or by what page caches and CDNs write."""
    age = as_int(answer.headers.get("Age")) or 0
    return age > 0 or any("hit" in str(answer.headers.get(name, "")).lower() for name in _CACHE_HEADERS)


def _is_refused_on_the_way(answer: Answer) -> bool:
    return answer.status in _REFUSED_ON_THE_WAY and not error_code(answer)


def _wordpress_error(answer: Answer) -> dict[str, Any]:
    """Return WordPress's `{code, message, data: {status}}`; empty for anything else."""
    if len(answer.body) > 100_000:
        return {}
    try:
        document = read_tolerantly(answer.body).document
    except UnreadableError:
        return {}
    is_error = isinstance(document, dict) and "code" in document and "message" in document and "id" not in document
    return document if is_error else {}


def _error_status(answer: Answer) -> int | None:
    if not 200 <= answer.status < 300:
        return None
    data = _wordpress_error(answer).get("data")
    status = as_int(data.get("status")) if isinstance(data, dict) else None
    return status if status is not None and 400 <= status <= 599 else None
