from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from tests.unit.worker.web.asking import AppClient, RecordingDispatcher, assert_problem, settings_with
from worker.ledger.session import Ledger
from worker.web.app import create_app


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_process_is_alive_when_everything_else_is_down(
    client: AppClient, ledger: Ledger, dispatcher: RecordingDispatcher, method: str
) -> None:
    dispatcher.is_there = False
    with ledger.write() as connection:
        connection.exec_driver_sql("DROP TABLE deliveries")
    assert client.request(method, "/livez").status_code == 200


@pytest.mark.parametrize(("is_there", "broker"), [(True, "ok"), (False, "unreachable")])
def test_broker_is_reported_and_not_required_when_readiness_is_asked(
    client: AppClient, dispatcher: RecordingDispatcher, is_there: bool, broker: str
) -> None:
    dispatcher.is_there = is_there
    answer = client.get("/readyz")
    assert answer.status_code == 200
    report = {"ready": True, "ledger": "ok", "schema": "ok", "broker": broker}
    assert report | answer.json() == answer.json()


def test_process_is_ready_and_says_so_when_the_offers_file_cannot_be_used(
    ledger: Ledger, dispatcher: RecordingDispatcher, tmp_path: Path
) -> None:
    path = tmp_path / "offers.toml"
    app = create_app(settings_with(offers_file=path), ledger, dispatcher, clock=lambda: pytest.fail("needs no time"))
    with closing(AppClient(app)) as client:
        path.write_text("[[offer]")
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["ready"], answer.json()["offers"]) == (200, True, "invalid")
        assert "cartbridge offers check" in answer.json()["detail"]
        path.write_text("")
        assert client.get("/readyz").json()["offers"] == "ok"
        assert "detail" not in client.get("/readyz").json()


def test_app_is_not_ready_when_the_schema_is_another(client: AppClient, ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
    with capture_logs() as lines:
        answer = client.get("/readyz")
    assert "cartbridge migrate" in assert_problem(answer, 503)
    assert answer.json() | {"ready": False, "ledger": "ok", "schema": "mismatch", "broker": "ok"} == answer.json()
    assert "session.db" not in answer.text
    assert "session.db" in str(lines)


def test_app_is_not_ready_when_the_ledger_cannot_be_reached(tmp_path: Path, dispatcher: RecordingDispatcher) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    ledger = Ledger(f"sqlite:///{path}")
    client = AppClient(create_app(settings_with(), ledger, dispatcher, clock=lambda: pytest.fail("needs no time")))
    answer = client.get("/readyz")
    assert "cannot be reached" in assert_problem(answer, 503)
    assert answer.headers["retry-after"] == "5"
    assert (answer.json()["ledger"], answer.json()["schema"]) == ("unreachable", "unknown")
    assert "folder" not in answer.text
    client.close()
    ledger.close()


def test_app_is_not_ready_when_the_ledger_takes_no_writes(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every webhook is refused then: whoever asks from outside is to know."""
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=0))
    with capture_logs() as lines:
        answer = client.get("/readyz")
    assert "takes no writes" in assert_problem(answer, 503)
    assert (answer.json()["ready"], answer.json()["ledger"]) == (False, "read-only")
    assert "disk is full" in str(lines)
