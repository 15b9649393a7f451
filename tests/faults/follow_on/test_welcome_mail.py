"""New customers' passwords: kept sealed, mailed once, erased; whatever is refused, lost or killed in between."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness.mail_product import KEY, LEARNERS_PASSWORD, MailRig, Make, assert_mailed_once
from tests.faults.harness.product import ON_SQLITE, let_lease_end
from worker.errors import IllegalTransitionError
from worker.sandbox import Fault
from worker.sandbox.mailbox import MailFault
from workflows.enrolment.welcome_mail import ERASED, erase_unmailed
from workflows.operations.seats import NAMED, Person

pytestmark = pytest.mark.faults

OTHER_KEY = "YW5vdGhlci1rZXktb2YtMzItYnl0ZXMtZXhhY3RseSE="


@pytest.fixture
def rig(make: Make) -> MailRig:
    return make()


# The way it goes


def test_password_is_mailed_once_and_erased_when_the_customer_is_new(rig: MailRig) -> None:
    run_id = rig.enrol()
    rig.go_on()
    assert rig.state(run_id) == ("succeeded", None)
    assert_mailed_once(rig)
    assert rig.stored_passwords == [None]
    (mail,) = rig.mailbox.received
    assert mail.recipient == "jane@example.test"
    assert mail.subject == "Your access to academy.example.test"
    assert "Hello Jane," in mail.text
    assert "https://academy.example.test\r\n" in mail.text
    mail_run = rig.mail
    assert mail_run["key"] == f"{rig.run(run_id)['key']}/welcome"
    assert (mail_run["parent_id"], mail_run["order_id"], mail_run["lane"]) == (run_id, "7001", rig.run(run_id)["lane"])
    assert LEARNERS_PASSWORD not in rig.everything_stored()
    assert rig.runtime.operations.replay(mail_run["id"], actor="operator:test").result == "nothing"
    rig.finish()
    assert len(rig.mailbox.received) == 1


@ON_SQLITE
def test_password_is_mailed_once_when_a_bundle_makes_two_runs_and_profiles_are_kept(make: Make) -> None:
    rig = make(CARTBRIDGE_LEARNINGCART__EXISTING_CUSTOMERS="keep")
    rig.sell(7001, product_id="1130")
    assert len(rig.ingest(7001)) == 2
    rig.finish()
    assert_mailed_once(rig)


@ON_SQLITE
def test_each_customer_is_mailed_their_own_password_when_the_address_is_corrected_before_access_is_given(
    rig: MailRig,
) -> None:
    """LearningCart makes a customer for either address, and gives either password only once."""
    for address, right in (("jane@exampel.test", "jane@example.test"), ("jan@example.test", "jane@exampel.test")):
        rig.sandbox.inject(
            Fault("learningcart", "addCustomerToGroup", kind="status", status=404, body="{}", times=None)
        )
        run_id = rig.enrol(7001 if right == "jane@example.test" else 7002, email=address)
        rig.finish()
        assert rig.run(run_id)["state"] == "failed"
        rig.sandbox.clear_faults()
        named = rig.runtime.operations.seats.name(run_id, Person(right), actor="operator:test")
        assert named.result == NAMED
        rig.finish()
        assert rig.state(run_id) == ("succeeded", None)
    received = [(mail.recipient, LEARNERS_PASSWORD in mail.text) for mail in rig.mailbox.received]
    assert received == [("jane@exampel.test", True), ("jane@example.test", True), ("jan@example.test", True)]
    assert rig.stored_passwords == [None, None, None]


@ON_SQLITE
def test_nobody_is_mailed_when_the_customer_is_known_or_passwords_are_dropped(make: Make) -> None:
    rig = make()
    rig.enrol(7001)
    rig.finish()
    rig.enrol(7002)
    rig.finish()
    dropping = make(CARTBRIDGE_PASSWORDS__MODE="drop", clock=rig.clock)
    dropping.enrol(7003, email="john@example.test")
    dropping.finish()
    assert_mailed_once(rig)


@ON_SQLITE
def test_password_is_kept_when_the_profile_cannot_be_filled_after_it_was_told(make: Make) -> None:
    rig = make(CARTBRIDGE_LEARNINGCART__EXISTING_CUSTOMERS="keep")
    rig.sandbox.inject(Fault("learningcart", "addCustomer", kind="cut", after=1))
    rig.enrol()
    rig.finish()
    assert_mailed_once(rig)


# Refusals and unknown outcomes


@ON_SQLITE
@pytest.mark.parametrize("stage", ["connect", "mail", "rcpt", "data", "content"])
def test_mail_is_sent_later_when_it_is_refused_for_now(rig: MailRig, stage: Any) -> None:
    rig.mailbox.inject(MailFault(stage, times=2), MailFault("rcpt", "cut"))
    rig.enrol()
    rig.go_on()
    assert rig.mail["state"] == "waiting"
    assert rig.mailbox.received == []
    rig.finish()
    assert_mailed_once(rig)
    outcomes = rig.outcomes(rig.mail["id"], "send_welcome_mail")
    assert set(outcomes[:-1]) == {("call", "retryable")}
    assert outcomes[-1] == ("call", "ok")


@ON_SQLITE
def test_run_fails_with_the_servers_word_and_keeps_the_password_when_the_address_is_refused(rig: MailRig) -> None:
    rig.mailbox.inject(MailFault("rcpt", code=550, text="5.1.1 <jane@example.test> unknown"))
    rig.enrol()
    rig.finish()
    assert rig.state(rig.mail["id"]) == ("failed", "refused")
    assert rig.mail["note"] == "InvalidRequestError: mail RCPT: the server answered 550 5.1.1 … unknown"
    assert None not in rig.stored_passwords
    rig.runtime.operations.replay(rig.mail["id"], actor="operator:test")
    rig.finish()
    assert_mailed_once(rig)


@ON_SQLITE
def test_mail_waits_and_is_paused_when_the_login_is_refused(make: Make) -> None:
    rig = make(CARTBRIDGE_MAIL__USERNAME="courses", CARTBRIDGE_MAIL__PASSWORD="sandbox-password-mail")
    rig.mailbox.inject(MailFault("auth", code=535))
    run_id = rig.enrol()
    rig.go_on()
    assert rig.state(run_id) == ("succeeded", None)
    assert [row["system"] for row in rig.rows("pauses")] == ["mail"]
    assert rig.state(rig.mail["id"]) == ("waiting", "authentication")
    rig.runtime.operations.resume("mail", actor="operator:test")
    rig.finish()
    assert_mailed_once(rig)


@ON_SQLITE
@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("kind", ["cut", "hang"])
def test_a_person_is_asked_and_nothing_is_sent_again_when_the_outcome_is_unknown(
    rig: MailRig, kind: Any, taken: bool
) -> None:
    rig.mailbox.inject(MailFault("content", kind, taken=taken))
    rig.enrol()
    rig.finish()
    mail_id = rig.mail["id"]
    assert rig.state(mail_id) == ("review", "outcome_unknown")
    assert len(rig.mailbox.received) == taken
    refused = rig.runtime.operations.replay(mail_id, actor="operator:test")
    assert (refused.result, "--again" in refused.message) == ("refused", True)
    with pytest.raises(IllegalTransitionError, match=r"cannot be cancelled\. Ask the learner and use"):
        rig.runtime.operations.cancel(mail_id, actor="operator:test")
    rig.finish()
    assert rig.state(mail_id) == ("review", "outcome_unknown")
    assert len(rig.mailbox.received) == taken
    assert None not in rig.stored_passwords
    if taken:
        rig.runtime.operations.resolve(mail_id, actor="operator:test", note="she has it")
    else:
        rig.runtime.operations.replay(mail_id, actor="operator:test", again=True, reason="she has none")
        rig.finish()
    assert rig.mail["state"] == "succeeded"
    (mail,) = rig.mailbox.received
    assert LEARNERS_PASSWORD in mail.text
    assert rig.stored_passwords == [None]


@ON_SQLITE
def test_password_is_erased_when_its_mail_is_cancelled(rig: MailRig) -> None:
    rig.mailbox.inject(MailFault("rcpt", times=None))
    rig.enrol()
    rig.go_on()
    rig.runtime.operations.cancel(rig.mail["id"], actor="operator:test")
    assert rig.stored_passwords == [None]
    rig.mailbox.clear()
    rig.finish()
    assert rig.mailbox.received == []


@ON_SQLITE
def test_mail_says_how_to_ask_for_a_password_when_it_was_not_mailed_in_time(rig: MailRig) -> None:
    rig.mailbox.inject(MailFault("rcpt", times=1))
    rig.enrol()
    rig.go_on()
    erase = rig.runtime.app.tasks["cartbridge.erase_passwords"].run
    erase()
    assert None not in rig.stored_passwords
    rig.clock.move(timedelta(days=7, seconds=1).total_seconds())
    erase()
    erase()
    assert rig.stored_passwords == [None]
    assert rig.kinds_of_events(rig.mail["id"]) == ["run_waiting", ERASED]
    rig.finish()
    assert_mailed_once(rig, with_password=False)
    assert erase_unmailed(rig.ledger, keep_days=7, now=rig.clock()) == 0


@ON_SQLITE
def test_mail_waits_for_the_operator_when_the_key_or_the_template_is_wrong(make: Make, tmp_path: Path) -> None:
    rig = make()
    rig.mailbox.inject(MailFault("rcpt", times=1))
    rig.enrol()
    rig.go_on()
    wrong = make(clock=rig.clock, CARTBRIDGE_PASSWORDS__KEY=OTHER_KEY)
    wrong.clock.move(3600)
    wrong.go_on()
    assert "Put the key that sealed it into CARTBRIDGE_PASSWORDS__KEY" in wrong.mail["note"]
    keyless = make(clock=rig.clock, CARTBRIDGE_PASSWORDS__KEY="", CARTBRIDGE_PASSWORDS__MODE="drop")
    keyless.clock.move(3600)
    keyless.go_on()
    assert "CARTBRIDGE_PASSWORDS__KEY is not set" in keyless.mail["note"]
    (tmp_path / "welcome.txt").write_text("Subject: x\n\n{{ passwort }}")
    rotated = make(
        clock=rig.clock,
        CARTBRIDGE_PASSWORDS__KEY=f"{OTHER_KEY},{KEY}",
        CARTBRIDGE_MAIL__TEMPLATES_DIRECTORY=str(tmp_path),
    )
    rotated.clock.move(3600)
    rotated.go_on()
    assert "welcome.txt line 3: there is no passwort" in rotated.mail["note"]
    assert rotated.state(rotated.mail["id"]) == ("failed", "attempts_spent")
    rotated.runtime.operations.replay(rotated.mail["id"], actor="operator:test")
    (tmp_path / "welcome.txt").unlink()
    rotated.finish()
    assert_mailed_once(rotated)


@ON_SQLITE
def test_nobody_is_enrolled_and_nothing_is_mailed_when_the_learners_address_is_none(rig: MailRig) -> None:
    rig.sell(7001, email="jane@[127.0.0.1]")
    assert rig.ingest(7001) == []
    rig.finish()
    assert [(row["state"], row["reason"]) for row in rig.rows("runs")] == [("review", "invalid_email")]


# The password that was told once, and lost


@ON_SQLITE
@pytest.mark.parametrize("kind", ["cut", "hang", "html", "half_answer"])
def test_mail_says_how_to_ask_for_a_password_when_the_answer_with_it_was_lost(rig: MailRig, kind: Any) -> None:
    rig.sandbox.inject(Fault("learningcart", "addCustomer", kind=kind))
    run_id = rig.enrol()
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert_mailed_once(rig, with_password=False)
    assert rig.stored_passwords == []


@ON_SQLITE
def test_learner_is_told_once_how_to_ask_for_a_password_when_answers_are_lost_again_and_again(rig: MailRig) -> None:
    rig.sandbox.inject(Fault("learningcart", "addCustomer", kind="cut"))
    run_id = rig.enrol(7001)
    rig.finish()
    rig.sandbox.inject(Fault("learningcart", "addCustomer", kind="cut"))
    rig.enrol(7002)
    rig.finish()
    rig.runtime.operations.replay(run_id, actor="operator:test", again=True, reason="anew")
    rig.finish()
    assert_mailed_once(rig, with_password=False)


@ON_SQLITE
@pytest.mark.parametrize(
    "faults",
    [
        (Fault("learningcart", "addCustomer", kind="status", status=429),),
        (Fault("learningcart", "requestToken", kind="cut"),),
        (Fault("learningcart", "addCustomerToGroup", kind="cut"),),
    ],
)
def test_a_customer_of_old_is_not_mailed_when_nothing_can_have_been_lost(
    rig: MailRig, faults: tuple[Fault, ...]
) -> None:
    rig.enrol(7001)
    rig.finish()
    rig.mailbox.clear()
    rig.sandbox.learningcart.revoke_tokens()
    rig.sandbox.inject(*faults)
    run_id = rig.enrol(7002)
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert rig.mailbox.received == []


@ON_SQLITE
def test_password_is_mailed_when_the_enrolments_lease_was_lost_as_it_was_told(make: Make) -> None:
    slow = make()
    fast = make(clock=slow.clock)
    run_id = slow.enrol()

    def take_over() -> None:
        let_lease_end(slow)
        fast.sweep_quietly()

    slow.after_call("add_customer", take_over)
    slow.work(run_id)
    fast.finish()
    assert fast.state(run_id) == ("succeeded", None)
    assert_mailed_once(fast)


@ON_SQLITE
def test_the_months_report_waits_too_when_mail_is_paused(make: Make) -> None:
    """Refused credentials were tried again with each look."""
    rig = make(CARTBRIDGE_REPORT__MAIL_TO="boss@example.test")
    report = rig.runtime.app.tasks["cartbridge.mail_report"].run
    report()  # the first month that is seen is begun
    rig.clock.move(timedelta(days=32).total_seconds())
    rig.runtime.operations.pause("mail", actor="operator:test")
    report()
    assert rig.mailbox.received == []
    rig.runtime.operations.resume("mail", actor="operator:test")
    report()
    report()
    assert [mail.recipient for mail in rig.mailbox.received] == ["boss@example.test"]
