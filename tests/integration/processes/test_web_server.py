"""The HTTP server on real sockets: listening, stopping, signals, and what HTTP itself does to our answers."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import func, select

from tasks.dispatch import Dispatcher
from tests.integration.servers import PostgresServer
from worker.errors import ConfigurationError
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import deliveries
from worker.settings.settings import Settings
from worker.web.app import create_app
from worker.web.server import WebServer, serve

pytestmark = pytest.mark.integration

SECRET = {"X-Webhook-Secret": "planted-hook-secret"}
ALL_ADDRESSES = str(ipaddress.IPv4Address(0))
REPOSITORY = Path(__file__).resolve().parents[3]
STOPPED_WITHIN_SECONDS = 10.0


class RecordingDispatcher(Dispatcher):
    """Sends nothing; `seconds` is how long the broker takes to say that it is away."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.sent: list[tuple[str, str]] = []
        self.closing = threading.Event()

    def send_order(self, source: str, order_id: str) -> bool:
        self.closing.wait(self.seconds)
        self.sent.append((source, order_id))
        return self.seconds == 0

    def send_poll(self, source: str) -> bool:
        return self.send_order(source, "")

    def broker_ok(self) -> bool:
        return self.seconds == 0


def settings_with(database_url: str = "sqlite:///web.db", **web: Any) -> Settings:
    return Settings.model_validate(
        {
            "database_url": SecretStr(database_url),
            "studiocart": {
                "base_url": "https://shop.example/wp-json/sc/v1",
                "api_key": SecretStr("planted-studiocart-key"),
                "webhook_secret": SecretStr("planted-hook-secret"),
                "trust_webhook": True,
            },
            "web": {"port": 0, **web},
        }
    )


@contextlib.contextmanager
def web_on(ledger: Ledger, dispatcher: RecordingDispatcher) -> Iterator[httpx.Client]:
    server = WebServer(
        settings_with(), create_app(settings_with(), ledger, dispatcher, clock=lambda: datetime.now(UTC))
    )
    server.start()
    try:
        with httpx.Client(base_url=server.url, timeout=30.0) as client:
            yield client
    finally:
        dispatcher.closing.set()
        server.stop()
        ledger.close()


@pytest.fixture
def ledger(database_url: str) -> Ledger:
    ledger = Ledger(database_url)
    ledger.migrate()
    return ledger


@pytest.fixture
def sqlite_ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(f"sqlite:///{tmp_path / 'web.db'}")
    ledger.migrate()
    return ledger


def count(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return connection.scalar(select(func.count()).select_from(deliveries)) or 0


def test_webhook_is_committed_when_it_comes_over_a_socket(ledger: Ledger) -> None:
    dispatcher = RecordingDispatcher()
    with web_on(ledger, dispatcher) as client:
        answer = client.post("/webhooks/studiocart", json={"id": 1109, "name": "A\0\ud7ff"}, headers=SECRET)
        assert answer.status_code == 202
        assert "server" not in answer.headers
        assert "date" in answer.headers
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (200, True)
        assert client.get("/metrics").status_code == 200
        with ledger.read() as connection:
            row = connection.execute(select(deliveries)).one()
        assert answer.json() == {"delivery_id": row.id}
        assert row.body == {"id": "1109", "name": "A\ufffd\ud7ff"}
    assert dispatcher.sent == [("studiocart", "1109")]


def test_no_webhook_is_lost_when_many_come_at_once(ledger: Ledger) -> None:
    with web_on(ledger, RecordingDispatcher()) as client, ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(
                lambda number: client.post("/webhooks/studiocart", json={"id": 1 + number % 7}, headers=SECRET),
                range(100),
            )
        )
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["delivery_id"] for answer in answers}) == 100
        assert count(ledger) == 100


def test_webhooks_are_answered_at_once_when_the_broker_hangs(sqlite_ledger: Ledger) -> None:
    dispatcher = RecordingDispatcher(seconds=60.0)
    with web_on(sqlite_ledger, dispatcher) as client, ThreadPoolExecutor(10) as pool:
        begun = time.monotonic()
        answers = list(
            pool.map(
                lambda number: client.post("/webhooks/studiocart", json={"id": 1 + number}, headers=SECRET), range(60)
            )
        )
        assert {answer.status_code for answer in answers} == {202}
        assert client.get("/livez").status_code == 200
        assert time.monotonic() - begun < 20
        assert count(sqlite_ledger) == 60


@pytest.mark.parametrize("is_announced", [True, False])
def test_sender_reads_413_when_its_body_is_too_large(sqlite_ledger: Ledger, is_announced: bool) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * 65536

    headers = {**SECRET, "Content-Type": "application/json"}
    with web_on(sqlite_ledger, RecordingDispatcher()) as client:
        content = b"".join(chunks()) if is_announced else chunks()
        answer = client.post("/webhooks/studiocart", content=content, headers=headers)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
        # The connection is still good, or a new one is made: the next delivery gets in.
        assert client.post("/webhooks/studiocart", json={"id": 1}, headers=SECRET).status_code == 202


def test_webhook_is_503_until_the_ledger_is_back_when_it_goes_down(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    ledger = Ledger(postgres_url)
    ledger.migrate()
    dispatcher = RecordingDispatcher()
    with web_on(ledger, dispatcher) as client:
        assert client.post("/webhooks/studiocart", json={"id": 1}, headers=SECRET).status_code == 202
        postgres_server.stop()
        answer = client.post("/webhooks/studiocart", json={"id": 2}, headers=SECRET)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
        assert "cartbridge_ledger_up 0.0" in client.get("/metrics").text
        postgres_server.start()
        assert client.post("/webhooks/studiocart", json={"id": 3}, headers=SECRET).status_code == 202
        assert client.get("/readyz").status_code == 200
        with ledger.read() as connection:
            assert sorted(connection.scalars(select(deliveries.c.order_id))) == ["1", "3"]
    assert [order_id for _, order_id in dispatcher.sent] == ["1", "3"]


def test_api_reads_nothing_amiss_when_ids_are_odd_on_any_ledger(ledger: Ledger) -> None:
    settings = settings_with(api_token=SecretStr("planted-api-token"))
    server = WebServer(settings, create_app(settings, ledger, RecordingDispatcher(), clock=lambda: datetime.now(UTC)))
    server.start()
    headers = {"Authorization": "Bearer planted-api-token"}
    try:
        with httpx.Client(base_url=server.url, headers=headers) as client:
            for path, status in [
                ("runs", 200),
                ("runs?since=0001-01-01&until=9999-12-31", 200),
                ("orders?email=%ff%F0%9F%98%80", 200),
                ("deliveries?order_id=%27%3B--&source=studiocart", 200),
                ("status", 200),
                ("runs/%00", 422),
                ("runs/%ff", 404),
                ("orders/studiocart/" + "9" * 5000, 404),
                ("deliveries/..%2f..", 404),
            ]:
                assert client.get(f"/api/v1/{path}").status_code == status, path
    finally:
        server.stop()
        ledger.close()


def test_port_is_known_before_it_serves_when_any_is_asked_for() -> None:
    server = WebServer(settings_with(), FastAPI())
    assert server.port == 0
    server.bind()
    server.bind()
    assert server.port > 0
    assert server.url == f"http://127.0.0.1:{server.port}"
    with socket.create_connection(("127.0.0.1", server.port), timeout=5):
        server.stop()
        server.serve()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)


def test_start_is_refused_with_the_next_step_when_the_port_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1, port {port}.*CARTBRIDGE_WEB__PORT"):
            WebServer(settings_with(port=port), FastAPI()).start()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_start_is_refused_with_the_next_step_when_the_address_is_not_ours(host: str) -> None:
    with pytest.raises(ConfigurationError, match="CARTBRIDGE_WEB__HOST"):
        WebServer(settings_with(host=host), FastAPI()).bind()


def test_start_is_refused_with_the_next_step_when_the_port_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ConfigurationError, match="above 1023"):
        WebServer(settings_with(port=80), FastAPI()).bind()


def test_address_is_one_to_connect_to_when_all_are_listened_on() -> None:
    server = WebServer(settings_with(host=ALL_ADDRESSES), FastAPI())
    server.bind()
    assert server.url == f"http://127.0.0.1:{server.port}"
    server.stop()
    server.serve()
    assert WebServer(settings_with(host="::", port=8080), FastAPI()).url == "http://[::1]:8080"


def test_request_under_way_is_answered_when_the_server_stops() -> None:
    app = FastAPI()
    begun, go_on = threading.Event(), threading.Event()

    @app.get("/slow")
    def slow() -> str:
        begun.set()
        go_on.wait(STOPPED_WITHIN_SECONDS)
        return "done"

    stop = threading.Event()
    server = WebServer(settings_with(), app)
    server.bind()
    serving = threading.Thread(target=server.serve, args=(stop,))
    serving.start()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.get, f"{server.url}/slow", timeout=30.0)
        assert begun.wait(STOPPED_WITHIN_SECONDS)
        stop.set()
        go_on.set()
        assert answer.result().text == '"done"'
    serving.join(STOPPED_WITHIN_SECONDS)
    assert not serving.is_alive()
    server.stop()


def test_server_serves_once_when_it_was_stopped() -> None:
    server = WebServer(settings_with(), FastAPI())
    server.start()
    server.stop()
    server.stop()
    with pytest.raises(RuntimeError, match="once"):
        server.serve()


def test_signals_are_as_before_when_the_main_thread_has_served() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    serve(settings_with(), FastAPI(), stop=stop)
    assert signal.getsignal(signal.SIGTERM) is before


SERVE = """
import sys, threading, time
sys.path.insert(0, {repository!r})
from fastapi import FastAPI
from worker.settings.settings import Settings
from worker.web.server import WebServer
app = FastAPI()
@app.get("/slow")
def slow() -> str:
    time.sleep(60)
    return "late"
server = WebServer(Settings.model_validate({{"web": {{"port": 0}}}}), app)
server.bind()
print(server.url, flush=True)
server.serve()
print("ended", flush=True)
{end}
"""


@contextlib.contextmanager
def process(end: str = "") -> Iterator[tuple[subprocess.Popen[str], str]]:
    code = SERVE.format(repository=str(REPOSITORY), end=end)
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    with started:
        assert started.stdout is not None
        line = started.stdout.readline()
        while not line.startswith("http"):
            line = started.stdout.readline()
        try:
            yield started, line.strip()
        finally:
            started.kill()


def wait_until_it_answers(url: str) -> None:
    assert httpx.get(f"{url}/nowhere", timeout=STOPPED_WITHIN_SECONDS).status_code == 404


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_ends_in_peace_when_it_is_told_to(number: signal.Signals) -> None:
    with process() as (started, url):
        wait_until_it_answers(url)
        started.send_signal(number)
        output, _ = started.communicate(timeout=STOPPED_WITHIN_SECONDS)
        assert started.returncode == 0
        assert output.rstrip().endswith("ended")


def test_process_does_not_wait_when_it_is_told_twice() -> None:
    # The interpreter itself would wait for the thread of the request that is left behind.
    with process(end="import os; os._exit(0)") as (started, url):
        wait_until_it_answers(url)
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
            connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.3)
            started.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert started.poll() is None
            started.send_signal(signal.SIGTERM)
            started.communicate(timeout=STOPPED_WITHIN_SECONDS)
        assert started.returncode == 0
