"""`cartbridge init`: in a terminal, from an empty folder to an order that is provisioned; and what it leaves alone."""

from __future__ import annotations

import os
import pty
import re
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.faults.harness.waiting import wait_until
from tests.integration.product import ENOUGH_SECONDS
from tests.integration.servers import free_port
from worker.sandbox import Sandbox
from worker.settings.settings import load_settings

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[3]
RUN = [sys.executable, "-c", "from worker.cli.app import main; main()"]


class Terminal:
    """A terminal in a folder, in which somebody reads and answers."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        self.shown = ""
        self.pid, self._screen = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            environment = {k: v for k, v in os.environ.items() if not k.startswith("CARTBRIDGE_")}
            os.execve(RUN[0], [*RUN, *arguments], environment | {"PYTHONPATH": str(REPOSITORY)} | variables)  # noqa: S606

    def read_until(self, pattern: str) -> str:
        """What is shown, from the answer before, to a question."""
        ends_at = time.monotonic() + ENOUGH_SECONDS
        while not re.search(pattern, self.shown):
            assert time.monotonic() < ends_at, f"no {pattern!r} in {self.shown!r}"
            if select.select([self._screen], [], [], 0.5)[0]:
                try:
                    self.shown += os.read(self._screen, 65_536).decode(errors="replace").replace("\r", "")
                except OSError:  # it has ended
                    assert re.search(pattern, self.shown), f"ended without {pattern!r}: {self.shown}"
        return self.shown

    def answer(self, question: str, text: str = "") -> None:
        words = question.replace(" ", r"\s+")  # the line may end between any two
        # The whole question: a secret is hidden from its last character on.
        self.read_until(rf"{words}[\s\S]*: $")
        self.shown = ""
        os.write(self._screen, f"{text}\n".encode())

    def end(self) -> int:
        """Read to the end; the exit code."""
        with suppress(OSError):
            while chunk := os.read(self._screen, 65_536):
                self.shown += chunk.decode(errors="replace").replace("\r", "")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.end()


def cartbridge(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARTBRIDGE_")}
    return subprocess.run(
        [*RUN, *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(REPOSITORY)} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ENOUGH_SECONDS,
        check=False,
    )


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as sandbox:
        yield sandbox


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "an academy's"
    folder.mkdir()
    return folder


def answer_learningcart(terminal: Terminal, settings: dict[str, str]) -> None:
    terminal.answer("Address of CDNService.svc", settings["CARTBRIDGE_LEARNINGCART__BASE_URL"])
    terminal.answer("The site's domain", settings["CARTBRIDGE_LEARNINGCART__SITE_HOSTNAME"])
    terminal.answer("Email address of the admin account", settings["CARTBRIDGE_LEARNINGCART__USERNAME"])
    terminal.answer("Password of that account", settings["CARTBRIDGE_LEARNINGCART__PASSWORD"])


def answer_studiocart(terminal: Terminal, settings: dict[str, str], *, key: str | None = None) -> None:
    terminal.answer("Address of the site's API", settings["CARTBRIDGE_STUDIOCART__BASE_URL"])
    terminal.answer("Studiocart API key", key or settings["CARTBRIDGE_STUDIOCART__API_KEY"])


def processor_seconds_of_children() -> float:
    """Of all that this process has started and waited for, also for other tests."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_first_order_is_provisioned_within_a_minute_when_an_empty_folder_is_set_up(
    sandbox: Sandbox, folder: Path, tmp_path: Path
) -> None:
    before_seconds = processor_seconds_of_children()
    settings = sandbox.environment()
    terminal = Terminal(folder, "init")
    answer_learningcart(terminal, settings)
    assert settings["CARTBRIDGE_LEARNINGCART__PASSWORD"] not in terminal.read_until("✓ learningcart: token until")
    terminal.answer("Studiocart, where orders come from: is it in use", "y")
    answer_studiocart(terminal, settings, key="wrong-key")
    assert "wrong-key" not in terminal.read_until("Correct CARTBRIDGE_STUDIOCART__API_KEY")
    terminal.answer(r"Try \[a\]gain", "a")
    terminal.answer("Address of the site's API")
    terminal.answer("Enter keeps what is set", settings["CARTBRIDGE_STUDIOCART__API_KEY"])
    terminal.read_until("✓ studiocart: listed order 1109")
    terminal.answer("by a webhook", "y")
    terminal.answer("Frontcore, where orders come from: is it in use", "n")
    terminal.answer("3dcart .*: is it in use", "n")
    terminal.answer("Your time zone", "Europe/Nowhere")
    terminal.answer("Your time zone", "Europe/Oslo")
    terminal.answer("operator's page", "y")
    terminal.answer("Enter takes a new one")
    terminal.read_until("The page's password is")
    terminal.answer("reached from outside", "https://academy.example/")
    terminal.read_until("works from any folder")
    pasted = re.search(r"https://academy.example(/webhooks/studiocart/[0-9a-f]{48})\n", terminal.shown)
    assert pasted is not None
    terminal.answer("works from any folder", "y")
    wrapper, unit = tmp_path / "bin" / "cartbridge", tmp_path / "cartbridge.service"
    terminal.answer("Where", str(wrapper))
    terminal.answer("systemd unit", "y")
    terminal.answer("Where", str(unit))
    assert terminal.end() == 0, terminal.shown

    env = folder / ".env"
    assert env.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == [
        ".env", ".env.example", "offers.example.toml", "offers.toml",
    ]  # fmt: skip
    assert "CARTBRIDGE_TIME_ZONE=Europe/Oslo\n" in env.read_text()
    offers = (folder / "offers.toml").read_text()
    assert '# [[offer]]\n# source = "studiocart"\n# product_id = "1107"  # SC Product 1\n' in offers
    ready = re.sub("^# ", "", offers[offers.index("# [[offer]]") :], flags=re.MULTILINE)
    ready = ready.replace("price_id = 0, group_ids = []", "price_id = 501, group_ids = [12]")
    (folder / "offers.toml").write_text(ready)

    # From another folder, by the wrapper; the order is told by the address that was to be pasted.
    port = free_port()
    variables = os.environ | {"CARTBRIDGE_WEB__PORT": str(port)}
    with (tmp_path / "up.log").open("wb") as log:
        up = subprocess.Popen([wrapper, "up"], cwd=tmp_path, env=variables, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: "is listening" in (tmp_path / "up.log").read_text(), seconds=ENOUGH_SECONDS)
        person = {"customer_firstname": "Jane", "customer_lastname": "Doe", "customer_email": "jane@academy.example"}
        order = sandbox.studiocart.add_order(person | {"product_id": "1107", "status": "paid"})
        reported = requests.post(
            f"http://127.0.0.1:{port}{pasted[1]}", json={"id": order["id"]}, timeout=ENOUGH_SECONDS
        )
        assert reported.status_code == 202
        wait_until(lambda: bool(sandbox.learningcart.orders), seconds=ENOUGH_SECONDS, what="the order")
        why = [str(wrapper), "why", "jane@academy.example"]
        wait_until(
            lambda: b"has access" in subprocess.run(why, cwd=tmp_path, capture_output=True, check=False).stdout,
            seconds=ENOUGH_SECONDS,
        )
    finally:
        up.terminate()
        up.wait(ENOUGH_SECONDS)
    assert processor_seconds_of_children() - before_seconds < 60, (
        "seconds of processor time: nothing in it waits for longer"
    )
    assert (folder / "cartbridge.db").exists()
    assert f'"{folder}"' in unit.read_text()
    assert "NoNewPrivileges=yes" in unit.read_text()
    for command in (["check"], ["status"], ["why", "jane"]):
        found = cartbridge(tmp_path, *command, PATH=f"{wrapper.parent}:{os.environ['PATH']}", HOME=str(tmp_path))
        assert (found.returncode, f"the wrapper {wrapper} says so" in found.stderr) == (
            1 if command == ["check"] else 2,
            True,
        )
        assert str(env) in found.stderr
        assert "cartbridge migrate" not in found.stderr.partition(str(env))[0]


def test_every_kind_of_file_stays_as_it_was_when_init_is_killed_or_refused(sandbox: Sandbox, folder: Path) -> None:
    env, settings = folder / ".env", sandbox.environment()
    own = "# mine\nexport CARTBRIDGE_LOG_FORMAT=json\nCARTBRIDGE_LEARNINGCART__PASSWORD='old pass'\nOTHER=1"
    env.write_text(own)
    killed = Terminal(folder, "init")
    answer_learningcart(killed, settings)
    killed.read_until("is it in use")
    killed.kill()
    refused = cartbridge(folder, "init", "--non-interactive", **settings)
    assert (refused.returncode, "is there already and stays as it is" in refused.stderr) == (2, True)
    nobody_to_ask = cartbridge(folder, "init")
    assert (nobody_to_ask.returncode, "--non-interactive" in nobody_to_ask.stderr) == (2, True)
    assert (env.read_text(), [path.name for path in folder.iterdir()]) == (own, [".env"])


def test_what_is_set_stays_when_a_script_sets_up_twice(sandbox: Sandbox, folder: Path) -> None:
    env, settings = folder / ".env", sandbox.environment(systems=["learningcart", "frontcore"])
    env.write_text("# mine\nexport CARTBRIDGE_LOG_FORMAT=json\nCARTBRIDGE_LEARNINGCART__PASSWORD='old pass'\nOTHER=1")
    awkward = "it's a $PATH #\\\" pass"
    done = cartbridge(folder, "init", "--non-interactive", "--yes", **settings, CARTBRIDGE_WEB__API_TOKEN=awkward)
    assert done.returncode == 0, done.stderr
    text = env.read_text()
    assert text.startswith("# mine\nexport CARTBRIDGE_LOG_FORMAT=json\nCARTBRIDGE_LEARNINGCART__PASSWORD=")
    assert "OTHER=1\n" in text
    read = load_settings({}, env)
    assert read.web.api_token is not None
    assert read.web.api_token.get_secret_value() == awkward
    assert read.learningcart.is_configured
    assert env.stat().st_mode & 0o777 == 0o600
    assert awkward not in done.stdout + done.stderr
    offers = folder / "offers.toml"
    assert '# source = "frontcore"' in offers.read_text()
    before = text, offers.read_text()
    again = cartbridge(folder, "init", "--non-interactive")
    assert again.returncode == 0, again.stderr
    assert (env.read_text(), offers.read_text()) == before


def test_nothing_is_written_when_a_key_is_refused_or_nothing_is_set(sandbox: Sandbox, folder: Path) -> None:
    wrong = sandbox.environment(systems=["learningcart", "studiocart"], CARTBRIDGE_STUDIOCART__API_KEY="wrong")
    refused = cartbridge(folder, "init", "--non-interactive", **wrong)
    assert (refused.returncode, "studiocart did not accept" in refused.stderr) == (1, True)
    nothing = cartbridge(folder, "init", "--non-interactive")
    assert (nothing.returncode, "CARTBRIDGE_LEARNINGCART__PASSWORD" in nothing.stderr) == (2, True)
    assert list(folder.iterdir()) == []
