from __future__ import annotations

import pytest

from tests.faults.harness.product import Rig
from tests.integration.web.acting.office import Office
from worker.sandbox import Fault
from worker.web.page.actions import bulk_replay


def fail(rig: Rig, count: int) -> list[str]:
    rig.sandbox.inject(
        Fault(system="learningcart", operation="addCustomer", status=400, body="Invalid state.", times=count)
    )
    run_ids = [rig.enrol(7001 + number, email=f"learner-{number}@example.test") for number in range(count)]
    for run_id in run_ids:
        rig.work(run_id)
    return run_ids


def test_bulk_replays_exactly_what_was_listed_when_more_fails_meanwhile(office: Office, rig: Rig) -> None:
    run_ids = fail(rig, 3)
    listed = office.get("/replay?state=failed&reason=refused").text
    assert "3 runs of 3 will be replayed" in listed
    assert listed.count("learningcart addCompOrder price 501") == 3
    form = office.form_of("/replay?state=failed&reason=refused")
    assert sorted(form.fields["run"]) == sorted(run_ids)
    rig.sandbox.inject(Fault(system="learningcart", operation="addCustomer", status=400, body="Invalid state."))
    late = rig.enrol(7100, email="late@example.test")
    rig.work(late)
    rig.sandbox.clear_faults()
    done = office.send(form, reason="the site was corrected")
    assert done.headers["location"] == "/runs?state=failed&reason=refused"
    assert "Of 3 runs: 3 replayed." in office.page_after(done)
    assert sorted(office.dispatcher.runs) == sorted(run_ids)
    assert office.trail("run_replayed") == [("operator:Ann", "the site was corrected")] * 3
    assert office.run(late).state == "failed"
    rig.go_on()
    # Sent again, when all is done, it repeats nothing.
    assert "Of 3 runs: 3 nothing." in office.page_after(office.send(form))
    assert len(rig.sandbox.effects_of("learningcart", "addCompOrder")) == 3


def test_bulk_takes_what_is_stuck_and_says_what_is_left_when_no_state_is_chosen(
    office: Office, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(rig, 2)
    rig.sell(7010, product_id="1200")
    rig.ingest(7010)
    rig.enrol(7011, email="due@example.test")
    page = office.get("/replay").text
    assert "2 runs of 3 will be replayed" in page  # a placeholder without an offer would come to nothing
    assert "changes nothing" in page
    assert office.form_of("/replay").fields["back"] == ["/runs"]
    monkeypatch.setattr(bulk_replay, "MOST_AT_ONCE", 1)
    assert "the first 1; the others afterwards" in office.get("/replay?state=failed").text


def test_bulk_has_no_form_when_there_is_nothing_to_do(office: Office) -> None:
    page = office.get("/replay?state=failed").text
    assert "There is nothing to do" in page
    assert "<textarea" not in page


def test_bulk_tells_refusals_when_a_run_is_unknown_or_its_order_is_refunded(office: Office, rig: Rig) -> None:
    (run_id,) = fail(rig, 1)
    form = office.form_of("/replay?state=failed")
    rig.sell(7001, email="learner-0@example.test", status="refunded")
    rig.ingest(7001)
    form.fields["run"] = [run_id, "nobody"]
    form.fields["back"] = ["//evil.example"]
    done = office.send(form)
    assert done.headers["location"] == "/runs"
    page = office.page_after(done)
    assert "Of 2 runs: 2 refused." in page
    assert "There is no run nobody" in page
    assert 'class="notice ask"' in page
    form.fields["run"] = []
    assert "No run was chosen." in office.page_after(office.send(form))


def test_what_a_colleague_cancelled_since_it_was_shown_is_not_started(office: Office, rig: Rig) -> None:
    first, second = fail(rig, 2)
    bulk, one = office.form_of("/replay?state=failed"), office.form_of(f"/runs/{second}/replay")
    rig.sandbox.clear_faults()
    for run_id in (first, second):
        rig.runtime.operations.cancel(run_id, actor="operator:bob", reason="fraud")
    assert "Of 2 runs: 2 nothing." in office.page_after(office.send(bulk))
    assert "A colleague cancelled it meanwhile" in office.page_after(office.send(one))
    rig.go_on()
    assert [office.run(run_id).state for run_id in (first, second)] == ["cancelled", "cancelled"]
    assert "Replayed." in office.page_after(office.send(office.form_of(f"/runs/{second}/replay")))


def test_bulk_says_what_is_wrong_when_the_offers_file_is_broken(office: Office, rig: Rig) -> None:
    fail(rig, 1)
    rig.sell(7010, product_id="1200")
    rig.ingest(7010)
    office.offers_file.write_text("[[offer]]\n")
    page = office.get("/replay").text
    assert "1 run of 2 will be replayed" in page  # the one that needs no offer
    assert "offers.toml:1" in page


def test_filter_is_refused_when_it_is_none(office: Office) -> None:
    assert office.get("/replay?state=happy").status_code == 422


def test_list_offers_to_replay_what_it_shows_when_it_may_be_stuck(office: Office, showcase: Office, rig: Rig) -> None:
    fail(rig, 1)
    assert 'href="/replay?state=failed&amp;reason=refused"' in office.get("/runs?state=failed&reason=refused").text
    assert "/replay" not in office.get("/runs?state=succeeded").text
    assert "/replay" not in showcase.get("/runs?state=failed").text
