from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tasks.dispatch import Dispatcher
from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.rows import add_breaker, add_order, add_run
from worker.cli.check import probes, threedcart_probe
from worker.errors import (
    ApiError,
    ApiTimeoutError,
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    UnexpectedResponseError,
)
from worker.ledger.session import Ledger

OFFERS = '[[offer]]\nsource = "studiocart"\nproduct_id = "1107"\ngrants = [{ price_id = 501 }]\n'


class FakeClient:
    """Answers as `answers` says; an exception there is raised."""

    answers: dict[str, Any]
    notes: tuple[str, ...] = ()
    closed = 0

    def __init__(self, settings: Any, secrets: Any) -> None:
        self.system = settings.system

    def _answer(self) -> Any:
        answer = FakeClient.answers[self.system]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def request_token(self) -> Any:
        return self._answer()

    def retrieve_cart(self, order_key: str) -> Any:
        assert order_key == "cartbridge-check"
        return self._answer()

    def list_orders(self, *, per_page: int = 1, limit: int = 1) -> Any:
        assert (per_page, limit) == (1, 1)
        return iter(self._answer())

    list_subscriptions = list_products = list_customers = list_orders

    def check_paging(self) -> Any:
        return next(self.list_orders(), None)

    def retrieve_subscription(self, record_id: int) -> Any:
        return next(self.list_orders())

    retrieve_product = retrieve_customer = retrieve_subscription

    def close(self) -> None:
        FakeClient.closed += 1


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    FakeClient.answers = {
        "learningcart": SimpleNamespace(expires_at=datetime(2025, 3, 4, 12, tzinfo=UTC)),
        "studiocart": [SimpleNamespace(id=1109)],
        "frontcore": [SimpleNamespace(id=27244)],
    }
    FakeClient.closed = 0
    monkeypatch.setattr(probes, "LearningCartClient", FakeClient)
    monkeypatch.setattr(probes, "StudiocartClient", FakeClient)
    monkeypatch.setattr(probes, "FrontcoreClient", FakeClient)
    monkeypatch.setattr(threedcart_probe, "ThreedcartClient", FakeClient)
    return FakeClient.answers


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "LEARNINGCART__SITE_HOSTNAME": "academy.example.test",
        "LEARNINGCART__USERNAME": "api@example.test",
        "LEARNINGCART__PASSWORD": "planted-password",
        "STUDIOCART__BASE_URL": "https://shop.example.test/wp-json/sc/v1",
        "STUDIOCART__API_KEY": "planted-key",
    }.items():
        monkeypatch.setenv(f"CARTBRIDGE_{name}", value)
    (tmp_path / "offers.toml").write_text(OFFERS)


def checked(run: Run, exit_code: int) -> dict[str, Any]:
    result = run("check", "--json")
    assert result.exit_code == exit_code, result.output
    document = json.loads(result.stdout)
    return {"ok": document["ok"], "verdict": document["verdict"]} | {
        finding["name"]: finding for finding in document["findings"]
    }


def marks(finding: dict[str, Any]) -> tuple[bool, bool | None, bool | None]:
    return finding["configured"], finding["reachable"], finding["accepted"]


@pytest.mark.usefixtures("configured", "ledger")
def test_the_missing_offer_is_named_when_all_answers_and_there_is_none(run: Run, tmp_path: Path) -> None:
    (tmp_path / "offers.toml").write_text("")
    assert checked(run, 0)["verdict"].startswith("Nothing gives access yet: add an [[offer]]")


@pytest.mark.usefixtures("configured")
def test_everything_is_ready_when_all_of_it_answers(run: Run, ledger: Ledger) -> None:
    found = checked(run, 0)
    assert found["ok"] is True
    assert "cartbridge up" in found["verdict"]
    for name in ("learningcart", "studiocart", "ledger", "offers"):
        assert marks(found[name]) == (True, True, True), name
    assert found["learningcart"]["detail"] == "token until 2025-03-04 12:00 UTC"
    assert found["studiocart"]["detail"] == "listed order 1109"
    assert marks(found["frontcore"]) == (False, None, None)
    assert found["frontcore"]["missing"] == ["CARTBRIDGE_FRONTCORE__API_KEY"]
    assert marks(found["broker"]) == (True, None, None)
    assert FakeClient.closed == 2
    table = run("check")
    assert table.exit_code == 0
    assert "✓" in table.stdout
    assert "Asking each system" in table.stderr
    assert "planted" not in table.output


@pytest.mark.usefixtures("configured")
def test_a_bare_answer_is_enough_when_it_tells_nothing_more(run: Run, answers: dict[str, Any]) -> None:
    answers["learningcart"] = SimpleNamespace(expires_at=None)
    answers["studiocart"] = []
    found = checked(run, 0)
    assert found["learningcart"]["detail"] == "gave a token"
    assert found["studiocart"]["detail"] == "has no orders yet"
    assert marks(found["ledger"]) == (True, None, None)
    assert "cartbridge migrate" in found["ledger"]["next_step"]


def test_the_missing_variables_are_named_when_nothing_is_configured(run: Run, tmp_path: Path) -> None:
    (tmp_path / "offers.toml").write_text("")
    result = run("check")
    assert result.exit_code == 1
    assert "CARTBRIDGE_STUDIOCART__API_KEY" in result.stdout
    assert "no source and no destination is configured" in result.stdout
    assert "It grants nothing yet" in result.stdout
    assert "○ LearningCart is set. `cartbridge init`" in result.stdout
    (tmp_path / "offers.toml").unlink()
    assert "Set it up: cartbridge init" in run("check").stdout  # rather than that the offers need attention


@pytest.mark.usefixtures("configured")
def test_what_is_left_to_do_is_listed_until_the_first_order_went_through(run: Run, ledger: Ledger) -> None:
    def left() -> list[str]:
        return [step["what"] for step in json.loads(run("check", "--json").stdout)["setup"] if not step["is_done"]]

    assert left() == ["Orders are read from studiocart", "An order has come in", "Somebody was given access"]
    with ledger.write() as connection:
        add_order(connection)
    assert left() == ["Orders are read from studiocart", "Somebody was given access"]
    with ledger.write() as connection:
        add_run(connection, state="succeeded")
    assert json.loads(run("check", "--json").stdout)["setup"] == []
    assert "Until the first order" not in run("check").stdout


def test_a_beginning_is_told_when_a_system_is_half_configured(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "offers.toml").write_text(OFFERS)
    monkeypatch.setenv("CARTBRIDGE_STUDIOCART__API_KEY", "planted-key")
    found = checked(run, 1)
    assert found["studiocart"]["next_step"] == "Set CARTBRIDGE_STUDIOCART__BASE_URL."
    assert "! studiocart is off" in run("check").stdout


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("error", "expected", "step"),
    [
        (AuthenticationError("no", status=401), (True, True, False), "Correct CARTBRIDGE_STUDIOCART__API_KEY."),
        (PermissionDeniedError("no", status=403), (True, True, False), "Correct CARTBRIDGE_STUDIOCART__API_KEY."),
        (ApiTimeoutError("late"), (True, False, None), "Is https://shop.example.test/wp-json/sc/v1 right"),
        (ServerError("HTTP 500", status=500), (True, True, False), "CARTBRIDGE_STUDIOCART__BASE_URL name the API"),
        (ConfigurationError("odd"), (True, False, None), "Correct its settings."),
    ],
)
def test_the_next_step_is_named_when_a_system_does_not_accept_us(
    run: Run, answers: dict[str, Any], error: ApiError, expected: tuple[bool, bool, bool | None], step: str
) -> None:
    answers["studiocart"] = error
    found = checked(run, 1)
    assert marks(found["studiocart"]) == expected
    assert step in found["studiocart"]["next_step"]
    assert found["studiocart"]["failed"] is True
    assert found["verdict"] == "Not ready: studiocart needs attention."
    assert "✗" in run("check").stdout


@pytest.mark.usefixtures("configured")
def test_several_are_named_when_several_fail(run: Run, answers: dict[str, Any]) -> None:
    answers["studiocart"] = answers["learningcart"] = ApiTimeoutError("late")
    assert checked(run, 1)["verdict"] == "Not ready: learningcart, studiocart need attention."


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("answer", "exit_code", "accepted"),
    [
        (
            NotFoundError("threedcart retrieve_cart answered HTTP 404: The requested Cart does not exist", status=404),
            0,
            True,
        ),
        (UnexpectedResponseError("not the store's own word", status=404), 1, False),
        (AuthenticationError("refused", status=401), 1, False),
    ],
)
def test_3dcart_is_asked_for_a_cart_that_there_is_not_when_its_orders_are_off(  # noqa: PLR0917
    run: Run,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    answers: dict[str, Any],
    answer: ApiError,
    exit_code: int,
    *,
    accepted: bool,
) -> None:
    for name in ("SECURE_URL", "PRIVATE_KEY", "TOKEN"):
        monkeypatch.setenv(f"CARTBRIDGE_THREEDCART__{name}", "planted.example")
    answers["threedcart"] = answer
    found = checked(run, exit_code)["threedcart"]
    assert marks(found) == (True, True, accepted)
    assert found["detail"].startswith("looked for a cart; ") or found["next_step"]


@pytest.mark.usefixtures("configured", "ledger")
def test_follow_on_rules_are_warned_of_when_3dcart_is_off(run: Run, tmp_path: Path) -> None:
    rule = "[[follow_on]]\ncourse_id = 77\ncatalog_id = 1234\n"
    (tmp_path / "offers.toml").write_text(OFFERS + rule)
    found = checked(run, 0)["offers"]
    assert found["detail"].endswith("1 follow-on")
    assert "needs 3dcart, else its runs wait: set CARTBRIDGE_THREEDCART__SECURE_URL" in found["next_step"]
    assert "needs 3dcart" in " ".join(run("offers", "check").output.split())


@pytest.mark.usefixtures("configured", "ledger")
def test_frontcore_is_asked_for_one_order_when_it_is_configured(
    run: Run, monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any]
) -> None:
    monkeypatch.setenv("CARTBRIDGE_FRONTCORE__API_KEY", "planted-key")
    found = checked(run, 0)
    assert marks(found["frontcore"]) == (True, True, True)
    assert found["frontcore"]["detail"] == "listed order 27244"
    answers["frontcore"] = []
    assert checked(run, 0)["frontcore"]["detail"] == "has no orders yet"
    monkeypatch.setattr(FakeClient, "notes", ("list/orders: the JSON is preceded by 'Notice : x'",))
    reported = "has no orders yet; read all the same: list/orders: the JSON is preceded by 'Notice : x'"
    assert checked(run, 0)["frontcore"]["detail"] == reported
    answers["frontcore"] = AuthenticationError("Wrong API Key", status=401)
    assert "CARTBRIDGE_FRONTCORE__API_KEY" in checked(run, 1)["frontcore"]["next_step"]
    assert FakeClient.closed == 12


@pytest.mark.usefixtures("configured")
def test_the_ledgers_trouble_is_told_when_it_has_some(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ledger.write() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
    found = checked(run, 1)
    assert marks(found["ledger"]) == (True, True, False)
    assert "cartbridge migrate" in found["ledger"]["next_step"]

    def fail(self: Ledger) -> None:
        raise OperationalError("SELECT 1", {}, ConnectionError("refused"))

    monkeypatch.setattr(Ledger, "check_schema", fail)
    found = checked(run, 1)
    assert marks(found["ledger"]) == (True, False, None)
    assert found["ledger"]["detail"] == "sqlite:///cartbridge.db: ConnectionError"


@pytest.mark.usefixtures("configured")
def test_a_ledger_that_takes_no_writes_is_told_by_check_and_status(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=0))
    found = checked(run, 1)
    assert marks(found["ledger"]) == (True, True, False)
    assert found["ledger"]["next_step"] == "Its disk is full: nothing goes on."
    assert "The ledger takes no writes: its disk is full" in run("status").stdout


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(("answers_now", "exit_code"), [(True, 0), (False, 1)])
def test_the_broker_is_asked_when_there_is_one(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, answers_now: bool, exit_code: int
) -> None:
    monkeypatch.setenv("CARTBRIDGE_BROKER_URL", "redis://:planted-word@127.0.0.1:1/0")
    monkeypatch.setattr(Dispatcher, "broker_ok", lambda self: answers_now)
    found = checked(run, exit_code)
    assert found["broker"]["reachable"] is answers_now
    assert "planted" not in str(found)


@pytest.mark.usefixtures("configured")
def test_the_offers_problem_is_told_when_there_is_one(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "offers.toml").write_text(OFFERS + OFFERS.replace("501", "502") + OFFERS)
    found = checked(run, 1)
    assert marks(found["offers"]) == (True, True, False)
    assert "offers.toml:5" in found["offers"]["detail"]
    assert "more)" in found["offers"]["detail"]
    (tmp_path / "offers.toml").unlink()
    assert marks(checked(run, 1)["offers"]) == (True, False, False)


@pytest.mark.usefixtures("configured")
def test_it_is_not_ready_when_a_system_is_paused(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO pauses (system, kind, reason, actor, since) "
            "VALUES ('learningcart', 'authentication', '', 'engine', '2025-03-04 12:00:00.000000')"
        )
    found = checked(run, 1)
    assert found["verdict"].endswith("cartbridge resume learningcart")


def test_outage_is_told_and_keeps_nothing_from_starting_when_the_system_answers_now(
    run: Run, ledger: Ledger, configured: None
) -> None:
    with ledger.write() as connection:
        add_breaker(connection)
    result = run("check")
    shown = " ".join(result.stdout.split())
    assert "learningcart is down since 2025-03-04 11:30 UTC" in shown
    assert "To ask it at once: cartbridge resume learningcart" in shown
    assert result.exit_code == 0
