from __future__ import annotations

from typing import Any

from tests.faults.harness.product import Rig
from tests.integration.web.acting.office import Office
from worker.ledger import pauses
from worker.ledger.orders.order_rows import insert_delivery
from worker.ledger.states import Via
from worker.ledger.views.history import why
from worker.ledger.views.listing import list_deliveries
from worker.ledger.views.overview import status


def notify(rig: Rig, order_id: str) -> None:
    """What the intake does with a webhook."""
    with rig.ledger.write() as connection:
        about: dict[str, Any] = {"source": "studiocart", "order_id": order_id, "actor": "source"}
        insert_delivery(connection, **about, via=Via.WEBHOOK, now=rig.clock())


def tell(rig: Rig) -> None:
    """What beat and the workers do of a source: the sweep, the fetch, the poll."""
    sent: list[tuple[str, str]] = []

    def send_order(source: str, order_id: str) -> bool:
        sent.append((source, order_id))
        return True

    rig.dispatcher.send_order = send_order  # type: ignore[method-assign]
    rig.sweep()
    for source, order_id in sent:
        rig.runtime.app.tasks["cartbridge.ingest"].run(source, order_id)
    rig.runtime.app.tasks["cartbridge.poll"].run("studiocart")


def asked(rig: Rig) -> int:
    return rig.sandbox.requests("studiocart")


def test_nothing_is_asked_and_webhooks_wait_while_a_source_is_paused(office: Office, rig: Rig) -> None:
    form = office.form_of("/systems/studiocart/pause")
    assert "its webhooks are kept and wait" in office.get("/systems/studiocart/pause").text
    assert "polls and webhooks wait" in office.page_after(office.send(form, reason="they move"))
    rig.sell(7001)
    notify(rig, "7001")
    before = asked(rig)
    tell(rig)
    rig.runtime.delivery_reader.look("studiocart", "7001")
    assert asked(rig) == before
    with rig.ledger.read() as connection:
        assert [each.state for each in list_deliveries(connection)] == ["received"]
        found = status(connection, rig.clock())
        reported = why(connection, "studiocart/7001", now=rig.clock())
    assert reported.answer == "News of order studiocart/7001 arrived and waits: studiocart is paused by Ann: they move."
    assert reported.action == "`cartbridge resume studiocart`"
    assert (found.due_deliveries.count, [each.system for each in found.pauses]) == (0, ["studiocart"])
    office.page_after(office.send(office.form_of("/systems/studiocart/resume"), reason="they are done"))
    assert (office.dispatcher.sweeps, office.dispatcher.polls) == (1, ["studiocart"])
    tell(rig)
    assert len(rig.rows("runs")) == 1


def test_order_that_is_asked_for_by_name_is_read_while_its_source_is_paused(rig: Rig) -> None:
    rig.runtime.operations.pause("studiocart", actor="operator:ann")
    assert rig.enrol()


def test_refused_credentials_hold_back_no_webhook(rig: Rig) -> None:
    with rig.ledger.write() as connection:
        pauses.pause(connection, "studiocart", kind="authentication", reason="", actor="engine", now=rig.clock())
    rig.sell(7001)
    notify(rig, "7001")
    tell(rig)
    assert len(rig.rows("runs")) == 1


def test_a_paused_source_is_not_late(rig: Rig) -> None:
    rig.runtime.app.tasks["cartbridge.watch_sources"].run()
    rig.runtime.operations.pause("studiocart", actor="operator:ann")
    for _ in range(20):
        rig.clock.move(300)
        rig.runtime.app.tasks["cartbridge.watch_sources"].run()
    with rig.ledger.read() as connection:
        assert [each.late_since for each in status(connection, rig.clock()).sources if each.late_since] == []
