"""A process of 512 MiB whose vendors answer with bombs: run by `test_hostile_memory.py`, ends with "alive"."""

from __future__ import annotations

import gzip
import resource
import socketserver
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler

from tests.unit.worker.clients.frontcore import account
from tests.unit.worker.clients.learningcart import site as learningcart_site
from tests.unit.worker.clients.stub import whole
from tests.unit.worker.clients.studiocart import test_client as test_studiocart
from tests.unit.worker.clients.threedcart import store as threedcart_store
from worker.cli.process_memory import spare_memory
from worker.clients.base import ApiClient
from worker.clients.frontcore.client import FrontcoreClient
from worker.clients.learningcart.client import CustomerFields, LearningCartClient
from worker.clients.reading import UnreadableError
from worker.clients.studiocart.client import StudiocartClient
from worker.clients.threedcart.client import ThreedcartClient
from worker.clients.threedcart.models import CartFields
from worker.clients.transport import Transport
from worker.errors import ApiError, UnexpectedResponseError

LIMIT_BYTES = 512 * 1024 * 1024
UNPACKED = 64 * 1024 * 1024
THREADS = 8
BOMBS = (
    {
        name: gzip.compress(start + middle * (UNPACKED // len(middle)) + end, 9)
        for name, (start, middle, end) in {
            "zeros": (b"", b"\0", b""),
            "empty objects": (b"[", b"{},", b"{}]"),
            "deep xml": (b"", b"<a>", b""),
        }.items()
    }
    | {
        f"{name} that fit": gzip.compress(start + middle * (8 * 1024 * 1024 // len(middle) - 10) + end, 9)
        for name, (start, middle, end) in {
            "empty objects": (b"[", b"{},", b"{}]"),
            "objects": (b"[", b'{"a":1},', b"{}]"),
            "wide xml": (b"<r>", b"<a/>", b"</r>"),
            "deep xml": (b"", b"<a>", b""),
            "deep json": (b"", b'{"a":', b""),
            "xml of a long namespace": (b'<r xmlns="' + b"A" * 500_000 + b'">', b"<a/><b/>", b"</r>"),
        }.items()
    }
    | {
        "names of a long namespace": gzip.compress(
            b'<r xmlns="' + b"A" * 500_000 + b'">' + b"".join(b"<a%d/>" % number for number in range(50_000)) + b"</x>",
            9,
        ),
    }
)
"""A few KiB each on the wire: of 64 MiB, and of what the limit lets through."""


TOKEN = gzip.compress(
    b'{"Authentication Token": "00000001-d9cb-469f-a165-70867728950e",'
    b' "Issue Date": "2026-05-27T08:00:00", "Expiration Date": "2026-05-27T09:00:00"}'
)
BEGIN, END = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC)


class Vendor(BaseHTTPRequestHandler):
    """Answers whatever is asked below `/NAME` with that bomb; LearningCart gets its token, so that it asks for more."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name, _, rest = self.path.lstrip("/").partition("?")[0].partition("/")
        body = TOKEN if rest.endswith("requestToken") else BOMBS[name.replace("-", " ")]
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names of the base class

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def read_all(port: int, problems: list[str]) -> None:
    api = ApiClient("studiocart", base_url=f"http://127.0.0.1:{port}", transport=Transport())
    for name in BOMBS:
        for safe_to_repeat in (True, False):
            try:
                answer = whole(api, "op", "GET", f"/{name.replace(' ', '-')}", safe_to_repeat=safe_to_repeat)
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


def calls_of(base_url: str) -> dict[str, Callable[[], object]]:
    """A call of each kind at every vendor, by its own client."""
    api = {
        name: ApiClient(name, base_url=base_url, transport=Transport())
        for name in ("learningcart", "studiocart", "frontcore", "threedcart")
    }
    learningcart = LearningCartClient(learningcart_site.Access(), api=api["learningcart"])
    studiocart = StudiocartClient(test_studiocart.Access(parameters_in="body"), api=api["studiocart"])
    frontcore = FrontcoreClient(account.Access(), api=api["frontcore"])
    threedcart = ThreedcartClient(threedcart_store.Access(), api=api["threedcart"])
    return {
        "LearningCart's orders": lambda: learningcart.get_orders_by_date(BEGIN),
        "LearningCart's order": lambda: learningcart.add_comp_order(7, 501, "cb-1"),
        "LearningCart's customer": lambda: learningcart.add_customer(CustomerFields(email="jane@example.test")),
        "LearningCart's completions": lambda: learningcart.get_completions(BEGIN, END),
        "Studiocart's orders": lambda: list(studiocart.list_orders()),
        "Studiocart's order": lambda: studiocart.retrieve_order(1109),
        "Studiocart's subscriptions": lambda: list(studiocart.list_subscriptions()),
        "Frontcore's orders": lambda: list(frontcore.list_orders()),
        "Frontcore's order": lambda: frontcore.retrieve_order(27244),
        "3dcart's orders": lambda: list(threedcart.list_orders()),
        "3dcart's order": lambda: threedcart.retrieve_order(1),
        "3dcart's cart": lambda: threedcart.retrieve_cart("6F027F81ggx48to"),
        "3dcart's new cart": lambda: threedcart.create_cart(CartFields(billing_email="jane@example.test")),
    }


def ask_vendors(port: int, names: Iterable[str], problems: list[str], asked: list[str]) -> None:
    """Every call at every vendor, for each of these bombs: whatever it ends in is a typed error."""
    for name in names:
        for what, call in calls_of(f"http://127.0.0.1:{port}/{name.replace(' ', '-')}").items():
            try:
                call()
            except ApiError:
                asked.append(what)
            except BaseException as error:  # noqa: BLE001 -- MemoryError and RecursionError too
                problems.append(f"{what}, {name}: {type(error).__name__}: {error}"[:300])
            else:
                problems.append(f"{what}, {name}: was read")


def main() -> None:
    spare_memory()  # as every process of the product does
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    problems: list[str] = []
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Vendor) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        asked: list[str] = []
        run([threading.Thread(target=read_all, args=(port, problems)) for _ in range(THREADS)])
        run([threading.Thread(target=ask_vendors, args=(port, [name], problems, asked)) for name in BOMBS])
        server.shutdown()
    sys.stdout.write("\n".join(sorted(set(problems))) or f"alive after {len(asked)} calls of {len(set(asked))} kinds")


def run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
