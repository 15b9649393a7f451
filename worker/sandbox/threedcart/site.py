"""3dcart on loopback: carts and their items to change, orders to read."""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from worker.sandbox.clock import Allowance, Clock
from worker.sandbox.config import ThreedcartConfig
from worker.sandbox.effects import EffectLog
from worker.sandbox.wire import Answer, Call, Request, is_id

_READ_ONLY: Final = frozenset(
    {"OrderKey", "OrderDate", "OrderAmount", "OrderWeight", "LastUpdate", "CheckoutURL", "CartItemList"}
)
_UNIT_PRICE: Final = 25.0
_DATES: Final = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y")
_DEFAULT_LIMIT: Final = 10
_LARGEST_LIMIT: Final = 300
_FIRST_CART_ROW: Final = 9_000_000
"""Numbers of carts in the orders' table, clear of those of orders."""
_ROUTES: Final[Mapping[tuple[str, str], str]] = {
    ("POST", "Cart"): "create_cart",
    ("GET", "Cart/*"): "retrieve_cart",
    ("PUT", "Cart/*"): "update_cart",
    ("DELETE", "Cart/*"): "delete_cart",
    ("POST", "Cart/*/Item"): "create_cart_item",
    ("PUT", "Cart/*/Item/*"): "update_cart_item",
    ("DELETE", "Cart/*/Item/*"): "delete_cart_item",
    ("GET", "Orders"): "list_orders",
    ("GET", "Orders/*"): "retrieve_order",
    ("GET", "OrderStatus"): "list_order_statuses",
}


class _RefusedError(Exception):
    """A request the store refuses, with the status of its answer."""

    def __init__(self, message: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Threedcart:
    """The store's whole state. Every public method is safe from any thread; records given and returned are copies."""

    name = "threedcart"

    def __init__(self, config: ThreedcartConfig, clock: Clock, log: EffectLog) -> None:
        self.config = config
        self._clock = clock
        self._log = log
        self._lock = threading.RLock()
        self._allowance = Allowance()
        self._operations: dict[str, Callable[[Mapping[str, str], Request], Answer]] = {
            "create_cart": self._create_cart,
            "retrieve_cart": self._retrieve_cart,
            "update_cart": self._update_cart,
            "delete_cart": self._delete_cart,
            "create_cart_item": self._create_cart_item,
            "update_cart_item": self._update_cart_item,
            "delete_cart_item": self._delete_cart_item,
            "list_orders": self._list_orders,
            "retrieve_order": self._retrieve_order,
            "list_order_statuses": self._list_order_statuses,
        }
        self.reset()

    def reset(self) -> None:
        """Forget carts and orders. The documents hold no records of this system."""
        with self._lock:
            self._carts: dict[str, dict[str, Any]] = {}
            self._orders: dict[int, dict[str, Any]] = {}
            self._bought: dict[str, int] = {}
            """The orders that carts became which still answer."""
            self._last_item_id = 122

    @property
    def carts(self) -> dict[str, dict[str, Any]]:
        """The carts by their key, items in `CartItemList`."""
        with self._lock:
            return copy.deepcopy(self._carts)

    @property
    def orders(self) -> list[dict[str, Any]]:
        """The orders, by id."""
        with self._lock:
            return [copy.deepcopy(record) for _, record in sorted(self._orders.items())]

    def add_order(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Take an order and return it whole: id, dates (store time), status 1 and one item unless given.

        `ValueError` when the id is taken.
        """
        with self._lock:
            given = copy.deepcopy(dict(order))
            order_id = int(given.pop("OrderID", 0)) or max(self._orders, default=0) + 1
            if order_id in self._orders:
                raise ValueError(f"order {order_id} exists")
            now = self._now_text()
            item = {"CatalogID": 1, "ItemID": "SKU-1", "ItemQuantity": 1.0, "ItemUnitPrice": _UNIT_PRICE}
            record = {
                "OrderID": order_id,
                "InvoiceNumberPrefix": "AB-",
                "InvoiceNumber": 1000 + order_id,
                "OrderDate": now,
                "LastUpdate": now,
                "OrderStatusID": 1,
                "BillingFirstName": "Jane",
                "BillingLastName": "Doe",
                "BillingEmail": "janedoe@email.com",
                "OrderItemList": [item],
            }
            self._orders[order_id] = record | given
            return copy.deepcopy(self._orders[order_id])

    def update_order(self, order_id: int, **changes: Any) -> dict[str, Any]:
        """Change fields of an order, and its `LastUpdate` unless that is among them. `KeyError` when there is none."""
        with self._lock:
            changed = {"LastUpdate": self._now_text()} | copy.deepcopy(changes) | {"OrderID": order_id}
            self._orders[order_id] = self._orders[order_id] | changed
            return copy.deepcopy(self._orders[order_id])

    def replace_order(self, order_id: int, order: Mapping[str, Any]) -> dict[str, Any]:
        """Put a whole order in another's place, or in an empty one."""
        with self._lock:
            self._orders.pop(order_id, None)
            return self.add_order({**order, "OrderID": order_id})

    def delete_order(self, order_id: int) -> None:
        """Remove an order. `KeyError` when there is none."""
        with self._lock:
            del self._orders[order_id]

    def check_out(self, order_key: str, **changes: Any) -> dict[str, Any]:
        """Let the learner buy what is in a cart, by card: it becomes a new order. Returns the order.

        It is no cart any more, unless `bought_carts_answer` is set. `changes` are fields of the order. `KeyError` when
        there is none.
        """
        with self._lock:
            cart = self._carts[order_key] if self.config.bought_carts_answer else self._carts.pop(order_key)
            names = ("CatalogID", "ItemID", "ItemQuantity", "ItemUnitPrice", "ItemDescription")
            billing = {name: value for name, value in cart.items() if name.startswith("Billing")}
            bought = {
                "OrderAmount": cart["OrderAmount"],
                "OrderItemList": [{name: item[name] for name in names} for item in cart["CartItemList"]],
                "BillingOnLinePayment": True,
            }
            order = self.add_order({**billing, **bought, **changes})
            url = f"https://{self.config.secure_url}/continue_order.asp?orderkey={order_key}{order['OrderID']}"
            if self.config.bought_carts_answer:
                self._bought[order_key] = order["OrderID"]
                cart |= {name: value for name, value in changes.items() if name.startswith("Billing")}
            return self.update_order(order["OrderID"], LastUpdate=order["LastUpdate"], ContinueURL=url)

    def describe(self) -> dict[str, Any]:
        """Return carts and orders as JSON."""
        return {"carts": self.carts, "orders": self.orders}

    def route(self, request: Request) -> Call:
        """Name the operation, and the cart's key, the item's or the order's id in the path."""
        parts = request.segments
        shape = "/".join("*" if index % 2 else part for index, part in enumerate(parts))
        operation = _ROUTES.get((request.method, shape), "unknown")
        names = ("id", "cartitemid") if parts[:1] == ["Orders"] else ("orderkey", "cartitemid")
        return Call(operation, dict(zip(names, parts[1::2], strict=False)))

    def answer(self, request: Request) -> Answer:
        """Carry a call out; the body is an array of `{Key, Value, Status, Message}`, or the thing asked for."""
        call = self.route(request)
        if not self._allowance.take(self.config.requests_per_second):
            return _refusal(429, "Too many requests")
        credentials = (self.config.secure_url, self.config.private_key, self.config.token)
        if tuple(request.headers.get(name, "") for name in ("secureurl", "privatekey", "token")) != credentials:
            return _refusal(401, "The PrivateKey/Token/SecureURL combination is invalid")
        if call.operation == "unknown":
            return _refusal(404, "No such resource")
        try:
            with self._lock:
                return self._operations[call.operation](call.ids, request)
        except _RefusedError as error:
            return _refusal(error.status, str(error))

    def _create_cart(self, _ids: Mapping[str, str], request: Request) -> Answer:
        given = _body(request)
        key = uuid.uuid4().hex[:15]
        now = self._now_text()
        self._carts[key] = {name: value for name, value in given.items() if name not in _READ_ONLY} | {
            "OrderKey": key,
            "OrderDate": now,
            "OrderAmount": 0.0,
            "OrderWeight": 0.0,
            "LastUpdate": now,
            "CheckoutURL": f"https://{self.config.secure_url}/checkout.asp?key={key}",
            "CartItemList": [],
        }
        self._log.record(self.name, "create_cart", order_key=key, email=given.get("BillingEmail"))
        return _done("OrderKey", key, 201, "Created successfully")

    def _retrieve_cart(self, ids: Mapping[str, str], _request: Request) -> Answer:
        cart = self._cart(ids)
        return Answer.of_json([cart], 200) if self.config.cart_form == "list" else Answer.of_json(cart, 201)

    def _update_cart(self, ids: Mapping[str, str], request: Request) -> Answer:
        cart = self._cart(ids)
        cart |= {name: value for name, value in _body(request).items() if name not in _READ_ONLY}
        self._changed("update_cart", cart)
        return _done("OrderKey", cart["OrderKey"], 200, "Updated successfully")

    def _delete_cart(self, ids: Mapping[str, str], _request: Request) -> Answer:
        cart = self._cart(ids)
        del self._carts[cart["OrderKey"]]
        self._orders.pop(self._bought.pop(cart["OrderKey"], 0), None)
        self._changed("delete_cart", cart)
        return _done("OrderKey", cart["OrderKey"], 200, "Deleted successfully", told_status=201)

    def _create_cart_item(self, ids: Mapping[str, str], request: Request) -> Answer:
        cart, given = self._cart(ids), _body(request)
        catalog_id, quantity = given.get("CatalogID"), given.get("ItemQuantity", 1)
        on_sale = self.config.catalog_ids is None or catalog_id in self.config.catalog_ids
        if not isinstance(catalog_id, int) or catalog_id < 1 or not on_sale:
            raise _RefusedError("CatalogID is not valid")
        options = _options(given.get("ItemOptions"))
        self._last_item_id += 1
        item = {
            "CatalogID": catalog_id,
            "CartItemID": self._last_item_id,
            "ItemID": f"SKU-{catalog_id}",
            "ItemQuantity": _quantity(quantity),
            "ItemDescription": f"Item {catalog_id}",
            "ItemUnitPrice": _UNIT_PRICE,
        }
        if options:
            item["ItemOptions"] = options
        cart["CartItemList"].append(item)
        self._item_changed("create_cart_item", cart, item)
        return _done("CartItemID", str(item["CartItemID"]), 201, "Created successfully")

    def _update_cart_item(self, ids: Mapping[str, str], request: Request) -> Answer:
        cart = self._cart(ids)
        item = self._item(cart, ids)
        item["ItemQuantity"] = _quantity(_body(request).get("ItemQuantity"))
        self._item_changed("update_cart_item", cart, item)
        return _done("CartItemID", str(item["CartItemID"]), 200, "Updated successfully")

    def _delete_cart_item(self, ids: Mapping[str, str], _request: Request) -> Answer:
        cart = self._cart(ids)
        item = self._item(cart, ids)
        cart["CartItemList"].remove(item)
        self._item_changed("delete_cart_item", cart, item)
        return _done("CartItemId", str(item["CartItemID"]), 200, "Deleted successfully")

    def _list_orders(self, _ids: Mapping[str, str], request: Request) -> Answer:
        query = {name.lower(): value for name, value in request.query.items()}
        limit = min(_number(query, "limit", _DEFAULT_LIMIT), _LARGEST_LIMIT)
        offset = _number(query, "offset", 1)
        rows = [*(record for _, record in sorted(self._orders.items())), *self._unfinished(query)]
        found = [record for record in rows if self._is_asked_for(record, query)]
        if not found:
            raise _RefusedError("There are no records matching the request", 404)
        if offset > len(found):
            raise _RefusedError("Offset amount exceeds the total number of records")
        return Answer.of_json(found[offset - 1 : offset - 1 + limit])

    def _unfinished(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Carts are rows of the orders' table: those that were not bought are listed under status 7."""
        if query.get("orderstatus") != "7":
            return []
        open_carts = (cart for key, cart in self._carts.items() if key not in self._bought)
        names = ("OrderDate", "LastUpdate", "BillingEmail", "OrderAmount")
        return [
            {
                "OrderID": _FIRST_CART_ROW + number,
                "OrderStatusID": 7,
                "ContinueURL": f"https://{self.config.secure_url}/continue_order.asp?orderkey={cart['OrderKey']}",
                **{name: cart[name] for name in names if name in cart},
                "OrderItemList": [{"CatalogID": item["CatalogID"]} for item in cart["CartItemList"]],
            }
            for number, cart in enumerate(open_carts)
        ]

    def _list_order_statuses(self, _ids: Mapping[str, str], _request: Request) -> Answer:
        if not self.config.status_labels_readable:
            raise _RefusedError("Access to this resource is not allowed", 403)
        labels = sorted(self.config.status_labels.items())
        return Answer.of_json(
            [
                {"OrderStatusID": number, "StatusDefinition": label, "StatusText": label, "Visible": True}
                for number, label in labels
            ]
        )

    def _is_asked_for(self, record: Mapping[str, Any], query: Mapping[str, str]) -> bool:
        if query.get("orderstatus") and str(record["OrderStatusID"]) != query["orderstatus"]:
            return False
        if query.get("billingemail") and str(record.get("BillingEmail")).lower() != query["billingemail"].lower():
            return False
        for prefix, name in (("date", "OrderDate"), ("lastupdate", "LastUpdate")):
            moment = datetime.fromisoformat(record[name])
            if query.get(f"{prefix}start") and moment < _store_time(query[f"{prefix}start"]):
                return False
            if query.get(f"{prefix}end") and moment > _store_time(query[f"{prefix}end"]):
                return False
        return True

    def _retrieve_order(self, ids: Mapping[str, str], _request: Request) -> Answer:
        record = self._orders.get(int(ids["id"])) if is_id(ids["id"]) else None
        if record is None:
            raise _RefusedError("The requested Order does not exist", 404)
        return Answer.of_json([record])

    def _cart(self, ids: Mapping[str, str]) -> dict[str, Any]:
        cart = self._carts.get(ids["orderkey"])
        if cart is None:
            raise _RefusedError("The requested Cart does not exist", 404)
        return cart

    def _item(self, cart: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
        item: dict[str, Any]
        for item in cart["CartItemList"]:
            if str(item["CartItemID"]) == ids["cartitemid"]:
                return item
        raise _RefusedError("The specified Item does not exist", 404)

    def _item_changed(self, operation: str, cart: dict[str, Any], item: Mapping[str, Any]) -> None:
        cart["OrderAmount"] = sum(row["ItemQuantity"] * row["ItemUnitPrice"] for row in cart["CartItemList"])
        facts = {"cart_item_id": item["CartItemID"], "catalog_id": item["CatalogID"], "quantity": item["ItemQuantity"]}
        self._changed(operation, cart, **facts)

    def _changed(self, operation: str, cart: dict[str, Any], **facts: Any) -> None:
        cart["LastUpdate"] = self._now_text()
        self._log.record(self.name, operation, order_key=cart["OrderKey"], **facts)

    def _now_text(self) -> str:
        zone = timezone(timedelta(minutes=self.config.utc_offset_minutes))
        return self._clock.now().astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds")


def _done(key: str, value: str, status: int, message: str, told_status: int | None = None) -> Answer:
    result = {"Key": key, "Value": value, "Status": str(told_status or status), "Message": message}
    return Answer.of_json([result], status)


def _refusal(status: int, message: str) -> Answer:
    return Answer.of_json([{"Key": "Error", "Value": "", "Status": str(status), "Message": message}], status)


def _body(request: Request) -> dict[str, Any]:
    try:
        return request.json_object
    except ValueError:
        raise _RefusedError("The body is not JSON") from None


def _quantity(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise _RefusedError("ItemQuantity is not valid")
    return float(value)


def _options(value: object) -> list[dict[str, Any]]:
    """The choices of an item: two whole numbers each, of an option set and one of its options, and a text."""
    options = [] if value is None else value
    kinds = {"OptionSetID": int, "OptionID": int, "OptionValue": str}
    if not isinstance(options, list) or not all(
        isinstance(option, dict) and all(isinstance(option.get(name, kind()), kind) for name, kind in kinds.items())
        for option in options
    ):
        raise _RefusedError("ItemOptions is not valid")
    return options


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name) or str(default)
    if not is_id(text) or int(text) < 1:
        raise _RefusedError(f"{name} is not valid")
    return int(text)


def _store_time(text: str) -> datetime:
    for pattern in _DATES:
        try:
            # Both sides of the comparison are store time, so that the zone's name does not matter.
            return datetime.strptime(text, pattern).replace(tzinfo=UTC).replace(tzinfo=None)
        except ValueError:
            continue
    raise _RefusedError("a date is mm/dd/yyyy hh:mm:ss")
