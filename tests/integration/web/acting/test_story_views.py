from __future__ import annotations

import re

from sqlalchemy import select

from tests.faults.harness.product import Rig
from tests.integration.web.acting.office import Office
from worker.ledger.follow_on.completions import add_completion
from worker.ledger.runs.run_rows import NewRun, insert_run
from worker.ledger.states import RunState
from worker.ledger.tables.runs import learners
from worker.sandbox import Fault
from worker.sources.order import Learner

WAIT_SECONDS = 90


def plain(page: str) -> str:
    """A page's text as it is read."""
    text = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def learner_path(rig: Rig, email: str) -> str:
    with rig.ledger.read() as connection:
        return f"/learners/{connection.scalar(select(learners.c.id).where(learners.c.email_key == email))}"


def test_run_tells_every_attempt_when_an_outcome_was_unknown(office: Office, rig: Rig) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(Fault(system="learningcart", operation="addCompOrder", kind="cut", when="after"))
    rig.work(run_id)
    waiting = office.get(f"/runs/{run_id}").text
    assert 'hx-trigger="refresh from:body"' in waiting
    assert "Next try" in waiting
    rig.clock.move(WAIT_SECONDS)
    rig.go_on()
    page = office.get(f"/runs/{run_id}").text
    assert 'hx-trigger="refresh' not in page  # it is settled: nothing is asked anew
    text = plain(page)
    assert "jane@example.test has access to Course (price 501) since" in text
    assert re.search(r"#1 .{19} \d+ ms unknown learningcart", text)
    assert re.search(r"#2 .{19} \d+ ms adopted lookup: HTTP 200, order \d+", text)
    assert "no clear answer, it may have been carried out" in text
    assert "found, it had been made before" in text
    assert re.findall(r'<rect class="(\w+)" x', page) == ["wait", "ok", "wait", "ok", "wait", "unknown", "adopted"]
    assert f"waited {WAIT_SECONDS}.0 s" in text
    assert f"/runs/{run_id}/repeat?step=add_comped_order" in page


def test_run_that_waits_for_its_turn_has_no_bars_when_nothing_was_tried(office: Office, rig: Rig) -> None:
    page = office.get(f"/runs/{rig.enrol()}").text
    assert "not begun" in page
    assert "<svg class" not in page
    assert "it is due now and starts within seconds" in page


def test_order_shows_versions_side_by_side_when_the_source_changed_it(office: Office, rig: Rig) -> None:
    run_id = rig.enrol()
    rig.sell(7001, email="jane.doe@example.test")
    rig.ingest(7001)
    page = office.get("/orders/studiocart/7001").text
    assert '<span class="was">jane@example.test</span>' in page
    assert '<span class="is">jane.doe@example.test</span>' in page
    text = plain(page)
    assert "Version 1 seen" in text
    assert "The first one." in text
    assert "pending price 501" in text
    assert f'href="/runs/{run_id}"' in page
    assert "asked for order studiocart/7001 by name" in text
    # A line that is gone leaves its runs behind.
    rig.sell(7001, email="jane.doe@example.test", product_id="1130")
    rig.ingest(7001)
    assert "no longer in the order" in office.get("/orders/studiocart/7001").text


def test_learner_is_told_in_one_verdict_when_another_order_failed(office: Office, rig: Rig) -> None:
    rig.enrol(7001)
    rig.go_on()
    rig.sandbox.inject(Fault(system="learningcart", operation="addCustomer", status=400, body="Invalid state."))
    failed = rig.enrol(7002, product_id="1107")
    rig.go_on()
    with rig.ledger.write() as connection:
        values = {
            "key": "c-1",
            "state": "completed",
            "customer_id": "9",
            "email": "jane@example.test",
            "name": "Jane Doe",
            "course_id": "77",
            "course_name": "Rescue",
            "score": 93,
            "completed_at": rig.clock(),
        }
        add_completion(connection, values, now=rig.clock())
    page = office.get(learner_path(rig, "jane@example.test")).text
    assert "has no access to Course (price 501): it failed." in page
    assert page.count('class="button primary"') == 1
    assert f'<a class="button primary" href="/runs/{failed}/replay">Replay</a>' in page
    for each in ("studiocart/7001", "studiocart/7002", "Rescue", "93", "access was given"):
        assert each in page
    # The search leads here, and the email stands in no address but the search's own.
    assert office.get("/search?q=jane@example.test").headers["location"] == learner_path(rig, "jane@example.test")


def test_run_of_a_completion_is_shown_without_an_order_when_it_has_none(office: Office, rig: Rig) -> None:
    learner = Learner(email="jane@example.test")
    with rig.ledger.write() as connection:
        values = {"key": "c-1", "state": "completed", "customer_id": "9", "email": learner.email, "course_id": "77"}
        run_id = insert_run(
            connection,
            NewRun(
                key="learningcart/c-1/follow-on",
                workflow="follow_on",
                state=RunState.REVIEW,
                source="learningcart",
                order_id=None,
                completion_id=add_completion(connection, values, now=rig.clock()),
                line_id="77",
                seat_id="-",
                title="Follow-on cart",
                reason="attempts_spent",
                learner=learner,
                grant={"catalog_id": 1234},
                step_names=("create_cart",),
            ),
            now=rig.clock(),
        )
    page = office.get(f"/runs/{run_id}").text
    assert "Follow-on cart for jane@example.test: needs a person." in page
    assert "/orders/" not in page.partition("</header>")[2]
    assert "/replan" not in page
    assert office.get(f"/runs/{run_id}/replay").status_code == 200
    assert office.get(learner_path(rig, learner.email)).status_code == 200


def test_what_a_source_wrote_is_text_and_nothing_more_when_it_looks_like_html(office: Office, rig: Rig) -> None:
    rig.sandbox.studiocart.replace_order(
        7001,
        {
            "customer_firstname": "<script>alert(1)</script>",
            "customer_email": "jane@example.test",
            "product_id": "1200",
            "product_name": "<b>Course</b> `cartbridge replay`",
            "status": "paid",
            "items": [{"product_name": "<b>Course</b> `cartbridge replay` x 1", "quantity": 1}],
        },
    )
    rig.ingest(7001)
    (run,) = rig.rows("runs")
    for path in (f"/runs/{run['id']}", "/orders/studiocart/7001", "/offers", "/replay", f"/runs/{run['id']}/resolve"):
        page = office.get(path).text
        assert "<script>alert" not in page
        assert "<b>" not in page
