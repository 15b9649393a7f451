"""A product that mails new customers' passwords, in one process, against a sandbox and a mailbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from tests.faults.harness.impatience import LONG_SECONDS, give_up_and
from tests.faults.harness.product import HandClock, Rig, Row
from worker.ledger.tables.learners import sealed_passwords
from worker.sandbox import Sandbox
from worker.sandbox.mailbox import Mailbox
from workflows.registry import WORKFLOWS

KEY = "cGFzc3dvcmRzLWtleS1vZi0zMi1ieXRlcy1leGFjdGw="
LEARNERS_PASSWORD = "sandbox-password-learner-"


class MailRig(Rig):
    """Works the runs of every workflow, and mails."""

    def __init__(
        self,
        sandbox: Sandbox,
        ledger_url: str,
        folder: Path,
        mailbox: Mailbox,
        *,
        clock: HandClock | None = None,
        **overrides: Any,
    ) -> None:
        self.mailbox = mailbox
        mailbox.stopping.wait = give_up_and(mailbox.stopping.wait)  # type: ignore[method-assign]
        variables = mailbox.environment(
            CARTBRIDGE_MAIL__READ_TIMEOUT_SECONDS=str(LONG_SECONDS),
            CARTBRIDGE_PASSWORDS__MODE="mail",
            CARTBRIDGE_PASSWORDS__KEY=KEY,
        )
        settings: dict[str, Any] = variables | overrides
        super().__init__(sandbox, ledger_url, folder, clock=clock, **settings)

    def work(self, run_id: str) -> None:
        """What a worker does with the message about a run, in the queue of its workflow's first step."""
        workflow = WORKFLOWS[self.run(run_id)["workflow"]]
        self.runtime.app.tasks[f"cartbridge.{workflow.name}.{workflow.definitions[0].kind}"].run(run_id)

    @property
    def mails(self) -> list[Row]:
        """The runs that mail."""
        return [row for row in self.rows("runs") if row["workflow"] == "welcome_mail"]

    @property
    def mail(self) -> Row:
        """The one run that mails."""
        (row,) = self.mails
        return row

    @property
    def stored_passwords(self) -> list[str | None]:
        """What is kept of each password that ever was: None once it is erased."""
        with self.ledger.read() as connection:
            return list(connection.scalars(select(sealed_passwords.c.ciphertext)))

    def around(self, system: str, method: str, act: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Put `act(call)` in the place of a client's method."""
        client = self.runtime.clients[system]
        client = client.client if system == "mail" else client
        setattr(client, method, act(getattr(client, method)))

    def number_boundaries(self, reach: Callable[[str], None]) -> None:
        """Have every commit, and every call that matters here, pass by `reach`: before it, and after it."""
        learningcart, mail = self.runtime.clients["learningcart"], self.runtime.clients["mail"].client
        calls = {
            (learningcart, "add_customer"): "addCustomer",
            (mail, "ready"): "getting ready to mail",
            (mail, "send"): "the mail",
        }
        self.watch_boundaries(reach, calls)


Make = Callable[..., MailRig]


@contextmanager
def making_rigs(sandbox: Sandbox, ledger_url: str, folder: Path, mailbox: Mailbox) -> Iterator[Make]:
    """Gives what makes processes on one ledger: its keywords are settings, and a `clock` to share."""
    with ExitStack() as stack:

        def made(**options: Any) -> MailRig:
            rig = MailRig(sandbox, ledger_url, folder, mailbox, **options)
            stack.callback(rig.close)
            return rig

        yield made


def assert_mailed_once(rig: MailRig, *, with_password: bool = True) -> None:
    """The one mail there is was taken once, says what it should, and nothing is kept."""
    (mail,) = rig.mailbox.received
    assert (LEARNERS_PASSWORD in mail.text) is with_password
    assert ("Forgot password" in mail.text) is not with_password
    assert rig.mail["state"] == "succeeded"
    assert rig.mail["result_id"] == mail.message_id
    assert set(rig.stored_passwords) <= {None}
