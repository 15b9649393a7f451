from __future__ import annotations

import pytest

from tests.faults.harness.product import Rig
from tests.integration.web.acting.office import Form, Office
from worker.sandbox import Fault

CUT = Fault(system="learningcart", operation="addCompOrder", kind="cut", when="after")


def comped_orders(rig: Rig) -> int:
    return len(rig.sandbox.effects_of("learningcart", "addCompOrder"))


def test_replay_shows_its_calls_and_changes_nothing_when_it_is_asked_for(office: Office, failed_run: str) -> None:
    page = office.get(f"/runs/{failed_run}/replay").text
    for call in ("addCustomer jane@example.test", "addCustomerToGroup group 12", "addCompOrder price 501"):
        assert f"learningcart {call}" in page
    assert "Ask LearningCart to give " in page
    assert ", by these calls:" in page
    assert office.run(failed_run).state == "failed"
    assert office.dispatcher.runs == []


def test_replay_is_done_once_with_name_and_reason_when_its_form_is_sent_twice(office: Office, failed_run: str) -> None:
    form = office.form_of(f"/runs/{failed_run}/replay")
    first = office.send(form, reason="the group is there now")
    assert first.headers["location"] == f"/runs/{failed_run}"
    page = office.page_after(first)
    assert "Replayed." in page
    assert 'class="notice good"' in page
    assert 'class="notice' not in office.get(f"/runs/{failed_run}").text  # told once
    assert "due already" in office.page_after(office.send(form, reason="the group is there now"))
    assert office.trail("run_replayed") == [("operator:Ann", "the group is there now")]
    assert set(office.dispatcher.runs) == {failed_run}
    office.rig.go_on()
    assert (office.run(failed_run).state, comped_orders(office.rig)) == ("succeeded", 1)


def test_repetition_makes_one_more_order_when_its_form_is_sent_twice(office: Office, rig: Rig) -> None:
    run_id = rig.enrol()
    rig.go_on()
    form = office.form_of(f"/runs/{run_id}/repeat?step=add_comped_order")
    assert form.fields["seen"] == ["0"]
    refused = office.send(form, reason=" ")
    assert refused.status_code == 422
    assert "“Reason” is needed" in refused.text
    office.page_after(office.send(form, reason="it was deleted there"))
    rig.go_on()
    # The second one comes when all is done again: it was the same wish.
    assert "repeated since you looked" in office.page_after(office.send(form, reason="it was deleted there"))
    rig.go_on()
    assert comped_orders(rig) == 2
    assert office.trail("run_repeated") == [("operator:Ann", "it was deleted there")]


def test_resolve_keeps_note_and_order_when_they_are_given(office: Office, failed_run: str) -> None:
    form = office.form_of(f"/runs/{failed_run}/resolve")
    wrong = office.send(form, reason="by phone", order_id="12a")
    assert wrong.status_code == 422
    assert "whole numbers" in wrong.text
    assert "by phone" in wrong.text  # what was typed is kept
    assert office.send(form, reason="").status_code == 422
    assert office.run(failed_run).state == "failed"
    office.page_after(office.send(form, reason="by phone", order_id="4711"))
    run = office.run(failed_run)
    assert (run.state, run.note, run.result_id) == ("succeeded", "by phone", "4711")
    assert office.trail("run_resolved") == [("operator:Ann", "by phone")]
    again = office.page_after(office.send(form, reason="by phone"))
    assert "cannot be resolved" in again
    assert 'class="notice ask"' in again


def test_cancel_is_refused_with_the_way_out_when_the_effect_may_have_happened(office: Office, rig: Rig) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(CUT)
    rig.work(run_id)
    page = office.get(f"/runs/{run_id}/cancel").text
    assert "Nothing can be done" in page
    assert "may have taken effect" in page
    assert "<textarea" not in page


def test_cancel_ends_the_run_when_nothing_was_made(office: Office, failed_run: str) -> None:
    office.page_after(office.send(office.form_of(f"/runs/{failed_run}/cancel"), reason="sold by mistake"))
    assert office.run(failed_run).state == "cancelled"
    assert office.trail("run_cancelled") == [("operator:Ann", "sold by mistake")]


def test_planning_again_leads_to_the_order_and_keeps_the_reason_when_an_offer_was_added(
    office: Office, rig: Rig
) -> None:
    rig.sell(7001, product_id="1200")
    rig.ingest(7001)
    (placeholder,) = rig.rows("runs")
    refusal = office.get(f"/runs/{placeholder['id']}/replay").text
    assert "changes nothing" in refusal
    assert 'href="/offers"' in refusal
    with office.offers_file.open("a") as file:
        file.write('\n[[offer]]\nsource = "studiocart"\nproduct_id = "1200"\ngrants = [{ price_id = 777 }]\n')
    page = office.get(f"/runs/{placeholder['id']}/replay").text
    assert "learningcart addCompOrder price 777" in page
    done = office.send(office.form_of(f"/runs/{placeholder['id']}/replay"), reason="offer added")
    assert done.headers["location"] == "/orders/studiocart/7001"
    assert "1 new run" in office.page_after(done)
    assert office.trail("run_replayed") == [("operator:Ann", "offer added")]
    rig.go_on()
    assert comped_orders(rig) == 1


def test_broken_offers_file_is_told_when_an_order_would_be_planned_again(office: Office, rig: Rig) -> None:
    run_id = rig.enrol()
    office.offers_file.write_text('[[offer]]\nsource = "studiocart"\n')
    page = office.get(f"/runs/{run_id}/replan").text
    assert "Nothing can be done" in page
    assert "offers.toml:1" in page


@pytest.mark.parametrize("path", ["/runs/nobody/replay", "/runs/nobody", "/learners/nobody", "/orders/studiocart/9"])
def test_page_says_so_when_there_is_no_such_thing(office: Office, path: str) -> None:
    answer = office.get(path)
    assert answer.status_code == 404
    assert "Not in the ledger" in answer.text


def test_form_of_another_page_is_refused_when_it_is_sent_to_an_action(office: Office, failed_run: str) -> None:
    token = {"form_token": office.form_of(f"/runs/{failed_run}/replay").fields["form_token"][0]}
    path = f"/runs/{failed_run}/replay"
    for fields, origin in (({"form_token": "x"}, "http://cartbridge.example"), (token, "https://evil.example")):
        assert office.post(path, data=fields, headers={"Origin": origin}).status_code == 403
    assert office.run(failed_run).state == "failed"


def test_page_only_shows_when_it_has_no_operator(showcase: Office, failed_run: str) -> None:
    page = showcase.get(f"/runs/{failed_run}").text
    assert "/replay" not in page
    assert "Repeat from here" not in page
    assert showcase.get(f"/runs/{failed_run}/replay").status_code == 404


def test_a_settled_run_is_a_question_again_when_it_is_reopened(office: Office, rig: Rig, failed_run: str) -> None:
    office.send(office.form_of(f"/runs/{failed_run}/resolve"), reason="by phone", order_id="4711")
    assert f"/runs/{failed_run}/reopen" in office.get(f"/runs/{failed_run}").text
    form = office.form_of(f"/runs/{failed_run}/reopen")
    assert office.send(form, reason="").status_code == 422
    office.page_after(office.send(form, reason="it was another order"))
    assert (office.run(failed_run).state, office.run(failed_run).reason) == ("review", "reopened")
    assert office.trail("run_reopened") == [("operator:Ann", "it was another order")]
    rig.go_on()
    assert (office.run(failed_run).state, comped_orders(rig)) == ("review", 0)
    assert "nobody has settled it" in office.page_after(office.send(form, reason="it was another order"))


def test_a_nameless_seat_is_given_to_who_is_typed_and_once_when_sent_twice(office: Office, rig: Rig) -> None:
    rig.sell(7001, quantity=2)
    rig.ingest(7001)
    nameless = next(run for run in rig.rows("runs") if run["reason"] == "unnamed_seat")
    assert "Name this seat" in office.get(f"/runs/{nameless['id']}").text
    form = office.form_of(f"/runs/{nameless['id']}/name")
    wrong = office.send(form, email="kim@", first="Kim", last="Lee")
    assert (wrong.status_code, "Kim" in wrong.text) == (422, True)
    shown = office.send(form, email="kim@example.test", first="Kim", last="Lee", reason="she rang")
    assert "learningcart addCustomer email=kim@example.test first=Kim last=Lee" in shown.text
    assert len(rig.rows("runs")) == 2  # nothing is changed yet
    confirm = Form(shown.text)
    office.page_after(office.send(confirm))
    assert "already" in office.page_after(office.send(confirm))
    assert office.trail("seat_named") == [("operator:Ann", "she rang")]
    rig.go_on()
    made = rig.sandbox.effects_of("learningcart", "addCustomer")
    assert comped_orders(rig) == 2
    assert any("kim@example.test" in str(each) for each in made)


def test_a_group_is_named_from_a_pasted_list_when_its_order_has_several_nameless_seats(
    office: Office, rig: Rig
) -> None:
    rig.sell(7001, quantity=3)
    rig.ingest(7001)
    assert "/name-seats/studiocart/7001" in office.get("/orders/studiocart/7001").text
    form = office.form_of("/name-seats/studiocart/7001")
    assert office.send(form, people="kim@example.test").status_code == 422
    shown = office.send(form, people="kim@example.test\tKim\tLee\nbob@example.test\tBob\tRay")
    assert shown.text.count("addCompOrder price 501") == 2
    assert "2 seats named" in office.page_after(office.send(Form(shown.text)))
    rig.go_on()
    assert comped_orders(rig) == 3
    assert "name-seats" not in office.get("/orders/studiocart/7001").text


def test_a_wrong_address_that_has_access_is_corrected_only_with_a_reason(office: Office, rig: Rig) -> None:
    run_id = rig.enrol()
    rig.go_on()
    form = office.form_of(f"/runs/{run_id}/name")
    assert office.send(form, email="right@example.test").status_code == 422
    shown = office.send(form, email="right@example.test", reason="misspelt")
    assert "second comped order" in shown.text
    office.page_after(office.send(Form(shown.text)))
    rig.go_on()
    assert (office.run(run_id).email, office.run(run_id).state) == ("right@example.test", "succeeded")
    assert comped_orders(rig) == 2


def test_access_that_was_given_since_the_calls_were_shown_is_shown_before_it_is_given_to_another(
    office: Office, rig: Rig
) -> None:
    """The run succeeded between the two forms: a second comped order was made, unasked and without a reason."""
    run_id = rig.enrol(email="wrong@example.test")
    shown = office.send(office.form_of(f"/runs/{run_id}/name"), email="right@example.test")
    assert "second comped order" not in shown.text
    rig.go_on()
    assert "second comped order" in office.send(Form(shown.text)).text
    now = office.send(Form(shown.text), reason="misspelt")
    assert "second comped order" in now.text
    assert (comped_orders(rig), office.trail("seat_named")) == (1, [])
    bare = office.send(Form(now.text), reason="")
    assert (bare.status_code, "A reason is needed" in bare.text, office.trail("seat_named")) == (422, True, [])
    office.page_after(office.send(Form(now.text)))
    rig.go_on()
    assert (office.run(run_id).email, comped_orders(rig)) == ("right@example.test", 2)
    assert "already" in office.page_after(office.send(Form(shown.text)))
