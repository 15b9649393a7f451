from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.web.filling import add_learner, add_order, add_run
from worker.ledger.session import Ledger
from worker.ledger.views.page import search as page_search
from worker.ledger.views.page.search import search

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    with ledger.write() as connection:
        add_order(connection, "1109", NOW, buyer_name="Jane Doe", buyer_email_key="jane@doe.example")
        add_order(connection, "1110", NOW - timedelta(days=1), buyer_name="JANE DOE-SMITH")
        add_order(connection, "1109", NOW - timedelta(days=2), source="frontcore", buyer_name="Kari Nordmann")
        add_order(connection, "1111", NOW - timedelta(days=3), buyer_name="100%_sure")
        add_learner(connection, "lane1", "jane@doe.example")
        add_learner(connection, "lane2", "jane.smith@doe.example")
        add_learner(connection, "lane3", "ola@doe.example")
        for number, (lane, first, last) in enumerate(
            [("lane1", "Jane", "Doe"), ("lane2", "Jane", "Smith"), ("lane3", "Ola", "Bråten")]
        ):
            learner = {"email": "x", "first_name": first, "last_name": last}
            at = NOW - timedelta(days=number)
            result_id = f"90000{number}"
            add_run(connection, f"01abc{number}zyxwvut", at, lane=lane, learner=learner, result_id=result_id)
    return ledger


def test_people_are_listed_separately_when_their_addresses_fold_alike(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_learner(connection, "lane1", "strasse@doe.example")
        add_learner(connection, "lane2", "stra\u00dfe@doe.example")
        add_learner(connection, "lane3", "stra\u00dfer@doe.example")
        add_order(connection, "1", NOW, buyer_email_key="strasse@doe.example")
        add_order(connection, "2", NOW, buyer_email_key="stra\u00dfe@doe.example")
    for wanted in ("STRASSE@doe.example", "stra\u00dfe@doe.example", "str\u00e0sse@doe.example"):
        with ledger.read() as connection:
            hits = search(connection, wanted)
        assert {each.id for each in hits.learners} == {"lane1", "lane2"}
        assert {each.order_id for each in hits.orders} == {"1", "2"}
        assert hits.path is None


ONE = {
    "Jane@Doe.example": ("learners", "lane1"),
    "ola@": ("learners", "lane3"),
    "studiocart/1110": ("orders", "studiocart", "1110"),
    " StudioCart/1110 ": ("orders", "studiocart", "1110"),
    "1110": ("orders", "studiocart", "1110"),
    "900002": ("runs", "01abc2zyxwvut"),
    "01ABC1zyx": ("runs", "01abc1zyxwvut"),
    "01abc1zyxwvut": ("runs", "01abc1zyxwvut"),
    "key/01abc1zyxwvut": ("runs", "01abc1zyxwvut"),
    "nordmann": ("orders", "frontcore", "1109"),
    "bråten ola": ("learners", "lane3"),
    "100%_s": ("orders", "studiocart", "1111"),
}
SEVERAL: dict[str, tuple[list[str], list[str], list[str]]] = {
    "jane": (["lane2", "lane1"], ["1109", "1110"], []),
    "jane@doe.example": (["lane1"], ["1109"], []),
    "1109": ([], ["1109", "1109"], []),
    "01abc": ([], [], ["01abc0zyxwvut", "01abc1zyxwvut", "01abc2zyxwvut"]),
}
NONE = ("", "  ", "x", "nobody", "studiocart/9", "99", "zzzz", "no@body.example", "%", "__")


def test_one_thing_is_gone_to_when_it_alone_is_meant(filled: Ledger) -> None:
    with filled.read() as connection:
        assert {wanted: search(connection, wanted).path for wanted in ONE} == ONE


def test_several_are_listed_by_kind_newest_first_when_more_than_one_is_meant(filled: Ledger) -> None:
    with filled.read() as connection:
        found = {wanted: search(connection, wanted) for wanted in SEVERAL}
    assert {
        wanted: (
            [learner.id for learner in hits.learners],
            [order.order_id for order in hits.orders],
            [run.id for run in hits.runs],
        )
        for wanted, hits in found.items()
    } == SEVERAL


def test_nothing_is_found_when_nothing_is_called_so(filled: Ledger) -> None:
    with filled.read() as connection:
        found = [search(connection, wanted) for wanted in NONE]
    assert [(len(hits), hits.path) for hits in found] == [(0, None)] * len(NONE)


def test_older_buyers_are_found_by_the_names_beginning_when_the_recent_are_others(
    filled: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_search, "RECENT_ROWS", 1)
    with filled.read() as connection:
        assert search(connection, "kari nordmann").path == ("orders", "frontcore", "1109")
        assert search(connection, "nordmann").path is None
        assert [order.order_id for order in search(connection, "jane doe").orders] == ["1109", "1110"]


PARTS = {
    "JOSÉ": "lane1",
    "jose alv": "lane1",
    "alvarez josé": "lane1",
    "acme-industries": "lane1",
    "j.alvarez": "lane1",
    "straße": "lane2",
    "STRASSE": "lane2",
}


def test_a_person_is_found_by_any_part_of_name_or_address_without_case_and_accents(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection, "1109", NOW, buyer_name="")
        for lane, first, last, email in (
            ("lane1", "José", "Álvarez", "j.alvarez@acme-industries.example"),
            ("lane2", "Ida", "Straße", "ida@other.example"),
        ):
            add_learner(connection, lane, email)
            learner = {"email": email, "first_name": first, "last_name": last}
            add_run(connection, f"01{lane}zyxwvutzyx", NOW, lane=lane, learner=learner, email=email)
    with ledger.read() as connection:
        assert {wanted: search(connection, wanted).path for wanted in PARTS} == {
            wanted: ("learners", lane) for wanted, lane in PARTS.items()
        }
        # Both took it: a product, where no person is meant.
        assert len(search(connection, "forklift").runs) == 2
        assert search(connection, "jose nobody").path is None
