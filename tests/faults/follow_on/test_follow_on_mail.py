"""The learner is told of the cart by mail: once, or a person is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness.follow_on_product import EMAIL, FollowOnRig
from tests.faults.harness.product import ON_SQLITE
from worker.sandbox import Sandbox
from worker.sandbox.mailbox import Mailbox, MailFault

pytestmark = [pytest.mark.faults, ON_SQLITE]


@pytest.fixture
def rig(sandbox: Sandbox, ledger_url: str, tmp_path: Path, mailbox: Mailbox) -> Iterator[FollowOnRig]:
    variables: dict[str, Any] = dict(mailbox.environment())
    rig = FollowOnRig(sandbox, ledger_url, tmp_path, **variables)
    yield rig
    rig.close()


def test_learner_is_mailed_the_checkout_when_the_cart_is_ready(rig: FollowOnRig, mailbox: Mailbox) -> None:
    run_id = rig.hear()
    rig.finish()
    assert rig.run(run_id)["state"] == "succeeded"
    assert len(rig.filled_carts()) == 1
    (mail,) = mailbox.received
    assert mail.recipient == EMAIL
    (cart,) = rig.carts
    assert cart["checkout_url"] in mail.text
    assert rig.run(run_id)["result_id"] == mail.message_id
    assert rig.cart_events == []


def test_mail_is_sent_later_when_the_server_refuses_it_for_now(rig: FollowOnRig, mailbox: Mailbox) -> None:
    mailbox.inject(MailFault("rcpt", times=2))
    run_id = rig.hear()
    rig.finish()
    assert rig.run(run_id)["state"] == "succeeded"
    assert len(mailbox.received) == 1


@pytest.mark.parametrize("taken", [True, False])
def test_person_is_asked_when_nobody_knows_whether_the_mail_was_taken(
    rig: FollowOnRig, mailbox: Mailbox, *, taken: bool
) -> None:
    mailbox.inject(MailFault("content", "cut", taken=taken))
    run_id = rig.hear()
    rig.finish()
    assert rig.state(run_id) == ("review", "outcome_unknown")
    assert len(mailbox.received) == int(taken)
    assert len(rig.filled_carts()) == 1
