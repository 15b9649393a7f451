"""LearningCart's seven methods. Every one is a GET with its parameters, the token among them, in the query."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from limits.storage import Storage
from pydantic import SecretStr, ValidationError

from worker.clients.base import NO_LIMITS, Answer, ApiClient, Budget, CallLimits, SystemAccess
from worker.clients.learningcart_models import (
    CourseCompletionInfo,
    Customer,
    CustomerFields,
    LearningCartRecord,
    Order,
    Token,
    names_no_token,
)
from worker.clients.learningcart_token import TokenKeeper, speaks_of_token
from worker.clients.reading import (
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
from worker.email_address import email_key
from worker.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
)
from worker.redaction import SecretBook

__all__ = ["CustomerFields", "LearningCartAccess", "LearningCartClient"]

SYSTEM: Final = "learningcart"

_R = TypeVar("_R", bound=LearningCartRecord)
_NOT_REFUSALS: Final = {408, 425, 429}


class LearningCartAccess(SystemAccess, Protocol):
    """What the client reads of `worker.settings.LearningCartSettings`."""

    @property
    def site_hostname(self) -> str | None: ...
    @property
    def username(self) -> str | None: ...
    @property
    def password(self) -> SecretStr | None: ...
    @property
    def comped_order_method(self) -> str: ...


class LearningCartClient:
    """Calls LearningCart. Safe to share between threads; make one per process, after it forked.

    One token serves every call, and a call refused for its token gets a new one and is repeated, once, also where it is
    not safe to repeat otherwise: refused is not carried out. A call whose token cannot be had was not sent.
    Every method raises `ApiError` and what `limits.before_send` raises. Raises `ConfigurationError` for settings that
    lack something. `secrets` learns the password and each token.
    """

    def __init__(
        self,
        settings: LearningCartAccess,
        *,
        secrets: SecretBook | None = None,
        storage: Storage | None = None,
        clock: Callable[[], float] = time.monotonic,
        api: ApiClient | None = None,
    ) -> None:
        if not (settings.base_url and settings.site_hostname and settings.username and settings.password):
            raise ConfigurationError(
                "LearningCart is not configured. Set CARTBRIDGE_LEARNINGCART__BASE_URL, __SITE_HOSTNAME, __USERNAME "
                "and __PASSWORD."
            )
        self._secrets = SecretBook() if secrets is None else secrets
        self._secrets.add(settings.password.get_secret_value())
        self._credentials = {"sitehostname": settings.site_hostname, "username": settings.username}
        self._password = settings.password
        self._comped_order_method = settings.comped_order_method
        self._clock = clock
        self._api = api or ApiClient.of(
            SYSTEM, settings, settings.base_url, redact=self._secrets.redact, storage=storage
        )
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

        Safe to repeat. No other refusal is final: it says nothing about the call that wants the token.
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
            if answer.status in {400, 401, 403, 422}:
                error = self._credentials_refused(answer.status)
            elif answer.status < 500:
                error.retryable = True
            raise error
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
        taken for an empty list: absence must never be proven by a service that had nothing to say.
        """
        operation = "getOrdersByDate"
        parameters = _window(begin_at, end_at)
        document, answer = self._call(operation, parameters, safe_to_repeat=True, limits=limits)
        return self._records(Order, document, operation, answer)

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
        parameters = _window(begin_at, end_at)
        document, answer = self._call(operation, parameters, safe_to_repeat=True, limits=limits)
        rows = self._rows(CourseCompletionInfo, document, operation, answer)
        read = partial(self._record, CourseCompletionInfo, operation=operation, answer=answer, safe_to_repeat=True)
        return read_rows(rows, read, by_id=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was read all the same, though something stood around it; see `ApiClient.notes`."""
        return self._api.notes

    def close(self) -> None:
        """Close the idle connections. The client can be used again."""
        self._api.close()

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
        """Return what the method answered, unwrapped; with a new token, and once more, where the token is refused."""
        budget = self._budget(limits)

        def attempt(token: str, *, slot_taken: bool) -> Answer:
            if not slot_taken:
                with budget.paused():
                    self._api.take_slot()
            return self._api.exchange(
                operation,
                "GET",
                f"/{operation}",
                params={"AuthenticationToken": token} | dict(parameters),
                safe_to_repeat=safe_to_repeat,
                limits=CallLimits(deadline_seconds=budget.left(), before_send=limits.before_send, slot_taken=True),
            )

        token = self._tokens.get(budget)
        answer = attempt(token, slot_taken=limits.slot_taken)
        if self._is_token_refused(operation, answer, token, safe_to_repeat=safe_to_repeat):
            token = self._tokens.get(budget, refused=token)
            answer = attempt(token, slot_taken=False)
            if self._is_token_refused(operation, answer, token, safe_to_repeat=safe_to_repeat):
                self._tokens.drop(token)
                raise AuthenticationError(
                    f"{SYSTEM} {operation}: refused, also with a new token (HTTP {answer.status})",
                    system=SYSTEM,
                    operation=operation,
                    status=answer.status,
                )
        return self._read(operation, answer, safe_to_repeat=safe_to_repeat), answer

    def _is_token_refused(self, operation: str, answer: Answer, token: str, *, safe_to_repeat: bool) -> bool:
        """Tell a refusal of the token from an answer. Raises the error of any other refusal or failure."""
        error = self._api.error_for(operation, answer, safe_to_repeat=safe_to_repeat)
        speaks = speaks_of_token(answer, operation)
        if error is None:
            return speaks
        refused = 400 <= answer.status < 500 and answer.status not in _NOT_REFUSALS
        refused = refused and (speaks or answer.status in {401, 403})
        # A page for people may come from something in between, before LearningCart acted or after.
        if refused and (safe_to_repeat or not is_html(decode(answer.body))):
            return True
        if refused or speaks:
            self._tokens.drop(token)
        raise error

    def _read(self, operation: str, answer: Answer, *, safe_to_repeat: bool) -> Any:
        problem = ""
        try:
            return unwrap(self._api.read(operation, answer, safe_to_repeat=safe_to_repeat), operation)
        except UnreadableError as error:
            problem = f"the answer {error}"
        raise self._api.unexpected(operation, problem, safe_to_repeat=safe_to_repeat, answer=answer)

    def _records(self, model: type[_R], document: Any, operation: str, answer: Answer) -> list[_R]:
        rows = self._rows(model, document, operation, answer)
        return [self._record(model, each, operation, answer, safe_to_repeat=True) for each in rows]

    def _rows(self, model: type[_R], document: Any, operation: str, answer: Answer) -> list[Any]:
        row = "Order" if model is Order else "CourseCompletionInfo"
        if document is None or isinstance(document, (bool, int)) or (isinstance(document, str) and document):
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
    return by_field(record, {fold(name): name}).get(name)


def _window(begin_at: datetime | None, end_at: datetime | None) -> dict[str, str]:
    """Return the parameters of a window.

    ISO 8601 is the one notation .NET reads alike in every culture (05/06 is May or June); and without a zone, because
    with one it would be converted to the server's own, and every date it answers is without one too.
    """
    parameters: dict[str, str] = {}
    if begin_at is not None:
        parameters["BeginDate"] = _iso(begin_at)
    if end_at is not None:
        # Cut to the second, the window would end before the moment asked for.
        parameters["EndDate"] = _iso(end_at + timedelta(seconds=1) if end_at.microsecond else end_at)
    return parameters


def _iso(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("a date needs its zone")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
