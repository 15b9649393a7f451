"""Frontcore's orders from the account to LearningCart, over HTTP: the document's own, and one of 250 participants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import select

from worker.clients.frontcore.client import FrontcoreClient
from worker.clients.learningcart.client import LearningCartClient
from worker.clients.learningcart.models import CustomerFields
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import runs
from worker.sandbox import Sandbox
from worker.settings.settings import load_settings
from worker.sources.frontcore import FrontcoreSource
from worker.text.redaction import SecretRegistry
from workflows.execution.executor import Executor, Timing
from workflows.execution.retry_policy import Patience, RetryPolicy
from workflows.planning.offers_file import OffersFile
from workflows.recording.order_recording import Look, record_order
from workflows.registry import WORKFLOWS

OFFERS = """
[[offer]]
source = "frontcore"
course_id = "22353"
grants = [{ price_id = 601, group_ids = [12] }]
"""
LARS = "frontcore/27244/31400/participant-124920-user-154420"
PAAL = "frontcore/27243/31399/participant-124918-user-154418"
DONE = ("succeeded", None)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Company:
    """A ledger, an account and a LearningCart, and the parts between them."""

    sandbox: Sandbox
    ledger: Ledger
    source: FrontcoreSource
    offers: OffersFile
    executor: Executor
    learningcart: LearningCartClient

    def look(self, order_id: str) -> list[str]:
        """Fetch, record and plan an order; what is due."""
        order = self.source.fetch(order_id)
        with self.ledger.write() as connection:
            recorded = record_order(
                connection,
                order,
                self.offers.current(),
                Look(fetched_at=utc_now()),
                now=utc_now(),
                start_at=datetime(2017, 1, 1, tzinfo=UTC),
            )
        return recorded.ready

    def work(self, run_ids: list[str]) -> None:
        """Work runs as far as they go."""
        for run_id in run_ids:
            held = self.executor.claim(run_id, "learningcart")
            assert held is not None
            while (planned := next(iter(self.executor.steps_left(held)), None)) and self.executor.perform(
                held, planned
            ):
                pass

    @property
    def states(self) -> dict[str, tuple[str, str | None]]:
        with self.ledger.read() as connection:
            return {row.key: (row.state, row.reason) for row in connection.execute(select(runs))}

    @property
    def comped(self) -> list[str]:
        """The email of every comped order."""
        return [str(each.facts["email"]) for each in self.sandbox.effects_of("learningcart", "addCompOrder")]


Found = Callable[..., Company]


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Found]:
    """Make a company; keywords are settings."""
    with Sandbox.start() as sandbox:
        companies: list[Company] = []
        clients: list[FrontcoreClient] = []

        def make(**overrides: str) -> Company:
            variables = {
                "CARTBRIDGE_FRONTCORE__REQUESTS_PER_SECOND": "0",
                "CARTBRIDGE_LEARNINGCART__REQUESTS_PER_SECOND": "0",
            } | {f"CARTBRIDGE_{name}": value for name, value in overrides.items()}
            environment = sandbox.environment(systems=["frontcore", "learningcart"], **variables)
            settings = load_settings(environment, env_file=None)
            (tmp_path / "offers.toml").write_text(OFFERS)
            ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
            ledger.migrate()
            frontcore = FrontcoreClient(settings.frontcore, secrets=SecretRegistry())
            learningcart = LearningCartClient(settings.learningcart, secrets=SecretRegistry())
            source = FrontcoreSource(frontcore, provision_when=settings.frontcore.provision_when, clock=utc_now)
            patience = Patience(base_seconds=0.1, max_seconds=1, max_attempts=3, settle_seconds=1)
            executor = Executor(
                ledger,
                WORKFLOWS,
                {"learningcart": learningcart},
                timing=Timing(lease_seconds=120, call_seconds={"learningcart": 35}),
                retry_policy=RetryPolicy(patience, Random(1)),
                holder="test",
                clock=utc_now,
            )
            clients.append(frontcore)
            companies.append(
                Company(sandbox, ledger, source, OffersFile(tmp_path / "offers.toml"), executor, learningcart)
            )
            return companies[-1]

        yield make
        for company in companies:
            company.learningcart.close()
            company.ledger.close()
        for client in clients:
            client.close()


def test_document_s_paid_order_is_provisioned_and_the_unpaid_one_waits(found: Found) -> None:
    company = found()
    for order_id in ("27244", "27243"):
        company.work(company.look(order_id))
    assert company.states == {f"{LARS}/601": DONE}
    assert company.comped == ["lars@eksemel.ek"]
    profile = company.sandbox.learningcart.customer_of("lars@eksemel.ek")
    assert profile is not None
    shown = {name: value for name, value in profile.profile.items() if value and ("Name" in name or "1" in name)}
    assert shown == {
        "First Name": "Lars",
        "Last Name": "Larsen",
        "User Name": "lars@eksemel.ek",
        "Address 1": "Veien 2",
        "Country Name": "Norway",
    }


def test_document_s_unpaid_order_is_provisioned_when_it_is_paid(found: Found) -> None:
    company = found()
    assert company.look("27243") == []
    company.sandbox.frontcore.update_order(27243, is_paid=True)
    company.work(company.look("27243"))
    assert company.states == {f"{PAAL}/601": DONE}


def test_document_s_unpaid_order_is_provisioned_when_creation_is_enough(found: Found) -> None:
    company = found(FRONTCORE__PROVISION_WHEN="created")
    for order_id in ("27244", "27243"):
        company.work(company.look(order_id))
    assert company.states == {f"{LARS}/601": DONE, f"{PAAL}/601": DONE}


def test_existing_profile_is_kept_when_the_setting_says_so(found: Found) -> None:
    company = found(LEARNINGCART__EXISTING_CUSTOMERS="keep")
    company.learningcart.add_customer(CustomerFields(email="Lars@eksemel.ek", first_name="Lasse"))
    company.work(company.look("27244"))
    customer = company.sandbox.learningcart.customer_of("lars@eksemel.ek")
    assert customer is not None
    assert (customer.profile["First Name"], customer.profile["Last Name"]) == ("Lasse", "Larsen")


# 250 participants


def a_participant(number: int, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A relation and its user."""
    relation = {
        "type": "participant",
        "participant_id": 9000 + number,
        "coursedate_id": 50,
        "user_id": 7000 + number,
        "course_id": 22353,
        "participants": [{"id": 9000 + number, "status": 1}],
    }
    user = {"id": 7000 + number, "firstname": "Ola", "lastname": f"No{number}", "email": f"ola{number}@example.test"}
    return relation | more.pop("relation", {}), user | more


def faulty() -> dict[int, tuple[str, dict[str, Any]]]:
    """The faults by participant number: the reason each waits for, and what is wrong with it."""
    cancelled = {"coursedate_id": 51, "course": {"id": 22353, "coursedates": [{"id": 51, "status": 3}]}}
    return {
        10: ("missing_email", {"email": ""}),
        20: ("missing_email", {"email": None}),
        30: ("invalid_email", {"email": "ola at home"}),
        40: ("invalid_email", {"email": "ola@localhost"}),
        50: ("shared_email", {"email": "mailbox@example.test"}),
        51: ("shared_email", {"email": "Mailbox@example.test"}),
        60: ("waiting_list", {"relation": {"participants": [{"id": 9060, "status": 3}]}}),
        70: ("course_cancelled", {"relation": cancelled}),
    }


def big_order(wrong: dict[int, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """248 named participants and two nobody named."""
    people = [a_participant(number, **wrong.get(number, ("", {}))[1]) for number in range(1, 249)]
    relations, users = [list(each) for each in zip(*people, strict=True)]
    product = {"id": 8079, "title": "Learn REST API", "is_main_product": True}
    line = {"id": 800, "product": product, "quantity": 250, "currency": {"title": "NOK"}}
    lines = [line | {"database_relations": relations, "users": users}]
    return {"id": 28000, "is_paid": True, "lines": lines}


def test_good_seats_go_through_and_each_faulty_one_waits_for_its_reason_when_there_are_250(found: Found) -> None:
    company = found()
    company.sandbox.frontcore.add_order(big_order(faulty()))
    company.work(company.look("28000"))
    states = list(company.states.values())
    assert states.count(DONE) == 240
    waiting = sorted(str(reason) for state, reason in states if state == "review")
    assert waiting == sorted([*(reason for reason, _ in faulty().values()), "unnamed_seat", "unnamed_seat"])
    assert len(states) == 250
    good = [f"ola{number}@example.test" for number in range(1, 249) if number not in faulty()]
    assert company.comped == good
    assert {str(each.facts["email"]) for each in company.sandbox.effects_of("learningcart", "addCustomer")} == set(good)
    assert company.look("28000") == []
    mended = faulty()
    for number in (10, 20, 30, 40, 50, 51, 60, 70):
        mended.pop(number)
    company.sandbox.frontcore.update_order(28000, lines=big_order(mended)["lines"])
    company.work(company.look("28000"))
    states = list(company.states.values())
    assert (states.count(DONE), states.count(("review", "unnamed_seat"))) == (248, 2)
    assert states.count(("cancelled", "superseded")) == 8
    assert len(company.comped) == len(set(company.comped)) == 248
