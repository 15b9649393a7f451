"""What an outsider controls reaches the operator's page as text, and nothing odd in a request becomes a 500."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import select

from tests.integration.web.browsing import HOST, PASSWORD, Browser, Hour, app_with
from tests.unit.worker.ledger.rows import add_attempt, add_delivery, add_order, add_run
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import events, learners
from worker.sources.order import Learner, Line, Order, Payment, Product, Seat

EVIL = "\"'><script>alert(1)</script>`x`{{7*191}}"
TURNING = "\u202e\u2066\u200f\x1b\x07"
"""Turns the text that follows, or moves a cursor."""
ODD = EVIL + TURNING


def fill(ledger: Ledger, order_id: str) -> str:
    """An order with its run, in which every text a source or a receiver may choose is hostile."""
    learner = Learner(email=f"{EVIL}@shop.example", first_name=ODD, last_name=EVIL)
    line = Line(
        id=EVIL,
        title=ODD,
        product=Product(product_name=ODD),
        seats=(Seat(id=EVIL, learner=learner),),
    )
    order = Order(source="studiocart", id=order_id, payment=Payment.PAID, status=EVIL, lines=(line,))
    with ledger.write() as connection:
        document = order.model_dump(mode="json", exclude={"raw"})
        add_order(connection, order_id, buyer_name=ODD, buyer_email=learner.email, status=EVIL, document=document)
        add_delivery(connection, f"d-{order_id}", order_id=order_id, note=EVIL, state="review", reason="refused")
        ended: dict[str, Any] = {
            "state": "review",
            "reason": "refused",
            "note": ODD,
            "title": ODD,
            "result_id": EVIL,
        }
        run_id = add_run(connection, order_id, email=learner.email, **ended)
        add_attempt(connection, run_id, "add_customer", error=ODD, result_id=EVIL, reference=EVIL)
    return run_id


def test_page_shows_text_when_an_outsider_sent_markup(operator: Browser, ledger: Ledger) -> None:
    run_id = fill(ledger, EVIL)
    with ledger.read() as connection:
        learner_id = connection.scalar(select(learners.c.id))
    paths = [
        "/",
        "/runs",
        "/orders",
        "/offers",
        f"/runs/{run_id}",
        f"/learners/{learner_id}",
        f"/search?q=-{quote(EVIL)}",
    ]
    for path in (*paths, f"/orders/studiocart/{quote(EVIL, safe='')}"):
        answer = operator.get(path)
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text
        assert "&lt;script&gt;" in answer.text or path in {"/", "/offers"}
        assert "1337" not in answer.text
        assert not set(TURNING) & set(answer.text), path
        assert "\\u202e" in answer.text or path in {"/", "/offers", paths[-1]}


@pytest.mark.parametrize("order_id", ["11/09", "a/../b", "jane@example.com", "x?y#z", "<i>"])
def test_order_is_shown_when_its_id_holds_what_an_address_does_not(
    operator: Browser, ledger: Ledger, order_id: str
) -> None:
    fill(ledger, order_id)
    answer = operator.get(f"/orders/studiocart/{quote(order_id, safe='')}")
    assert answer.status_code == 200
    assert "What happened" in answer.text


@pytest.mark.parametrize("target", ["/ü€", "/runs?q=é"])
def test_fragment_is_sent_on_when_the_target_is_beyond_latin_letters(anonymous: Browser, target: str) -> None:
    fields = {"form_token": anonymous.form_token("/login"), "name": "Ann", "password": PASSWORD, "next": target}
    answer = anonymous.post("/login", data=fields, headers={"Origin": HOST, "HX-Request": "true"})
    assert answer.status_code == 204
    assert answer.headers["hx-redirect"].isascii()


def test_trail_keeps_a_short_address_when_a_client_makes_one_up(ledger: Ledger, hour: Hour) -> None:
    browser = Browser(app_with(ledger, hour), address="z\x1b[2J" * 5000)
    assert browser.sign_in(password="wrong").status_code == 401
    with ledger.read() as connection:
        detail = connection.scalar(select(events.c.detail))
    assert detail is not None
    assert len(detail["client"]) <= 64
    assert "\x1b" not in detail["client"]
    browser.close()
