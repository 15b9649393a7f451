from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.web.filling import add_learner, add_order, add_run
from tests.unit.workflows.fakes.storefront import JOHN, an_order, record
from worker.ledger.search import index, texts
from worker.ledger.search.texts import fill
from worker.ledger.session import Ledger
from worker.ledger.tables.ledger import search_texts
from worker.ledger.tables.runs import orders
from worker.ledger.views.page.search import search, suggest

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    with ledger.write() as connection:
        add_order(connection, "1109", NOW, buyer_name="Jane Doe", buyer_email="jane@doe.example")
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
    "0002": ("runs", "01abc2zyxwvut"),
    "bc2zyx": ("runs", "01abc2zyxwvut"),
    "01ABC1zyx": ("runs", "01abc1zyxwvut"),
    "01abc1zyxwvut": ("runs", "01abc1zyxwvut"),
    "key/01abc1zyxwvut": ("runs", "01abc1zyxwvut"),
    "nordmann": ("orders", "frontcore", "1109"),
    "bråten ola": ("learners", "lane3"),
    "100%_s": ("orders", "studiocart", "1111"),
}
SEVERAL: dict[str, tuple[list[str], list[str], list[str]]] = {
    "jane": (["lane1", "lane2"], ["1109", "1110"], []),
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


@pytest.mark.parametrize("wanted", ["@doe.example", "@DOE.ex", "doe.example"])
def test_learners_of_a_domain_are_found_by_their_addresses_when_an_index_has_them(filled: Ledger, wanted: str) -> None:
    with filled.read() as connection:
        hits = search(connection, wanted)
    people = {each.id for each in hits.learners}
    assert people == (set() if filled.is_sqlite else {"lane1", "lane2", "lane3"})  # by their runs' texts, there
    assert "1109" in {each.order_id for each in hits.orders}


def test_nothing_is_found_when_nothing_is_called_so(filled: Ledger) -> None:
    with filled.read() as connection:
        found = [search(connection, wanted) for wanted in NONE]
    assert [(len(hits), hits.path) for hits in found] == [(0, None)] * len(NONE)


@pytest.mark.parametrize("has_index", [True, False])
def test_older_buyers_are_found_when_the_index_is_there_and_the_newest_else(
    filled: Ledger, monkeypatch: pytest.MonkeyPatch, has_index: bool
) -> None:
    monkeypatch.setattr(texts, "RECENT_ROWS", 1)
    monkeypatch.setattr(texts, "has_index", lambda _: has_index)
    with filled.read() as connection:
        found = {wanted: search(connection, wanted).path for wanted in ("nordmann", "hundr", "jane doe-smi", "100%_")}
        newest = search(connection, "sure").path
    older = ("orders", "frontcore", "1109"), None, ("orders", "studiocart", "1110"), ("orders", "studiocart", "1111")
    assert tuple(found.values()) == (older if has_index else (None, None, None, older[3]))
    assert newest == ("orders", "studiocart", "1111")


def test_the_index_is_there_and_made_once_when_the_database_can_have_it(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert index.has_index(connection)
    ledger.migrate()
    with ledger.write() as connection:
        assert index.make_index(connection)


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


SCRIPTS = {
    "müller": "1", "MUELLER": "1", "muller": "1", "бондар": "2", "БОНДАРЕНКО": "2", "παπαδ": "3", "林": "4",
    "小林": "4", "acme": "5", "aid": "6", "li": "7", "o’neill": "8", "first acme": "5", "neil": "8", "12/": "A12/77",
}  # fmt: skip


def test_any_part_in_any_script_is_found_when_it_is_typed(ledger: Ledger) -> None:
    documents = {"5": {"company": "Acme & Søn AS", "lines": [{"title": "First Aid", "seats": []}]}}
    documents["6"] = {"lines": [{"title": "Cartbridge aids", "seats": []}]}
    names = {"1": "Jürgen Müller", "2": "Олена Бондаренко", "3": "Νίκος Παπαδόπουλος", "4": "小林 太郎", "7": "Wei Li"}
    names |= {"8": "Ann O'Neill"}
    with ledger.write() as connection:
        for number in range(1, 9):
            order_id = str(number)
            document = documents.get(order_id, {})
            add_order(connection, order_id, NOW, buyer_name=names.get(order_id, "X"), document=document)
        add_order(connection, "A12/77", NOW, buyer_name="Y")
    with ledger.read() as connection:
        found = {wanted: [each.path[-1] for each in suggest(connection, wanted)] for wanted in SCRIPTS}
    assert sorted(found.pop("aid")) == ["5", "6"]
    assert found == {wanted: [order_id] for wanted, order_id in SCRIPTS.items() if wanted != "aid"}


def test_suggestions_name_who_what_and_the_state_when_something_is_typed(filled: Ledger) -> None:
    with filled.read() as connection:
        people = suggest(connection, "jane")
        numbers = suggest(connection, "110")
        made = suggest(connection, "9000")
    assert [(each.name, each.detail, each.product, each.state) for each in people] == [
        ("Jane Doe", "jane@doe.example", "Forklift course", "succeeded"),
        ("Jane Smith", "jane.smith@doe.example", "Forklift course", "succeeded"),
        ("Jane Doe", "studiocart/1109", "Forklift course", "planned"),
        ("JANE DOE-SMITH", "studiocart/1110", "", "planned"),
    ]
    assert {each.detail for each in numbers} == {"studiocart/1109", "frontcore/1109", "studiocart/1110"}
    assert [each.path[0] for each in made] == ["runs"] * 3


def test_texts_are_as_they_were_written_when_they_are_filled_anew(filled: Ledger) -> None:
    with filled.write() as connection:
        rows = search_texts.c.source, search_texts.c.record_id, search_texts.c.text
        written = set(map(tuple, connection.execute(search_texts.select().with_only_columns(*rows))))
        connection.execute(search_texts.delete())
        fill(connection)
        assert set(map(tuple, connection.execute(search_texts.select().with_only_columns(*rows)))) == written
        assert len(written) == len(connection.execute(orders.select()).all())
        assert search(connection, "nordmann").path == ("orders", "frontcore", "1109")


def test_an_edit_at_the_source_is_what_is_found_when_it_is_recorded(ledger: Ledger) -> None:
    def found(wanted: str) -> list[str]:
        with ledger.read() as connection:
            return [each.name for each in suggest(connection, wanted)]

    record(ledger, an_order(company="Acme AS"))
    assert len(found("acme")) == 1
    assert found("jane@example.test")
    record(ledger, an_order(company="Globex"))  # no news to plan by
    assert (len(found("acme")), len(found("globex"))) == (0, 1)
    record(ledger, an_order(learner=JOHN, company="Globex"))
    assert found("john roe")
    assert found("jane doe") == []
