from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from worker.sandbox.faults import Fault, FaultPlan, Waits
from worker.sandbox.wire import Call, Request

REQUEST = Request("GET", "/addCompOrder", "/l/addCompOrder?CustomerID=7&AuthenticationToken=t&x=<b>", "CustomerID=7")
CALL = Call("addCompOrder")


def taken(plan: FaultPlan, system: str = "learningcart", call: Call = CALL, request: Request = REQUEST) -> bool:
    return plan.take(system, call, request) is not None


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(), True),
        (Fault(system="learningcart", operation="addCompOrder"), True),
        (Fault(system="studiocart"), False),
        (Fault(operation="addCustomer"), False),
        (Fault(match={"customerid": 7}), True),
        (Fault(match={"CustomerID": "8"}), False),
        (Fault(match={"PriceID": 501}), False),
    ],
)
def test_a_fault_matches_when_system_operation_and_values_do(fault: Fault, expected: bool) -> None:
    assert fault.matches("learningcart", CALL, REQUEST) is expected


def test_a_fault_matches_when_the_body_or_the_path_holds_the_value() -> None:
    request = Request("GET", "/orders/1109", body=b'{"page": 2}')
    call = Call("retrieve_order", {"id": "1109"})
    assert Fault(match={"id": 1109, "page": 2}).matches("studiocart", call, request)
    unreadable = Request("GET", "/orders/1109", body=b"{")
    assert not Fault(match={"page": 2}).matches("studiocart", call, unreadable)
    assert Fault(match={"id": 1109}).matches("studiocart", call, unreadable)


def test_a_fault_hits_as_often_as_said_when_requests_keep_coming() -> None:
    plan = FaultPlan()
    plan.inject(Fault(times=2, after=1))
    assert [taken(plan) for _ in range(5)] == [False, True, True, False, False]
    assert plan.hits == 2
    assert plan.describe()[0]["seen"] == 3


def test_a_fault_always_hits_when_times_is_none() -> None:
    plan = FaultPlan()
    plan.inject(Fault(times=None))
    assert all(taken(plan) for _ in range(20))
    plan.clear()
    assert not taken(plan)
    assert plan.hits == 0


def test_the_next_fault_gets_its_turn_when_the_first_is_spent() -> None:
    plan = FaultPlan()
    plan.inject(Fault(kind="cut"))
    plan.inject(Fault(kind="html"))
    kinds = [fault.kind if (fault := plan.take("learningcart", CALL, REQUEST)) else None for _ in range(3)]
    assert kinds == ["cut", "html", None]


def test_hits_repeat_exactly_when_the_seed_is_the_same() -> None:
    def pattern(seed: int) -> list[bool]:
        plan = FaultPlan(seed)
        plan.inject(Fault(times=None, probability=0.5))
        return [taken(plan) for _ in range(64)]

    assert pattern(1) == pattern(1)
    assert pattern(1) != pattern(2)
    assert 10 < sum(pattern(1)) < 54


@pytest.mark.parametrize(
    ("fault", "effect"),
    [
        (Fault(kind="status", status=500), "after"),
        (Fault(kind="status", status=429), "before"),
        (Fault(kind="status", status=503, when="before"), "before"),
        (Fault(kind="status", status=504, when="late"), "late"),
        (Fault(kind="cut"), "after"),
        (Fault(kind="cut", when="before"), "before"),
        (Fault(kind="late"), "late"),
        (Fault(kind="slow", when="before"), "after"),
        (Fault(kind="dribble"), "after"),
    ],
)
def test_the_side_of_the_effect_is_worked_out_when_left_open(fault: Fault, effect: str) -> None:
    assert fault.effect == effect


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "explode"},
        {"when": "never"},
        {"kind": "hang", "when": "late"},
        {"seconds": -1},
        {"after": -1},
        {"probability": 2},
        {"colour": "red"},
        {"seconds": "soon"},
    ],
)
def test_a_fault_is_refused_when_it_means_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Fault.from_json(wrong)


def test_a_fault_survives_when_sent_as_json() -> None:
    fault = Fault("learningcart", kind="status", status=503, headers={"Retry-After": "2"}, match={"PriceID": 501})
    assert Fault.from_json(json.loads(json.dumps(fault.to_json()))) == fault


def test_an_error_page_echoes_the_full_url_when_a_request_fails() -> None:
    answer = Fault(kind="status", status=502, headers={"Retry-After": "3"}).faulty_answer(REQUEST)
    assert answer.status == 502
    assert answer.content_type.startswith("text/html")
    assert b"CustomerID=7&amp;AuthenticationToken=t&amp;x=&lt;b&gt;" in answer.body
    assert answer.headers == {"Retry-After": "3"}


def test_the_page_says_200_when_the_fault_is_html() -> None:
    answer = Fault(kind="html").faulty_answer(REQUEST)
    assert (answer.status, answer.content_type) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize(("body", "kind"), [('{"Message": "no"}', "application/json"), ("<p>no</p>", "text/html")])
def test_a_given_body_is_sent_as_what_it_looks_like(body: str, kind: str) -> None:
    answer = Fault(kind="status", status=400, body=body).faulty_answer(REQUEST)
    assert answer.body == body.encode()
    assert answer.content_type.startswith(kind)


def test_nothing_is_in_the_body_when_the_fault_is_empty() -> None:
    answer = Fault(kind="empty").faulty_answer(REQUEST)
    assert (answer.status, answer.body) == (200, b"")


def test_a_wait_goes_by_when_nobody_ends_it() -> None:
    assert Waits().wait(0.001) is True


def test_waits_end_early_when_released_and_may_be_waited_again() -> None:
    waits = Waits()
    results: list[bool] = []
    entered = threading.Barrier(2)

    def wait() -> None:
        entered.wait()
        results.append(waits.wait(None))

    thread = threading.Thread(target=wait)
    thread.start()
    entered.wait()
    while thread.is_alive():  # the thread may not have begun its wait when the first release comes
        waits.release()
        thread.join(0.005)
    assert results == [False]
    assert waits.wait(0.001) is True


def test_no_wait_begins_when_stopped() -> None:
    waits = Waits()
    waits.stop()
    assert waits.wait(60) is False
    waits.release()
    assert waits.wait(60) is False
