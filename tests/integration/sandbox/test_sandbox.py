"""The sandbox over real HTTP on loopback: what a client sees, and what every fault does to its connection."""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests

from worker.sandbox import SECRET_MARKS, Fault, Sandbox, SandboxConfig, make_orders, serve_forever

ENOUGH_SECONDS = 60.0
"""Far more than anything here takes; a test that waits this long has failed."""


class Client:
    """LearningCart's own user, with a token at hand."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False
        config = sandbox.config.learningcart
        login = {"sitehostname": config.site_hostname, "username": config.username, "password": config.password}
        answer = self.session.get(f"{sandbox.learningcart_url}/requestToken", params=login, timeout=ENOUGH_SECONDS)
        self.token = answer.json()["d"]["Authentication Token"]
        self.customer_id = self.get("addCustomer", Email="jane@example.test").json()["d"]["Customer ID"]

    def get(self, method: str, **parameters: Any) -> requests.Response:
        url = f"{self.sandbox.learningcart_url}/{method}"
        parameters = {"AuthenticationToken": self.token} | parameters
        return self.session.get(url, params=parameters, timeout=ENOUGH_SECONDS)

    def order(self, comments: str = "cb-1") -> requests.Response:
        return self.get("addCompOrder", CustomerID=self.customer_id, PriceID=501, OrderComments=comments)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Client]:
    client = Client(sandbox)
    yield client
    client.session.close()


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + ENOUGH_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def raw_exchange(sandbox: Sandbox, text: str) -> bytes:
    """Send bytes and return all that comes until the other side closes."""
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=ENOUGH_SECONDS) as connection:
        connection.sendall(text.encode())
        chunks = []
        while chunk := connection.recv(65536):
            chunks.append(chunk)
        return b"".join(chunks)


def order_text(client: Client) -> str:
    """The request of a comped order as it is on the wire."""
    parameters = {"AuthenticationToken": client.token, "CustomerID": client.customer_id, "PriceID": 501}
    path = f"{urlsplit(client.sandbox.learningcart_url).path}/addCompOrder?{urlencode(parameters)}"
    return f"GET {path} HTTP/1.1\r\nHost: sandbox\r\n\r\n"


def test_an_order_is_made_when_a_client_does_all_three_calls(sandbox: Sandbox, client: Client) -> None:
    assert client.get("addCustomerToGroup", CustomerID=client.customer_id, GroupID=12).json() == {"d": True}
    assert client.order().json()["d"]["Customer Comments"] == "cb-1"
    assert [effect.operation for effect in sandbox.effects] == ["addCustomer", "addCustomerToGroup", "addCompOrder"]
    assert [effect.facts["order_id"] for effect in sandbox.effects_of("learningcart", "addCompOrder")] == [90001]
    assert sandbox.requests("learningcart", "requestToken") == 1
    assert sandbox.requests("learningcart") == 4


def test_the_other_systems_answer_when_called(sandbox: Sandbox, client: Client) -> None:
    get = client.session.get
    config = sandbox.config
    key = {"x-api-key": config.studiocart.api_key}
    page = get(f"{sandbox.studiocart_url}/orders", json={"per_page": 1}, headers=key, timeout=ENOUGH_SECONDS)
    assert [order["id"] for order in page.json()] == [1109]
    key = {"X-API-Key": config.frontcore.api_key}
    page = get(f"{sandbox.frontcore_url}/orders/27244", headers=key, timeout=ENOUGH_SECONDS)
    assert page.json()[0]["title"] == "Learn REST API #27244"
    headers = {
        "SecureURL": config.threedcart.secure_url,
        "PrivateKey": config.threedcart.private_key,
        "Token": config.threedcart.token,
    }
    url = f"{sandbox.threedcart_url}/Cart"
    made = client.session.post(url, json={"BillingEmail": "a@b.test"}, headers=headers, timeout=ENOUGH_SECONDS)
    assert made.status_code == 201
    assert get(f"{sandbox.base_url}/elsewhere", timeout=ENOUGH_SECONDS).status_code == 404


def test_one_connection_serves_many_requests_when_kept_alive(sandbox: Sandbox, client: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=ENOUGH_SECONDS)
    connection.connect()
    first = connection.sock
    for _ in range(5):
        connection.request("GET", "/_sandbox/effects")
        assert connection.getresponse().read()
        assert connection.sock is first
    connection.request("HEAD", "/_sandbox/state")
    assert connection.getresponse().read() == b""
    connection.close()


def test_every_order_that_arrives_is_made_when_many_arrive_at_once(sandbox: Sandbox, client: Client) -> None:
    def one(number: int) -> int:
        parameters = {"AuthenticationToken": client.token, "CustomerID": client.customer_id, "PriceID": 501}
        parameters["OrderComments"] = f"cb-{number}"
        with requests.Session() as session:
            session.trust_env = False
            url = f"{sandbox.learningcart_url}/addCompOrder"
            return int(session.get(url, params=parameters, timeout=ENOUGH_SECONDS).json()["d"]["Order ID"])

    with ThreadPoolExecutor(32) as pool:
        ids = list(pool.map(one, range(128)))
    assert len(set(ids)) == 128
    assert {order.comments for order in sandbox.learningcart.orders} == {f"cb-{number}" for number in range(128)}
    assert [effect.number for effect in sandbox.effects] == list(range(1, 130))


@pytest.mark.parametrize(("when", "orders"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("reset", [True, False])
def test_no_byte_comes_back_when_the_connection_is_cut(
    sandbox: Sandbox, client: Client, when: Any, orders: int, reset: bool
) -> None:
    sandbox.inject(Fault("learningcart", "addCompOrder", "cut", when=when, reset=reset))
    text = order_text(client)
    if reset:
        with pytest.raises(ConnectionResetError):
            raw_exchange(sandbox, text)
    else:
        assert raw_exchange(sandbox, text) == b""
    assert len(sandbox.learningcart.orders) == orders
    assert sandbox.faults_hit == 1
    assert client.order().status_code == 200


def test_the_effect_comes_after_the_cut_when_it_is_late(sandbox: Sandbox, client: Client) -> None:
    sandbox.inject(Fault("learningcart", "addCompOrder", "late", seconds=0.05))
    with pytest.raises(requests.ConnectionError):
        client.order()
    assert sandbox.learningcart.orders == []
    assert eventually(lambda: len(sandbox.learningcart.orders) == 1)


def test_the_effect_comes_after_the_answer_when_a_gateway_gave_up(sandbox: Sandbox, client: Client) -> None:
    sandbox.inject(Fault("learningcart", "addCompOrder", "status", status=504, when="late", seconds=0.05))
    assert client.order().status_code == 504
    assert sandbox.learningcart.orders == []
    assert eventually(lambda: len(sandbox.learningcart.orders) == 1)


def test_a_late_effect_never_comes_when_the_sandbox_is_reset_first(sandbox: Sandbox, client: Client) -> None:
    sandbox.inject(Fault("learningcart", "addCompOrder", "late", seconds=60))
    with pytest.raises(requests.ConnectionError):
        client.order()
    sandbox.reset()
    sandbox.stop()  # returns once every thread is done
    assert sandbox.learningcart.orders == []


def test_half_the_body_comes_when_the_answer_is_halved(sandbox: Sandbox, client: Client) -> None:
    sandbox.inject(Fault("learningcart", "addCompOrder", "half_answer"))
    head, _, body = raw_exchange(sandbox, order_text(client)).partition(b"\r\n\r\n")
    [length] = [int(line.split(b":")[1]) for line in head.splitlines() if line.startswith(b"Content-Length")]
    assert len(body) == length // 2
    assert len(sandbox.learningcart.orders) == 1


def test_nothing_comes_until_the_cut_when_the_server_hangs(sandbox: Sandbox, client: Client) -> None:
    sandbox.inject(Fault("learningcart", "addCompOrder", "hang", seconds=0.05))
    started = time.monotonic()
    with pytest.raises(ConnectionResetError):
        raw_exchange(sandbox, order_text(client))
    assert time.monotonic() - started >= 0.05
    assert len(sandbox.learningcart.orders) == 1


def test_the_answer_comes_late_and_whole_when_slow(sandbox: Sandbox, client: Client) -> None:
    for when in ("before", "after"):
        sandbox.inject(Fault("learningcart", "addCompOrder", "slow", seconds=0.03, when=when))
        started = time.monotonic()
        assert client.order().status_code == 200
        assert time.monotonic() - started >= 0.03
    assert len(sandbox.learningcart.orders) == 2


def test_the_answer_comes_byte_by_byte_when_dribbled(sandbox: Sandbox, client: Client) -> None:
    sandbox.inject(Fault("learningcart", "addCustomerToGroup", "dribble", seconds=0.0001))
    answer = client.get("addCustomerToGroup", CustomerID=client.customer_id, GroupID=12)
    assert answer.json() == {"d": True}


@pytest.mark.parametrize(
    ("fault", "status", "orders"),
    [
        (Fault(kind="status", status=500), 500, 1),
        (Fault(kind="status", status=503, when="before", headers={"Retry-After": "1"}), 503, 0),
        (Fault(kind="status", status=429, headers={"Retry-After": "1"}), 429, 0),
        (Fault(kind="status", status=299), 299, 0),
        (Fault(kind="html"), 200, 1),
        (Fault(kind="empty"), 200, 1),
    ],
)
def test_another_answer_comes_when_the_fault_says_so(
    sandbox: Sandbox, client: Client, fault: Fault, status: int, orders: int
) -> None:
    sandbox.inject(Fault(**{**fault.to_json(), "operation": "addCompOrder"}))
    answer = client.order()
    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == fault.headers.get("Retry-After")
    assert (client.token in answer.text) is (fault.kind != "empty")
    assert len(sandbox.learningcart.orders) == orders


def test_waiting_requests_end_at_once_when_the_sandbox_stops() -> None:
    sandbox = Sandbox.start()
    client = Client(sandbox)
    sandbox.inject(Fault("learningcart", "getOrdersByDate", "hang"))
    sandbox.inject(Fault("learningcart", "getCompletions", "slow", seconds=60))
    sandbox.inject(Fault("learningcart", "getOrderByID", "slow", seconds=60, when="before"))
    sandbox.inject(Fault("learningcart", "addCustomer", "dribble", seconds=60))
    failures: list[Exception] = []

    def call(method: str) -> None:
        try:
            Client.get(client_of[method], method, Email="a@example.test", BeginDate="2026-01-01", EndDate="2026-01-02")
        except requests.RequestException as error:
            failures.append(error)

    methods = ("getOrdersByDate", "getCompletions", "getOrderByID", "addCustomer")
    client_of: dict[str, Any] = {}
    for method in methods:
        client_of[method] = Client.__new__(Client)
        client_of[method].__dict__.update(client.__dict__, session=requests.Session())
    threads = [threading.Thread(target=call, args=(method,)) for method in methods]
    for thread in threads:
        thread.start()
    assert eventually(lambda: sandbox.faults_hit == 4)
    started = time.monotonic()
    sandbox.stop()
    sandbox.stop()
    for thread in threads:
        thread.join(ENOUGH_SECONDS)
    assert time.monotonic() - started < ENOUGH_SECONDS / 2
    assert len(failures) == 4
    for each in (client, *client_of.values()):
        each.session.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", sandbox.port), timeout=1)


def test_a_client_that_goes_away_disturbs_nobody_when_answered(
    sandbox: Sandbox, client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    sandbox.inject(Fault("learningcart", "addCompOrder", "dribble", seconds=0.001))
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=ENOUGH_SECONDS) as connection:
        connection.sendall(order_text(client).encode())
        connection.recv(1)
    assert eventually(lambda: len(sandbox.learningcart.orders) == 1)
    assert client.order().status_code == 200
    sandbox.stop()
    assert capfd.readouterr().err == ""


def test_a_bug_of_the_sandbox_is_shown_when_it_happens(
    sandbox: Sandbox, client: Client, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.learningcart, "answer", None)
    with pytest.raises(requests.ConnectionError):
        client.order()
    sandbox.stop()
    assert "TypeError" in capfd.readouterr().err


@pytest.mark.parametrize("header", ["Content-Length: 99999999", "Content-Length: x", "Transfer-Encoding: chunked"])
def test_a_body_is_refused_when_its_length_is_unusable(sandbox: Sandbox, header: str) -> None:
    answer = raw_exchange(sandbox, f"POST /_sandbox/faults HTTP/1.1\r\nHost: sandbox\r\n{header}\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_the_port_is_refused_when_taken(sandbox: Sandbox) -> None:
    with pytest.raises(OSError, match=r".+"):
        Sandbox.start(port=sandbox.port)


def test_another_process_can_change_the_sandbox_when_it_uses_the_control_interface(
    sandbox: Sandbox, client: Client
) -> None:
    url = sandbox.control_url
    fault = {"system": "learningcart", "operation": "addCompOrder", "kind": "status", "status": 500}
    assert client.session.post(f"{url}/faults", json=fault, timeout=ENOUGH_SECONDS).status_code == 201
    assert client.order().status_code == 500
    effects = client.session.get(f"{url}/effects", timeout=ENOUGH_SECONDS).json()
    assert [effect["operation"] for effect in effects] == ["addCustomer", "addCompOrder"]
    orders = make_orders(3, random.Random(1))
    answer = client.session.post(f"{url}/studiocart/orders", json=orders, timeout=ENOUGH_SECONDS)
    assert answer.json() == orders
    sandbox.clear_faults()
    assert sandbox.faults_hit == 0
    state = client.session.get(f"{url}/state", timeout=ENOUGH_SECONDS)
    assert not any(mark in state.text for mark in SECRET_MARKS)


def test_a_product_is_pointed_at_the_sandbox_when_it_takes_the_environment(sandbox: Sandbox) -> None:
    environment = sandbox.environment(systems=("learningcart", "studiocart"), CARTBRIDGE_SETTLE_SECONDS="1")
    assert environment == {
        "CARTBRIDGE_LEARNINGCART__BASE_URL": f"{sandbox.base_url}/learningcart/CDNService.svc",
        "CARTBRIDGE_LEARNINGCART__SITE_HOSTNAME": "academy.example.test",
        "CARTBRIDGE_LEARNINGCART__USERNAME": "api@academy.example.test",
        "CARTBRIDGE_LEARNINGCART__PASSWORD": "sandbox-password-learningcart",
        "CARTBRIDGE_LEARNINGCART__COMPED_ORDER_METHOD": "addCompOrder",
        "CARTBRIDGE_STUDIOCART__BASE_URL": f"{sandbox.base_url}/studiocart/wp-json/sc/v1",
        "CARTBRIDGE_STUDIOCART__API_KEY": "sandbox-key-studiocart",
        "CARTBRIDGE_STUDIOCART__WEBHOOK_SECRET": "sandbox-secret-studiocart",
        "CARTBRIDGE_SETTLE_SECONDS": "1",
    }
    everything = sandbox.environment()
    assert {name.split("_")[1] for name in everything} == {"LEARNINGCART", "STUDIOCART", "FRONTCORE", "THREEDCART"}
    secret = ("PASSWORD", "API_KEY", "WEBHOOK_SECRET", "PRIVATE_KEY", "TOKEN")
    secrets = [value for name, value in everything.items() if name.endswith(secret)]
    assert len(secrets) == 7
    assert all(any(mark in value for mark in SECRET_MARKS) for value in secrets)


def test_the_sandbox_is_reached_on_loopback_when_it_listens_everywhere() -> None:
    with Sandbox.start(host="0.0.0.0") as sandbox:  # noqa: S104 -- as in a container
        assert sandbox.base_url == f"http://127.0.0.1:{sandbox.port}"


def test_it_serves_until_told_to_stop_when_run_in_the_foreground(tmp_path: Path) -> None:
    stop = threading.Event()
    seen: list[int] = []

    def use(sandbox: Sandbox) -> None:
        seen.append(Client(sandbox).customer_id)
        stop.set()

    config = SandboxConfig(effects_path=tmp_path / "effects.jsonl")
    serve_forever(config=config, on_ready=use, stop=stop)
    serve_forever(stop=stop)
    assert seen == [5001]
    [line] = (tmp_path / "effects.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["email"] == "jane@example.test"
