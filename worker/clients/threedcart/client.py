"""3dcart's REST API: carts and their items to change, orders to read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypedDict, TypeVar, Unpack

from pydantic import ValidationError

from worker.clients.base import NO_LIMITS, Answer, ApiClient, CallLimits, SystemClient
from worker.clients.json_text import without_trailing_commas
from worker.clients.list_pages import PageSizes, prove_paging, walked
from worker.clients.outcomes import another_record
from worker.clients.rate import SharedSlots
from worker.clients.reading import UnreadableError, decode, fold, is_html, read_document
from worker.clients.threedcart.models import (
    Cart,
    CartFields,
    ItemOption,
    Order,
    OrderStatus,
    ResultRow,
    ThreedcartRecord,
    result_rows,
)
from worker.clients.threedcart.paging import SIZES, walk_by_offset
from worker.clients.unreadable import Rows, UnreadableRow, read_rows
from worker.errors import ConfigurationError, InvalidRequestError, NotFoundError, UnexpectedResponseError
from worker.settings.systems import ThreedcartSettings
from worker.text.redaction import SecretRegistry

SYSTEM: Final = "threedcart"
PAGE_SIZE: Final = 100
"""The vendor's maximum is said to be 300; orders are long."""
PAGE_LIMIT: Final = 10_000
"""A list of more pages than this is taken for a server that never ends."""

_LIST: Final = "list/orders"
_LIST_STATUSES: Final = "list/statuses"
_ON_CARTS: Final = "cart"
"""What the names of the operations on carts hold."""
_RETRIEVE: Final = "retrieve/orders"
_ORDER_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The document's own have fifteen characters; at most sixteen are said to come."""
_LONGEST_MENDED: Final = 1024 * 1024
"""Of an answer with commas too many: taking them out takes its time."""
_STATUS_DECIDES: Final = frozenset({*range(200, 300), HTTPStatus.BAD_REQUEST})
"""The HTTP statuses under which the status in the body may say more."""
_GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_PAST_THE_END: Final = "offset amount exceeds the total number of records"
_Q = TypeVar("_Q", bound=ThreedcartRecord)


class Filters(TypedDict, total=False):
    """What a list of orders is asked for; whether the store minds it is for the caller to see."""

    date_start: datetime
    """Those made since then. Moments are aware, and sent in the store's zone."""
    last_update_start: datetime
    """Those changed since then."""
    order_status: int | None
    billing_email: str
    """Their buyer's."""


class ThreedcartClient(SystemClient):
    """Speaks to one 3dcart store. Safe to share between threads; make one per process, after it forked.

    Reading, updating and deleting are safe to repeat (what is gone already is a `NotFoundError` then). Creating a cart
    or an item is not, since the vendor has no idempotency keys: such a call may end in an unknown outcome. No call
    lists carts, so an unknown cart can never be found again; an unknown item can, by reading its cart.

    The vendor allows about two requests a second: processes that share a store share `slots`. Every method raises
    `ApiError`, by the HTTP status or by the one in the body where that says more. Raises `ConfigurationError` for
    settings that lack something. Carts and their items are the document's; all about orders is from public material.
    """

    def __init__(
        self,
        settings: ThreedcartSettings,
        *,
        secrets: SecretRegistry | None = None,
        slots: SharedSlots | None = None,
        page_limit: int = PAGE_LIMIT,
        api: ApiClient | None = None,
    ) -> None:
        if not (settings.base_url and settings.secure_url and settings.private_key and settings.token):
            names = ("BASE_URL", "SECURE_URL", "PRIVATE_KEY", "TOKEN")
            variables = ", ".join(f"CARTBRIDGE_THREEDCART__{name}" for name in names)
            raise ConfigurationError(f"3dcart is not configured. Set {variables}.")
        registry = SecretRegistry() if secrets is None else secrets
        registry.add(settings.private_key.get_secret_value())
        registry.add(settings.token.get_secret_value())
        self._secure_url = settings.secure_url
        self._private_key = settings.private_key
        self._token = settings.token
        self._zone = settings.zone
        self._list_timeout_seconds = settings.list_timeout_seconds
        self._page_limit = page_limit
        self._sizes = PageSizes(SIZES)
        self._api = api or ApiClient.of(SYSTEM, settings, settings.base_url, redact=registry.redact, slots=slots)

    def ready(self, *, limits: CallLimits = NO_LIMITS) -> None:
        """Wait for the rate limit's slot, so that the next call can go out at once: it is made with `slot_taken`."""
        if not limits.slot_taken:
            self._api.take_slot()

    # Carts

    def create_cart(self, fields: CartFields, *, limits: CallLimits = NO_LIMITS) -> str:
        """Create a cart and return its order key. Not safe to repeat."""
        answer, rows = self._change("create_cart", "POST", "/Cart", fields.document(), is_new=True, limits=limits)
        key = _value_of(rows, "OrderKey")
        if not _ORDER_KEY.fullmatch(key):
            raise self._unexpected("create_cart", "the answer names no order key", answer, safe_to_repeat=False)
        return key

    def retrieve_cart(self, order_key: str, *, limits: CallLimits = NO_LIMITS) -> Cart:
        """Return one cart as it is now, its `order_key` set. Raises `NotFoundError` when there is none of that key."""
        operation = "retrieve_cart"
        answer, document = self._ask(operation, "GET", _cart_path(operation, order_key), limits=limits)
        cart = self._record(Cart, operation, self._alone(operation, document, answer), answer)
        if cart.model_fields_set.isdisjoint(Cart.model_fields):
            raise self._unexpected(operation, "the answer is no cart", answer)
        if cart.order_key and cart.order_key.casefold() != order_key.casefold():
            raise self._unexpected(operation, "another cart was answered", answer)
        return cart.model_copy(update={"order_key": order_key})

    def update_cart(self, order_key: str, fields: CartFields, *, limits: CallLimits = NO_LIMITS) -> None:
        """Write the given fields. Safe to repeat. Raises `NotFoundError` when there is no cart of that key."""
        path = _cart_path("update_cart", order_key)
        self._change("update_cart", "PUT", path, fields.document(), limits=limits)

    def delete_cart(self, order_key: str, *, limits: CallLimits = NO_LIMITS) -> None:
        """Delete a cart. Safe to repeat. Raises `NotFoundError` when there is none of that key (any more)."""
        self._change("delete_cart", "DELETE", _cart_path("delete_cart", order_key), limits=limits)

    # Items of a cart

    def create_cart_item(
        self,
        order_key: str,
        catalog_id: int,
        *,
        quantity: int | Decimal = 1,
        options: Sequence[ItemOption] = (),
        limits: CallLimits = NO_LIMITS,
    ) -> int:
        """Add an item and return its id in the cart. Not safe to repeat: a second call adds it twice."""
        operation = "create_cart_item"
        body: dict[str, Any] = {"CatalogID": catalog_id, "ItemQuantity": _number(quantity)}
        if options:
            body["ItemOptions"] = [option.document() for option in options]
        path = f"{_cart_path(operation, order_key)}/Item"
        answer, rows = self._change(operation, "POST", path, body, is_new=True, limits=limits)
        item_id = _value_of(rows, "CartItemID")
        if not (item_id.isascii() and item_id.isdecimal() and len(item_id) <= 18 and int(item_id) > 0):
            raise self._unexpected(operation, "the answer names no item's id", answer, safe_to_repeat=False)
        return int(item_id)

    def update_cart_item(
        self, order_key: str, cart_item_id: int, *, quantity: int | Decimal, limits: CallLimits = NO_LIMITS
    ) -> None:
        """Set an item's quantity. Safe to repeat. Raises `NotFoundError` when there is no such cart or item."""
        path = f"{_cart_path('update_cart_item', order_key)}/Item/{int(cart_item_id)}"
        self._change("update_cart_item", "PUT", path, {"ItemQuantity": _number(quantity)}, limits=limits)

    def delete_cart_item(self, order_key: str, cart_item_id: int, *, limits: CallLimits = NO_LIMITS) -> None:
        """Take an item out. Safe to repeat. Raises `NotFoundError` when there is no such cart or item (any more)."""
        path = f"{_cart_path('delete_cart_item', order_key)}/Item/{int(cart_item_id)}"
        self._change("delete_cart_item", "DELETE", path, limits=limits)

    # Orders

    def list_orders(
        self, *, limit: int = PAGE_SIZE, limits: CallLimits = NO_LIMITS, **filters: Unpack[Filters]
    ) -> Iterator[Order]:
        """Iterate over the orders."""
        for page in self.iter_order_pages(limit=limit, limits=limits, **filters):
            yield from (row for row in page if isinstance(row, Order))

    def iter_order_pages(
        self, *, limit: int = PAGE_SIZE, limits: CallLimits = NO_LIMITS, **filters: Unpack[Filters]
    ) -> Iterator[Rows[Order]]:
        """Iterate over whole pages of orders, none empty.

        An order that is listed throughout is never stepped over, also when others appear or vanish meanwhile:
        `paging` tells how. One that changes meanwhile may come twice, the later one as it is then.
        """
        query = {
            name.replace("_", ""): self._store_time(value) if isinstance(value, datetime) else str(value)
            for name, value in filters.items()
            if value is not None
        }
        fetch = partial(self._page, query, limits)
        walk = walk_by_offset(fetch, largest_page=limit, page_limit=self._page_limit, sizes=self._sizes)
        return walked(SYSTEM, _LIST, walk)

    def check_paging(self, *, limits: CallLimits = NO_LIMITS) -> Order | UnreadableRow | None:
        """Return the first order, having proved that the list can be walked; None where there is no order."""
        ask = partial(self._page, {}, limits, limit=1)
        return prove_paging(SYSTEM, _LIST, ask, size="limit", number="offset")

    def list_order_statuses(self, *, limits: CallLimits = NO_LIMITS) -> list[OrderStatus]:
        """Return the store's statuses, in its order: what each number is called there."""
        answer, document = self._ask(_LIST_STATUSES, "GET", "/OrderStatus", limits=limits)
        if not isinstance(document, list):
            raise self._unexpected(_LIST_STATUSES, "the answer is not a list", answer)
        return [self._record(OrderStatus, _LIST_STATUSES, row, answer) for row in document]

    def retrieve_order(self, order_id: int, *, limits: CallLimits = NO_LIMITS) -> Order:
        """Return one order as it is now. Raises `NotFoundError` when there is none of that id."""
        answer, document = self._ask(_RETRIEVE, "GET", f"/Orders/{int(order_id)}", limits=limits)
        order = self._record(Order, _RETRIEVE, self._alone(_RETRIEVE, document, answer), answer)
        if order.id != order_id:
            raise another_record(SYSTEM, _RETRIEVE, asked=order_id, answered=order.id, status=answer.status)
        return order

    def _store_time(self, moment: datetime) -> str:
        return moment.astimezone(self._zone).strftime("%m/%d/%Y %H:%M:%S")

    def _page(self, query: Mapping[str, str], limits: CallLimits, offset: int, limit: int) -> Rows[Order]:
        parameters = {**query, "limit": str(limit), "offset": str(offset)}
        if limits.deadline_seconds is None:
            # A list may take the store more than a minute. Nothing else may be waited for so long: a call that is not
            # safe to repeat must fit its lease.
            limits = replace(limits, read_timeout_seconds=self._list_timeout_seconds)
        try:
            answer, document = self._ask(_LIST, "GET", "/Orders", params=parameters, limits=limits)
        except InvalidRequestError as error:
            if _PAST_THE_END in error.message.casefold():
                return []
            raise
        except NotFoundError:
            # Clients in the field read it as no orders, and past the end too; `_ask` lets no other 404 through.
            return []
        if not isinstance(document, list):
            raise self._unexpected(_LIST, "the answer is not a list", answer)
        return read_rows(document, lambda row: self._record(Order, _LIST, row, answer))

    # What all of them share

    def _change(
        self,
        operation: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        is_new: bool = False,
        limits: CallLimits,
    ) -> tuple[Answer, list[ResultRow]]:
        answer, document = self._ask(operation, method, path, json=body, safe_to_repeat=not is_new, limits=limits)
        return answer, result_rows(document)

    def _ask(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        safe_to_repeat: bool = True,
        limits: CallLimits,
    ) -> tuple[Answer, Any]:
        """Return a 2xx answer and its document; None for a 204.

        A 401 is a refusal of our credentials in whatever form it comes: nothing was carried out. A 404 that is not in
        the store's own words says nothing of a cart: a page of HTML may come from something in between.
        """
        answer = self._api.exchange(
            operation,
            method,
            path,
            params=params,
            json=json,
            headers={
                "SecureURL": self._secure_url,
                "PrivateKey": self._private_key.get_secret_value(),
                "Token": self._token.get_secret_value(),
            },
            safe_to_repeat=safe_to_repeat,
            limits=limits,
        )
        document, problem = self._read(operation, answer, safe_to_repeat=safe_to_repeat)
        rows = result_rows(document)
        if operation == _LIST and answer.status == HTTPStatus.NOT_FOUND and not (rows or document == []):
            raise self._unexpected(operation, "there is no such address; check the base URL", answer)
        if _ON_CARTS in operation and answer.status in _GONE and not rows:
            problem = "what says that there is none is not the store's own word"
            raise self._unexpected(operation, problem, answer, safe_to_repeat=safe_to_repeat)
        stated = next((row.status for row in rows if row.status is not None and 400 <= row.status < 600), None)
        meant = replace(answer, status=stated) if stated is not None and answer.status in _STATUS_DECIDES else answer
        is_harmless = safe_to_repeat or meant.status == HTTPStatus.UNAUTHORIZED
        error = self._api.error_for(operation, meant, safe_to_repeat=is_harmless)
        if error is not None:
            raise error
        if problem and answer.status != HTTPStatus.NO_CONTENT:
            raise self._unexpected(operation, problem, answer, safe_to_repeat=safe_to_repeat)
        return answer, document

    def _read(self, operation: str, answer: Answer, *, safe_to_repeat: bool) -> tuple[Any, str]:
        """Return an answer's document, and what keeps it from being read, which completes "…: "."""
        try:
            return self._api.read(operation, answer, safe_to_repeat=safe_to_repeat), ""
        except UnreadableError as unreadable:
            problem = f"the answer {unreadable}"
        text = decode(answer.body)
        if len(text) <= _LONGEST_MENDED and not is_html(text):
            try:
                return read_document(without_trailing_commas(text).encode("utf-8", "replace")), ""
            except UnreadableError:
                pass
        return None, problem

    def _alone(self, operation: str, document: Any, answer: Answer) -> Any:
        """Return the record of an answer that may be a collection of one, as either reading of the document has it."""
        if not document:
            message = f"{SYSTEM} {operation}: there is none"
            raise NotFoundError(message, system=SYSTEM, operation=operation, status=answer.status)
        return document[0] if isinstance(document, list) and len(document) == 1 else document

    def _record(self, model: type[_Q], operation: str, row: object, answer: Answer) -> _Q:
        try:
            return model.model_validate(row)
        except ValidationError:
            pass
        raise self._unexpected(operation, f"no readable {model.__name__.lower()}", answer)

    def _unexpected(
        self, operation: str, what: str, answer: Answer | None = None, *, safe_to_repeat: bool = True
    ) -> UnexpectedResponseError:
        return self._api.unexpected(operation, what, safe_to_repeat=safe_to_repeat, answer=answer)


def _cart_path(operation: str, order_key: str) -> str:
    if not _ORDER_KEY.fullmatch(order_key):
        message = f"{SYSTEM} {operation}: not sent, this is no order key"
        raise InvalidRequestError(message, system=SYSTEM, operation=operation, sent=False)
    return f"/Cart/{order_key}"


def _number(quantity: int | Decimal) -> int | float:
    return int(quantity) if quantity == int(quantity) else float(quantity)


def _value_of(rows: Sequence[ResultRow], key: str) -> str:
    return next((row.value.strip() for row in rows if row.value and fold(row.key or "") == fold(key)), "")
