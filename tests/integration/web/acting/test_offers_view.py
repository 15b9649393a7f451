from __future__ import annotations

import html
import re

import pytest

from tests.faults.harness.product import Rig
from tests.integration.web.acting.office import Office
from worker.ledger.views.page import offers as page_offers
from workflows.monitoring.offers_trial import unverified
from workflows.planning.offers import OffersError, parse_offers


def sell_unmapped(rig: Rig, count: int, product_id: str = "1200") -> None:
    for number in range(count):
        order_id = int(f"8{product_id}{number}")
        rig.sell(order_id, email=f"learner-{product_id}-{number}@example.test", product_id=product_id)
        rig.ingest(order_id)


def pasted(page: str) -> str:
    found = re.search(r'<pre id="snippet-1"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert found, page
    return html.unescape(found[1])


def test_offers_are_counted_by_what_they_granted_when_the_page_is_seen(office: Office, rig: Rig) -> None:
    for number in range(3):
        rig.enrol(7001 + number, email=f"learner-{number}@example.test")
    rig.sell(7010, email="bundle@example.test", product_id="1130")
    rig.ingest(7010)
    page = office.get("/offers").text
    assert "enrolments of the last 30 days" in page
    assert "Every product that was sold has an offer or is ignored." in page
    counts = re.findall(r'data-label="Enrolments" class="number">(.*?)</td>', page)
    assert counts == ["3", "2"]
    rig.clock.move(31 * 86_400)
    assert office.sign_in("Ann").status_code == 303
    assert (
        re.findall(r'data-label="Enrolments" class="number">(.*?)</td>', office.get("/offers").text)
        == ['<span class="dim">none</span>'] * 2
    )


def test_pasted_lines_map_the_product_once_the_price_is_set(office: Office, rig: Rig) -> None:
    sell_unmapped(rig, 3)
    sell_unmapped(rig, 1, "1300")
    page = office.get("/offers").text
    assert "3 seats in 3 orders wait for it" in page
    assert "1 seat in 1 order waits for it" in page
    assert page.index("product_id 1200") < page.index("product_id 1300")
    lines = pasted(page)
    with pytest.raises(OffersError, match="price_id"):
        parse_offers(lines)  # nobody grants price 0 by oversight
    office.offers_file.write_text(lines.replace("price_id = 0", "price_id = 777"))
    page = office.get("/offers").text
    assert "A rule matches it now." in page
    key = html.unescape(re.findall(r'name="key" value="([^"]*)"', page)[0])
    form = Office.form_of(office, f"/offers/look-again?source=studiocart&key={key}")
    assert len(form.fields["run"]) == 3
    done = office.send(form, reason="offer added")
    assert done.headers["location"] == "/offers"
    assert "Of 3 runs: 3 planned." in office.page_after(done)
    rig.go_on()
    assert {
        facts["price_id"] for facts in (row.facts for row in rig.sandbox.effects_of("learningcart", "addCompOrder"))
    }
    assert len(rig.sandbox.effects_of("learningcart", "addCompOrder")) == 3


def test_problems_are_shown_with_their_lines_when_the_file_is_invalid(office: Office, rig: Rig) -> None:
    sell_unmapped(rig, 1)
    office.offers_file.write_text('[[offer]]\nsource = "studiocart"\nproduct_id = "1"\ngrants = [{ price_id = 0 }]\n')
    page = office.get("/offers").text
    assert "offers.toml:4: [[offer]] grants.0.price_id" in page
    assert "last valid rules stay in force" in page
    assert "cannot be used" in office.get("/").text
    assert "1 seat in 1 order" in page  # what waits is known all the same


def test_ignores_and_follow_ons_are_listed_when_the_file_has_them(office: Office) -> None:
    office.offers_file.write_text(
        '[[ignore]]\nsource = "frontcore"\nproduct_id = "9"\n[[follow_on]]\ncourse_id = 77\ncatalog_id = 1234\n'
    )
    page = office.get("/offers").text
    assert "The file holds no offer yet." in page
    assert "3dcart cart with item 1234" in page
    assert "ignored" in page


def test_count_says_since_when_if_it_was_cut_short(office: Office, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_offers, "MOST_GRANTED", 1)
    monkeypatch.setattr(page_offers, "MOST_WAITING", 1)
    rig.enrol(7001)
    rig.enrol(7002, email="second@example.test")
    page = office.get("/offers").text
    assert "enrolments, since" in page
    assert re.findall(r'data-label="Enrolments" class="number">(.*?)</td>', page)[0] == "1"


def try_lines(office: Office, lines: str) -> str:
    answer = office.send_form("/offers/try", {"form_token": office.form_token("/offers"), "lines": lines})
    assert answer.status_code == 200
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", answer.text)).split())


def test_lines_are_tried_on_past_orders_and_nothing_is_written(office: Office, rig: Rig) -> None:
    sell_unmapped(rig, 3)
    sell_unmapped(rig, 1, "1300")
    before = office.offers_file.read_text()
    offer = '[[offer]]\nsource = "studiocart"\nproduct_id = "1200"\ngrants = [{ price_id = 777 }]\n'
    reported = try_lines(office, offer)
    assert "Added to the file, they would have matched 3 seats, and would leave 1 seat." in reported
    assert "3 orders grants price 777" in reported
    assert "is left without a rule" in reported
    ignore = '[[ignore]]\nsource = "studiocart"\nproduct_id = "1300"\n'
    assert "would have matched 4 seats, and leave none." in try_lines(office, offer + ignore)
    # A file that names what the file in force names already is taken for the whole of it.
    assert "As the whole file, they would have matched 3 seats" in try_lines(office, before + offer)
    assert "the lines:4: [[offer]] grants" in try_lines(office, offer.replace("777", "0"))
    assert "there is no [[offer]]" in try_lines(office, "# nothing")
    assert office.offers_file.read_text() == before
    page = office.get("/offers").text
    assert "[[ignore]]" in page
    assert html.escape(before.splitlines()[1], quote=True).split("&")[0] in page


def test_an_offer_is_unverified_when_nobody_sold_or_was_given_it(office: Office, rig: Rig) -> None:
    rig.enrol(7001, email="jane@example.test")
    text = office.offers_file.read_text()
    new = '[[offer]]\nsource = "studiocart"\nproduct_id = "9999"\ngrants = [{ price_id = 998, group_ids = [997] }]\n'
    with rig.ledger.read() as connection:
        products, numbers = page_offers.sold(connection)[0], page_offers.granted_numbers(connection)
    found = list(unverified(parse_offers(f"{text}\n{new}"), products, numbers))
    assert found[-1] == (
        "The offer for studiocart product_id=9999 is unverified: never sold, price 998 and group 997 never granted."
    )
    assert not any("product_id=1107 " in each and "never sold" in each for each in found)
