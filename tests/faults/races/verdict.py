"""The verdict on a trial: what the ledger, the site and the actors must agree on. Every sentence is a violation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sqlalchemy import Table, select

from tests.faults.harness.sales import Sale
from tests.faults.judging.ledger import RunFact, read_runs
from tests.faults.judging.sold import Access
from tests.faults.judging.verdict import match
from tests.faults.races.actors import Arrivals
from tests.faults.races.deployment import Company
from worker.errors import IllegalTransitionError
from worker.ledger.states import CLAIMABLE, Actor, Outcome, RunState, check_transition
from worker.ledger.tables.runs import attempts, deliveries, events, order_versions, orders, runs, steps

Row = Mapping[str, Any]
SETTLED = frozenset({Outcome.OK, Outcome.ADOPTED})


@dataclass
class RaceVerdict:
    """What became of the seats that a trial sold."""

    runs: int = 0
    comped_orders: int = 0
    lost: int = 0
    """Seats without a comped order."""
    doubled: int = 0
    """Comped orders beyond one a seat."""
    violations: list[str] = field(default_factory=list)


def judge(company: Company, sales: Sequence[Sale], arrivals: Arrivals, *, disturbed: bool) -> RaceVerdict:
    """Look at everything a finished trial has left. `disturbed`: answers were lost, so that calls may be repeated."""
    ledger_rows = _LedgerRows.read(company, sales)
    verdict = RaceVerdict(runs=len(ledger_rows.runs))
    _judge_seats(company, ledger_rows, sales, verdict)
    verdict.violations += company.troubles
    verdict.violations += company.site.overlaps
    for sentences in (
        _about_orders(ledger_rows, sales, arrivals),
        _about_runs(ledger_rows, sales),
        _about_site(company, sales),
        _about_deliveries(ledger_rows, sales, arrivals),
        _about_attempts(ledger_rows, disturbed=disturbed),
        _about_lanes(ledger_rows),
        *(_about_history(run, ledger_rows.events_of(run["id"])) for run in ledger_rows.runs),
    ):
        verdict.violations += sentences
    return verdict


@dataclass(frozen=True)
class _LedgerRows:
    """The ledger's rows about the orders of one trial."""

    orders: list[Row]
    versions: list[Row]
    runs: list[Row]
    steps: list[Row]
    attempts: list[Row]
    deliveries: list[Row]
    events: list[Row]
    facts: list[RunFact]

    @classmethod
    def read(cls, company: Company, sales: Sequence[Sale]) -> _LedgerRows:
        order_ids = [sale.order_id for sale in sales]
        with company.ledger.read() as connection:

            def of_orders(table: Table) -> list[Row]:
                query = select(table).where(table.c.order_id.in_(order_ids))
                return [dict(row) for row in connection.execute(query).mappings()]

            def of_runs(table: Table) -> list[Row]:
                query = select(table).join(runs, runs.c.id == table.c.run_id).where(runs.c.order_id.in_(order_ids))
                return [dict(row) for row in connection.execute(query).mappings()]

            return cls(
                orders=of_orders(orders),
                versions=of_orders(order_versions),
                runs=of_orders(runs),
                steps=of_runs(steps),
                attempts=of_runs(attempts),
                deliveries=of_orders(deliveries),
                events=sorted(of_orders(events), key=lambda event: int(event["id"])),
                facts=read_runs(connection),
            )

    def events_of(self, run_id: str) -> list[Row]:
        return [event for event in self.events if event["run_id"] == run_id]


def _judge_seats(company: Company, ledger_rows: _LedgerRows, sales: Sequence[Sale], verdict: RaceVerdict) -> None:
    """Judge each seat as all of the proof does: nothing here may need a person."""
    expected = {seat: Access.DUE for sale in sales for seat in sale.seats}
    emails = {seat.email.casefold() for seat in expected}
    made = [order for order in company.comped_orders() if order.email.casefold() in emails]
    found, stray = match(expected, made, ledger_rows.facts)
    verdict.comped_orders = len(made)
    verdict.lost = sum(not facts.made for facts in found)
    verdict.doubled = len(stray) + sum(max(len(facts.made) - 1, 0) for facts in found)
    verdict.violations += [sentence for facts in found for sentence in facts.unlike_once()]
    verdict.violations += [f"nobody bought what {order} gives" for order in stray]


def _about_orders(ledger_rows: _LedgerRows, sales: Sequence[Sale], arrivals: Arrivals) -> Iterator[str]:
    names = [sale.order_id for sale in sales]
    planned = [event for event in ledger_rows.events if event["kind"] == "order_planned"]
    for what, rows, expected in (
        ("rows", ledger_rows.orders, 1),
        ("versions", ledger_rows.versions, arrivals.versions),
        ("plans", planned, arrivals.versions),
    ):
        found = Counter(row["order_id"] for row in rows)
        if found != dict.fromkeys(names, expected):
            yield f"orders {names} have these {what}: {dict(found)}"
    for order in ledger_rows.orders:
        if order["state"] != "planned":
            yield f"order {order['order_id']} is {order['state']} ({order['reason']})"


def _about_runs(ledger_rows: _LedgerRows, sales: Sequence[Sale]) -> Iterator[str]:
    wanted = Counter((sale.order_id, seat.seat_id, seat.price_ids[0]) for sale in sales for seat in sale.seats)
    found = Counter((run["order_id"], run["seat_id"], (run["grant"] or {}).get("price_id")) for run in ledger_rows.runs)
    if found != wanted:
        yield f"the seats {dict(wanted)} have these runs: {dict(found)}"
    for run in ledger_rows.runs:
        if (run["state"], run["reason"]) != (RunState.SUCCEEDED, None):
            yield f"run {run['key']} is {run['state']} ({run['reason']}: {run['note']})"
        if run["lease_holder"] is not None or run["generation"] != 0:
            yield f"run {run['key']} is still held, or was begun anew"
    for step in ledger_rows.steps:
        if step["state"] != "done":
            yield f"step {step['name']} of run {step['run_id']} is {step['state']}"


def _about_site(company: Company, sales: Sequence[Sale]) -> Iterator[str]:
    emails = {seat.email.casefold() for sale in sales for seat in sale.seats}
    customers = Counter(customer.email.casefold() for customer in company.sandbox.learningcart.customers)
    for email in sorted(emails):
        if customers[email] != 1:
            yield f"{email} is {customers[email]} customers"


def _about_deliveries(ledger_rows: _LedgerRows, sales: Sequence[Sale], arrivals: Arrivals) -> Iterator[str]:
    names = [(sale.source, sale.order_id) for sale in sales]
    arrived = Counter(((source, order_id), "webhook") for source, order_id, _ in arrivals.webhooks)
    arrived += Counter((name, "manual") for name in arrivals.ingested)
    # The first poll to read the shop records each order, whoever has planned it; a later one finds it unchanged.
    arrived += Counter((name, "poll") for name in names)
    found = Counter(((row["source"], row["order_id"]), row["via"]) for row in ledger_rows.deliveries)
    if found != arrived:
        yield f"these arrived: {dict(arrived)}; these were noted: {dict(found)}"
    if not arrivals.polls:
        yield "every poll found another one under way"
    answered = {delivery_id for *_, delivery_id in arrivals.webhooks}
    if answered != {row["id"] for row in ledger_rows.deliveries if row["via"] == "webhook"}:
        yield "the deliveries that webhooks were answered are not those in the ledger"
    for row in ledger_rows.deliveries:
        if row["state"] != "planned" or row["lease_holder"] is not None:
            yield f"a delivery by {row['via']} is {row['state']} ({row['reason']}: {row['note']})"
    for name in names:
        first = [row for row in ledger_rows.deliveries if row["order_id"] == name[1] and not row["duplicate"]]
        if len(first) != arrivals.versions:
            yield f"{len(first)} deliveries of order {name[1]} claim to have told something new"


def _about_attempts(ledger_rows: _LedgerRows, *, disturbed: bool) -> Iterator[str]:
    by_step: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for attempt in ledger_rows.attempts:
        by_step[attempt["run_id"], attempt["step"]].append(attempt)
    for step in ledger_rows.steps:
        tried = by_step[step["run_id"], step["name"]]
        outcomes = [attempt["outcome"] for attempt in sorted(tried, key=lambda attempt: int(attempt["number"]))]
        if sum(outcome in SETTLED for outcome in outcomes) != 1 or outcomes[-1] not in SETTLED:
            yield f"step {step['name']} of run {step['run_id']} was tried with {outcomes}"
        elif len(outcomes) != 1 and not disturbed:
            yield f"step {step['name']} of run {step['run_id']} was tried {len(outcomes)} times, and nothing was wrong"


def _about_lanes(ledger_rows: _LedgerRows) -> Iterator[str]:
    """No two runs of one lane were at it at once, by the times of their attempts."""
    lane_of = {run["id"]: run["lane"] for run in ledger_rows.runs}
    by_lane: defaultdict[str, list[Row]] = defaultdict(list)
    for attempt in ledger_rows.attempts:
        by_lane[lane_of[attempt["run_id"]]].append(attempt)
    for tried in by_lane.values():
        tried.sort(key=lambda attempt: attempt["started_at"])
        for one, next_one in pairwise(tried):
            if one["finished_at"] is None or one["finished_at"] > next_one["started_at"]:
                yield (
                    f"in one lane {next_one['step']} of {next_one['run_id']} began before {one['step']} of "
                    f"{one['run_id']} had ended"
                )


def _about_history(run: Row, history: Sequence[Row]) -> Iterator[str]:
    """A run's events are a walk through the table of transitions, and every claim ended in one of them."""
    kinds = [event["kind"] for event in history]
    if kinds[:1] != ["run_planned"] or kinds.count("run_planned") != 1:
        yield f"the history of run {run['key']} does not begin with its one plan: {kinds}"
        return
    state, claims = RunState.PENDING, 0
    try:
        for event in history[1:]:
            if event["kind"] == "run_replayed":
                if event["detail"]["from"] != state:
                    yield f"run {run['key']} was replayed from {event['detail']['from']} when it was {state}"
                check_transition(state, RunState.PENDING, Actor.OPERATOR)
                state = RunState.PENDING
                continue
            if state not in CLAIMABLE:
                yield f"run {run['key']} was worked when it was {state}"
            ended = RunState(event["kind"].removeprefix("run_"))
            check_transition(RunState.RUNNING, ended, Actor.ENGINE)
            state, claims = ended, claims + 1
    except (IllegalTransitionError, ValueError) as error:
        yield f"the history of run {run['key']} is illegal: {kinds} ({error})"
        return
    if state != run["state"] or claims != run["fence"]:
        yield f"run {run['key']} is {run['state']} after {run['fence']} claims; its history tells of {claims}: {kinds}"
