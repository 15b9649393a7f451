"""How many statements the ledger is asked on the way from a webhook to an order's runs: each is a round trip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.integration.servers import PostgresServer
from tests.unit.workflows.fakes.storefront import (
    ONE_OFFER,
    START,
    Clock,
    FakeSource,
    a_hint_reader,
    an_order,
    record,
    rows,
)
from worker.ledger.orders.order_rows import insert_delivery
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, Via
from worker.ledger.tables.runs import runs
from worker.settings.settings import Settings
from worker.sources.order import Learner
from worker.web.webhooks.body import BodyKind
from worker.web.webhooks.intake import Proof, WebhookIntake
from workflows.ingest.deliveries import SourcePolicy
from workflows.ingest.order_polling import Poller
from workflows.planning.offers_file import OffersFile

pytestmark = pytest.mark.integration


@contextmanager
def counted(ledger: Ledger) -> Iterator[list[str]]:
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement != "BEGIN":
            asked.append(statement)

    event.listen(ledger.engine, "before_cursor_execute", note)
    yield asked
    event.remove(ledger.engine, "before_cursor_execute", note)


def buyer(number: int) -> Learner:
    return Learner(email=f"buyer-{number}@example.test", first_name="Jane", last_name=str(number))


@pytest.fixture(scope="module")
def migrated_url(postgres_server: PostgresServer) -> str:
    url = postgres_server.create_database()
    ledger = Ledger(url)
    ledger.migrate()
    ledger.close()
    return url


@pytest.fixture
def postgres_ledger(postgres_server: PostgresServer, migrated_url: str) -> Iterator[Ledger]:
    url = postgres_server.create_database(template=migrated_url.rpartition("/")[2])
    ledger = Ledger(url)
    yield ledger
    ledger.close()
    postgres_server.drop_database(url)


@pytest.fixture
def offers_file(tmp_path: Path) -> OffersFile:
    path = tmp_path / "offers.toml"
    path.write_text(ONE_OFFER)
    return OffersFile(path)


def test_webhook_is_one_statement_when_it_is_taken_in(postgres_ledger: Ledger) -> None:
    ledger = postgres_ledger
    settings = Settings(
        studiocart={"base_url": "https://shop.example/wp-json/sc/v1", "api_key": "k", "webhook_secret": "s"},  # type: ignore[arg-type]
    )
    intake = WebhookIntake(settings, ledger, clock=Clock())
    with counted(ledger) as asked:
        intake.take("studiocart", BodyKind.JSON, {}, b'{"id": 1109}', proof=Proof.HEADER)
    assert len(asked) == 1


def test_ordinary_order_is_planned_in_few_statements_when_a_hint_tells_of_it(
    postgres_ledger: Ledger, offers_file: OffersFile
) -> None:
    """Two lease the notification, three read, eight write, and four write what the order is found by."""
    ledger, source, clock = postgres_ledger, FakeSource(Clock()), Clock()
    record(ledger, an_order("1"))  # the first contact is no ordinary one
    source.put(an_order("2", learner=buyer(2)))
    with ledger.write() as connection:
        insert_delivery(connection, source="studiocart", order_id="2", via=Via.WEBHOOK, actor=Actor.SOURCE, now=clock())
    with counted(ledger) as asked:
        looked = a_hint_reader(ledger, source, offers_file, clock).look("studiocart", "2")
    assert len(looked.ready) == 1
    assert len(asked) <= 18


def test_page_takes_no_more_statements_when_it_has_more_orders(
    postgres_ledger: Ledger, offers_file: OffersFile
) -> None:
    ledger, clock = postgres_ledger, Clock()
    source = FakeSource(clock, page_size=50)
    poller = Poller(ledger, source, SourcePolicy(start_at=START), offers_file, holder="poller", clock=clock)
    assert poller.poll().error is None
    counts = []
    for first, number in ((100, 2), (200, 40)):
        source.put(*(an_order(str(each), learner=buyer(each)) for each in range(first, first + number)))
        with counted(ledger) as asked:
            assert len(poller.poll().ready) == number
        counts.append(len(asked))
    assert len(rows(ledger, runs)) == 42
    assert counts[0] == counts[1] <= 29
