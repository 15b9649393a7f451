"""New customers' passwords mailed by real processes, which are killed while the mail is under way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.faults.harness.mail_product import KEY, LEARNERS_PASSWORD
from tests.faults.harness.waiting import wait_until
from tests.integration.product import CONNECT_SECONDS, ENOUGH_SECONDS, READ_SECONDS, Product
from tests.integration.servers import RedisServer
from worker.broker.app import create_celery
from worker.ledger.tables.learners import sealed_passwords
from worker.ledger.tables.runs import runs
from worker.sandbox import Sandbox, SandboxConfig
from worker.sandbox.mailbox import Mailbox, MailFault
from worker.settings.settings import load_settings

pytestmark = [pytest.mark.integration, pytest.mark.faults]


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox.start() as running:
        yield running


@pytest.fixture
def product(postgres_url: str, redis_server: RedisServer, mailbox: Mailbox, tmp_path: Path) -> Iterator[Product]:
    """Processes on PostgreSQL and Redis, which mail passwords."""
    variables = mailbox.environment(
        CARTBRIDGE_BROKER_URL=redis_server.url,
        CARTBRIDGE_MAIL__CONNECT_TIMEOUT_SECONDS=str(CONNECT_SECONDS),
        CARTBRIDGE_MAIL__READ_TIMEOUT_SECONDS=str(READ_SECONDS),
        CARTBRIDGE_PASSWORDS__MODE="mail",
        CARTBRIDGE_PASSWORDS__KEY=KEY,
    )
    with (
        Sandbox.start(config=SandboxConfig(seeded=False)) as sandbox,
        Product(sandbox, postgres_url, tmp_path, **variables) as product,
    ):
        yield product


def states(product: Product, workflow: str) -> list[str]:
    with product.ledger.read() as connection:
        return sorted(connection.scalars(select(runs.c.state).where(runs.c.workflow == workflow)))


def kept(product: Product) -> list[str | None]:
    with product.ledger.read() as connection:
        return list(connection.scalars(select(sealed_passwords.c.ciphertext)))


def test_no_learner_is_mailed_twice_when_the_worker_is_killed_with_a_mail_in_flight(
    product: Product, mailbox: Mailbox
) -> None:
    mailbox.inject(MailFault("content", "hang", taken=True, times=1))
    product.sell(4)
    product.start("beat")
    worker = product.start("worker")
    wait_until(lambda: len(mailbox.received) == 4, seconds=ENOUGH_SECONDS, what="four mails")
    product.kill(worker)
    product.end_leases()
    product.start("worker")
    ends = {"review", "succeeded"}
    wait_until(
        lambda: set(states(product, "welcome_mail")) <= ends, seconds=ENOUGH_SECONDS, what="every mail has its end"
    )
    assert states(product, "enrolment") == ["succeeded"] * 4
    recipients = [mail.recipient for mail in mailbox.received]
    assert sorted(recipients) == [f"learner-{number}@example.test" for number in range(7001, 7005)]
    assert all(LEARNERS_PASSWORD in mail.text for mail in mailbox.received)
    # One at least was in flight; another may have been taken a moment before the kill.
    reviews = states(product, "welcome_mail").count("review")
    assert reviews >= 1
    assert sum(sealed is not None for sealed in kept(product)) == reviews


def test_beat_asks_for_what_was_not_mailed_when_passwords_are_dropped_too() -> None:
    schedule = create_celery(load_settings({}, env_file=None)).conf.beat_schedule
    assert schedule["erase_passwords"]["task"] == "cartbridge.erase_passwords"
