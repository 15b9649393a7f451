"""A server on loopback, in a thread of its own, that leaves neither a thread nor a socket behind."""

from __future__ import annotations

import socket
import threading
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Any, Final, Self

_POLL_SECONDS: Final = 0.05
_GOODBYE_SECONDS: Final = 5.0


class LoopbackServer(ThreadingTCPServer):
    """One thread a connection; every connection is known until it is over."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that `stop` can close it, and give it its thread."""
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close the connection and forget it."""
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def end_waits(self) -> None:
        """End what a connection's thread waits for on purpose."""

    def stop(self) -> None:
        """Stop listening, end every wait, close every connection, and wait until their threads are done."""
        self.shutdown()
        self.end_waits()
        with self._changed:
            for connection in self._open:
                hang_up(connection)
            self._changed.wait_for(lambda: not self._open, timeout=_GOODBYE_SECONDS)
        self.server_close()


class Running:
    """What runs such a server: a context manager, or `stop` it."""

    def __init__(self, server: LoopbackServer, name: str) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), name=name, daemon=True)
        self._stopping = threading.Lock()
        self._stopped = False

    def stop(self) -> None:
        """Cut what is under way, close the port, and return once all threads are done. Safe to repeat."""
        with self._stopping:
            if self._stopped:
                return
            self._stopped = True
            self._server.stop()
            self._thread.join()

    def __enter__(self) -> Self:
        """Return it, running."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])


def hang_up(connection: socket.socket) -> None:
    """Close a connection in an orderly way."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the client was faster
