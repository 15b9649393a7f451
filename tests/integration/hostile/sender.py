"""A process that sends bodies made to fill a web server's memory: `python -m tests.integration.hostile.sender PORT`."""

from __future__ import annotations

import http.client
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

SECRET = "plantedHookSecret0123456789"
TOKEN = "plantedTokenOfTheAddress0123456789"
COUNT = 500
AT_ONCE = 32


def filled(size: int, unit: bytes = b"{}", secret: str = "guess") -> bytes:
    """JSON of about `size` bytes of which as many objects are made as possible."""
    end = b'],"studiocart_secret":"%s"}' % secret.encode()
    count = (size - len(end) - 6) // (len(unit) + 1)
    return b'{"a":[' + b",".join([unit] * count) + end


HOSTILE = [
    ("", filled(1024 * 1024)),
    ("", filled(64 * 1024)),
    ("", filled(64 * 1024, b"[]")),
    ("", b'{"studiocart_secret":' * 3000),
    ("", b"[" * 60_000),
    ("/guess", filled(1024 * 1024)),
    ("", filled(4 * 1024 * 1024)),
    # Whoever knows the secret can do no harm by it either.
    ("", filled(64 * 1024, secret=SECRET)),
    (f"/{TOKEN}", filled(1024 * 1024)),
]


def send(port: int, number: int) -> int:
    """Send one, each from an address of its own, so that no limit for one address spares the process any of them.

    Returns the answer's status, 0 where the connection was cut before all was sent.
    """
    path, body = HOSTILE[number % len(HOSTILE)]
    address = f"127.0.{number // 200}.{number % 200 + 2}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=(address, 0))
    try:
        connection.request("POST", f"/webhooks/studiocart{path}", body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def main() -> None:
    """Send them all, and say how often each status was the answer."""
    port = int(sys.argv[1])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = Counter(pool.map(lambda number: send(port, number), range(COUNT)))
    sys.stdout.write(" ".join(f"{status}:{count}" for status, count in sorted(statuses.items())) + "\n")


if __name__ == "__main__":
    main()
