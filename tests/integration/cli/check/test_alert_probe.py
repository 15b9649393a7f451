from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from tests.integration.cli.conftest import Run

TOKEN = "planted-token-of-a-chat"


@pytest.fixture(autouse=True)
def quiet_receiver() -> Iterator[None]:
    """The receiver runs in this process: what it logs is not the product's."""
    log = logging.getLogger("werkzeug")
    level = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(level)


def found(run: Run, *arguments: str) -> dict[str, Any] | None:
    """What `check --json` says of the alerts."""
    result = run("check", "--json", *arguments)
    assert TOKEN not in result.stdout + result.stderr
    return next((each for each in json.loads(result.stdout)["findings"] if each["name"] == "alerts"), None)


def test_test_alert_is_sent_when_it_is_asked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch, httpserver: HTTPServer
) -> None:
    httpserver.expect_oneshot_request(f"/{TOKEN}", method="POST").respond_with_data("ok")
    url = f"json://127.0.0.1:{httpserver.port}/{TOKEN}"
    monkeypatch.setenv("CARTBRIDGE_ALERTS__URLS", url)
    assert found(run) is None
    taken = found(run, "--alert")
    assert taken is not None
    assert (taken["accepted"], taken["detail"]) == (True, "a test was taken by its receiver")
    httpserver.check_assertions()


@pytest.mark.parametrize(
    ("urls", "step"),
    [
        (None, "Off. To be told of trouble, set CARTBRIDGE_ALERTS__URLS."),
        (f"json://127.0.0.1:9/{TOKEN}", "Correct CARTBRIDGE_ALERTS__URLS"),
        (f"nonsense://{TOKEN}", "Address 1 of CARTBRIDGE_ALERTS__URLS (nonsense) is none that Apprise knows."),
    ],
)
def test_next_step_is_told_when_nobody_took_the_test(
    run: Run, monkeypatch: pytest.MonkeyPatch, urls: str | None, step: str
) -> None:
    if urls is not None:
        monkeypatch.setenv("CARTBRIDGE_ALERTS__URLS", urls)
    refused = found(run, "--alert")
    assert refused is not None
    assert refused["next_step"].startswith(step)
    assert refused["failed"] is (urls is not None)


def test_receiver_is_named_when_it_alone_did_not_take_the_test(
    run: Run, monkeypatch: pytest.MonkeyPatch, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ok", method="POST").respond_with_data("ok")
    monkeypatch.setenv("CARTBRIDGE_ALERTS__URLS", f"json://127.0.0.1:{httpserver.port}/ok, json://127.0.0.1:9/{TOKEN}")
    refused = found(run, "--alert")
    assert refused is not None
    assert refused["detail"] == "receiver 2 (json) did not take it"
