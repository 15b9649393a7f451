"""Somebody whose orders met every failure is forgotten: no byte of the ledger, no line of the log has them.

Every refusal quotes them, as the vendors' do, and an operator typed their name wherever a reason can be typed.
"""

from __future__ import annotations

import json
import logging
from io import StringIO
from pathlib import Path

import pytest

from tests.faults.harness.product import ON_SQLITE, NewRig, Rig
from worker.ledger.compaction import rewrite_file
from worker.ledger.learners.erasure import find_person, forget
from worker.ledger.learners.erasure_file import ErasureFile
from worker.ledger.learners.erasure_replay import write_missing
from worker.observability.logs import configure_logging
from worker.sandbox import Fault

pytestmark = pytest.mark.faults

EMAIL, FIRST, LAST = "planted.mark@person.test", "Plantedfirst", "Plantedläst"
QUOTE = json.dumps({"Message": f"{FIRST} {LAST} <{EMAIL}> of 1 Planted Street is refused"})
KINDS = [
    Fault("learningcart", "addCustomer", kind="status", status=400, body=QUOTE),
    Fault("learningcart", "addCustomer", kind="status", status=500, body=QUOTE),
    Fault("learningcart", "addCustomerToGroup", kind="status", status=404, body=QUOTE),
    Fault("learningcart", "addCompOrder", kind="status", status=400, body=QUOTE),
    Fault("learningcart", "addCompOrder", kind="status", status=503, body=QUOTE),
    Fault("learningcart", "addCompOrder", kind="cut"),
    Fault("learningcart", "addCompOrder", kind="html", body=f"<p>{FIRST} {LAST}</p>"),
    Fault("learningcart", "requestToken", kind="status", status=401, body=QUOTE),
]


def sell(rig: Rig, order_id: int) -> str:
    order = {
        "customer_firstname": FIRST,
        "customer_lastname": LAST,
        "customer_email": EMAIL,
        "customer_phone": "planted-555",
        "customer_address": "1 Planted Street",
        "product_id": "1107",
        "product_name": "Course",
        "status": "paid",
        "order_amount": 500,
        "currency": "INR",
        "items": [{"product_name": "Course x 1", "quantity": 1}],
    }
    rig.sandbox.studiocart.replace_order(order_id, order)
    (run_id,) = rig.ingest(order_id)
    return run_id


@ON_SQLITE
def test_nobody_is_named_anywhere_when_their_orders_met_every_failure_and_they_were_forgotten(
    new_rig: NewRig, tmp_path: Path
) -> None:
    stream = StringIO()
    rig = new_rig(CARTBRIDGE_RETRY__MAX_ATTEMPTS="3")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging(rig.settings, stream=stream, level=logging.INFO)
    typed = f"{FIRST} {LAST} ({EMAIL}) called"
    operations = rig.runtime.operations
    try:
        for number, fault in enumerate(KINDS):
            rig.sandbox.inject(fault)
            run_id = sell(rig, 7001 + number)
            rig.go_on()
            rig.clock.move(3600)
            operations.resume("learningcart", actor="operator:test", reason=typed)
            rig.finish()
            if rig.run(run_id)["state"] in {"failed", "review"}:
                operations.replay(run_id, actor="operator:test", reason=typed)
                rig.finish()
            if rig.run(run_id)["state"] != "succeeded":
                operations.resolve(run_id, actor="operator:test", note=typed)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    # Not even before, but where a reason belongs to no run and no order, or a refusal quotes what we never read.
    about = [(row["reason"], row["detail"]) for row in rig.rows("events") if row["run_id"] or row["order_id"]]
    reported = json.dumps(about, ensure_ascii=False).replace("1 Planted Street", "").casefold()
    assert "planted" not in reported
    assert len(stream.getvalue()) > 1000
    assert "planted" not in stream.getvalue().casefold()
    path = rig.ledger.path
    assert path is not None
    assert b"planted.mark" in b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))
    file = ErasureFile(tmp_path / "erasures.jsonl")
    with rig.ledger.write() as connection:
        forget(connection, find_person(connection, EMAIL), now=rig.clock(), actor="operator:test", reason=typed)
        write_missing(connection, file)
    rewrite_file(rig.ledger)
    for each in [*path.parent.glob(f"{path.name}*"), file.path]:
        assert b"planted" not in each.read_bytes().lower()
    for number in range(len(KINDS)):  # and the source, which still has them, is asked again
        rig.runtime.ingest("studiocart", str(7001 + number), actor="operator:test")
    rig.runtime.poller("studiocart").poll()
    rig.finish()
    assert "planted" not in rig.everything_stored().casefold()
