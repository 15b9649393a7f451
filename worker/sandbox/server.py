"""The HTTP server: real sockets for a `World`, so that a connection can be cut at any point of an answer."""

from __future__ import annotations

import socket
import struct
import sys
import time
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, cast
from urllib.parse import unquote

from worker.sandbox.control import CONTROL_PREFIX, Control
from worker.sandbox.faults import Fault
from worker.sandbox.loopback import LoopbackServer, hang_up
from worker.sandbox.wire import Answer, Request, System, is_id
from worker.sandbox.world import World

_LARGEST_BODY_BYTES: Final = 4 * 1024 * 1024
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class SandboxServer(LoopbackServer, ThreadingHTTPServer):
    """One thread a connection, keep-alive."""

    request_queue_size = 512  # a storm of webhooks or workers must not be refused at the door

    def __init__(self, address: tuple[str, int], world: World) -> None:
        self.world = world
        self.control = Control(world)
        super().__init__(address, _Connection)

    def server_bind(self) -> None:
        """Bind without the reverse name look-up of the base class, which can take seconds."""
        # A sandbox that was just stopped leaves connections behind that would keep the port for a minute.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def end_waits(self) -> None:
        """End the hangs and the slow answers."""
        self.world.waits.stop()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away; anything else is a bug of the sandbox and is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def _server(self) -> SandboxServer:
        return cast("SandboxServer", self.server)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class's name
        """Log nothing: the lines would hold the passwords of the query."""

    def _serve(self) -> None:
        body = self._read_body()
        if body is None:
            self._send(Answer(413))
            self.close_connection = True
            return
        path, _, query_text = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        world = self._server.world
        found = world.find(path, query_text)
        below = found[1] if found else path
        request = Request(self.command, unquote(below), self.path, query_text, headers, body)
        if found is None:
            is_control = path.startswith(CONTROL_PREFIX)
            self._send(self._server.control.answer(request) if is_control else Answer.of_html("404", "Not found", 404))
            return
        system = found[0]
        call = system.route(request)
        world.log.count_request(system.name, call.operation)
        fault = world.faults.take(system.name, call, request)
        if fault is None:
            self._send(system.answer(request))
        else:
            self._suffer(fault, system, request)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815 -- the base class's names

    def _suffer(self, fault: Fault, system: System, request: Request) -> None:
        """Let a request go wrong as its fault says."""
        waits = self._server.world.waits
        if fault.kind == "slow" and fault.when == "before" and not waits.wait(fault.seconds):
            self._cut(reset=True)
            return
        if fault.kind == "stall":
            self._stall(fault, system, request)
            return
        answer = system.answer(request) if fault.effect == "after" else fault.faulty_answer(request)
        match fault.kind:
            case "hang":
                waits.wait(fault.seconds or None)
                self._cut(reset=fault.reset)
            case "cut" | "late":
                self._cut(reset=fault.reset)
            case "half_answer":
                self._send_part(answer)
            case "slow":
                if fault.when == "before" or waits.wait(fault.seconds):
                    self._send(answer)
                else:
                    self._cut(reset=True)
            case "dribble":
                self._dribble(answer, fault.seconds)
            case _:
                self._send(fault.faulty_answer(request))
        if fault.effect == "late":
            self._cut(reset=False)
            if waits.wait(fault.seconds):
                system.answer(request)

    def _stall(self, fault: Fault, system: System, request: Request) -> None:
        """Queue the request until the stall ends, and carry it out then, whether its client is still there or not."""
        waits = self._server.world.waits
        left = fault.seconds
        if fault.gateway_seconds is not None and fault.gateway_seconds < left:
            waits.wait(fault.gateway_seconds)
            left -= fault.gateway_seconds
            self._send(Answer.of_html("504", "Gateway Time-out", 504))
            self._cut(reset=False)
            if waits.wait(left):
                system.answer(request)
        elif waits.wait(left):
            self._send(system.answer(request))
        else:
            self._cut(reset=True)

    def _read_body(self) -> bytes | None:
        """Return the request's body; None when it is too large or of unsaid length."""
        text = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not is_id(text) or int(text) > _LARGEST_BODY_BYTES:
            return None
        return self.rfile.read(int(text))

    def _bytes_of(self, answer: Answer) -> tuple[bytes, bytes]:
        lines = [
            f"HTTP/1.1 {answer.status} {responses.get(answer.status, 'Unknown')}",
            "Server: cartbridge-sandbox",
            f"Date: {self.date_time_string(time.time())}",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(answer.body)}",
            *(f"{name}: {value}" for name, value in answer.headers.items()),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), b"" if self.command == "HEAD" else answer.body

    def _send(self, answer: Answer) -> None:
        head, body = self._bytes_of(answer)
        self.wfile.write(head + body)

    def _send_part(self, answer: Answer) -> None:
        head, body = self._bytes_of(answer)
        self.wfile.write(head + body[: len(body) // 2])
        self._cut(reset=False)

    def _dribble(self, answer: Answer, seconds: float) -> None:
        for byte in b"".join(self._bytes_of(answer)):
            self.wfile.write(bytes([byte]))
            if not self._server.world.waits.wait(seconds):
                self._cut(reset=True)
                return

    def _cut(self, *, reset: bool) -> None:
        """Close the connection now: by a reset, which drops what the client has not read, or in an orderly way."""
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.rfile.close()
            self.connection.close()
        else:
            hang_up(self.connection)
