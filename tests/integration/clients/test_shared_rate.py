"""Processes that share a Redis broker share each system's rate, and go on without it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

from tests.integration.servers import RedisServer
from worker.clients.rate import RateLimit, shared_slots


def test_two_clients_keep_one_rate_when_they_share_redis(redis_server: RedisServer) -> None:
    limits = [RateLimit("frontcore", 10, shared=shared_slots(redis_server.url)) for _ in range(2)]
    began = time.monotonic()

    def take(number: int) -> float:
        limits[number % 2].take()
        return time.monotonic() - began

    with ThreadPoolExecutor(8) as threads:
        taken = sorted(threads.map(take, range(25)))
    for index, moment in enumerate(taken[10:]):
        assert moment - taken[index] >= 0.9, "eleven requests within a second"


def test_no_window_holds_more_than_the_limit_when_processes_take_several_slots_at_a_time(
    redis_server: RedisServer,
) -> None:
    """Three processes, now busy and now not, by a clock of their own; a slot is used as late as it may be."""
    requests_per_second, clock, rng = 200, [1000.0], Random(1)

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    limits = [
        RateLimit("many", requests_per_second, shared=shared_slots(redis_server.url), now=lambda: clock[0], sleep=sleep)
        for _ in range(3)
    ]
    taken = []
    for _ in range(2000):
        rng.choice(limits).take()
        taken.append(clock[0])
        clock[0] += rng.choice((0.0, 0.0, 0.001, 0.0499 if rng.random() < 0.02 else 0.0))
    in_a_second = [moment - taken[index] for index, moment in enumerate(taken[requests_per_second:])]
    assert min(in_a_second) >= 1.0, "201 requests within a second"
    assert taken[-1] - taken[0] < 1.2 * 2000 / requests_per_second, "slots were lost"


def test_no_slot_is_lost_when_the_limit_is_low(redis_server: RedisServer) -> None:
    clock = [1000.0]
    windows = [shared_slots(redis_server.url) for _ in range(2)]
    limits = [RateLimit("few", 10, shared=each, now=lambda: clock[0]) for each in windows]
    for number in range(30):
        limits[number % 2].take()
        clock[0] += 0.1001


def test_fewer_questions_than_requests_are_asked_when_the_limit_is_high(redis_server: RedisServer) -> None:
    limited = RateLimit("often", 1000, shared=shared_slots(redis_server.url))
    with redis_server.client() as client:
        limited.take()
        before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
        for _ in range(200):
            limited.take()
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] - before <= 40


def test_requests_go_on_when_redis_is_stopped(redis_server: RedisServer) -> None:
    limited = RateLimit("frontcore", 50, shared=shared_slots(redis_server.url))
    limited.take()
    redis_server.stop()
    began = time.monotonic()
    for _ in range(10):
        limited.take()
    assert time.monotonic() - began < 30
    redis_server.start()
