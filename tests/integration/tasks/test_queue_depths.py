from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

from tasks.control import queue_depths
from tests.integration.servers import RedisServer
from worker.broker.queues import CONTROL_QUEUE, QUEUES


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
def app(request: pytest.FixtureRequest) -> Iterator[Celery]:
    url = "memory://" if request.param == "memory" else request.getfixturevalue("redis_url")
    app = Celery("cartbridge-depths", broker=url, set_as_current=False)
    yield app
    app.close()


def test_messages_are_counted_when_nobody_has_taken_them(app: Celery) -> None:
    before = queue_depths(app)  # the broker in memory is the whole process's
    assert before is not None
    with app.connection_for_write() as connection:
        for _ in range(3):
            connection.SimpleQueue(CONTROL_QUEUE).put({})
    assert queue_depths(app) == before | {CONTROL_QUEUE: before[CONTROL_QUEUE] + 3}
    assert set(before) == set(QUEUES)
    with app.connection_for_write() as connection:
        connection.default_channel.queue_purge(CONTROL_QUEUE)


@pytest.mark.integration
def test_there_is_no_count_when_the_broker_is_away(redis_server: RedisServer) -> None:
    app = Celery("cartbridge-away", broker=redis_server.url, set_as_current=False)
    redis_server.stop()
    try:
        assert queue_depths(app) is None
    finally:
        redis_server.start()
        app.close()
