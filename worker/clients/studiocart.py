"""Studiocart's REST API: lists that page by themselves, and records by id. It only reads: all is safe to repeat."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any, Final, Literal, Protocol, TypeVar

from limits.storage import Storage
from pydantic import SecretStr, ValidationError

from worker.clients.base import NO_LIMITS, Answer, ApiClient, CallLimits, SystemAccess
from worker.clients.reading import UnreadableError, as_int, read_tolerantly
from worker.clients.studiocart_models import Customer, IdentifiedRecord, Order, Product, Subscription, rows
from worker.clients.unreadable import Rows, UnreadableRow, read_rows
from worker.errors import ConfigurationError, NotFoundError, UnexpectedResponseError
from worker.redaction import SecretBook

SYSTEM: Final = "studiocart"
PAGE_SIZE: Final = 100
PAGE_LIMIT: Final = 10_000
"""A list of more pages than this is taken for a server that never ends."""

_VENDOR_PAGE_SIZE: Final = 10
"""Rows of a page when the site reads no parameters: some hosts throw the body of a GET away."""
_log: Final = logging.getLogger(__name__)

OrderBy = Literal["id", "date_created", "date_modified"]
ProductOrderBy = Literal["id", "date_created", "date_modified", "product_name"]
Direction = Literal["asc", "desc"]

_R = TypeVar("_R", bound=IdentifiedRecord)
_PAST_THE_END: Final = "rest_post_invalid_page_number"
"""What WordPress's own lists answer, with 400, for a page past the last."""
_NO_ROUTE: Final = "rest_no_route"
"""The path itself is unknown: the plugin is off, or the base URL wrong. Says nothing about a record."""


class StudiocartAccess(SystemAccess, Protocol):
    """What the client reads of `worker.settings.StudiocartSettings`."""

    @property
    def api_key(self) -> SecretStr | None: ...
    @property
    def parameters_in(self) -> str: ...


class StudiocartClient:
    """Reads one Studiocart site. Safe to share between threads; make one per process, after it forked.

    List calls carry their parameters as a JSON body on a GET, as the vendor documents it, or with
    `parameters_in="query"` in the query. A list pages until an empty page, a 404 (which may mean empty), or a page
    without a new id (a server that ignores `page`); a short page is no end, since a server may cap `per_page`. Records
    keep the list's order and come once each. Every method raises `ApiError`; a record without an id is an
    `UnexpectedResponseError`, never left out. Raises `ConfigurationError` for settings that lack something.
    """

    def __init__(
        self,
        settings: StudiocartAccess,
        *,
        secrets: SecretBook | None = None,
        storage: Storage | None = None,
        page_limit: int = PAGE_LIMIT,
        api: ApiClient | None = None,
    ) -> None:
        if not (settings.base_url and settings.api_key):
            raise ConfigurationError(
                "Studiocart is not configured. Set CARTBRIDGE_STUDIOCART__BASE_URL and CARTBRIDGE_STUDIOCART__API_KEY."
            )
        book = SecretBook() if secrets is None else secrets
        book.add(settings.api_key.get_secret_value())
        self._api_key = settings.api_key
        self._in_query = settings.parameters_in == "query"
        self._page_limit = page_limit
        self._api = api or ApiClient.of(SYSTEM, settings, settings.base_url, redact=book.redact, storage=storage)

    def list_customers(self, *, per_page: int = PAGE_SIZE, limits: CallLimits = NO_LIMITS) -> Iterator[Customer]:
        """Iterate over the customers. Each page is asked for when it is needed."""
        return _once_each(self._pages(Customer, "/customers", {"per_page": per_page}, limits))

    def list_orders(
        self,
        *,
        per_page: int = PAGE_SIZE,
        date_after: date | str | None = None,
        orderby: OrderBy | None = None,
        order: Direction | None = None,
        limits: CallLimits = NO_LIMITS,
    ) -> Iterator[Order]:
        """Iterate over the orders. `date_after` knows days only, in the site's own zone: ask for a day more."""
        pages = self.iter_order_pages(
            per_page=per_page, date_after=date_after, orderby=orderby, order=order, limits=limits
        )
        return _once_each(pages)

    def iter_order_pages(
        self,
        *,
        per_page: int = PAGE_SIZE,
        date_after: date | str | None = None,
        orderby: OrderBy | None = None,
        order: Direction | None = None,
        limits: CallLimits = NO_LIMITS,
    ) -> Iterator[Rows[Order]]:
        """Iterate over whole pages of orders, none empty. An order may come again where the list moved meanwhile."""
        return self._pages(Order, "/orders", _filters(per_page, date_after, orderby, order), limits)

    def list_subscription_orders(
        self,
        subscription_id: int,
        *,
        per_page: int = PAGE_SIZE,
        date_after: date | str | None = None,
        orderby: OrderBy | None = None,
        order: Direction | None = None,
        limits: CallLimits = NO_LIMITS,
    ) -> Iterator[Order]:
        """Iterate over the orders of one subscription; none for a subscription that does not exist."""
        path = f"/orders/subscription/{int(subscription_id)}"
        return _once_each(self._pages(Order, path, _filters(per_page, date_after, orderby, order), limits))

    def list_subscriptions(
        self,
        *,
        per_page: int = PAGE_SIZE,
        date_after: date | str | None = None,
        orderby: OrderBy | None = None,
        order: Direction | None = None,
        limits: CallLimits = NO_LIMITS,
    ) -> Iterator[Subscription]:
        """Iterate over the subscriptions, with their invoices."""
        pages = self.iter_subscription_pages(
            per_page=per_page, date_after=date_after, orderby=orderby, order=order, limits=limits
        )
        return _once_each(pages)

    def iter_subscription_pages(
        self,
        *,
        per_page: int = PAGE_SIZE,
        date_after: date | str | None = None,
        orderby: OrderBy | None = None,
        order: Direction | None = None,
        limits: CallLimits = NO_LIMITS,
    ) -> Iterator[Rows[Subscription]]:
        """Iterate over whole pages of subscriptions, none empty. One may come again where the list moved meanwhile."""
        return self._pages(Subscription, "/subscriptions", _filters(per_page, date_after, orderby, order), limits)

    def list_products(
        self,
        *,
        per_page: int = PAGE_SIZE,
        orderby: ProductOrderBy | None = None,
        order: Direction | None = None,
        limits: CallLimits = NO_LIMITS,
    ) -> Iterator[Product]:
        """Iterate over the products, with their plans."""
        return _once_each(self._pages(Product, "/products", _filters(per_page, None, orderby, order), limits))

    def retrieve_customer(self, customer_id: int, *, limits: CallLimits = NO_LIMITS) -> Customer:
        """Return one customer. Raises `NotFoundError` when there is none of that id."""
        return self._retrieve(Customer, "/customers", customer_id, limits)

    def retrieve_order(self, order_id: int, *, limits: CallLimits = NO_LIMITS) -> Order:
        """Return one order as it is now. Raises `NotFoundError` when there is none of that id."""
        return self._retrieve(Order, "/orders", order_id, limits)

    def retrieve_subscription(self, subscription_id: int, *, limits: CallLimits = NO_LIMITS) -> Subscription:
        """Return one subscription. Raises `NotFoundError` when there is none of that id."""
        return self._retrieve(Subscription, "/subscriptions", subscription_id, limits)

    def retrieve_product(self, product_id: int, *, limits: CallLimits = NO_LIMITS) -> Product:
        """Return one product. Raises `NotFoundError` when there is none of that id."""
        return self._retrieve(Product, "/products", product_id, limits)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was read all the same, though something stood around it; see `ApiClient.notes`."""
        return self._api.notes

    def close(self) -> None:
        """Close the idle connections. The client can be used again."""
        self._api.close()

    def _pages(
        self, model: type[_R], path: str, parameters: Mapping[str, Any], limits: CallLimits
    ) -> Iterator[Rows[_R]]:
        operation = f"list{path}"
        seen: set[int] = set()
        for number in range(1, self._page_limit + 1):
            answer = self._exchange(operation, path, {**parameters, "page": number}, limits)
            if self._is_past_the_end(answer):
                return
            found = rows(self._document(operation, answer))
            if found is None:
                raise self._unexpected(operation, answer, "the answer is not a list")
            page = read_rows(found, partial(self._record, model, operation, answer))
            ids = {record.id for record in page}
            if ids <= seen:
                if len(ids) == len(seen) >= _VENDOR_PAGE_SIZE:
                    _log.warning(
                        "Studiocart answers every page of %s alike: later records may stay unseen. "
                        "Try CARTBRIDGE_STUDIOCART__PARAMETERS_IN=%s.",
                        path,
                        "body" if self._in_query else "query",
                    )
                return
            seen |= ids
            yield page
        raise UnexpectedResponseError(
            f"{SYSTEM} {operation}: more than {self._page_limit} pages", system=SYSTEM, operation=operation
        )

    def _retrieve(self, model: type[_R], path: str, record_id: int, limits: CallLimits) -> _R:
        operation = f"retrieve{path}"
        answer = self._exchange(operation, f"{path}/{int(record_id)}", {}, limits)
        document = self._document(operation, answer)
        if document is None or document == []:
            message = f"{SYSTEM} {operation}: there is no {record_id}"
            raise NotFoundError(message, system=SYSTEM, operation=operation, status=answer.status)
        if isinstance(document, list) and len(document) == 1:
            document = document[0]
        record = self._record(model, operation, answer, document)
        if record.id != record_id:
            raise self._unexpected(operation, answer, "another record was answered")
        return record

    def _exchange(self, operation: str, path: str, parameters: Mapping[str, Any], limits: CallLimits) -> Answer:
        """Return the answer under the status it means: a WordPress error may come with 200."""
        answer = self._api.exchange(
            operation,
            "GET",
            path,
            params={name: str(value) for name, value in parameters.items()} if self._in_query else None,
            json=None if self._in_query else dict(parameters),
            headers={"x-api-key": self._api_key.get_secret_value(), "Content-Type": "application/json"},
            safe_to_repeat=True,
            limits=limits,
        )
        status = _error_status(answer)
        return answer if status is None else replace(answer, status=status)

    def _is_past_the_end(self, answer: Answer) -> bool:
        if answer.status == 400:
            return _error_code(answer) == _PAST_THE_END
        return answer.status == 404 and not _is_foreign(answer)

    def _document(self, operation: str, answer: Answer) -> Any:
        if answer.status == 404 and _is_foreign(answer):
            raise self._unexpected(operation, answer, "the site knows no such route; check the base URL and the plugin")
        error = self._api.error_for(operation, answer, safe_to_repeat=True)
        if error is not None:
            raise error
        problem = ""
        try:
            return self._api.read(operation, answer, safe_to_repeat=True)
        except UnreadableError as unreadable:
            problem = f"the answer {unreadable}"
        raise self._unexpected(operation, answer, problem)

    def _record(self, model: type[_R], operation: str, answer: Answer, row: object) -> _R:
        try:
            return model.model_validate(row)
        except ValidationError:
            pass
        raise self._unexpected(operation, answer, f"a {model.__name__.lower()} without a readable id")

    def _unexpected(self, operation: str, answer: Answer, what: str) -> UnexpectedResponseError:
        return self._api.unexpected(operation, what, safe_to_repeat=True, answer=answer)


def _filters(per_page: int, date_after: date | str | None, orderby: str | None, order: str | None) -> dict[str, Any]:
    day = date_after.strftime("%Y-%m-%d") if isinstance(date_after, date) else date_after
    parameters = {"per_page": per_page, "date_after": day, "orderby": orderby, "order": order}
    return {name: value for name, value in parameters.items() if value is not None}


def _once_each(pages: Iterator[Rows[_R]]) -> Iterator[_R]:
    seen: set[int] = set()
    for page in pages:
        for record in page:
            if not isinstance(record, UnreadableRow) and record.id not in seen:
                seen.add(record.id)
                yield record


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


def _error_code(answer: Answer) -> str:
    return str(_wordpress_error(answer).get("code", ""))


def _is_foreign(answer: Answer) -> bool:
    """Tell a 404 that says nothing about records: of the web server, or of a WordPress without the plugin."""
    return answer.body.lstrip().startswith(b"<") or _error_code(answer) == _NO_ROUTE
