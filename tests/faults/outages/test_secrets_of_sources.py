"""The keys of Studiocart, Frontcore and 3dcart show nowhere, whatever they answer: quoted keys included."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness.product import ON_SQLITE, NewRig, Rig
from tests.faults.outages.test_secrets import PAGES, EverythingSaid, assert_no_secret, said, texts_of
from tests.unit.worker.web.asking import AppClient, RecordingDispatcher
from worker.clients.threedcart.models import CartFields
from worker.errors import ApiError
from worker.observability.logs import known_secrets
from worker.sandbox import Fault, Sandbox
from worker.web.app import create_app

__all__ = ["said"]

pytestmark = [pytest.mark.faults, ON_SQLITE]

REPOSITORY = Path(__file__).resolve().parents[3]
SYSTEMS = ("learningcart", "studiocart", "frontcore", "threedcart")
FAST = {
    f"CARTBRIDGE_{system}__{name}": value
    for system in ("STUDIOCART", "FRONTCORE", "THREEDCART")
    for name, value in (("REQUESTS_PER_SECOND", "0"), ("START_AT", "2020-01-01"))
}
KEYS = {
    "studiocart": ("sandbox-key-studiocart", "sandbox-secret-studiocart"),
    "frontcore": ("sandbox-key-frontcore", "sandbox-secret-frontcore"),
    "threedcart": ("sandbox-key-threedcart-private", "sandbox-key-threedcart-token"),
}
ANSWERS = [fault for kind, fault in PAGES.items() if kind != "dribble"]
ORDER_IDS = {"studiocart": "7001", "frontcore": "27244", "threedcart": "1001"}


def quoting(system: str) -> list[dict[str, Any]]:
    """Answers in which the system quotes the keys it was sent: in a page, in JSON and in headers."""
    first, second = KEYS[system]
    said_in_json = (
        f'{{"code":"bad_{first}","message":"The key {first} is no key of {second}","data":{{"status":401}},'
        f'"errors":[{{"Key":"{first}","Value":"{second}","Message":"{first}"}}]}}'
    )
    page = f"<html><title>{first}</title><body>x-api-key: {first}, Token: {second}</body></html>"
    leading = {"Location": f"https://{second}.example/{first}?api_key={first}", "Retry-After": first, "Server": first}
    return [
        *({"kind": "status", "status": status, "body": said_in_json} for status in (200, 400, 401, 403, 404, 429, 500)),
        *({"kind": "status", "status": status, "body": page, "headers": leading} for status in (200, 302, 401, 503)),
        {"kind": "html", "body": f"[{{{page}"},
    ]


def calls_of(system: str, client: Any) -> list[Callable[[], object]]:
    """What is asked of a system, by its client."""
    calls: list[Callable[[], object]] = [
        lambda: client.retrieve_order(int(ORDER_IDS[system])),
        lambda: list(client.list_orders()),
    ]
    if system == "studiocart":
        calls.append(lambda: list(client.list_subscriptions()))
    if system == "threedcart":
        calls.append(lambda: client.create_cart(CartFields(billing_first_name="Jane")))
    return calls


@pytest.fixture
def rig(new_rig: NewRig, sandbox: Sandbox) -> Rig:
    """All four systems are on, and every secret of the settings is known, as in a process from its first line on."""
    made = new_rig(**sandbox.environment(systems=SYSTEMS), **FAST, CARTBRIDGE_THREEDCART__ORDERS_ENABLED="true")
    for value in made.settings.secret_values():
        known_secrets.add(value)
    return made


@pytest.mark.parametrize("system", list(KEYS))
def test_no_key_shows_when_every_fault_hits_every_call_of_a_source(rig: Rig, said: EverythingSaid, system: str) -> None:
    raised: list[str] = []
    for number, fault in enumerate([*ANSWERS, *quoting(system)]):
        for call in calls_of(system, rig.runtime.clients[system]):
            rig.sandbox.clear_faults()
            rig.sandbox.inject(Fault(system, times=None, **fault))
            try:
                call()
            except ApiError as error:
                raised += texts_of(error)
        if number % 5 == 0:  # the same faults, as the product itself meets them
            rig.runtime.ingest(system, ORDER_IDS[system], actor="operator:test")
            rig.runtime.poller(system).poll()
            rig.clock.move(3600)
    assert len(raised) > len(ANSWERS)
    assert ORDER_IDS[system] in rig.everything_stored()
    assert_no_secret(rig, rig.everything_stored(), *raised, *said.lines)


def test_no_key_is_printed_when_the_sources_quote_it(rig: Rig, sandbox: Sandbox, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARTBRIDGE_")}
    environment |= sandbox.environment(systems=SYSTEMS, **FAST, CARTBRIDGE_THREEDCART__ORDERS_ENABLED="true")
    environment |= {
        "CARTBRIDGE_DATABASE_URL": rig.settings.database_url.get_secret_value(),
        "PYTHONPATH": str(REPOSITORY),
    }
    for system in KEYS:
        sandbox.inject(*(Fault(system, times=None, **each) for each in quoting(system)[2:3]))
    commands = [["check"], ["status"], ["deliveries", "list", "--json"], ["why", "7001"]]
    commands += [["ingest", system, order_id] for system, order_id in ORDER_IDS.items()]
    for command in [*commands[-3:], *commands[:-3]]:
        done = subprocess.run(
            [sys.executable, "-c", "from worker.cli.app import main; main()", *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            check=False,
        )
        printed = (done.stdout + done.stderr).decode()
        assert printed
        assert "Traceback" not in printed
        assert_no_secret(rig, printed)


def test_no_key_is_answered_when_a_webhook_with_it_is_refused(rig: Rig) -> None:
    client = AppClient(create_app(rig.settings, rig.ledger, RecordingDispatcher(), clock=rig.clock))
    answers = []
    for system, keys in KEYS.items():
        for key in keys:
            for body in (f'{{"{key}":', f'{{"id":"{key}"}}', f'["{key}"]', key, f"id={key}", f'{{"id":1,"x":"{key}"}}'):
                for kind in ("application/json", "application/x-www-form-urlencoded", f"text/{key}"):
                    for headers in ({}, {"X-Webhook-Secret": keys[1]}, {"Authorization": f"Bearer {key}"}):
                        sent = {"Content-Type": kind, **headers}
                        answers.append(client.post(f"/webhooks/{system}", content=body, headers=sent))
            answers += [
                client.post(f"/webhooks/{system}/{key}", content="{}", headers={"Content-Type": "application/json"}),
                client.post(f"/webhooks/{key}", content="{}"),
                client.get(f"/webhooks/{system}?studiocart_secret={key}"),
                client.get(f"/api/v1/runs?{key}={key}", headers={"Authorization": f"Bearer {key}"}),
                client.get(f"/{key}"),
            ]
    client.close()
    assert {answer.status_code for answer in answers} >= {202, 401, 404, 405, 422}
    assert_no_secret(rig, rig.everything_stored(), *(f"{answer.headers}{answer.text}" for answer in answers))
