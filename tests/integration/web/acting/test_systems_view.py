from __future__ import annotations

from sqlalchemy import insert

from tests.faults.harness.product import Rig
from tests.integration.web.acting.office import Office
from worker.ledger.tables.runs import pauses


def test_every_system_is_shown_when_some_are_off(office: Office, rig: Rig) -> None:
    page = office.get("/systems").text
    assert "CARTBRIDGE_FRONTCORE__API_KEY" in page
    assert "CARTBRIDGE_THREEDCART__TOKEN" in page
    assert 'href="/systems/learningcart/pause"' in page
    assert 'href="/systems/studiocart/pause"' in page  # nothing would be read from it
    assert "/systems/threedcart" not in page  # it is off
    rig.enrol()
    rig.go_on()
    assert "0 of 3" in office.get("/systems").text


def test_pause_holds_and_resume_lets_go_when_their_forms_are_sent_twice(office: Office, rig: Rig) -> None:
    form = office.form_of("/systems/learningcart/pause")
    assert "Paused learningcart" in office.page_after(office.send(form, reason="they migrate"))
    page = office.page_after(office.send(form, reason="they migrate"))
    assert "learningcart is paused already" in page
    assert "by Ann: they migrate" in page
    assert "/systems/learningcart/pause" not in page
    run_id = rig.enrol()
    rig.go_on()
    assert office.run(run_id).state == "pending"
    assert "is paused by Ann: they migrate" in office.get(f"/runs/{run_id}").text
    office.page_after(office.send(office.form_of("/systems/learningcart/resume"), reason="they are done"))
    assert office.dispatcher.sweeps == 1
    assert office.trail("system_paused") == [("operator:Ann", "they migrate")]
    assert office.trail("system_resumed") == [("operator:Ann", "they are done")]
    rig.go_on()
    assert office.run(run_id).state == "succeeded"


def test_refused_credentials_are_named_when_they_paused_the_system(showcase: Office, rig: Rig) -> None:
    with rig.ledger.write() as connection:
        values = {"kind": "authentication", "reason": "HTTP 401", "actor": "engine", "since": rig.clock()}
        connection.execute(insert(pauses).values(system="learningcart", **values))
    page = showcase.get("/systems").text
    assert "by Cartbridge: HTTP 401. Correct its credentials first" in page
    assert "/resume" not in page


def test_there_is_nothing_to_pause_when_the_system_is_none(office: Office) -> None:
    assert office.get("/systems/nonsense/pause").status_code == 422
