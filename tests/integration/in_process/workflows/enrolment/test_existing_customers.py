"""`EXISTING_CUSTOMERS=keep`: a customer LearningCart knows keeps the profile, and nobody stays nameless."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workflows.fakes.learningcart import FakeLearningCart, a_run, an_executor, api_error, claimed, perform
from tests.unit.workflows.fakes.storefront import NOW, Clock
from worker.clients.base import NO_LIMITS, CallLimits
from worker.clients.learningcart.models import Customer, CustomerFields
from worker.errors import ApiError, ServerError
from worker.ledger.session import Ledger
from worker.sources.order import Address, Learner
from workflows.enrolment.steps import ADD_CUSTOMER
from workflows.execution.steps import Call

KARI = Learner(
    email="kari@example.test",
    first_name="Kari",
    last_name="Nordmann",
    address=Address(line_1="Veien 2", city="Oslo", zip="3120", country="Norway"),
)
WHOLE = {
    "first_name": "Kari",
    "last_name": "Nordmann",
    "address_1": "Veien 2",
    "city": "Oslo",
    "zip": "3120",
    "country_name": "Norway",
}


class Registry(FakeLearningCart):
    """LearningCart's customers: what is not empty overwrites; `shows` are the fields its answers hold."""

    def __init__(self, profile: dict[str, str] | None = None, *, shows: set[str] | None = None) -> None:
        super().__init__()
        self.profile = profile
        self.shows = shows

    def add_customer(self, fields: CustomerFields, *, limits: CallLimits = NO_LIMITS) -> Customer:
        self.limits.append(limits)
        self.customers.append(fields)

        def add() -> Customer:
            is_new = self.profile is None
            self.profile = (self.profile or {}) | {name: value for name, value in asdict(fields).items() if value}
            everything = {name: self.profile.get(name, "") for name in asdict(fields)}
            shown = {name: value for name, value in everything.items() if self.shows is None or name in self.shows}
            return Customer.model_validate({"customer_id": 5001, "isNew": is_new} | shown)

        return self._act("add_customer", add)


def keep(registry: Registry, learner: Learner = KARI, *, keep_profiles: bool = True, **limits: Any) -> dict[str, Any]:
    registry.keeps_profiles = keep_profiles
    call = Call(
        clients={"learningcart": registry},
        ledger=Ledger("sqlite://"),
        source="frontcore",
        order_id="1",
        learner=learner,
        planned={"price_id": 601},
        step="add_customer",
        reference="cb-x",
        outputs={},
        now=NOW,
        limits=CallLimits(**limits),
    )
    return ADD_CUSTOMER.call(call).output


def sent(registry: Registry) -> list[dict[str, str]]:
    return [
        {name: value for name, value in asdict(fields).items() if value and name != "email"}
        for fields in registry.customers
    ]


def test_everything_is_sent_at_once_when_profiles_are_updated() -> None:
    registry = Registry({"first_name": "Kåre"})
    keep(registry, keep_profiles=False)
    assert sent(registry) == [WHOLE]


def test_new_customer_is_created_by_email_and_then_named_when_profiles_are_kept() -> None:
    registry = Registry()
    assert keep(registry) == {"customer_id": 5001, "is_new": True, "site": "academy.example"}
    assert sent(registry) == [{}, WHOLE]


def test_nothing_more_is_sent_when_the_profile_is_whole() -> None:
    registry = Registry(dict.fromkeys(WHOLE, "as it was"))
    assert keep(registry) == {"customer_id": 5001, "is_new": False, "site": "academy.example"}
    assert sent(registry) == [{}]


def test_only_empty_fields_are_filled_when_the_customer_exists() -> None:
    registry = Registry({"first_name": "Kåre", "city": "Bergen", "zip": "  "})
    keep(registry)
    assert sent(registry)[1] == {name: WHOLE[name] for name in ("last_name", "address_1", "zip", "country_name")}


def test_unanswered_field_is_left_alone_when_nobody_knows_that_it_is_empty() -> None:
    registry = Registry({"first_name": "Kåre"}, shows={"email", "last_name"})
    keep(registry)
    assert sent(registry)[1] == {"last_name": "Nordmann"}


def test_customer_is_named_on_the_next_attempt_when_the_second_call_fails() -> None:
    registry = Registry()
    registry.after["add_customer"] = []
    answers = iter([None, api_error(ServerError, status=500)])
    registry.during = lambda _method: registry.after.update(add_customer=[e] if (e := next(answers, None)) else [])
    registry.before["add_customer"] = []
    with pytest.raises(ApiError):
        keep(registry)
    registry.profile = {"email": KARI.email}  # the call did not arrive
    assert keep(registry)["is_new"] is False
    assert registry.profile == {"email": KARI.email} | WHOLE


def test_second_call_has_its_own_slot_and_what_is_left_of_the_deadline() -> None:
    registry = Registry()
    keep(registry, deadline_seconds=7.0, slot_taken=True)
    first, second = registry.limits
    assert (first.deadline_seconds, first.slot_taken, second.slot_taken) == (7.0, True, False)
    assert second.deadline_seconds is not None
    assert 6.0 < second.deadline_seconds <= 7.0
    keep(registry := Registry(), deadline_seconds=0.0)
    assert registry.limits[1].deadline_seconds == 1.0
    keep(registry := Registry())
    assert registry.limits[1].deadline_seconds is None


values = st.text(max_size=6)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.none() | st.dictionaries(st.sampled_from([*WHOLE, "state"]), values), st.booleans(), values, values)
def test_no_field_is_ever_overwritten_when_profiles_are_kept(
    before: dict[str, str] | None, is_named: bool, first: str, city: str
) -> None:
    learner = Learner(email=KARI.email, first_name=first if is_named else "", last_name="N", address=Address(city=city))
    registry = Registry(before and dict(before))
    keep(registry, learner)
    after = registry.profile or {}
    for name, value in (before or {}).items():
        assert not value.strip() or after[name] == value
    assert after["last_name"].strip()
    assert len(registry.customers) <= 2


@pytest.mark.parametrize("keep_profiles", [True, False])
def test_setting_reaches_the_step_when_a_run_is_worked(ledger: Ledger, clock: Clock, keep_profiles: bool) -> None:
    run_id = a_run(ledger)
    registry = Registry({"first_name": "J.", "last_name": "D."})
    registry.keeps_profiles = keep_profiles
    executor = an_executor(ledger, registry, clock)
    held = claimed(executor, run_id)
    perform(executor, held)
    assert sent(registry) == ([{}] if keep_profiles else [{"first_name": "Jane", "last_name": "Doe"}])
