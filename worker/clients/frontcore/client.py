"""Frontcore's REST API: its orders, as a list that pages by itself and by id. It only reads: all is safe to repeat."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Literal, TypedDict, Unpack
from urllib.parse import quote, urlencode

from pydantic import ValidationError

from worker.clients.base import NO_LIMITS, Answer, ApiClient, CallLimits, SystemClient
from worker.clients.frontcore.models import Order
from worker.clients.frontcore.paging import walk_newest_first
from worker.clients.list_pages import LastPage, PageSizes, prove_paging, walked
from worker.clients.outcomes import another_record
from worker.clients.rate import SharedSlots
from worker.clients.reading import UnreadableError, numbered_rows, word_of
from worker.clients.unreadable import Rows, UnreadableRow, read_rows
from worker.errors import ApiError, ConfigurationError, NotFoundError, UnexpectedResponseError
from worker.settings.systems import FrontcoreSettings
from worker.text.redaction import SecretRegistry

SYSTEM: Final = "frontcore"
PAGE_SIZE: Final = 250
"""The vendor's maximum; its default is 75."""
PAGE_LIMIT: Final = 10_000
"""A list of more pages than this is taken for a server that never ends."""

Include = Literal["lines.database_relations.course", "lines.database_relations.participants", "campaign"]
INCLUDES: Final[tuple[Include, ...]] = (
    "lines.database_relations.course",
    "lines.database_relations.participants",
    "campaign",
)
"""All that the endpoint can add."""

_LIST: Final = "list/orders"
_RETRIEVE: Final = "retrieve/orders"
_WORD_DECIDES: Final = frozenset({HTTPStatus.OK, HTTPStatus.BAD_REQUEST})
"""The statuses under which the vendor's word may mean another: its errors may come with 200."""
_MEANINGS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), status)
    for pattern, status in (
        (r"too many|rate.?limit|throttl", HTTPStatus.TOO_MANY_REQUESTS),
        (r"api.?key|unauthori[sz]ed|unauthenticated|authentication", HTTPStatus.UNAUTHORIZED),
        (r"forbidden|permission|access denied", HTTPStatus.FORBIDDEN),
        (r"not found|not exist|no such|no (?:orders?|results?)\b", HTTPStatus.NOT_FOUND),
        (r"internal|server error|unavailable|maintenance|time.?out|try again", HTTPStatus.SERVICE_UNAVAILABLE),
    )
)
"""What the vendor's words mean. Only "Wrong API Key" is documented; what is not recognised is an invalid request."""
_NO_ORDERS: Final = re.compile(r"no (?:orders?|results?)\b|orders? (?:was |were )?not found", re.IGNORECASE)


Moment = datetime | date | str
"""An aware datetime is sent as UTC, anything else as it stands. The vendor does not say in which zone it reads filters,
nor whether they include the moment itself: ask for more than a day more."""


class Details(TypedDict, total=False):
    """How much of each order is asked for. By default, everything."""

    user_data: bool
    """The people on each line. Without it, lines carry no `users`."""
    include: Sequence[Include]
    exported: bool
    """Orders already exported to accounting too: with false they drop out of the list."""


class Filters(Details, total=False):
    """Which orders are listed. `…_min` and `…_max` of a date leave out the orders whose date is null."""

    course_id: int
    since_id: int
    created_at_min: Moment
    created_at_max: Moment
    updated_at_min: Moment
    updated_at_max: Moment
    exported_at_min: Moment
    exported_at_max: Moment


class FrontcoreClient(SystemClient):
    """Reads one Frontcore account. Safe to share between threads; make one per process, after it forked.

    Orders come newest first; the vendor knows no other order. The vendor allows five requests a second per account:
    processes that share an account share `slots`. Every method raises `ApiError`, also for an error that comes with
    status 200; an order without an id is an `UnexpectedResponseError`, never left out. Raises `ConfigurationError` for
    settings that lack something.
    """

    def __init__(
        self,
        settings: FrontcoreSettings,
        *,
        secrets: SecretRegistry | None = None,
        slots: SharedSlots | None = None,
        page_limit: int = PAGE_LIMIT,
        api: ApiClient | None = None,
    ) -> None:
        if not (settings.base_url and settings.api_key):
            raise ConfigurationError(
                "Frontcore is not configured. Set CARTBRIDGE_FRONTCORE__BASE_URL and CARTBRIDGE_FRONTCORE__API_KEY."
            )
        registry = SecretRegistry() if secrets is None else secrets
        registry.add(settings.api_key.get_secret_value())
        self._api_key = settings.api_key
        self._page_limit = page_limit
        self._sizes = PageSizes()
        self._api = api or ApiClient.of(SYSTEM, settings, settings.base_url, redact=registry.redact, slots=slots)

    def list_orders(
        self, *, limit: int = PAGE_SIZE, limits: CallLimits = NO_LIMITS, **filters: Unpack[Filters]
    ) -> Iterator[Order]:
        """Iterate over the orders. Each page, of `limit` at most, is asked for when it is needed."""
        for page in self.iter_order_pages(limit=limit, limits=limits, **filters):
            yield from (row for row in page if isinstance(row, Order))

    def iter_order_pages(
        self, *, limit: int = PAGE_SIZE, limits: CallLimits = NO_LIMITS, **filters: Unpack[Filters]
    ) -> Iterator[Rows[Order]]:
        """Iterate over whole pages of orders, none empty, each order once; a row that is none stands in its place.

        An order that is listed throughout is never stepped over, also when others appear or vanish meanwhile:
        `paging` tells how. One that appears or changes during the walk may be missed by it.
        """
        fetch = partial(self._page, dict(filters), limits)
        walk = walk_newest_first(
            fetch,
            largest_page=self._sizes.largest(_LIST, limit),
            page_limit=self._page_limit,
            smaller=partial(self._sizes.smaller_or_raise, _LIST),
        )
        return walked(SYSTEM, _LIST, walk)

    def check_paging(self, *, limits: CallLimits = NO_LIMITS) -> Order | UnreadableRow | None:
        """Return the newest order, having proved that the list can be walked; None where there is no order."""
        ask = partial(self._page, {}, limits, limit=1)
        return prove_paging(SYSTEM, _LIST, ask, size="limit", number="page")

    def retrieve_order(self, order_id: int, *, limits: CallLimits = NO_LIMITS, **details: Unpack[Details]) -> Order:
        """Return one order as it is now. Raises `NotFoundError` when there is none of that id.

        The vendor documents an array that holds the order; the order by itself is accepted too, and a wrapped list.
        """
        answer, document = self._ask(_RETRIEVE, f"/orders/{int(order_id)}", _parameters(dict(details)), limits)
        found = _listed(document)
        if found is not None:
            document = found
        if not document:
            message = f"{SYSTEM} {_RETRIEVE}: there is no {order_id}"
            raise NotFoundError(message, system=SYSTEM, operation=_RETRIEVE, status=answer.status)
        order = self._order(_RETRIEVE, _alone(document), answer)
        if order.id != order_id:
            raise another_record(SYSTEM, _RETRIEVE, asked=order_id, answered=order.id, status=answer.status)
        return order

    def _page(self, filters: Mapping[str, Any], limits: CallLimits, page: int, limit: int) -> Rows[Order]:
        parameters = [("limit", str(limit)), ("page", str(page)), *_parameters(filters)]
        try:
            answer, document = self._ask(_LIST, "/orders", parameters, limits)
        except NotFoundError as error:
            # The route exists if it has answered a page before this one.
            if page > 1 or _NO_ORDERS.search(error.message):
                return []
            raise
        found = _listed(document)
        if found is None:
            raise self._unexpected(_LIST, "the answer is not a list", answer)
        read = read_rows(found, lambda row: self._order(_LIST, row, answer))
        return LastPage(read) if _is_last(document) else read

    def _ask(
        self, operation: str, path: str, parameters: Sequence[tuple[str, str]], limits: CallLimits
    ) -> tuple[Answer, Any]:
        # Part of the path, since `include[]` is sent once for each of its values.
        query = urlencode(parameters, quote_via=quote)
        answer = self._api.exchange(
            operation,
            "GET",
            f"{path}?{query}",
            headers={"X-API-Key": self._api_key.get_secret_value()},
            safe_to_repeat=True,
            limits=limits,
        )
        if answer.status == HTTPStatus.NOT_FOUND and answer.body.lstrip().startswith(b"<"):
            raise self._unexpected(operation, "there is no such address; check the base URL", answer)
        document, problem = None, ""
        try:
            document = self._api.read(operation, answer, safe_to_repeat=True)
        except UnreadableError as unreadable:
            problem = f"the answer {unreadable}"
        status = _meant_status(document) if answer.status in _WORD_DECIDES else None
        meant = answer if status is None else replace(answer, status=status)
        error = self._api.error_for(operation, meant, safe_to_repeat=True)
        if error is not None:
            raise error if status is None else _of_word(error, answer)
        if problem:
            raise self._unexpected(operation, problem, answer)
        return answer, document

    def _order(self, operation: str, row: object, answer: Answer) -> Order:
        try:
            return Order.model_validate(row)
        except ValidationError:
            pass
        raise self._unexpected(operation, "an order without a readable id", answer)

    def _unexpected(self, operation: str, what: str, answer: Answer | None = None) -> UnexpectedResponseError:
        return self._api.unexpected(operation, what, safe_to_repeat=True, answer=answer)


def _parameters(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Write filters and details as the document does, with everything asked for that is not given."""
    values: dict[str, Any] = {"exported": True, "user_data": True, "include": INCLUDES, **given}
    includes = values.pop("include")
    parameters = [(name, _written(value)) for name, value in values.items() if value is not None]
    return parameters + [("include[]", each) for each in includes]


def _written(value: object) -> str:
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC)
        return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listed(document: Any) -> list[Any] | None:
    """Return the rows of a list of orders: an array, or `items` beside `pagination`, as `/coursedates` answers.

    None for anything else: in a wrapper nobody knows, the rows may be those of another list.
    """
    if isinstance(document, dict) and "items" in document and document.keys() <= {"items", "pagination"}:
        document = document["items"]
    return numbered_rows(document)


def _is_last(document: Any) -> bool:
    """Whether a wrapped list says that no page follows."""
    pagination = document.get("pagination") if isinstance(document, dict) else None
    return isinstance(pagination, dict) and "next_page" in pagination and not pagination["next_page"]


def _alone(document: Any) -> Any:
    return document[0] if isinstance(document, list) and len(document) == 1 else document


def _of_word(error: ApiError, answer: Answer) -> ApiError:
    """Say of an error that is in the body alone which status came with it."""
    error.message = error.message.replace(f"HTTP {error.status}", f"HTTP {answer.status} with an error", 1)
    error.args, error.status = (error.message,), answer.status
    return error


def _meant_status(document: Any) -> int | None:
    """Return the status that an error in the body stands for; None where the body is no error."""
    found = _alone(document)
    if not isinstance(found, dict) or not found.get("error") or "id" in found:
        return None
    word = word_of(found)
    return next((status for meaning, status in _MEANINGS if meaning.search(word)), HTTPStatus.BAD_REQUEST)
