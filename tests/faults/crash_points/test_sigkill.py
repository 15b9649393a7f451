"""Real processes that die by SIGKILL, at three of the boundaries that `sigkill.py` goes through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.crash_points import doomed_process
from tests.faults.crash_points.deployment import Sites
from tests.faults.crash_points.doomed_process import Point
from tests.faults.crash_points.sigkill import (
    COMPED_ORDER_SENT,
    Effect,
    Story,
    Trial,
    TrialResult,
    judge,
    judge_all,
    record,
)
from tests.faults.simulation.boundaries import ACKNOWLEDGED, BEGIN, COMMITTED, RECEIVED, SENT, Boundary
from tests.integration.servers import PostgresServer, RedisServer

pytestmark = [pytest.mark.integration, pytest.mark.faults]

TRIALS = [
    Trial("web", Story.NOTIFIED, Point(Boundary(BEGIN, "worker.web.webhooks.intake._commit"))),
    Trial(
        "worker", Story.WORKED, Point(Boundary(COMMITTED, "workflows.execution.recorder.commit_intent")), pool="prefork"
    ),
    Trial("worker", Story.WORKED, COMPED_ORDER_SENT, effect=Effect.LATE),
]


@pytest.fixture
def sites(postgres_server: PostgresServer, redis_server: RedisServer, tmp_path: Path) -> Iterator[Sites]:
    postgres_server.start()
    with Sites(postgres_server, redis_server, tmp_path, len(TRIALS)) as sites:
        yield sites


def test_order_is_provisioned_once_when_a_process_is_killed_at_its_boundary(sites: Sites) -> None:
    reported: list[TrialResult] = []
    with ThreadPoolExecutor(len(TRIALS)) as spread:
        verdicts = judge_all(sites, TRIALS, spread, reported.append)
    assert [verdict.problem for verdict in verdicts] == [""] * len(TRIALS)
    assert all(verdict.ok for verdict in verdicts)
    assert [verdict.comped_orders for verdict in verdicts] == [1] * len(TRIALS)
    assert [verdict.notified_again for verdict in verdicts] == [True, False, False]
    assert len(reported) == len(TRIALS)


def test_boundaries_are_found_in_order_when_a_worker_works_an_order(sites: Sites) -> None:
    with sites.borrowed() as site:
        points = record(site, Trial("worker", Story.WORKED, COMPED_ORDER_SENT))
    assert len(set(points)) == len(points)
    milestones = [
        Point(Boundary(RECEIVED, "cartbridge.ingest")),
        Point(Boundary(COMMITTED, "workflows.ingest.deliveries._record")),
        Point(Boundary(ACKNOWLEDGED, "cartbridge.ingest")),
        Point(Boundary(COMMITTED, "workflows.execution.recorder.commit_intent")),
        Point(Boundary(SENT, "learningcart addCompOrder")),
        Point(Boundary(COMMITTED, "workflows.execution.recorder.record_effect")),
        Point(Boundary(ACKNOWLEDGED, "cartbridge.enrolment.add_customer")),
    ]
    assert [point for point in points if point in milestones] == milestones


def test_trial_fails_when_its_boundary_is_never_reached(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = doomed_process.wait

    def wait_less_for_doom(condition: Callable[[], object], *, what: str) -> None:
        with monkeypatch.context() as patch:
            if what.startswith("worker comes to"):
                patch.setattr(doomed_process, "ENOUGH_SECONDS", 3.0)
            wait(condition, what=what)

    monkeypatch.setattr(doomed_process, "wait", wait_less_for_doom)
    with sites.borrowed() as site:
        verdict, _ = judge(site, Trial("worker", Story.WORKED, Point(Boundary(SENT, "learningcart nothing"))))
    assert not verdict.ok
    assert not verdict.killed
    assert "sent learningcart nothing" in verdict.problem
