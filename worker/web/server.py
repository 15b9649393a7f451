"""The HTTP server: uvicorn on a socket of our own, stopped by a signal, an event or a call."""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI

from worker.errors import ConfigurationError
from worker.settings.settings import Settings
from worker.web.connections import Deadlines, Sweep, guarded_protocol

log = structlog.get_logger(__name__)

_BACKLOG = 2048
_ACCEPTED_AT_ONCE = 16
"""So many connections can be beyond the cap for a moment. Asyncio takes this for the queue's length, too."""
_LARGEST_HEAD_BYTES = 16 * 1024
_GRACE_SECONDS = 20
"""How long requests under way may take when the server stops: more than a commit waits for a busy ledger."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(settings: Settings, app: FastAPI, *, stop: threading.Event | None = None) -> None:
    """Serve until `stop` is set; in the main thread SIGINT and SIGTERM stop it too, and it returns as if asked to.

    Raises `ConfigurationError` if the address cannot be listened on. Requests under way are finished first.
    """
    WebServer(settings, app).serve(stop)


class WebServer:
    """One server of one app. Either `serve()` it here, or `start()` it in a thread of its own and `stop()` it later."""

    def __init__(self, settings: Settings, app: FastAPI, *, deadlines: Deadlines | None = None) -> None:
        self._host = settings.web.host
        self._port = settings.web.port
        self._app = app
        self._deadlines = deadlines
        self._socket: socket.socket | None = None
        self._server: _UvicornServer | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def port(self) -> int:
        """The port that is listened on, or that was asked for (0: any) before `bind`."""
        return self._port

    @property
    def url(self) -> str:
        """The address for people and clients on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    def bind(self) -> None:
        """Listen on the address: from here on connections are queued, and `port` is known. Safe to repeat.

        Raises `ConfigurationError`, with what to do, if that is not possible.
        """
        self._bound()

    def _bound(self) -> socket.socket:
        if self._socket is None:
            self._socket = self._listen()
            self._port = self._socket.getsockname()[1]
        return self._socket

    def _listen(self) -> socket.socket:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = socket.socket(family, kind, protocol)
        except OSError as error:
            raise self._refusal(error) from None
        try:
            # A server that was just stopped leaves connections behind that would keep the port for a minute.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise self._refusal(error) from None
        return listener

    def serve(self, stop: threading.Event | None = None) -> None:
        """Listen and answer until `stop`, `self.stop()`, or in the main thread a signal; returns when all is closed.

        Raises `ConfigurationError` as `bind` does, and `RuntimeError` the second time: a server serves once.
        """
        if self._server is not None:
            raise RuntimeError("a server serves once: make another")
        listener = self._bound()
        config = uvicorn.Config(
            self._app,
            http=guarded_protocol(self._deadlines),
            h11_max_incomplete_event_size=_LARGEST_HEAD_BYTES,
            backlog=_ACCEPTED_AT_ONCE,
            log_config=None,
            access_log=False,
            proxy_headers=False,  # the app reads them itself, from the proxies that the settings name
            server_header=False,
            date_header=True,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = _UvicornServer(config, [self._stopping, *([] if stop is None else [stop])])
        log.info("web is listening", url=self.url)
        try:
            with self._signals():
                self._server.run([listener])
        finally:
            listener.close()
        log.info("web has stopped")

    def start(self) -> None:
        """Serve in a thread of its own; returns as soon as connections are accepted. Raises `ConfigurationError`."""
        self.bind()
        self._thread = threading.Thread(target=self.serve, name="web", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop once the requests under way are answered; waits if it runs in a thread of its own. Safe to repeat."""
        self._stopping.set()
        self.join()

    def join(self) -> None:
        """Wait until a server that was started in its own thread has ended, for whatever cause."""
        if self._thread is not None:
            self._thread.join()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let the signals that end a process stop the server instead; a second one does not wait for anybody."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(_number: int, _frame: FrameType | None) -> None:
            if self._stopping.is_set() and self._server is not None:
                self._server.force_exit = True
            self._stopping.set()

        before = {number: signal.signal(number, stop) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _refusal(self, error: OSError) -> ConfigurationError:
        address = f"{self._host}, port {self._port}"
        if error.errno == errno.EADDRINUSE:
            return ConfigurationError(
                f"Another program listens on {address}. Stop it, or set CARTBRIDGE_WEB__PORT to a free port (0: any)."
            )
        if error.errno == errno.EACCES:
            return ConfigurationError(
                f"Not allowed to listen on {address}. Set CARTBRIDGE_WEB__PORT to a port above 1023."
            )
        return ConfigurationError(
            f"Cannot listen on {address} ({error.strerror or type(error).__name__}). "
            "Set CARTBRIDGE_WEB__HOST to an address of this machine."
        )


class _UvicornServer(uvicorn.Server):
    """Uvicorn without its signal handlers, which end by raising the signal again; it looks at events instead."""

    def __init__(self, config: uvicorn.Config, stops: list[threading.Event]) -> None:
        super().__init__(config)
        self._stops = stops
        self._sweep = Sweep()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or ():
            # Asyncio has shortened the queue to what it accepts at once: make it long again.
            each.listen(_BACKLOG)

    async def on_tick(self, counter: int) -> bool:
        self._sweep.look(self.server_state.connections)
        return await super().on_tick(counter) or any(stop.is_set() for stop in self._stops)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
