"""The wire to LearningCart: passes bytes on to it, and can be cut, so that connections are refused."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.integration.servers import free_port

_CHUNK_BYTES = 65_536
_CALL_SECONDS = 10.0

Result = TypeVar("Result")


class Gate:
    """Listens on `port` while it is open. Shutting it cuts what is under way, and what comes then is refused."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._open_ends: set[asyncio.StreamWriter] = set()
        self._handlers: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gate", daemon=True)
        self._thread.start()
        self.open()

    def open(self) -> None:
        """Take connections; harmless when open."""
        self._call(self._open())

    def shut(self) -> None:
        """Refuse connections and abort those there are; harmless when shut."""
        self._call(self._shut())

    def close(self) -> None:
        """Shut it for good; harmless when closed."""
        if self._loop.is_closed():
            return
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_SECONDS)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)

    async def _open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self.port, backlog=256)

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for end in self._open_ends:
            end.transport.abort()
        if self._handlers:  # they end now that their connections have
            await asyncio.wait(self._handlers)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        if handler is not None:
            self._handlers.add(handler)
            handler.add_done_callback(self._handlers.discard)
        self._open_ends.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            answers, onward = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._open_ends.add(onward)
            # Whichever side ends first, the other has nobody left to talk to.
            ways = [asyncio.ensure_future(_pump(reader, onward)), asyncio.ensure_future(_pump(answers, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            writer.transport.abort()
        finally:
            for end in (writer, onward):
                if end is not None:
                    self._open_ends.discard(end)
                    end.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
