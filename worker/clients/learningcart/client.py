"""LearningCart's seven methods. Every one is a GET with its parameters, the token among them, in the query."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from worker.clients.base import NO_LIMITS, Answer, ApiClient, Budget, CallLimits, SystemClient
from worker.clients.learningcart.models import (
    CourseCompletionInfo,
    Customer,
    CustomerFields,
    LearningCartRecord,
    ListedOrder,
    Order,
    Token,
    names_no_list,
    names_no_token,
)
from worker.clients.learningcart.query import fitting, window
from worker.clients.learningcart.refusals import Refusal, hides_a_refusal, is_error_page, is_page, refusal_of
from worker.clients.learningcart.token import TokenKeeper
from worker.clients.rate import SharedSlots
from worker.clients.reading import (
    FieldNames,
    UnreadableError,
    as_bool,
    as_int,
    as_rows,
    by_field,
    decode,
    fold,
    is_html,
    unwrap,
)
from worker.clients.unreadable import Rows, read_rows
from worker.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    RefusalUnclearError,
    RequestRefusedError,
)
from worker.settings.systems import LearningCartSettings
from worker.text.email_address import email_key
from worker.text.redaction import SecretRegistry

__all__ = ["CustomerFields", "LearningCartClient"]

SYSTEM: Final = "learningcart"

_R = TypeVar("_R", bound=LearningCartRecord)
_MOST_NEW_TOKENS: Final = 2
_EVERYBODYS: Final = "getOrdersByDate"
"""What tells a refusal of everybody from one of a single request: it holds nothing of a learner."""


class LearningCartClient(SystemClient):
    """Calls LearningCart. Safe to share between threads; make one per process, after it forked.

    One token serves every call, and a call refused for its token gets a new one and is repeated, once, also where it is
    not safe to repeat otherwise: refused is not carried out. A call whose token cannot be had was not sent.
    Every method raises `ApiError` and what `limits.before_send` raises. Raises `ConfigurationError` for settings that
    lack something. `secrets` learns the password and each token.
    """

    def __init__(
        self,
        settings: LearningCartSettings,
        *,
        secrets: SecretRegistry | None = None,
        slots: SharedSlots | None = None,
        clock: Callable[[], float] = time.monotonic,
        api: ApiClient | None = None,
    ) -> None:
        if not (settings.base_url and settings.site_hostname and settings.username and settings.password):
            raise ConfigurationError(
                "LearningCart is not configured. Set CARTBRIDGE_LEARNINGCART__BASE_URL, __SITE_HOSTNAME, __USERNAME "
                "and __PASSWORD."
            )
        self._secrets = SecretRegistry() if secrets is None else secrets
        self._secrets.add(settings.password.get_secret_value())
        self.site_hostname = settings.site_hostname.strip().lower()
        """The site whose customers and orders the numbers are of."""
        self.keeps_profiles = settings.existing_customers == "keep"
        """Whether the profile of a customer who exists already is left as it is, but for what is empty in it."""
        self._credentials = {"sitehostname": settings.site_hostname, "username": settings.username}
        self._password = settings.password
        self._comped_order_method = settings.comped_order_method
        self._clock = clock
        self._api = api or ApiClient.of(SYSTEM, settings, settings.base_url, redact=self._secrets.redact, slots=slots)
        self._tokens = TokenKeeper(self._fetch_token, clock=clock)

    def ready(self, *, limits: CallLimits = NO_LIMITS) -> None:
        """Wait until the next call can go out at once: a valid token at hand, and the rate limit's slot taken.

        For a caller that commits an intent first; the call is then made with `slot_taken=True`.
        """
        budget = self._budget(limits)
        self._tokens.get(budget)
        if not limits.slot_taken:
            self._api.take_slot()

    def request_token(self, *, limits: CallLimits = NO_LIMITS) -> Token:
        """Ask for a new token, whatever token is at hand. Raises `AuthenticationError` for a wrong name or password.

        Safe to repeat. No other refusal is final: it says nothing about the call that wants the token. An error page is
        a failure of the server, or of a firewall before it, and not a word on the password.
        """
        operation = "requestToken"
        answer = self._api.exchange(
            operation,
            "GET",
            f"/{operation}",
            params=self._credentials | {"password": self._password.get_secret_value()},
            safe_to_repeat=True,
            limits=limits,
        )
        error = self._api.error_for(operation, answer, safe_to_repeat=True)
        if error is not None:
            is_plain = not (is_html(decode(answer.body)) or is_error_page(answer))
            if answer.broken:
                error.retryable = True
            elif answer.status == 401 or (answer.status in {400, 403, 422} and is_plain):
                error = self._credentials_refused(answer.status)
            elif answer.status in {400, 403, 422}:
                error = self._page(operation, answer, safe_to_repeat=True)
            elif answer.status < 500:
                error.retryable = True
            raise error
        if is_error_page(answer):
            raise self._page(operation, answer, safe_to_repeat=True)
        document = self._read(operation, answer, safe_to_repeat=True)
        if names_no_token(document):
            raise self._credentials_refused(answer.status)
        token = self._record(Token, document, operation, answer, safe_to_repeat=True)
        self._secrets.add(token.value.get_secret_value(), rotating=True)
        return token

    def get_order_by_id(self, order_id: int, *, limits: CallLimits = NO_LIMITS) -> Order:
        """Return one order. Raises `NotFoundError` when there is none of that id. Safe to repeat."""
        operation = "getOrderByID"
        document, answer = self._call(operation, {"orderid": str(order_id)}, safe_to_repeat=True, limits=limits)
        # A service that finds nothing answers null, or a record in which nothing is set.
        if document is None or (isinstance(document, dict) and as_int(_field(document, "Order ID")) == 0):
            raise NotFoundError(
                f"{SYSTEM} {operation}: no order {order_id}", system=SYSTEM, operation=operation, status=answer.status
            )
        order = self._record(Order, document, operation, answer, safe_to_repeat=True)
        if order.order_id != order_id:
            raise self._api.unexpected(operation, "another order was answered", safe_to_repeat=True, answer=answer)
        return order

    def get_orders_by_date(
        self, begin_at: datetime | None, end_at: datetime | None = None, *, limits: CallLimits = NO_LIMITS
    ) -> list[Order]:
        """Return the orders of a window; None leaves it to LearningCart (a week ago, now). Safe to repeat.

        The zone in which the server reads the dates is not known: make the window a day wider on each side. Null is not
        taken for an empty list: absence must never be proven by a service that had nothing to say. A row that cannot be
        read (null, no order id) is a `ListedOrder` of the id 0, so that it hides no other and is not overlooked.
        """
        operation = "getOrdersByDate"
        parameters = window(begin_at, end_at)
        document, answer = self._call(operation, parameters, safe_to_repeat=True, limits=limits)
        return self._listed(document, operation, answer)

    def add_comp_order(
        self, customer_id: int, price_id: int, comments: str = "", *, limits: CallLimits = NO_LIMITS
    ) -> Order:
        """Make a comped order, and with it the access. **Not safe to repeat**: every call that arrives makes one.

        `comments` come back as the order's `customer_comments`. An answer without a positive order id raises
        `UnexpectedResponseError` with `outcome_unknown`.
        """
        operation = self._comped_order_method
        parameters = {"CustomerID": str(customer_id), "PriceID": str(price_id)}
        if comments:
            parameters["OrderComments"] = comments
        document, answer = self._call(operation, parameters, safe_to_repeat=False, limits=limits)
        return self._record(Order, document, operation, answer, safe_to_repeat=False)

    def add_customer(self, fields: CustomerFields, *, limits: CallLimits = NO_LIMITS) -> Customer:
        """Create the customer of this email, or update the one there is with the fields that are not empty.

        Safe to repeat, one call at a time for one email; but the password of a new customer is in this one answer and
        never again. Raises `UnexpectedResponseError` for a customer without an id or of another email.
        """
        operation = "addCustomer"
        document, answer = self._call(operation, fields.parameters(), safe_to_repeat=True, limits=limits)
        customer = self._record(Customer, document, operation, answer, safe_to_repeat=True)
        if customer.email and email_key(customer.email) != email_key(fields.email):
            raise self._api.unexpected(operation, "another customer was answered", safe_to_repeat=True, answer=answer)
        return customer

    def add_customer_to_group(
        self, customer_id: int, group_id: int, *, is_admin: bool | None = None, limits: CallLimits = NO_LIMITS
    ) -> None:
        """Make the customer a member of the group. Safe to repeat. Raises `InvalidRequestError` when it is refused."""
        operation = "addCustomerToGroup"
        parameters = {"CustomerID": str(customer_id), "GroupID": str(group_id)}
        if is_admin is not None:
            parameters["isAdmin"] = str(is_admin).lower()
        document, answer = self._call(operation, parameters, safe_to_repeat=True, limits=limits)
        accepted = as_bool(document)
        if accepted is None:
            raise self._api.unexpected(operation, "neither true nor false", safe_to_repeat=True, answer=answer)
        if not accepted:
            raise InvalidRequestError(
                f"{SYSTEM} {operation}: refused for customer {customer_id} and group {group_id}",
                system=SYSTEM,
                operation=operation,
                status=answer.status,
            )

    def get_completions(
        self, begin_at: datetime, end_at: datetime, *, limits: CallLimits = NO_LIMITS
    ) -> Rows[CourseCompletionInfo]:
        """Return who began or completed a course in the window; `is_completed` tells which. Safe to repeat.

        A row that cannot be read stands in its place as an `UnreadableRow`: it keeps nobody else's from being read.

        As for orders, make the window a day wider on each side.
        """
        operation = "getCompletions"
        parameters = window(begin_at, end_at)
        document, answer = self._call(operation, parameters, safe_to_repeat=True, limits=limits)
        rows = self._rows("CourseCompletionInfo", document, operation, answer)
        read = partial(self._record, CourseCompletionInfo, operation=operation, answer=answer, safe_to_repeat=True)
        return read_rows(rows, read, by_id=False)

    def _budget(self, limits: CallLimits) -> Budget:
        seconds = self._api.default_deadline_seconds if limits.deadline_seconds is None else limits.deadline_seconds
        return Budget(seconds, self._clock)

    def _fetch_token(self, budget: Budget) -> Token:
        with budget.paused():
            self._api.take_slot()
        return self.request_token(limits=CallLimits(deadline_seconds=budget.left(), slot_taken=True))

    def _call(
        self, operation: str, parameters: Mapping[str, str], *, safe_to_repeat: bool, limits: CallLimits
    ) -> tuple[Any, Answer]:
        """Return what the method answered, unwrapped; again, with a new token, where that may be why.

        Twice where the second token was another thread's, or its refusal came late: it may have been revoked meanwhile,
        and only a new token's refusal is one of the credentials.
        """
        budget = self._budget(limits)
        token = self._tokens.get(budget)
        answer, refusal = self._send(operation, parameters, token, budget, safe_to_repeat=safe_to_repeat, limits=limits)
        again = replace(limits, slot_taken=False)
        for _ in range(_MOST_NEW_TOKENS):
            if refusal is None:
                break
            refused_at_seconds = self._clock()
            token = self._tokens.get(budget, refused=token)
            answer, refusal = self._send(
                operation, parameters, token, budget, safe_to_repeat=safe_to_repeat, limits=again
            )
            if refusal is not Refusal.TOKEN or self._tokens.is_new(token, since_seconds=refused_at_seconds):
                break
        error = self._api.error_for(operation, answer, safe_to_repeat=safe_to_repeat)
        if refusal is Refusal.TOKEN:
            self._tokens.drop(token)
            raise self._refused(operation, answer, token, budget)
        if refusal is None and error is None and not is_error_page(answer):
            return self._read(operation, answer, safe_to_repeat=safe_to_repeat), answer
        if refusal is None and hides_a_refusal(answer, operation):
            self._tokens.drop(token)
        if error is not None and (error.retryable or error.outcome_unknown or not is_page(answer)):
            raise error
        raise self._page(operation, answer, safe_to_repeat=safe_to_repeat)

    def _send(
        self,
        operation: str,
        parameters: Mapping[str, str],
        token: str,
        budget: Budget,
        *,
        safe_to_repeat: bool,
        limits: CallLimits,
    ) -> tuple[Answer, Refusal | None]:
        """Return an answer of any status, and what it says of the token."""
        query = fitting(operation, {"AuthenticationToken": token} | dict(parameters))
        is_undated = self._tokens.is_undated(token)
        if not limits.slot_taken:
            with budget.paused():
                self._api.take_slot()
        answer = self._api.exchange(
            operation,
            "GET",
            f"/{operation}",
            params=query,
            safe_to_repeat=safe_to_repeat,
            limits=CallLimits(deadline_seconds=budget.left(), before_send=limits.before_send, slot_taken=True),
        )
        return answer, refusal_of(answer, operation, safe_to_repeat=safe_to_repeat, is_undated=is_undated)

    def _page(self, operation: str, answer: Answer, *, safe_to_repeat: bool) -> ApiError:
        what = f"answered an error page that names no cause (HTTP {answer.status})"
        return self._api.unexpected(operation, what, safe_to_repeat=safe_to_repeat, answer=answer)

    def _refused(self, operation: str, answer: Answer, token: str, budget: Budget) -> ApiError:
        """Return the error for a call that is refused also with a new token: everybody's refusal, or this one's alone.

        `getOrdersByDate` is tried with the same token, which tells the one from the other.
        """
        is_refused = True if operation == _EVERYBODYS else self._is_everybody_refused(token, budget)
        details: dict[str, Any] = {"system": SYSTEM, "operation": operation, "status": answer.status}
        message = f"{SYSTEM} {operation}: refused, also with a new token (HTTP {answer.status})"
        if is_refused is None:
            return RefusalUnclearError(f"{message}; whether other requests are cannot be told", **details)
        if is_refused:
            return AuthenticationError(message, **details)
        return RequestRefusedError(f"{message}, while other requests are answered", **details)

    def _is_everybody_refused(self, token: str, budget: Budget) -> bool | None:
        """Whether LearningCart refuses a harmless request with this token as well; None where that cannot be told."""
        now = datetime.now(UTC)
        try:
            parameters = window(now - timedelta(minutes=1), now)
            answer, refusal = self._send(_EVERYBODYS, parameters, token, budget, safe_to_repeat=True, limits=NO_LIMITS)
            if refusal is Refusal.TOKEN:
                return True
            error = self._api.error_for(_EVERYBODYS, answer, safe_to_repeat=True)
            if error is None:
                self._listed(self._read(_EVERYBODYS, answer, safe_to_repeat=True), _EVERYBODYS, answer)
        except ApiError:
            return None
        return None if error is not None else False

    def _read(self, operation: str, answer: Answer, *, safe_to_repeat: bool) -> Any:
        problem = ""
        try:
            return unwrap(self._api.read(operation, answer, safe_to_repeat=safe_to_repeat), operation)
        except UnreadableError as error:
            problem = f"the answer {error}"
        raise self._api.unexpected(operation, problem, safe_to_repeat=safe_to_repeat, answer=answer)

    def _listed(self, document: Any, operation: str, answer: Answer) -> list[Order]:
        rows = [row if isinstance(row, dict) else {} for row in self._rows("Order", document, operation, answer)]
        orders: list[Order] = [self._record(ListedOrder, row, operation, answer, safe_to_repeat=True) for row in rows]
        if not isinstance(document, list) and any(order.order_id == 0 for order in orders):
            raise self._api.unexpected(operation, "the answer is not a list", safe_to_repeat=True, answer=answer)
        return orders

    def _rows(self, row: str, document: Any, operation: str, answer: Answer) -> list[Any]:
        if names_no_list(document, answer.body):
            raise self._api.unexpected(operation, "the answer is not a list", safe_to_repeat=True, answer=answer)
        return as_rows(document, row)

    def _record(self, model: type[_R], document: Any, operation: str, answer: Answer, *, safe_to_repeat: bool) -> _R:
        fields: set[str] = set()
        try:
            return model.model_validate(document)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)
            fields = {str(detail["loc"][0]) for detail in details if detail["loc"]}
        problem = f"the answer is not a readable {model.__name__} ({', '.join(sorted(fields)) or 'not a record'})"
        raise self._api.unexpected(operation, problem, safe_to_repeat=safe_to_repeat, answer=answer)

    def _credentials_refused(self, status: int) -> ApiError:
        return AuthenticationError(
            f"{SYSTEM} requestToken: the site hostname, user name or password is not accepted (HTTP {status})",
            system=SYSTEM,
            operation="requestToken",
            status=status,
        )


def _field(record: Mapping[str, Any], name: str) -> Any:
    return by_field(record, FieldNames({fold(name): name})).get(name)
