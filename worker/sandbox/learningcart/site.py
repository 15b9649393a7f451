"""LearningCart on loopback: tokens that expire, customers known by email, and an order for every `addCompOrder`."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from worker.sandbox.clock import Allowance, Clock
from worker.sandbox.config import TOKEN_MARK, LearningCartConfig
from worker.sandbox.effects import EffectLog
from worker.sandbox.learningcart.form import REQUEST_ERROR_PAGE, date_fields, read_date, render
from worker.sandbox.learningcart.records import (
    PROFILE_FIELDS,
    SiteCompletion,
    SiteCustomer,
    SiteOrder,
    completion_record,
    customer_record,
    listed_records,
    order_record,
)
from worker.sandbox.wire import Answer, Call, Request, is_id

_FIRST_CUSTOMER_ID: Final = 5001
_FIRST_ORDER_ID: Final = 90001
_DEFAULT_WINDOW: Final = timedelta(days=7)


class _BadRequestError(Exception):
    """A parameter that is missing, unreadable or names nothing; the message is shown to the client."""


class LearningCart:
    """The site's whole state. Every public method may be called from any thread."""

    name = "learningcart"

    def __init__(
        self, config: LearningCartConfig, clock: Clock, log: EffectLog, pause: Callable[[float], object]
    ) -> None:
        self.config = config
        self._clock = clock
        self._log = log
        self._pause = pause
        self._lock = threading.RLock()
        self._allowance = Allowance()
        self._operations: dict[str, Callable[[Mapping[str, str]], tuple[object, str]]] = {
            "getOrderByID": self._get_order_by_id,
            "getOrdersByDate": self._get_orders_by_date,
            "addCustomer": self._add_customer,
            "addCustomerToGroup": self._add_customer_to_group,
            "getCompletions": self._get_completions,
        }
        self.reset()

    def reset(self) -> None:
        """Forget customers, orders, groups, completions and tokens. The documents hold no records of this system."""
        with self._lock:
            self._customers: dict[int, SiteCustomer] = {}
            self._customer_ids: dict[str, int] = {}
            self._orders: dict[int, SiteOrder] = {}
            self._orders_made = 0
            self._groups: dict[int, dict[int, bool]] = {}
            self._completions: list[SiteCompletion] = []
            self._tokens: dict[str, datetime] = {}

    # What tests and the control interface look at and change.

    @property
    def customers(self) -> list[SiteCustomer]:
        """The customers, oldest first."""
        with self._lock:
            return list(self._customers.values())

    @property
    def orders(self) -> list[SiteOrder]:
        """The orders, oldest first."""
        with self._lock:
            return list(self._orders.values())

    @property
    def groups(self) -> dict[int, dict[int, bool]]:
        """The members of each group, `{group_id: {customer_id: is_admin}}`."""
        with self._lock:
            return {group_id: dict(members) for group_id, members in self._groups.items()}

    def customer_of(self, email: str) -> SiteCustomer | None:
        """Return the customer with this email, in any case of letters."""
        with self._lock:
            customer_id = self._customer_ids.get(_email_key(email))
            return None if customer_id is None else self._customers[customer_id]

    def orders_of(self, email: str) -> list[SiteOrder]:
        """Return the orders of every customer with this email, oldest first."""
        with self._lock:
            wanted = _email_key(email)
            return [
                order
                for order in self._orders.values()
                if _email_key(self._customers[order.customer_id].email) == wanted
            ]

    def add_customer(self, email: str, **profile: str) -> SiteCustomer:
        """Create a customer as if somebody had typed it in; names are `addCustomer`'s (`FirstName="Jane"`).

        No effect is logged. `ValueError` for a name that is not.
        """
        unknown = sorted(set(profile) - set(PROFILE_FIELDS))
        if unknown:
            raise ValueError(f"not fields of a customer: {', '.join(unknown)}")
        with self._lock:
            return self._create_customer({"Email": email, **profile})

    def add_order(self, customer_id: int, price_id: int, comments: str = "") -> SiteOrder:
        """Make an order as if somebody had typed it in. No effect is logged. `KeyError` for an unknown customer."""
        with self._lock:
            return self._create_order(self._customers[customer_id].id, price_id, comments)

    def delete_order(self, order_id: int) -> None:
        """Delete an order, as an administrator may. Its id is not given again. `KeyError` when there is none."""
        with self._lock:
            del self._orders[order_id]

    def add_completion(
        self,
        customer_id: int,
        course_id: int,
        *,
        started_at: datetime | None = None,
        completed_at: datetime | None = None,
        score: int | None = None,
    ) -> SiteCompletion:
        """Let a customer begin a course, or complete it. `KeyError` for an unknown customer."""
        with self._lock:
            started = started_at or completed_at or self._clock.now()
            customer = self._customers[customer_id]
            completion = SiteCompletion(customer.id, course_id, started, completed_at, score)
            self._completions.append(completion)
            return completion

    def revoke_tokens(self) -> None:
        """Make every token handed out so far invalid, as a restart of the real site may."""
        with self._lock:
            self._tokens.clear()

    def describe(self) -> dict[str, Any]:
        """Return customers, orders, groups and completions as JSON. Tokens are counted, not shown."""
        with self._lock:
            return {
                "customers": [{"id": item.id} | item.profile for item in self._customers.values()],
                "orders": [
                    {
                        "id": item.id,
                        "customer_id": item.customer_id,
                        "email": self._customers[item.customer_id].email,
                        "price_id": item.price_id,
                        "comments": item.comments,
                        "ordered_at": item.ordered_at.isoformat(),
                    }
                    for item in self._orders.values()
                ],
                "groups": {str(group_id): sorted(members) for group_id, members in self._groups.items()},
                "completions": len(self._completions),
                "tokens": len(self._tokens),
            }

    # The HTTP side.

    def route(self, request: Request) -> Call:
        """Name the method of the path's last part; like WCF, letters in any case."""
        wanted = request.path.strip("/").casefold()
        for operation in ("requestToken", self.config.comped_order_method, *self._operations):
            if operation.casefold() == wanted:
                return Call(operation)
        return Call("unknown")

    def answer(self, request: Request) -> Answer:
        """Carry a call out. GET only; the token is checked before anything else is looked at."""
        operation = self.route(request).operation
        if operation == "unknown":
            return Answer.of_html("Service", f"Endpoint not found: {request.url}", 404)
        if request.method != "GET":
            return Answer.of_html("Service", f"Method not allowed: {request.method} {request.url}", 405, Allow="GET")
        if len(request.query_text) > self.config.query_limit_bytes:
            return Answer.of_html("404", "The request filtering module is configured to deny a query this long.", 404)
        if not self._allowance.take(self.config.requests_per_second):
            return Answer.of_json({"Message": "Too many requests"}, 429, Retry_After="1")
        parameters = {name.casefold(): value.strip() for name, value in request.query_pairs}
        if operation == "requestToken":
            return self._request_token(parameters, request)
        if not self._token_is_valid(parameters.get("authenticationtoken", "")):
            return self._refuse("Invalid or expired AuthenticationToken", operation, request)
        try:
            value, kind = self._operations.get(operation, self._add_comp_order)(parameters)
        except _BadRequestError as error:
            return Answer.of_json({"Message": str(error)}, 400)
        if value is None and self.config.missing_order == "404":
            return Answer.of_json({"Message": "Order not found"}, 404)
        return render(value, method=operation, kind=kind, config=self.config)

    def _refuse(self, message: str, operation: str, request: Request) -> Answer:
        refusal = self.config.refusal
        if refusal == "200":
            return render(message, method=operation, kind="string", config=self.config)
        if refusal == "400":
            return Answer(400, REQUEST_ERROR_PAGE, "text/html; charset=utf-8")
        if refusal == "500":
            return Answer.of_html("Request Error", f"The server met an error at {request.url}: {message}.", 500)
        return Answer.of_json({"Message": message}, int(refusal))

    def _request_token(self, parameters: Mapping[str, str], request: Request) -> Answer:
        expected = (self.config.site_hostname, self.config.username, self.config.password)
        given = tuple(parameters.get(name, "") for name in ("sitehostname", "username", "password"))
        if given != expected:
            return self._refuse("Invalid site hostname, username or password", "requestToken", request)
        issued_at = self._clock.now()
        expires_at = issued_at + timedelta(seconds=self.config.token_lifetime_seconds)
        token = f"{TOKEN_MARK}{str(uuid.uuid4())[8:]}"
        with self._lock:
            self._tokens[token] = expires_at
        record = {
            "Authentication Token": token,
            **date_fields("Issue Date", issued_at if self.config.token_dates else None, self.config),
            **date_fields("Expiration Date", expires_at if self.config.token_dates else None, self.config),
        }
        return render(record, method="requestToken", kind="AuthenticationToken", config=self.config)

    def _token_is_valid(self, token: str) -> bool:
        with self._lock:
            expires_at = self._tokens.get(token.lower())
        return expires_at is not None and self._clock.now() < expires_at

    def _get_order_by_id(self, parameters: Mapping[str, str]) -> tuple[object, str]:
        order_id = _positive_int(parameters, "orderid")
        with self._lock:
            order = self._orders.get(order_id)
            return (None if order is None else self._order_record(order)), "Order"

    def _get_orders_by_date(self, parameters: Mapping[str, str]) -> tuple[object, str]:
        now = self._clock.now()
        begin_at = self._date(parameters, "begindate", now - _DEFAULT_WINDOW)
        end_at = self._date(parameters, "enddate", now)
        with self._lock:
            found = [order for order in self._orders.values() if begin_at <= order.ordered_at <= end_at]
            return listed_records([self._order_record(order) for order in found], self.config), "Order"

    def _add_comp_order(self, parameters: Mapping[str, str]) -> tuple[object, str]:
        customer_id = _positive_int(parameters, "customerid")
        price_id = _positive_int(parameters, "priceid")
        comments = parameters.get("ordercomments", "")
        with self._lock:
            if customer_id not in self._customers:
                raise _BadRequestError(f"CustomerID {customer_id} is not valid")
            if self.config.prices is not None and price_id not in self.config.prices:
                raise _BadRequestError(f"PriceID {price_id} is not valid")
            order = self._create_order(customer_id, price_id, comments)
            self._log.record(
                self.name,
                self.config.comped_order_method,
                order_id=order.id,
                customer_id=customer_id,
                email=self._customers[customer_id].email,
                price_id=price_id,
                comments=comments,
            )
            return self._order_record(order), "Order"

    def _add_customer(self, parameters: Mapping[str, str]) -> tuple[object, str]:
        given = {name: parameters[name.casefold()] for name in PROFILE_FIELDS if parameters.get(name.casefold())}
        if "Email" not in given:
            raise _BadRequestError("Email is required")
        gap_seconds = self.config.customer_gap_seconds
        existing = self.customer_of(given["Email"])
        if existing is None and gap_seconds > 0:
            self._pause(gap_seconds)
        with self._lock:
            # A second look, unless what may happen between look and creation is what is being played.
            if gap_seconds <= 0:
                existing = self.customer_of(given["Email"])
            if existing is not None:
                return self._update_customer(existing, given), "Customer"
            customer = self._create_customer(given)
            self._record_customer(customer, is_new=True, changed=sorted(given))
            password = given.get("Password") or f"sandbox-password-learner-{uuid.uuid4().hex[:12]}"
            return customer_record(customer, is_new=True, password=password), "Customer"

    def _update_customer(self, customer: SiteCustomer, given: Mapping[str, str]) -> dict[str, Any]:
        """Overwrite the profile with what is given; a password given is a password reset, and is not answered back."""
        changed = [
            name
            for name, value in given.items()
            if name == "Password" or customer.profile.get(PROFILE_FIELDS[name]) != value
        ]
        self._write_profile(customer, given)
        if changed:
            self._record_customer(customer, is_new=False, changed=sorted(changed))
        return customer_record(customer)

    def _record_customer(self, customer: SiteCustomer, *, is_new: bool, changed: list[str]) -> None:
        self._log.record(
            self.name, "addCustomer", customer_id=customer.id, email=customer.email, is_new=is_new, changed=changed
        )

    def _add_customer_to_group(self, parameters: Mapping[str, str]) -> tuple[object, str]:
        customer_id = _positive_int(parameters, "customerid")
        group_id = _positive_int(parameters, "groupid")
        is_admin = parameters.get("isadmin", "").lower() in ("true", "1")
        with self._lock:
            unknown_group = self.config.groups is not None and group_id not in self.config.groups
            if customer_id not in self._customers or unknown_group or (is_admin and not self.config.admins_allowed):
                return False, "boolean"
            members = self._groups.setdefault(group_id, {})
            if members.get(customer_id) != is_admin:
                members[customer_id] = is_admin
                email = self._customers[customer_id].email
                self._log.record(
                    self.name, "addCustomerToGroup", customer_id=customer_id, email=email, group_id=group_id
                )
            return True, "boolean"

    def _get_completions(self, parameters: Mapping[str, str]) -> tuple[object, str]:
        begin_at = self._date(parameters, "begindate", None)
        end_at = self._date(parameters, "enddate", None)
        with self._lock:
            return [
                completion_record(item, self._customers[item.customer_id], self.config)
                for item in self._completions
                if begin_at <= (item.completed_at or item.started_at) <= end_at
            ], "CourseCompletionInfo"

    # Under the lock.

    def _create_customer(self, given: Mapping[str, str]) -> SiteCustomer:
        customer = SiteCustomer(_FIRST_CUSTOMER_ID + len(self._customers))
        self._write_profile(customer, {"UserName": given["Email"], **given})
        self._customers[customer.id] = customer
        self._customer_ids.setdefault(_email_key(customer.email), customer.id)
        return customer

    def _write_profile(self, customer: SiteCustomer, given: Mapping[str, str]) -> None:
        customer.profile |= {PROFILE_FIELDS[name]: value for name, value in given.items() if name != "Password"}

    def _create_order(self, customer_id: int, price_id: int, comments: str) -> SiteOrder:
        order = SiteOrder(_FIRST_ORDER_ID + self._orders_made, customer_id, price_id, comments, self._clock.now())
        self._orders_made += 1
        self._orders[order.id] = order
        return order

    def _order_record(self, order: SiteOrder) -> dict[str, Any]:
        return order_record(order, self._customers[order.customer_id], self.config)

    def _date(self, parameters: Mapping[str, str], name: str, default: datetime | None) -> datetime:
        text = parameters.get(name, "")
        if not text and default is not None:
            return default
        try:
            return read_date(text, self.config)
        except ValueError:
            raise _BadRequestError(f"{name} is not a date") from None


def _email_key(email: str) -> str:
    return email.strip().lower()


def _positive_int(parameters: Mapping[str, str], name: str) -> int:
    text = parameters.get(name, "")
    if not is_id(text) or int(text) < 1:
        raise _BadRequestError(f"{name} is not a positive number")
    return int(text)
