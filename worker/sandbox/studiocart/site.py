"""Studiocart on loopback: WordPress's REST answers over orders, subscriptions, customers and products."""

from __future__ import annotations

import copy
import threading
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from worker.sandbox.clock import Allowance, Clock
from worker.sandbox.config import StudiocartConfig
from worker.sandbox.seeds import seed_records
from worker.sandbox.studiocart.listing import Listing, ParameterError
from worker.sandbox.studiocart.records import (
    DATE_TIME,
    RENEWED_FIELDS,
    Row,
    customer_after,
    invoice,
    named_item,
    no_order,
    order_defaults,
    subscribed,
    subscription_defaults,
    utc_moment,
    whole_seconds,
    with_titles_as_shown,
)
from worker.sandbox.wire import Answer, Call, Request, is_id

_COLLECTIONS: Final = {
    "customers": "customer",
    "orders": "order",
    "subscriptions": "subscription",
    "products": "product",
}


class Studiocart:
    """The shop's whole state. Every public method is safe from any thread; records given and returned are copies."""

    name = "studiocart"

    def __init__(self, config: StudiocartConfig, clock: Clock, *, seeded: bool = True) -> None:
        self.config = config
        self._clock = clock
        self._seeded = seeded
        self._lock = threading.RLock()
        self._allowance = Allowance()
        self.reset()

    def reset(self) -> None:
        """Return to the documents' own records, or to nothing when not seeded."""
        with self._lock:
            self._tables: dict[str, dict[int, Row]] = {name: {} for name in _COLLECTIONS}
            self._trashed: set[int] = set()
            for collection in _COLLECTIONS if self._seeded else ():
                for record in seed_records(self.name, collection):
                    created = utc_moment(str(record.get("date_time") or record.get("date_created")))
                    modified = utc_moment(record["date_updated"]) if "date_updated" in record else created
                    self._tables[collection][record["id"]] = Row(record, created, modified)
            self._customer_ids = {
                str(row.record["email"]).casefold(): row.id for row in self._tables["customers"].values()
            }

    # What tests and the control interface look at and change.

    @property
    def orders(self) -> list[dict[str, Any]]:
        """The orders as the API shows them, by id."""
        return self._records("orders")

    @property
    def subscriptions(self) -> list[dict[str, Any]]:
        """The subscriptions, by id."""
        return self._records("subscriptions")

    @property
    def customers(self) -> list[dict[str, Any]]:
        """The customers, by id."""
        return self._records("customers")

    @property
    def products(self) -> list[dict[str, Any]]:
        """The products, by id."""
        return self._records("products")

    def order(self, order_id: int) -> dict[str, Any]:
        """Return one order. `KeyError` when there is none."""
        with self._lock:
            return copy.deepcopy(self._tables["orders"][order_id].record)

    def modified_at(self, order_id: int) -> datetime:
        """Return when an order last changed, which the API never shows."""
        with self._lock:
            return self._tables["orders"][order_id].modified_at

    def add_order(self, order: dict[str, Any]) -> dict[str, Any]:
        """Take an order as the shop would, and return it whole.

        What is left out is filled in: the next id, the present time (`date_time` in UTC, `date` in the shop's), one
        item for the product, paid with 500 INR. `ValueError` when the id is taken.
        """
        with self._lock:
            given = copy.deepcopy(order)
            order_id = int(given.pop("id", 0)) or self._next_id()
            if order_id in self._tables["orders"]:
                raise ValueError(f"order {order_id} exists")
            now = whole_seconds(self._clock.now())
            created_at = utc_moment(given["date_time"]) if given.get("date_time") else now
            record = (
                {"id": order_id}
                | order_defaults(order_id, given, created_at.astimezone(self._zone), self.config.site_url)
                | given
            )
            record = with_titles_as_shown(record)
            self._tables["orders"][order_id] = Row(record, created_at, max(created_at, now))
            self._note_customer(record, created_at)
            return copy.deepcopy(record)

    def update_order(self, order_id: int, *, modified_at: datetime | None = None, **changes: Any) -> dict[str, Any]:
        """Change fields of an order, its modification time too, and the invoice of its subscription with it.

        `KeyError` when there is no such order.
        """
        with self._lock:
            row = self._tables["orders"][order_id]
            record = with_titles_as_shown(row.record | copy.deepcopy(changes) | {"id": order_id})
            if "status" in changes and "order_status" in record and "order_status" not in changes:
                record["order_status"] = record["status"]
            moment = whole_seconds(modified_at or self._clock.now())
            self._tables["orders"][order_id] = Row(record, row.created_at, moment)
            for subscription in list(self._tables["subscriptions"].values()):
                invoices = subscription.record.get("invoices") or []
                if any(item["id"] == order_id for item in invoices):
                    renewed = [
                        item | {"status": record["status"]} if item["id"] == order_id else item for item in invoices
                    ]
                    self._put("subscriptions", subscription, {"invoices": renewed})
            return copy.deepcopy(record)

    def replace_order(self, order_id: int, order: dict[str, Any]) -> dict[str, Any]:
        """Put a whole order in another's place, or in an empty one."""
        with self._lock:
            self._tables["orders"].pop(order_id, None)
            return self.add_order({**order, "id": order_id})

    def delete_order(self, order_id: int) -> None:
        """Remove an order, as an administrator may. `KeyError` when there is none."""
        with self._lock:
            del self._tables["orders"][order_id]

    def trash_order(self, order_id: int) -> None:
        """Move an order to WordPress's trash: no list shows it, and its record stays as it was, `paid` included."""
        with self._lock:
            self._trashed.add(self._tables["orders"][order_id].id)

    def restore_order(self, order_id: int) -> None:
        """Take an order out of the trash."""
        with self._lock:
            self._trashed.discard(order_id)

    def add_subscription(self, subscription: dict[str, Any]) -> dict[str, Any]:
        """Add a subscription, filled in from the first of its `invoices` (ids of orders, or whole invoices).

        `KeyError` for an invoice whose order does not exist.
        """
        with self._lock:
            given = copy.deepcopy(subscription)
            orders = [
                self._tables["orders"][item if isinstance(item, int) else item["id"]]
                for item in given.pop("invoices", [])
            ]
            subscription_id = int(given.pop("id", 0)) or self._next_id()
            created_at = orders[0].created_at if orders else whole_seconds(self._clock.now())
            defaults = subscription_defaults(subscription_id, [row.record for row in orders], self.config.site_url)
            invoices = [invoice(row, self._zone) for row in orders]
            record = with_titles_as_shown({"id": subscription_id} | defaults | {"invoices": invoices} | given)
            self._tables["subscriptions"][subscription_id] = Row(record, created_at, created_at)
            for row in orders:
                self._subscribe(row, record)
            return copy.deepcopy(record)

    def update_subscription(self, subscription_id: int, **changes: Any) -> dict[str, Any]:
        """Change fields of a subscription, and its modification time. `KeyError` when there is none."""
        with self._lock:
            row = self._tables["subscriptions"][subscription_id]
            self._put("subscriptions", row, copy.deepcopy(changes) | {"id": subscription_id})
            return copy.deepcopy(self._tables["subscriptions"][subscription_id].record)

    def add_product(self, product: dict[str, Any]) -> dict[str, Any]:
        """Add a product, or put it in another's place: `id`, `name`, `plans`."""
        with self._lock:
            now = whole_seconds(self._clock.now())
            record = copy.deepcopy(product) | {"id": int(product["id"])}
            self._tables["products"][record["id"]] = Row(record, now, now)
            return copy.deepcopy(record)

    def rename_product(self, product_id: str, name: str) -> None:
        """Give a product another name: every order and item of it, however old, shows the new one."""
        with self._lock:
            for collection in ("orders", "subscriptions"):
                for row in list(self._tables[collection].values()):
                    record = copy.deepcopy(row.record)
                    for part in (record, *(record.get("items") or [])):
                        if str(part.get("product_id")) == product_id:
                            part["product_name"] = name
                    renamed = Row(with_titles_as_shown(record), row.created_at, row.modified_at)
                    self._tables[collection][row.id] = renamed

    def add_renewal(self, subscription_id: int, **changes: Any) -> dict[str, Any]:
        """Charge a subscription once more: a new order with its own id, listed among the subscription's invoices."""
        with self._lock:
            subscription = self._tables["subscriptions"][subscription_id]
            first = {name: value for name, value in subscription.record.items() if name in RENEWED_FIELDS}
            order = self.add_order(first | changes)
            self._subscribe(self._tables["orders"][order["id"]], subscription.record)
            order = self.order(order["id"])
            invoices = [*subscription.record["invoices"], invoice(self._tables["orders"][order["id"]], self._zone)]
            self._put("subscriptions", subscription, {"invoices": invoices})
            return order

    def redate_order(self, order_id: int, by: timedelta) -> None:
        """Shift an order's time, as a payment does that a gateway's event confirms. `KeyError` when there is none."""
        with self._lock:
            row = self._tables["orders"][order_id]
            self._tables["orders"][order_id] = self._redated(row, by, whole_seconds(self._clock.now()))

    def move_zone(self, utc_offset_minutes: int) -> None:
        """Put the site in another time zone: what it stored stays, and every order's UTC time is computed anew."""
        with self._lock:
            by = timedelta(minutes=self.config.utc_offset_minutes - utc_offset_minutes)
            self.config.utc_offset_minutes = utc_offset_minutes
            for row in list(self._tables["orders"].values()):
                self._tables["orders"][row.id] = self._redated(row, by, row.modified_at)

    @staticmethod
    def _redated(row: Row, by: timedelta, modified_at: datetime) -> Row:
        created_at = row.created_at + by
        return Row(row.record | {"date_time": f"{created_at:{DATE_TIME}}"}, created_at, modified_at)

    def describe(self) -> dict[str, Any]:
        """Return every collection as JSON."""
        return {name: self._records(name) for name in _COLLECTIONS}

    # The HTTP side.

    def route(self, request: Request) -> Call:
        """Name the operation and the id in the path."""
        match request.segments:
            case [collection] if collection in _COLLECTIONS:
                return Call(f"list_{collection}")
            case [collection, record_id] if collection in _COLLECTIONS and is_id(record_id):
                return Call(f"retrieve_{_COLLECTIONS[collection]}", {"id": record_id})
            case ["orders", "subscription", record_id] if is_id(record_id):
                return Call("list_subscription_orders", {"id": record_id})
            case _:
                return Call("unknown")

    def answer(self, request: Request) -> Answer:
        """Answer a GET with a record or a page of them; everything else as WordPress does."""
        call = self.route(request)
        if self.config.plain_permalinks and "rest_route" not in request.query:
            return Answer.of_html("404", "Not Found", 404)
        if self.config.refuses_get_bodies and request.body:
            return Answer.of_html("Access denied", "Sorry, you have been blocked.", 403)
        if call.operation == "unknown" or request.method != "GET" or not self.config.has_developer_api:
            return _error(404, "rest_no_route", "No route was found matching the URL and request method.")
        if not self._allowance.take(self.config.requests_per_second):
            answer = _error(429, "too_many_requests", "Too many requests.")
            return Answer(answer.status, answer.body, headers={"Retry-After": "1"})
        key = request.headers.get("x-api-key", "")
        if key != self.config.api_key:
            status = self.config.bad_key_status if key else 401
            return _error(status, "rest_forbidden_context", "Sorry, you are not allowed to do that.")
        try:
            parameters = self._parameters(request)
            listing = Listing.from_parameters(parameters)
        except ParameterError as error:
            return _error(400, "rest_invalid_param", str(error))
        except ValueError:
            return _error(400, "rest_invalid_json", "Invalid JSON body passed.")
        if call.operation == "list_subscription_orders" and "per_page" not in parameters:
            return _error(500, "internal_server_error", "There has been a critical error on this website.")
        limit = self.config.slow_above_rows
        if limit is not None and call.operation.startswith("list_") and listing.per_page > limit:
            return Answer.of_html("504 Gateway Time-out", "The upstream server took too long to respond.", 504)
        return self._found(call, listing)

    def _found(self, call: Call, listing: Listing) -> Answer:
        verb, _, noun = call.operation.partition("_")
        with self._lock:
            if verb == "retrieve":
                return self._record(noun, int(call.ids["id"]))
            if noun == "subscription_orders":
                subscription = self._tables["subscriptions"].get(int(call.ids["id"]))
                if subscription is None:
                    return _error(404, "not_found", "No subscription found.")
                ids = [item["id"] for item in subscription.record["invoices"]]
                rows = [self._tables["orders"][order_id] for order_id in ids if order_id in self._tables["orders"]]
            else:
                rows = list(self._tables[noun].values())
            rows = [self._shown(row) for row in rows if not (noun == "orders" and row.id in self._trashed)]
        page, total = listing.page_of(rows, self._zone, inclusive=self.config.date_after_inclusive)
        if not page and noun == "customers":
            return Answer()
        if not page and self.config.empty_list == "404":
            return _error(404, "not_found", "Nothing found.")
        if not self.config.tells_totals:
            return Answer.of_json(page)
        pages = -(-total // listing.per_page)
        return Answer.of_json(page, X_WP_Total=str(total), X_WP_TotalPages=str(pages))

    def _record(self, noun: str, record_id: int) -> Answer:
        """Answer one record. `/orders/{id}` takes any post's id: a subscription's, a product's, a trashed order's."""
        row = self._tables[f"{noun}s"].get(record_id)
        if noun == "customer":
            return Answer() if row is None else Answer.of_json([row.record])
        if row is not None:
            return Answer.of_json(self._shown(row).record)
        if noun == "order":
            if record_id in self._tables["subscriptions"]:
                subscription = copy.deepcopy(self._tables["subscriptions"][record_id].record)
                for charge in subscription.get("invoices") or []:
                    charge.pop("link", None)
                return Answer.of_json(
                    subscription | {"link": f"{self.config.site_url}/wp-json/sc/v1/orders/{record_id}"}
                )
            if record_id in self._tables["products"]:
                return Answer.of_json(no_order(record_id, self.config.site_url))
            return _error(404, "sc_rest_invalid_id", "Invalid ID.")
        return _error(404, "not_found", f"No {noun} found.")

    def _shown(self, row: Row) -> Row:
        """Return a row as the shop's version of the plugin shows it."""
        if self.config.items == "ids" or not isinstance(row.record.get("items"), list):
            return row
        items = [named_item(item) if item.get("product_id") else item for item in row.record["items"]]
        named = {name: value for name, value in row.record.items() if name not in {"subscription_id", "order_id"}}
        return Row(named | {"items": items}, row.created_at, row.modified_at)

    def _parameters(self, request: Request) -> dict[str, Any]:
        """Merge query and body as WordPress does: a JSON body counts when it says so, and wins."""
        places = {"both": ("query", "body"), "neither": ()}.get(self.config.parameters_in, (self.config.parameters_in,))
        is_json = "json" in request.headers.get("content-type", "")
        given = (request.query if "query" in places else {}) | (
            request.json_object if is_json and "body" in places else {}
        )
        return {name: value for name, value in given.items() if name not in self.config.ignored_parameters}

    # Under the lock.

    @property
    def _zone(self) -> timezone:
        return timezone(timedelta(minutes=self.config.utc_offset_minutes))

    def _records(self, collection: str) -> list[dict[str, Any]]:
        with self._lock:
            return [copy.deepcopy(row.record) for _, row in sorted(self._tables[collection].items())]

    def _next_id(self) -> int:
        """Return the next post id: in WordPress orders, subscriptions and products share one sequence."""
        return max((max(table, default=0) for table in self._tables.values()), default=0) + 1

    def _subscribe(self, row: Row, subscription: dict[str, Any]) -> None:
        """Let an order and its items name their subscription, as they did from the first."""
        if row.record.get("subscription_id"):
            return
        record = subscribed(row.record, int(subscription["id"]), subscription)
        self._tables["orders"][row.id] = Row(record, row.created_at, row.modified_at)

    def _put(self, collection: str, row: Row, changes: dict[str, Any]) -> None:
        changed = Row(row.record | changes, row.created_at, whole_seconds(self._clock.now()))
        self._tables[collection][row.id] = changed

    def _note_customer(self, order: dict[str, Any], created_at: datetime) -> None:
        """Count the order in its customer's totals, creating the customer with their first one."""
        email = str(order.get("customer_email") or "").casefold()
        if not email or not self.config.buyers_have_accounts:
            return
        table = self._tables["customers"]
        known = table.get(self._customer_ids.get(email, 0))
        record = customer_after(
            order,
            f"{created_at.astimezone(self._zone):{DATE_TIME}}",
            known.record if known else {"id": max(table, default=0) + 1},
        )
        self._customer_ids[email] = record["id"]
        first_at = known.created_at if known else created_at
        table[record["id"]] = Row(record, first_at, whole_seconds(self._clock.now()))


def _error(status: int, code: str, message: str) -> Answer:
    return Answer.of_json({"code": code, "message": message, "data": {"status": status}}, status)
