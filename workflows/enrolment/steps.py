"""The `enrolment` workflow: `add_customer` → `add_customer_to_group` (once a group) → `add_comped_order`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, select

from worker.clients.base import CallLimits
from worker.clients.learningcart.client import CustomerFields, LearningCartClient
from worker.clients.learningcart.countries import country_name, part_of_country
from worker.clients.learningcart.models import Customer, ListedOrder, Order
from worker.errors import ApiError, AuthenticationError, UnexpectedResponseError
from worker.ledger import keys
from worker.ledger.learners import sealed_passwords
from worker.ledger.learners.sealed_passwords import Credentials
from worker.ledger.runs.run_rows import NewRun, insert_run, load_run
from worker.ledger.sql import record_of
from worker.ledger.states import Outcome, RunState
from worker.ledger.tables.runs import Attempt, Run, attempts, runs
from worker.sources.order import Address, Learner, email_key
from workflows.enrolment.mailer import MAIL, Mailer
from workflows.enrolment.welcome_mail import SEND_WELCOME_MAIL, WELCOME_MAIL
from workflows.execution.steps import Call, Lookup, PlannedStep, Repeat, StepDefinition, StepResult, Workflow
from workflows.planning.offers import Grant

LEARNINGCART = "learningcart"
_ZONE_MARGIN = timedelta(days=1)
"""LearningCart's time zone is not stated: the search window is a day wider on each side."""
_SHORTEST_CALL_SECONDS = 1.0
"""What the second call of a step gets where the first has used up nearly all of its deadline."""
_WELCOME_KEY: Final = "welcome"
_ANSWER_LOST: Final = "an attempt whose answer was lost may have made this customer"


def _learningcart(call: Call) -> LearningCartClient:
    client: LearningCartClient = call.clients[LEARNINGCART]
    return client


def _customer_id(call: Call) -> int:
    return int(call.outputs["add_customer"]["customer_id"])


def _grant(call: Call) -> Grant:
    return Grant.model_validate(call.planned)


def _add_customer(call: Call) -> StepResult:
    """Idempotent by email (vendor). Never sends a password: for an existing customer it would reset theirs."""
    wanted, client = customer_fields(call.learner), _learningcart(call)
    if client.keeps_profiles or call.learner.keeps_profile:
        customer = _add_customer_keeping(call, wanted)
    else:
        customer = client.add_customer(wanted, limits=call.limits)
        _keep_password(call, customer)
    output = {
        "customer_id": customer.customer_id,
        "is_new": bool(customer.is_new),
        "site": client.site_hostname,
    }
    return StepResult(output, then=_welcome_without_password(call, customer))


def customer_fields(learner: Learner) -> CustomerFields:
    """What `addCustomer` is sent about a learner. What the order leaves empty is not sent.

    Raises `ValueError` for a learner without an email.
    """
    address = learner.address or Address()
    state, province = part_of_country(address.country, address.state, address.province)
    return CustomerFields(
        email=learner.email,
        first_name=learner.first_name,
        last_name=learner.last_name,
        address_1=address.line_1.strip(),
        address_2=address.line_2.strip(),
        city=address.city.strip(),
        state=state,
        province=province,
        zip=address.zip.strip(),
        country_name=country_name(address.country),
    )


def _add_customer_keeping(call: Call, wanted: CustomerFields) -> Customer:
    """Look with the email alone, then fill what was answered empty, and all of a customer who was new.

    Each field that is not empty overwrites (vendor). After a crash between the two, the next look finds the fields
    empty and fills them; what the answer leaves out is not known to be empty, and stays as it is.
    """
    client = _learningcart(call)
    started = time.monotonic()
    found = client.add_customer(CustomerFields(email=wanted.email), limits=call.limits)
    _keep_password(call, found)
    missing = {
        name: value
        for name, value in asdict(wanted).items()
        if value.strip()
        and name != "email"
        and (found.is_new or (name in found.model_fields_set and not (getattr(found, name) or "").strip()))
    }
    if missing:
        client.add_customer(CustomerFields(email=wanted.email, **missing), limits=_rest(call.limits, started))
    return found


def _rest(limits: CallLimits, started: float) -> CallLimits:
    """The limits of a second call in one step: a slot of its own, and what is left of the step's one deadline."""
    left = None
    if limits.deadline_seconds is not None:
        left = max(limits.deadline_seconds - (time.monotonic() - started), _SHORTEST_CALL_SECONDS)
    return replace(limits, deadline_seconds=left, slot_taken=False)


# The password of a new customer


def _keep_password(call: Call, customer: Customer) -> None:
    """Seal the password of a customer who was just made, and plan its mail, in one transaction of its own.

    Call it as soon as LearningCart has answered: the password is given only once. It is kept whatever becomes of the
    caller's lease. Does nothing where passwords are not mailed, or the customer is not new. Safe to repeat.
    """
    mailer = _mailer(call)
    if mailer is None or mailer.seal is None or customer.password is None:
        return
    credentials = Credentials(customer.password.get_secret_value(), (customer.user_name or "").strip())
    with call.ledger.write() as connection:
        run_id = _plan_mail(connection, call, with_password=True, now=call.now)
        if run_id is not None:
            ciphertext = mailer.seal.close(credentials, run_id=run_id)
            sealed_passwords.keep(connection, run_id, ciphertext, now=call.now)


def _welcome_without_password(call: Call, customer: Customer) -> Callable[[Connection, datetime], None] | None:
    """What `add_customer` commits with its result where an earlier attempt of it may have made this customer.

    The password went with that attempt's answer, so the mail says how to ask for a new one. None where nothing of the
    kind can have happened. Not planned for a learner who was welcomed before, with a password or without.
    """
    if _mailer(call) is None or call.attempt == 0 or customer.is_new:
        return None

    def plan(connection: Connection, now: datetime) -> None:
        tried = (
            select(attempts)
            .join(runs, (runs.c.id == attempts.c.run_id) & (runs.c.generation == attempts.c.generation))
            .where(attempts.c.run_id == call.run_id, attempts.c.step == call.step)
        )
        earlier = [record_of(Attempt, row) for row in connection.execute(tried)]
        if any(map(_may_have_made, earlier)) and not _is_welcomed(connection, call.run_id):
            _plan_mail(connection, call, with_password=False, now=now)

    return plan


def _mailer(call: Call) -> Mailer | None:
    """What mails, where new customers' passwords are mailed."""
    mailer: Mailer | None = call.clients.get(MAIL)
    return mailer if mailer is not None and mailer.mails_passwords else None


def _may_have_made(attempt: Attempt) -> bool:
    """Whether a failed attempt of `addCustomer` may have been carried out; also where its row does not say."""
    return attempt.outcome != Outcome.OK and attempt.may_have_acted is not False


def _is_welcomed(connection: Connection, run_id: str) -> bool:
    """Whether the learner of a run has a welcome mail, of whatever order: they share a lane."""
    welcome = runs.alias("welcome")
    found = (
        select(welcome.c.id)
        .join(runs, runs.c.lane == welcome.c.lane)
        .where(runs.c.id == run_id, welcome.c.workflow == WELCOME_MAIL.name)
        .limit(1)
    )
    return connection.scalar(found) is not None


def _plan_mail(connection: Connection, call: Call, *, with_password: bool, now: datetime) -> str | None:
    """Add the mail's run beside the one that made the customer; None where this learner has one already."""
    parent = load_run(connection, call.run_id)
    key = _mail_key(connection, parent, call.learner)
    if key is None:
        return None
    return insert_run(
        connection,
        NewRun(
            key=key,
            workflow=WELCOME_MAIL.name,
            state=RunState.PENDING,
            source=parent.source,
            order_id=parent.order_id,
            line_id=parent.line_id,
            seat_id=parent.seat_id,
            title="welcome mail",
            note=None if with_password else _ANSWER_LOST,
            learner=call.learner,
            grant={"with_password": with_password},
            step_names=[SEND_WELCOME_MAIL.kind],
            parent_id=parent.id,
            delivery_id=parent.delivery_id,
        ),
        now=now,
    )


def _mail_key(connection: Connection, parent: Run, learner: Learner) -> str | None:
    """The key of a learner's mail; None where there is one already.

    Repeated on purpose (`--again`), the customer may be made anew, and gets another mail. So does whoever the seat was
    given to before its effect: the password of each customer is given only once.
    """
    word = f"{_WELCOME_KEY}-{parent.generation}" if parent.generation else _WELCOME_KEY
    key = f"{parent.key}/{word}"
    mails = select(runs.c.key, runs.c.email_key).where(
        runs.c.source == parent.source,
        runs.c.order_id == parent.order_id,
        runs.c.parent_id == parent.id,
        runs.c.workflow == WELCOME_MAIL.name,
    )
    taken = {row.key: row.email_key for row in connection.execute(mails) if f"{row.key}/".startswith(f"{key}/")}
    if email_key(learner.email) in taken.values():
        return None
    return f"{key}/{len(taken) + 1}" if taken else key


# Its groups and its order


def _add_customer_to_group(call: Call) -> StepResult:
    """Safe to repeat: being in a group twice is being in it. Raises `InvalidRequestError` on the vendor's `false`."""
    position = int(call.step.removeprefix("add_customer_to_group").lstrip("_") or 1)
    group_id = _grant(call).group_ids[position - 1]
    _learningcart(call).add_customer_to_group(_customer_id(call), group_id, limits=call.limits)
    return StepResult({"group_id": group_id})


def comments_for(call: Call) -> str:
    """The comped order's comments: our reference, and where it comes from for people."""
    return f"{call.reference} {call.source} order {call.order_id}"


def _add_comped_order(call: Call) -> StepResult:
    """Every call that arrives makes an order (vendor): never to be repeated blindly.

    An answer that shows another's order, by its customer or its reference, does not tell what became of ours.
    """
    price_id = _grant(call).price_id
    order = _learningcart(call).add_comp_order(_customer_id(call), price_id, comments_for(call), limits=call.limits)
    references = keys.references_in(order.customer_comments)
    is_customers = order.customer is None or order.customer.customer_id == _customer_id(call)
    if not is_customers or (references and call.reference not in references):
        raise UnexpectedResponseError(
            f"learningcart addCompOrder: another order was answered ({order.order_id})",
            system=LEARNINGCART,
            operation="addCompOrder",
            retryable=False,
            outcome_unknown=True,
        )
    order_id = str(order.order_id)
    return StepResult({"order_id": order_id, "price_id": price_id}, order_id)


def _look_up_comped_order(call: Call, since: datetime) -> Lookup:
    """Ask LearningCart for orders since `since` that carry our reference, or that might be ours and carry none.

    An order without a customer is read again by its id; one that still names nobody counts as this customer's. What
    cannot be read hides no match. Raises `ApiError` where an answer is still to be had.
    """
    output = {"price_id": _grant(call).price_id}
    asked_at_seconds = call.monotonic()
    listed = _learningcart(call).get_orders_by_date(since - _ZONE_MARGIN, call.now + _ZONE_MARGIN, limits=call.limits)
    answer_seconds = call.monotonic() - asked_at_seconds
    found = [order for order in listed if order.order_id > 0 and _carries(order, call)]
    unanswered: ApiError | None = None
    open_orders: list[Order] = []
    for row in listed if not found else ():
        order = row
        if _names_nobody(row, call) and row.order_id > 0:
            try:
                order = _read_again(row, call)
            except ApiError as error:
                unanswered = error
                continue
        if order.order_id > 0 and _carries(order, call):
            found.append(order)
        elif _carries(order, call) or _may_be_this_customers(order, call):
            open_orders.append(order)
    if unanswered is not None and not found:
        raise unanswered
    return Lookup(
        found=_ids(found),
        unreferenced=_ids(order for order in open_orders if order.order_id > 0),
        unreadable=sum(1 for order in open_orders if order.order_id < 1),
        output=output,
        answer_seconds=answer_seconds,
    )


def _read_again(listed: Order, call: Call) -> Order:
    """The order by its id, as a list may leave out what it tells; as listed where it cannot be had for good.

    Raises `ApiError` where it may be had later.
    """
    one_more = replace(call.limits, slot_taken=False)  # the slot that was waited for is the list's
    try:
        return _learningcart(call).get_order_by_id(listed.order_id, limits=one_more)
    except ApiError as error:
        if error.retryable or isinstance(error, AuthenticationError):
            raise
        return listed


def _carries(order: Order, call: Call) -> bool:
    return bool(keys.references_in(order.customer_comments) & {call.reference, *call.later_references})


def _names_nobody(order: Order, call: Call) -> bool:
    """Whether it might be this customer's, and does not say whose it is."""
    return order.customer is None and _may_be_this_customers(order, call)


def _may_be_this_customers(order: Order, call: Call) -> bool:
    """Whether an order without our reference may be ours all the same: not if it is another run's, or another's."""
    if keys.references_in(order.customer_comments):
        return False
    if order.customer is not None:
        return order.customer.customer_id == _customer_id(call)
    email = order.customer_email if isinstance(order, ListedOrder) else None
    return not email or email_key(email) == email_key(call.learner.email)


def _ids(orders: Iterable[Order]) -> tuple[str, ...]:
    return tuple(str(order_id) for order_id in sorted(order.order_id for order in orders))


ADD_CUSTOMER = StepDefinition("add_customer", LEARNINGCART, _add_customer)
ADD_CUSTOMER_TO_GROUP = StepDefinition("add_customer_to_group", LEARNINGCART, _add_customer_to_group)
ADD_COMPED_ORDER = StepDefinition(
    "add_comped_order", LEARNINGCART, _add_comped_order, _look_up_comped_order, Repeat.ASK
)


def _sequence(planned: Mapping[str, Any]) -> tuple[PlannedStep, ...]:
    grant = Grant.model_validate(planned)
    groups = tuple(
        PlannedStep(
            "add_customer_to_group" if number == 1 else f"add_customer_to_group_{number}", ADD_CUSTOMER_TO_GROUP
        )
        for number in range(1, len(grant.group_ids) + 1)
    )
    return (
        PlannedStep("add_customer", ADD_CUSTOMER),
        *groups,
        PlannedStep("add_comped_order", ADD_COMPED_ORDER),
    )


def _is_elsewhere(clients: Mapping[str, Any], outputs: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the customer was made at another LearningCart site: the number is somebody else's at this one."""
    site = outputs.get("add_customer", {}).get("site")
    return site is not None and site != clients[LEARNINGCART].site_hostname


ENROLMENT = Workflow("enrolment", (ADD_CUSTOMER, ADD_CUSTOMER_TO_GROUP, ADD_COMPED_ORDER), _sequence, _is_elsewhere)
