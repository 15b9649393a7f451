"""A process of 512 MiB whose vendors answer with bombs: run by `test_hostile_memory.py`, ends with "alive"."""

from __future__ import annotations

import gzip
import resource
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler

from worker.clients.base import ApiClient
from worker.clients.reading import UnreadableError
from worker.clients.transport import Transport
from worker.errors import UnexpectedResponseError

LIMIT_BYTES = 512 * 1024 * 1024
UNPACKED = 64 * 1024 * 1024
THREADS = 8
BOMBS = {
    name: gzip.compress(start + middle * (UNPACKED // len(middle)) + end, 9)
    for name, (start, middle, end) in {
        "zeros": (b"", b"\0", b""),
        "empty objects": (b"[", b"{},", b"{}]"),
        "deep xml": (b"", b"<a>", b""),
    }.items()
} | {
    f"{name} that fit": gzip.compress(start + middle * (8 * 1024 * 1024 // len(middle) - 10) + end, 9)
    for name, (start, middle, end) in {
        "empty objects": (b"[", b"{},", b"{}]"),
        "objects": (b"[", b'{"a":1},', b"{}]"),
        "wide xml": (b"<r>", b"<a/>", b"</r>"),
        "deep xml": (b"", b"<a>", b""),
        "deep json": (b"", b'{"a":', b""),
    }.items()
}
"""A few KiB each on the wire: of 64 MiB, and of what the limit lets through."""


class Vendor(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = BOMBS[self.path.lstrip("/").replace("-", " ")]
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def read_all(port: int, problems: list[str]) -> None:
    api = ApiClient("studiocart", base_url=f"http://127.0.0.1:{port}", transport=Transport())
    for name in BOMBS:
        for safe_to_repeat in (True, False):
            try:
                answer = api.request("op", "GET", f"/{name.replace(' ', '-')}", safe_to_repeat=safe_to_repeat)
                api.read("op", answer, safe_to_repeat=safe_to_repeat)
            except UnexpectedResponseError as error:
                if error.outcome_unknown is safe_to_repeat:
                    problems.append(f"{name}: {error}")
            except UnreadableError:
                continue
            except BaseException as error:  # noqa: BLE001 -- MemoryError and RecursionError too
                problems.append(f"{name}: {type(error).__name__}")
            else:
                problems.append(f"{name}: was read")


def main() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    problems: list[str] = []
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Vendor) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        threads = [threading.Thread(target=read_all, args=(server.server_address[1], problems)) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.shutdown()
    sys.stdout.write("\n".join(sorted(set(problems))) or "alive")


if __name__ == "__main__":
    main()
