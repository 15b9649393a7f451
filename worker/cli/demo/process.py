"""The demo's own `cartbridge up`: a process with settings of its own, started, killed, started again and stopped."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import requests

import worker
from worker.errors import CartbridgeError
from worker.settings.env_file import line_of

LOG_NAME: Final = "up.log"
SETTINGS_NAME: Final = ".env"
_FROM_OUTSIDE: Final = ("PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP")
"""All that a process of the demo takes over of our own environment: what an operating system cannot do without."""
_COMMAND: Final = (sys.executable, "-P", "-c", "from worker.cli.app import main; main()", "up")
_STOP_SECONDS: Final = 8.0
_REQUEST_SECONDS: Final = 10.0


class DemoError(CartbridgeError):
    """The demo cannot go on; the message says why, without any secret."""


class ProductProcess:
    """`cartbridge up`, working in `folder`: its settings are the `.env` there, its output is `up.log`."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port
        self.kills = 0

    @property
    def log_path(self) -> Path:
        """Where everything it prints goes, that of all its starts."""
        return self._folder / LOG_NAME

    def start(self) -> None:
        """Start it; `is_ready` tells when it can be used."""
        environment = {name: os.environ[name] for name in _FROM_OUTSIDE if name in os.environ}
        # The very code that runs here, however it was installed.
        environment["PYTHONPATH"] = str(Path(worker.__file__).parents[1])
        with self.log_path.open("ab") as log:
            # In a session of its own: Ctrl-C is for the demo, which then stops it in its own time.
            self._process = subprocess.Popen(  # noqa: S603 -- our own program, with nothing from outside
                _COMMAND,
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise `DemoError` if it was started and has ended by itself."""
        code = None if self._process is None else self._process.poll()
        if code is not None:
            raise DemoError(f"`cartbridge up` ended by itself with exit code {code}; its last words are in its log.")

    def is_ready(self) -> bool:
        """Whether it takes webhooks."""
        return self.request("GET", "/readyz") == 200

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> int | None:
        """Send it one request and return the answer's status; None where it does not answer."""
        with requests.Session() as session:
            session.trust_env = False  # a proxy of the operator's is none of our business
            try:
                return session.request(
                    method, f"http://127.0.0.1:{self.port}{path}", data=body, headers=headers, timeout=_REQUEST_SECONDS
                ).status_code
            except requests.RequestException:
                return None

    def kill(self) -> None:
        """End it at once, without a chance to tidy up (SIGKILL); returns when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.kills += 1

    def stop(self) -> None:
        """Ask it to end (SIGTERM), and make it end if it does not. Safe to repeat."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        process.kill()
        process.wait()


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_settings(folder: Path, variables: Mapping[str, str]) -> Path:
    """Write variables as a `.env` file into `folder` and return it."""
    lines = ["# The settings of a demo: every password and key in here belongs to its sandbox, and is worth nothing."]
    lines += [line_of(name, value) for name, value in sorted(variables.items())]
    path = folder / SETTINGS_NAME
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
