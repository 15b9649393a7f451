"""Processes that share a Redis broker share each system's rate, and go on without it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from tests.integration.servers import RedisServer
from worker.clients.rate import RateLimit, shared_storage


def test_two_clients_keep_one_rate_when_they_share_redis(redis_server: RedisServer) -> None:
    limits = [RateLimit("frontcore", 10, storage=shared_storage(redis_server.url)) for _ in range(2)]
    began = time.monotonic()

    def take(number: int) -> float:
        limits[number % 2].take()
        return time.monotonic() - began

    with ThreadPoolExecutor(8) as threads:
        taken = sorted(threads.map(take, range(25)))
    for index, moment in enumerate(taken[10:]):
        assert moment - taken[index] >= 0.9, "eleven requests within a second"


def test_requests_go_on_when_redis_is_stopped(redis_server: RedisServer) -> None:
    limited = RateLimit("frontcore", 50, storage=shared_storage(redis_server.url))
    limited.take()
    redis_server.stop()
    began = time.monotonic()
    for _ in range(10):
        limited.take()
    assert time.monotonic() - began < 5
    redis_server.start()
