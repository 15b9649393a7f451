"""A mail server on loopback: keeps every mail it takes, and goes wrong at whatever stage it is told to."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from socketserver import StreamRequestHandler
from typing import Literal, Self, cast

from worker.sandbox.loopback import LoopbackServer, Running

Stage = Literal["connect", "ehlo", "auth", "mail", "rcpt", "data", "content"]
"""`content` is the whole mail: its answer says whether it was taken."""


@dataclass(frozen=True)
class MailFault:
    """One thing that goes wrong.

    `reply` answers the stage with `code` and `text`; `cut` closes the connection instead of an answer; `hang` answers
    nothing for as long as the mailbox runs. `taken`: a whole mail is kept all the same, and only its answer suffers.
    """

    stage: Stage
    kind: Literal["reply", "cut", "hang"] = "reply"
    code: int = 451
    text: str = "4.7.1 try again later"
    times: int | None = 1
    """How often; None is for good."""
    taken: bool = False


@dataclass(frozen=True)
class Received:
    """One mail that was taken."""

    sender: str
    recipient: str
    message: EmailMessage

    @property
    def message_id(self) -> str:
        """Its Message-ID, by which a repetition is recognised."""
        return str(self.message["Message-ID"])

    @property
    def subject(self) -> str:
        """Its subject, decoded."""
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        """Its plain text."""
        part = self.message.get_body(("plain",))
        return "" if part is None else str(part.get_content())


class Mailbox(Running):
    """The server. `start` returns it running; use it as a context manager, or call `stop`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received: list[Received] = []
        self._faults: list[MailFault] = []
        self._hits: dict[int, int] = {}
        self.stopping = threading.Event()
        super().__init__(_Server(self), "mailbox")

    @classmethod
    def start(cls) -> Self:
        """Listen on a free port, from a thread of its own."""
        mailbox = cls()
        mailbox._thread.start()
        return mailbox

    @property
    def received(self) -> list[Received]:
        """Every mail that was taken, oldest first."""
        with self._lock:
            return list(self._received)

    def environment(self, **overrides: str) -> dict[str, str]:
        """Return the `CARTBRIDGE_MAIL__…` variables that send mail here. `overrides` are whole names, and win."""
        return {
            "CARTBRIDGE_MAIL__HOST": "127.0.0.1",
            "CARTBRIDGE_MAIL__PORT": str(self.port),
            "CARTBRIDGE_MAIL__SECURITY": "none",
            "CARTBRIDGE_MAIL__SENDER": "Academy <courses@academy.example.test>",
            "CARTBRIDGE_MAIL__REQUESTS_PER_SECOND": "0",
        } | overrides

    def inject(self, *faults: MailFault) -> None:
        """Put faults in force, after those that are."""
        with self._lock:
            self._faults += faults

    def clear(self) -> None:
        """Forget what was received, and put every fault out of force."""
        with self._lock:
            self._received.clear()
            self._faults.clear()
            self._hits.clear()

    def take_fault(self, stage: str) -> MailFault | None:
        """The fault that this stage of a mail suffers, if one is left."""
        with self._lock:
            for number, fault in enumerate(self._faults):
                hits = self._hits.get(number, 0)
                if fault.stage == stage and (fault.times is None or hits < fault.times):
                    self._hits[number] = hits + 1
                    return fault
        return None

    def keep(self, sender: str, recipients: list[str], content: bytes) -> None:
        """Keep a whole mail, once for each recipient."""
        message = message_from_bytes(content, policy=policy.default)
        with self._lock:
            self._received += [Received(sender, recipient, message) for recipient in recipients]


class _Server(LoopbackServer):
    allow_reuse_address = True

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        super().__init__(("127.0.0.1", 0), _Conversation)

    def end_waits(self) -> None:
        self.mailbox.stopping.set()


class _Conversation(StreamRequestHandler):
    """One client's connection, command by command (RFC 5321)."""

    def setup(self) -> None:
        super().setup()
        self.mailbox = cast("_Server", self.server).mailbox
        self.sender = ""
        self.recipients: list[str] = []
        self.is_over = False

    def handle(self) -> None:
        try:
            self._reply("connect", "220 mailbox.example.test sandbox")
            while not self.is_over:
                line = self.rfile.readline()
                if not line:
                    return
                verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
                self._obey(verb.upper(), rest)
        except OSError:
            return  # the client went away

    def _obey(self, verb: str, rest: str) -> None:
        match verb:
            case "EHLO":
                self._reply("ehlo", "250-mailbox.example.test\r\n250-AUTH PLAIN LOGIN\r\n250 SMTPUTF8")
            case "AUTH":
                self._reply("auth", "235 2.7.0 accepted")
            case "MAIL":
                self.sender, self.recipients = _path_in(rest), []
                self._reply("mail", "250 2.1.0 ok")
            case "RCPT":
                if self._reply("rcpt", "250 2.1.5 ok"):
                    self.recipients.append(_path_in(rest))
            case "DATA":
                self._data()
            case "NOOP":
                self._say("250 2.0.0 well")
            case "QUIT":
                self.is_over = True
                self._say("221 2.0.0 goodbye")
            case _:
                self._say("502 5.5.1 not known here")

    def _data(self) -> None:
        if not self._reply("data", "354 end with a dot"):
            return
        lines: list[bytes] = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                return
            lines.append(line[1:] if line.startswith(b".") else line)
        fault = self.mailbox.take_fault("content")
        if fault is None or fault.taken:
            self.mailbox.keep(self.sender, self.recipients, b"".join(lines))
        if fault is None:
            self._say("250 2.0.0 taken")
        else:
            self._suffer(fault)

    def _reply(self, stage: str, answer: str) -> bool:
        """Answer a stage; False when it goes wrong."""
        fault = self.mailbox.take_fault(stage)
        if fault is None:
            self._say(answer)
        else:
            self._suffer(fault)
        return fault is None

    def _suffer(self, fault: MailFault) -> None:
        if fault.kind == "reply":
            self._say(f"{fault.code} {fault.text}")
            return
        self.is_over = True
        if fault.kind == "hang":
            self.mailbox.stopping.wait()

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


def _path_in(rest: str) -> str:
    """The address in `FROM:<…>` or `TO:<…>`."""
    return rest.partition("<")[2].partition(">")[0]
