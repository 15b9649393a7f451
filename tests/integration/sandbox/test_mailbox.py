"""The sandbox's mail server, spoken to by smtplib itself."""

from __future__ import annotations

import smtplib

from worker.sandbox.mailbox import Mailbox


def test_mailbox_keeps_whole_mails_alone_when_clients_are_rude() -> None:
    with Mailbox.start() as mailbox:
        with smtplib.SMTP("127.0.0.1", mailbox.port, local_hostname="rude") as rude:
            assert rude.docmd("VRFY", "jane")[0] == 502
            rude.ehlo()
            rude.mail("rude@example.com")
            rude.rcpt("jane@example.com")
            assert rude.docmd("DATA")[0] == 354
            rude.send(b"Subject: half a mail\r\n")
            rude.close()
        with smtplib.SMTP("127.0.0.1", mailbox.port, local_hostname="polite") as polite:
            polite.sendmail("a@example.com", ["b@example.com", "c@example.com"], "Subject: whole\r\n\r\n.dot\r\n")
        assert [(each.sender, each.recipient, each.subject, each.text) for each in mailbox.received] == [
            ("a@example.com", "b@example.com", "whole", ".dot\r\n"),
            ("a@example.com", "c@example.com", "whole", ".dot\r\n"),
        ]
        mailbox.stop()
