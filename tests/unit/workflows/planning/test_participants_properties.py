"""Whatever happens to an order's participants, nobody is enrolled twice, and nobody is forgotten."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.workflows.fakes.frontcore_orders import Operator, a_course_line, a_course_order, a_place, a_user
from worker.ledger.states import RunState
from worker.sources.order import Order
from workflows.planning.model import KnownRun

FATES = (RunState.PENDING, RunState.SUCCEEDED, RunState.SUCCEEDED, RunState.WAITING, RunState.FAILED)
FAULTS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"participants": [{"status": 3}]},
    {"course": {"coursedate": {"status": 3}}},
)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    """Up to three users, each in one place at most, which may be on both lines, or told without its participant."""
    lines: dict[int, list[tuple[dict[str, Any], dict[str, Any]]]] = {500: [], 501: []}
    for user_id in (1, 2, 3):
        on_lines = draw(st.sampled_from([(), (500,), (500,), (501,), (500, 501)]))
        participant_id = user_id + 10 * draw(st.integers(0, 2))
        place = a_place(participant_id, user_id, **draw(st.sampled_from(FAULTS)))
        email = draw(st.sampled_from([f"kari{user_id}@example.test", f"KARI{user_id}@example.test", "", "x"]))
        for line_id in on_lines:
            lines[line_id].append((place, a_user(user_id, email=email)))
    has_places = draw(st.sampled_from([True, True, True, False]))
    return a_course_order(
        *(
            a_course_line(
                line_id,
                places=[place for place, _ in people] if has_places else [],
                users=[user for _, user in people],
            )
            for line_id, people in lines.items()
            if people
        ),
        total=draw(st.sampled_from([1500, 900])),
    )


def enrolled(runs: list[KnownRun], user_id: int) -> list[str]:
    """The runs that gave a user access."""
    return [
        run.key
        for run in runs
        if run.workflow == "enrolment"
        and run.grant is not None
        and run.state is RunState.SUCCEEDED
        and run.seat_id.endswith(f"user-{user_id}")
    ]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(orders(), st.lists(st.sampled_from(FATES), min_size=3, max_size=3)), min_size=1, max_size=6))
def test_nobody_is_enrolled_twice_when_places_come_go_and_are_renamed(
    history: list[tuple[Order, list[RunState]]],
) -> None:
    operator = Operator()
    for order, fates in history:
        operator.look(order)
        for number, run in enumerate(operator.runs):
            if run.grant is not None and run.workflow == "enrolment" and run.state is RunState.PENDING:
                operator.set(run.key.removeprefix("frontcore/1/"), state=fates[number % 3], fence=1)
        for user_id in (1, 2, 3):
            assert len(enrolled(operator.runs, user_id)) <= 1, "two comped orders for one person's place"
        places = {seat.id.rpartition("user-")[2] for line in order.lines for seat in line.seats}
        for place in places:
            stored = [run for run in operator.runs if run.seat_id.endswith(f"user-{place}")]
            assert any(run.state is not RunState.CANCELLED for run in stored), "every seat has a run that stands"
