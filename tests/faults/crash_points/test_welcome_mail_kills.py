"""Kills at every boundary of a new customer's password's way: none is mailed twice, none is lost in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.harness.mail_product import LEARNERS_PASSWORD, Make, assert_mailed_once
from tests.faults.harness.product import ON_SQLITE, Killed, die, let_lease_end, let_outcome_settle
from worker.errors import IllegalTransitionError
from worker.sandbox.mailbox import Mailbox

pytestmark = pytest.mark.faults


def test_no_kill_mails_twice_or_loses_a_mail_in_silence_whatever_the_boundary(
    make: Make, mailbox: Mailbox, ledger_url: str
) -> None:
    """Every commit and every call, before and after; each telling has an order and a learner of its own."""
    reported: list[str] = []
    stride = 1 if ledger_url.startswith("sqlite") else 5  # the boundaries are the same on both
    for number in range(0, 1000, stride):
        mailbox.clear()
        order_id, email = 8000 + number, f"learner-{number}@example.test"
        doomed = make()
        reached: list[str] = []

        def reach(name: str, reached: list[str] = reached, number: int = number) -> None:
            reached.append(name)
            if len(reached) == number + 1:
                raise Killed

        run_id = doomed.enrol(order_id, email=email)
        doomed.number_boundaries(reach)
        was_killed = False
        try:
            doomed.go_on()
        except Killed:
            was_killed = True
        healthy = make(clock=doomed.clock)
        healthy.finish()
        place = f"{number}: {reached[-1]}"
        reported.append(place)
        assert healthy.state(run_id) == ("succeeded", None), place
        assert len([each for each in healthy.comped_orders if each.facts["email"] == email]) == 1, place
        (mail,) = [row for row in healthy.mails if row["order_id"] == str(order_id)]
        assert len(mailbox.received) <= 1, place
        if mail["state"] == "review":
            assert mail["reason"] == "outcome_unknown", place
            assert sum(stored is not None for stored in healthy.stored_passwords) == 1, place
            healthy.runtime.operations.resolve(mail["id"], actor="operator:test", note="asked")
        else:
            assert (mail["state"], len(mailbox.received)) == ("succeeded", 1), place
        assert set(healthy.stored_passwords) <= {None}, place
        assert LEARNERS_PASSWORD not in healthy.everything_stored(), place
        healthy.close()
        doomed.close()
        if not was_killed:
            break
    else:
        raise AssertionError("the boundaries never end")
    assert len(reported) * stride > 20
    assert stride > 1 or {place.partition(": ")[2] for place in reported} >= {
        "before the mail",
        "after the mail",
        "after addCustomer",
    }


@ON_SQLITE
def test_what_a_fenced_out_holder_learns_erases_the_password_when_its_mail_was_taken(make: Make) -> None:
    slow = make()
    run_id = slow.enrol()
    slow.work(run_id)
    other = make(clock=slow.clock)

    def take_over(call: Callable[..., Any]) -> Callable[..., Any]:
        def taken(*arguments: Any, **options: Any) -> Any:
            answer = call(*arguments, **options)
            let_lease_end(slow)
            other.sweep_quietly()
            let_outcome_settle(slow)
            other.go_on()
            return answer

        return taken

    slow.around("mail", "send", take_over)
    slow.go_on()
    assert_mailed_once(other)


@ON_SQLITE
def test_a_mail_in_flight_cannot_be_cancelled_when_its_outcome_is_open(make: Make) -> None:
    rig = make()
    rig.around("mail", "send", lambda _: lambda *_a, **_o: die())
    rig.enrol()
    with pytest.raises(Killed):
        rig.go_on()
    let_lease_end(rig)
    rig.sweep()
    with pytest.raises(IllegalTransitionError):
        rig.runtime.operations.cancel(rig.mail["id"], actor="operator:test")
    assert None not in rig.stored_passwords
