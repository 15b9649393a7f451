"""The runtime of a process: one for each application, made when it is first asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.runtime import Runtime, adopt_runtime, runtime_of
from worker.broker.app import create_celery
from worker.settings.settings import Settings


def test_runtime_is_made_once_when_many_threads_ask_first(settings: Settings) -> None:
    app = create_celery(settings)
    start = threading.Barrier(8)

    def ask(_: int) -> Runtime:
        start.wait(60)
        return runtime_of(app)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert {id(runtime) for runtime in found} == {id(found[0])}
    assert found[0].app is app
    found[0].close()


def test_given_runtime_is_used_when_it_was_adopted(new_runtime: Callable[[], Runtime]) -> None:
    runtime = new_runtime()
    adopt_runtime(runtime)
    assert runtime_of(runtime.app) is runtime


def test_runtime_is_made_anew_when_the_process_was_forked(
    new_runtime: Callable[[], Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = new_runtime()
    adopt_runtime(runtime)
    forked_pid = os.getpid() + 1
    monkeypatch.setattr("tasks.runtime.os.getpid", lambda: forked_pid)
    anew = runtime_of(runtime.app)
    assert anew is not runtime
    anew.close()
