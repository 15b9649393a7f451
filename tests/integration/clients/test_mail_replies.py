"""`worker.clients.mail.client`: what a mail server may say in one reply."""

from __future__ import annotations

import socket

import pytest

from tests.integration.loopback import Server, serving
from worker.clients.mail.client import Mail, MailAddress, MailClient
from worker.errors import ApiConnectionError
from worker.settings.mail import MailSettings


@pytest.mark.parametrize("stage", ["greeting", "acceptance"])
def test_connection_is_cut_when_a_reply_has_no_end(stage: str) -> None:
    """Every line is well-formed, and says that another one follows: 600 MB in 4 s."""
    sent = 0

    def behave(server: Server, connection: socket.socket) -> None:
        nonlocal sent
        if stage == "acceptance":
            mail = b""
            for answer in ("220 hello", "250 hello", "250 ok", "250 ok", "354 go on"):
                connection.sendall(f"{answer}\r\n".encode())
                mail = connection.recv(65_536)
            while not mail.endswith(b"\r\n.\r\n"):
                mail += connection.recv(65_536)
        while not server.stopping.is_set():
            sent += connection.send((b"250-" + b"x" * 8000 + b"\r\n") * 100)

    with serving() as start:
        port = start(behave).port
        client = MailClient(
            MailSettings(host="127.0.0.1", port=port, security="none", sender="courses@academy.example")
        )
        with pytest.raises(ApiConnectionError) as caught:
            client.send(Mail(MailAddress("jane@example.com"), "Welcome", "Hello", "cb-1"))
    assert caught.value.outcome_unknown is (stage == "acceptance")
    assert sent < 64 * 1024 * 1024  # what fits in the buffers between
