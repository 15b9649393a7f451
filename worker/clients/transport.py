"""One HTTP exchange on the wire: sent at most once, over by its deadline, and it knows whether a byte may have left.

The adapter of `requests` keeps the connection alive and speaks HTTP; a `Session` would add cookies, redirects, proxies
and hooks, which are not wanted and cost as much again. Its read timeout is per read, so a server that dribbles a byte a
second holds a call for ever: a watchdog shuts the socket down at the deadline. And its exceptions do not tell "never
sent" from "may have been carried out": the connection itself keeps that record.
"""

from __future__ import annotations

import http.client
import logging
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

import requests
from requests.adapters import HTTPAdapter
from requests.utils import check_header_validity
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util.connection import create_connection

from worker.clients.watchdog import WATCHDOG, Watched

BODY_LIMIT_BYTES: Final = 8 * 1024 * 1024
"""Of an answer once it is unpacked: a list's largest page has some 2 MiB. Reading stops there."""
IDLE_LIMIT_SECONDS: Final = 4.0
"""A call that changes something opens a new connection when its own has been idle for longer: servers close idle ones
after 5 s (Apache) to 120 s (IIS), and a request sent into that very moment has an unknown outcome."""

_CHUNK_BYTES: Final = 65_536
_ESCAPED: Final = re.compile(r"/(?:[\w.~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*", re.ASCII)
_monotonic: Final = time.monotonic


@dataclass(frozen=True)
class Answer:
    """What the server answered. `body` is decoded (gzip) and whole, unless `broken` says what cut it short."""

    status: int
    headers: Mapping[str, str]
    """Looked up without regard to case."""
    body: bytes
    elapsed_seconds: float = 0.0
    broken: str = ""
    timed_out: bool = False
    """It is the deadline that cut it short."""

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, {len(self.body)} bytes)"


@dataclass(frozen=True)
class NoAnswer:
    """Why there is no answer. Holds no text of an exception: that would hold the URL, and the URL a password."""

    kind: str
    """`timeout`, `tls`, `malformed` (the request cannot be written as it stands) or `connection`."""
    cause: str
    """The class of what went wrong."""
    sent: bool
    """The first byte may have left. False: certainly not carried out."""
    elapsed_seconds: float = 0.0


class Exchange(Watched):
    """One call's record while it is on the wire; used by the one thread that makes the call, and by the watchdog."""

    def __init__(
        self,
        *,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
        deadline_seconds: float,
        before_send: Callable[[], None] | None = None,
        fresh_connection: bool = False,
    ) -> None:
        super().__init__(deadline=_monotonic() + deadline_seconds)
        self.connect_timeout_seconds = connect_timeout_seconds
        self.read_timeout_seconds = read_timeout_seconds
        self.timeouts = connect_timeout_seconds, read_timeout_seconds
        self.started = _monotonic()
        self.fresh_connection = fresh_connection
        self.refusal: Exception | None = None
        self.sent = False
        self.target = ""
        self._before_send = before_send

    def seconds_left(self) -> float:
        """Seconds to the deadline. Raises `TimeoutError` once it is over."""
        left = self.deadline - _monotonic()
        if left <= 0 or self.expired:
            raise TimeoutError
        return left

    def begin_send(self) -> None:
        """Ask the caller for the last time, then note that from here on the request may arrive.

        Raises `_SendRefusedError`, which no layer of urllib3 takes for a network fault of its own.
        """
        if self.sent:
            return
        try:
            self.seconds_left()
            if self._before_send is not None:
                try:
                    self._before_send()
                except Exception as error:  # noqa: BLE001 -- kept as it is, for `Transport.send` to raise
                    self.refusal = error
                    raise _SendRefusedError from None
                self.seconds_left()
        except TimeoutError:
            self.expired = True
            raise _SendRefusedError from None
        self.sent = True


class Transport:
    """Sends requests to one server, over a kept connection for each thread (and each process after a fork)."""

    def __init__(self, *, body_limit_bytes: int = BODY_LIMIT_BYTES) -> None:
        self._body_limit_bytes = body_limit_bytes
        self._local = threading.local()
        self._lock = threading.Lock()
        self._adapters: list[tuple[threading.Thread, _Adapter]] = []

    def send(self, request: requests.Request, exchange: Exchange) -> Answer | NoAnswer:
        """Send `request` once and read its whole answer, by the exchange's deadline.

        Follows no redirect, keeps no cookie, reads no environment variable. What `before_send` raises comes out as it
        is, and then nothing was sent. A name lookup cannot be interrupted: one that outlasts the deadline ends unsent.
        """
        adapter = self._adapter()
        response: BaseHTTPResponse | None = None
        problem: Exception | None = None
        body = bytearray()
        whole = False
        _current.exchange = exchange
        WATCHDOG.watch(exchange)
        try:
            response = cast("BaseHTTPResponse", adapter.send(_prepared(request), timeout=exchange.timeouts))
            for chunk in response.stream(_CHUNK_BYTES, decode_content=True):
                body += chunk
                if len(body) > self._body_limit_bytes:
                    break
            else:
                whole = True
        except (requests.RequestException, HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            problem = error
        except _SendRefusedError:
            pass
        finally:
            _current.exchange = None
            exchange.finish()
            if response is not None and not (whole and not exchange.expired):
                response.close()
        # Outside the handlers: what is raised in one carries requests' exception, and its URL, as context.
        if exchange.refusal is not None:
            raise exchange.refusal
        elapsed_seconds = _monotonic() - exchange.started
        if response is None:
            return _no_answer(problem, exchange, elapsed_seconds)
        return Answer(
            status=response.status,
            headers=response.headers,
            body=bytes(body) if whole else b"",
            elapsed_seconds=elapsed_seconds,
            broken=_broken(problem, exchange, whole=whole),
            timed_out=exchange.expired,
        )

    def close(self) -> None:
        """Close the idle connections of every thread. A later call opens new ones."""
        with self._lock:
            adapters, self._adapters = self._adapters, []
            self._local = threading.local()
        for _, adapter in adapters:
            adapter.close()

    def _adapter(self) -> _Adapter:
        process_id = os.getpid()
        held: tuple[int, _Adapter] | None = getattr(self._local, "held", None)
        if held is not None and held[0] == process_id:
            return held[1]
        adapter = _Adapter()
        self._local.held = process_id, adapter
        with self._lock:
            ended = [each for thread, each in self._adapters if not thread.is_alive()]
            self._adapters = [(thread, each) for thread, each in self._adapters if thread.is_alive()]
            self._adapters.append((threading.current_thread(), adapter))
        for each in ended:
            each.close()
        return adapter


class _SendRefusedError(Exception):
    """Nothing was sent: `before_send` said no, or the deadline was over."""


class _Current(threading.local):
    exchange: Exchange | None = None


_current = _Current()


class _RecordingConnection(HTTPConnection):
    """A connection that stops at the exchange's deadline and tells the exchange before the first byte leaves."""

    _last_used = 0.0

    def _new_conn(self) -> socket.socket:
        # One timeout for each of a host's addresses would add up: what is left of the whole connect timeout is shared.
        exchange = _exchange()
        stop_at = _monotonic() + exchange.connect_timeout_seconds
        failure: OSError = OSError("no address")
        infos = socket.getaddrinfo(self._dns_host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        for address in dict.fromkeys(str(info[4][0]) for info in infos):
            seconds = min(stop_at - _monotonic(), exchange.seconds_left())
            if seconds <= 0:
                raise TimeoutError
            try:
                sock = create_connection((address, self.port), seconds, socket_options=self.socket_options)
            except OSError as error:
                failure = error
                continue
            exchange.attach(sock)
            return sock
        # As a plain OSError urllib3 would swallow a reset here and go on to read from no socket.
        raise (_ConnectTimeoutError if isinstance(failure, TimeoutError) else _UnreachableError)(failure)

    def request(self, method: str, url: str, *arguments: Any, **options: Any) -> None:
        exchange = _exchange()
        if self.sock is not None:
            if exchange.fresh_connection and self._last_used and _monotonic() - self._last_used > IDLE_LIMIT_SECONDS:
                self.close()
            else:
                exchange.attach(self.sock)
        super().request(method, exchange.target or url, *arguments, **options)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _exchange().begin_send()
        self._last_used = _monotonic()
        super().send(data)

    def close(self) -> None:
        self._last_used = 0.0
        super().close()


class _RecordingTlsConnection(_RecordingConnection, HTTPSConnection):
    """The same over TLS; the handshake is under the deadline too."""


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _RecordingConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _RecordingTlsConnection


class _UnreachableError(HTTPError):
    """No connection could be opened."""


class _ConnectTimeoutError(HTTPError):
    """No connection could be opened in time."""


class _Adapter(HTTPAdapter):
    """Of `requests` what speaks HTTP, verifies TLS and keeps one connection; it knows no proxy, netrc or cookie."""

    _origin, _pool = "", None

    def __init__(self) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def get_connection_with_tls_context(self, request: Any, *arguments: Any, **options: Any) -> Any:
        """The pool of the request's server: the same one as long as that is the same."""
        origin = _parted(request.url)[0]
        if origin != self._origin:
            self._pool = super().get_connection_with_tls_context(request, *arguments, **options)
            self._origin = origin
        return self._pool

    def request_url(self, request: Any, _proxies: object) -> str:
        """The request's target. urllib3 looks at each byte of it: where none needs escaping it gets the path alone."""
        target = _parted(request.url)[1]
        if _ESCAPED.fullmatch(target) is None:
            return target
        _exchange().target = target
        return target.partition("?")[0]

    def build_response(self, _request: object, resp: BaseHTTPResponse) -> Any:
        """urllib3's own answer: cookies and the like are not looked at."""
        return resp


def _prepared(request: requests.Request) -> requests.PreparedRequest:
    """As `requests` prepares it; a plain GET, whose URL its caller has encoded, without a look at each part of that."""
    origin, target = _parted(request.url)
    if request.method != "GET" or request.json is not None or request.data or request.params or target[:1] != "/":
        return request.prepare()
    prepared = requests.PreparedRequest()
    prepared.method = "GET"
    prepared.url = _prepared_origin(origin) + target
    for header in request.headers.items():
        check_header_validity(header)
    prepared.headers = request.headers
    return prepared


@lru_cache(maxsize=32)
def _prepared_origin(origin: str) -> str:
    """A server's address as `requests` writes it: a host's name in ASCII. Raises its `InvalidURL`."""
    return str(requests.Request("GET", origin).prepare().url).rstrip("/")


def _parted(url: str) -> tuple[str, str]:
    """A URL's scheme and server, and the rest."""
    at = url.find("/", url.find("//") + 2)
    return (url, "") if at < 0 else (url[:at], url[at:])


def _exchange() -> Exchange:
    exchange = _current.exchange
    if exchange is None:
        raise RuntimeError("a connection of Transport was used outside Transport.send")
    return exchange


def _no_answer(problem: Exception | None, exchange: Exchange, elapsed_seconds: float) -> NoAnswer:
    chain = _chain(problem)
    own = [each for each in chain if not isinstance(each, (requests.RequestException, HTTPError))] or chain
    cause = type(own[0]).__name__ if own and not exchange.expired else "deadline"
    timeouts = (requests.Timeout, TimeoutError, _ConnectTimeoutError)
    if exchange.expired or any(isinstance(each, timeouts) for each in chain):
        kind = "timeout"
    elif exchange.sent:
        kind = "connection"
    elif any(_is_tls_refusal(each) for each in chain):
        kind = "tls"
    else:
        kind = "malformed" if isinstance(problem, ValueError) else "connection"
    return NoAnswer(kind=kind, cause=cause, sent=exchange.sent, elapsed_seconds=elapsed_seconds)


def _is_tls_refusal(error: BaseException) -> bool:
    # A handshake that is merely cut off is a connection fault like any other, and may be tried again.
    cut = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    return isinstance(error, (ssl.SSLError, ssl.CertificateError)) and not isinstance(error, cut)


def _chain(error: BaseException | None) -> list[BaseException]:
    """List an exception and everything it wraps, outermost first: by cause, by context, and as an argument."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
            waiting += [each.__cause__, each.__context__, getattr(each, "reason", None)]
            waiting += [argument for argument in each.args if isinstance(argument, BaseException)]
    return found


def _broken(problem: Exception | None, exchange: Exchange, *, whole: bool) -> str:
    if exchange.expired:
        return "the deadline was over before the answer was complete"
    if problem is not None:
        return f"the answer was cut short ({type(problem).__name__})"
    return "" if whole else "the answer is too large"


class _WithoutQueries(logging.Filter):
    """Cuts the query, and with it passwords and tokens, off the URLs that urllib3 logs."""

    _query: Final = re.compile(r"\?[^\s\"']*")

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._query.sub("?…", record.getMessage()), None
        record.exc_info = None
        return True


for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_WithoutQueries())
