"""The runtime of the process a task runs in: made on first use, and anew in a forked child."""

from __future__ import annotations

import os
import threading

from celery import Celery

from tasks.runtime import Runtime

_lock = threading.Lock()
_runtimes: dict[tuple[int, int], Runtime] = {}


def runtime_of(app: Celery) -> Runtime:
    """This process's runtime for an application."""
    key = (os.getpid(), id(app))
    with _lock:
        runtime = _runtimes.get(key)
        if runtime is None:
            runtime = _runtimes[key] = Runtime(app.settings, app=app)
        return runtime


def adopt_runtime(runtime: Runtime) -> None:
    """Let the tasks of this process work with a runtime that exists already (`cartbridge up`, the tests)."""
    with _lock:
        _runtimes[(os.getpid(), id(runtime.app))] = runtime
