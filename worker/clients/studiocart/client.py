"""Studiocart's REST API: lists that page by themselves, and records by id. It only reads: all is safe to repeat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Literal, TypedDict, TypeVar, Unpack

from pydantic import ValidationError

from worker.clients.base import NO_LIMITS, Answer, ApiClient, CallLimits, SystemClient
from worker.clients.list_pages import PageSizes, is_within, total_of, unpageable
from worker.clients.outcomes import another_record
from worker.clients.rate import SharedSlots
from worker.clients.reading import as_text, numbered_rows
from worker.clients.studiocart.lists import PAGE_LIMIT, Listed, ListWalk
from worker.clients.studiocart.models import Customer, IdentifiedRecord, Order, Product, Subscription
from worker.clients.studiocart.requests import (
    SYSTEM,
    StudiocartRequests,
    error_code,
    is_foreign,
)
from worker.clients.unreadable import Rows, UnreadableRow, read_rows
from worker.errors import ConfigurationError, NotFoundError, UnexpectedResponseError
from worker.settings.systems import StudiocartSettings
from worker.text.redaction import SecretRegistry

PAGE_SIZE: Final = 100
"""The vendor's maximum: more is a 400, `rest_invalid_param`."""

OrderBy = Literal["id", "date_created", "date_modified"]
ProductOrderBy = Literal["id", "date_created", "date_modified", "product_name"]
Direction = Literal["asc", "desc"]


class Filters(TypedDict, total=False):
    """What a list of orders or subscriptions is asked for."""

    per_page: int
    """Not given: the vendor's maximum."""
    date_after: date | str
    """It knows days only, in the site's own zone: ask for a day more."""
    orderby: OrderBy
    order: Direction


class ProductFilters(TypedDict, total=False):
    """What the list of products is asked for."""

    per_page: int
    orderby: ProductOrderBy
    order: Direction


_R = TypeVar("_R", bound=IdentifiedRecord)
_PAST_THE_END: Final = "rest_post_invalid_page_number"
"""What WordPress's own lists answer, with 400, for a page past the last."""


class StudiocartClient(SystemClient):
    """Reads one Studiocart site. Safe to share between threads; make one per process, after it forked.

    List calls carry their parameters in the query or as a JSON body, in the way that `parameters_in` names first and
    in the other where that is refused or not read (`studiocart_requests`). A list pages until an empty page or a 404
    (which may mean empty); one that cannot be paged raises `UnpageableListError` behind what it showed
    (`studiocart_lists`), and one that comes too late is asked for in smaller pages. Records keep the list's order and
    come once each. Every method raises `ApiError`; a listed record without an id is an `UnexpectedResponseError`, never
    left out. Raises `ConfigurationError` for settings that lack something.
    """

    def __init__(
        self,
        settings: StudiocartSettings,
        *,
        secrets: SecretRegistry | None = None,
        slots: SharedSlots | None = None,
        page_limit: int = PAGE_LIMIT,
        api: ApiClient | None = None,
    ) -> None:
        if not (settings.base_url and settings.api_key):
            raise ConfigurationError(
                "Studiocart is not configured. Set CARTBRIDGE_STUDIOCART__BASE_URL and CARTBRIDGE_STUDIOCART__API_KEY."
            )
        registry = SecretRegistry() if secrets is None else secrets
        registry.add(settings.api_key.get_secret_value())
        self._page_limit = page_limit
        self._api = api or ApiClient.of(SYSTEM, settings, settings.base_url, redact=registry.redact, slots=slots)
        self._requests = StudiocartRequests(self._api, settings.api_key, first=settings.parameters_in)
        self._sizes = PageSizes()

    def list_customers(self, *, per_page: int = PAGE_SIZE, limits: CallLimits = NO_LIMITS) -> Iterator[Customer]:
        """Iterate over the customers. Each page is asked for when it is needed."""
        return _once_each(self._pages(Customer, "/customers", {"per_page": per_page}, limits))

    def list_orders(self, *, limits: CallLimits = NO_LIMITS, **filters: Unpack[Filters]) -> Iterator[Order]:
        """Iterate over the orders."""
        return _once_each(self.iter_order_pages(limits=limits, **filters))

    def iter_order_pages(self, *, limits: CallLimits = NO_LIMITS, **filters: Unpack[Filters]) -> Iterator[Rows[Order]]:
        """Iterate over whole pages of orders, none empty. An order may come again where the list moved meanwhile."""
        return self._pages(Order, "/orders", _parameters(**filters), limits)

    def list_subscription_orders(
        self, subscription_id: int, *, limits: CallLimits = NO_LIMITS, **filters: Unpack[Filters]
    ) -> Iterator[Order]:
        """Iterate over the orders of one subscription; none for a subscription that does not exist."""
        path = f"/orders/subscription/{int(subscription_id)}"
        return _once_each(self._pages(Order, path, _parameters(**filters), limits))

    def list_subscriptions(
        self, *, limits: CallLimits = NO_LIMITS, **filters: Unpack[Filters]
    ) -> Iterator[Subscription]:
        """Iterate over the subscriptions, with their invoices."""
        return _once_each(self.iter_subscription_pages(limits=limits, **filters))

    def iter_subscription_pages(
        self, *, limits: CallLimits = NO_LIMITS, **filters: Unpack[Filters]
    ) -> Iterator[Rows[Subscription]]:
        """Iterate over whole pages of subscriptions, none empty. One may come again where the list moved meanwhile."""
        return self._pages(Subscription, "/subscriptions", _parameters(**filters), limits)

    def list_products(self, *, limits: CallLimits = NO_LIMITS, **filters: Unpack[ProductFilters]) -> Iterator[Product]:
        """Iterate over the products, with their plans."""
        return _once_each(self._pages(Product, "/products", {"per_page": PAGE_SIZE} | dict(filters), limits))

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

    def check_paging(self, *, limits: CallLimits = NO_LIMITS) -> Order | UnreadableRow | None:
        """Return the order of the highest id, having proved that the list can be walked; None where there is no order.

        Raises `UnpageableListError` where the site reads neither a page's size and number nor the sort order, however
        they are sent. Leaves the way that works set for later calls.
        """
        ignored = ""
        for _ in range(2):
            newest = self._probe(limits, page=1, order="desc")
            ignored = self._ignored(newest, limits)
            if not ignored:
                return newest[0] if newest else None
            self._requests.change_way()
        problem = f"shows its first page alone: {ignored} is read neither of the query nor of the body"
        raise unpageable(SYSTEM, "list/orders", problem)

    def _ignored(self, newest: Rows[Order], limits: CallLimits) -> str:
        """Name a parameter that the site does not read, if there is one; `newest` is its answer for a page of one."""
        if not newest:
            return ""
        following = self._probe(limits, page=2, order="desc")
        if not following:
            return ""
        if is_within(following, newest):
            # Or a new order has come meanwhile, and moved the others down. Pages of the site's own size can be walked.
            again = self._probe(limits, page=1, order="desc")
            return ("page" if len(newest) == 1 else "per_page") if is_within(following, again) else ""
        oldest = self._probe(limits, page=1, order="asc")
        is_sorted = bool(oldest) and oldest[0].id < newest[0].id and following[0].id < newest[0].id
        return "" if is_sorted else "orderby"

    def _probe(self, limits: CallLimits, *, page: int, order: Direction) -> Rows[Order]:
        filters = {"per_page": 1, "page": page, "orderby": "id", "order": order}
        return self._page(Order, "list/orders", "/orders", filters, limits).records

    def _pages(
        self, model: type[_R], path: str, parameters: Mapping[str, Any], limits: CallLimits
    ) -> Iterator[Rows[_R]]:
        operation = f"list{path}"
        fetch = partial(self._page, model, operation, path, limits=limits)
        walk = ListWalk(operation, parameters, fetch, self._requests, self._sizes, self._page_limit)
        return walk.pages()

    def _page(
        self, model: type[_R], operation: str, path: str, parameters: Mapping[str, Any], limits: CallLimits
    ) -> Listed[_R]:
        answer = self._requests.get(operation, path, parameters, limits)
        if self._is_past_the_end(path, answer):
            return Listed([])
        found = numbered_rows(self._requests.document(operation, answer))
        if found is None:
            raise self._unexpected(operation, answer, "the answer is not a list")
        read = partial(self._record, model, operation, answer)
        return Listed(read_rows(found, read), total_of(answer.headers))

    def _retrieve(self, model: type[_R], path: str, record_id: int, limits: CallLimits) -> _R:
        operation = f"retrieve{path}"
        answer = self._requests.get(operation, f"{path}/{int(record_id)}", {}, limits)
        document = None if _is_nothing(path, answer) else self._requests.document(operation, answer)
        if isinstance(document, list) and len(document) == 1:
            document = document[0]
        # The routes answer a post of any kind, and one that is none of theirs without an id.
        if not document or (isinstance(document, dict) and not _shows_id(document) and numbered_rows(document) is None):
            message = f"{SYSTEM} {operation}: there is no {record_id}"
            raise NotFoundError(message, system=SYSTEM, operation=operation, status=answer.status)
        record = self._record(model, operation, answer, document)
        if record.id != record_id:
            raise another_record(SYSTEM, operation, asked=record_id, answered=record.id, status=answer.status)
        return record

    @staticmethod
    def _is_past_the_end(path: str, answer: Answer) -> bool:
        if answer.status == HTTPStatus.BAD_REQUEST:
            return error_code(answer) == _PAST_THE_END
        return _is_nothing(path, answer) or (answer.status == HTTPStatus.NOT_FOUND and not is_foreign(answer))

    def _record(self, model: type[_R], operation: str, answer: Answer, row: object) -> _R:
        try:
            return model.model_validate(row)
        except ValidationError:
            pass
        raise self._unexpected(operation, answer, f"a {model.__name__.lower()} without a readable id")

    def _unexpected(self, operation: str, answer: Answer, what: str) -> UnexpectedResponseError:
        return self._api.unexpected(operation, what, safe_to_repeat=True, answer=answer)


def _parameters(*, date_after: date | str | None = None, **filters: Any) -> dict[str, Any]:
    parameters = {"per_page": PAGE_SIZE} | filters
    if date_after is not None:
        parameters["date_after"] = date_after.strftime("%Y-%m-%d") if isinstance(date_after, date) else date_after
    return parameters


def _once_each(pages: Iterator[Rows[_R]]) -> Iterator[_R]:
    seen: set[int] = set()
    for page in pages:
        for record in page:
            if not isinstance(record, UnreadableRow) and record.id not in seen:
                seen.add(record.id)
                yield record


def _shows_id(document: Mapping[str, Any]) -> bool:
    """Whether a record shows an id, be it one that cannot be read; WordPress writes null, false or 0 for none."""
    return (as_text(document.get("id")) or "").strip() not in {"", "0", "false"}


def _is_nothing(path: str, answer: Answer) -> bool:
    """Tell the empty body that customers and products answer where there are none; elsewhere it is a failure."""
    return path in {"/customers", "/products"} and answer.status == HTTPStatus.OK and not answer.body.strip()
