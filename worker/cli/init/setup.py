"""From an empty folder to settings that work, and a command that works from any folder."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import typer

from worker.cli.confirm import is_terminal
from worker.cli.errors import FAILED, MISUSED, complain
from worker.cli.init.installation import is_ours, program, shipped_file, unit_text, wrapper_text
from worker.cli.init.prompts import ask_text, ask_yes, say
from worker.cli.init.questions import Answers
from worker.cli.init.sold_products import offers_text, read_sold
from worker.cli.output import cell, console, note, progress
from worker.cli.terminal import fitted
from worker.formatting import counted
from worker.settings.env_file import private_mode, with_values, write_whole
from worker.settings.settings import Settings, load_settings, variables
from worker.settings.systems import SourceSettings, ThreedcartSettings
from workflows.planning.offers_file import load_offers

_HEAD: Final = "# Cartbridge's settings, as `cartbridge init` was told. Every variable: .env.example\n"
_TOKEN_BYTES: Final = 24
_NAMES: Final = {
    "learningcart": "LearningCart, where access is given",
    "studiocart": "Studiocart, where orders come from",
    "frontcore": "Frontcore, where orders come from",
    "threedcart": "3dcart (Shift4Shop), for follow-on carts",
}
ANYWHERE: Final = "https://your-host"
_WEBHOOK_STEPS: Final = {
    "studiocart": "Studiocart: add a webhook with the method POST, no custom headers and {body}, to",
    "threedcart": "3dcart: add a webhook for new orders, in JSON, to",
    "frontcore": "Frontcore sends no webhooks, it is polled. Something else of yours may POST the order's id to",
}
"""How each vendor is told where its webhooks go."""
_EXAMPLES: Final = (".env.example", "offers.example.toml")


def set_up(env_file: Path, *, asks: bool, yes: bool, wrapper: Path | None, unit: Path | None) -> None:
    """Ask, unless the environment is to answer alone, and write the files. Exits where it cannot go on.

    Nothing is written before all is answered, and each file in one moment.
    """
    if asks and not is_terminal():
        complain("There is no terminal to ask on. For a script: --non-interactive, with the answers as CARTBRIDGE_… .")
        raise typer.Exit(MISUSED)
    env_file = env_file.resolve()
    answers = Answers(env_file)
    if asks:
        note("Each system is tried as you give its keys. Enter takes what stands in [ ]; Ctrl-C leaves all as it is.")
        _ask_systems(answers)
        _ask_rest(answers)
    else:
        _must_work(answers)
    _keep_together(answers, env_file.parent)
    _write_env(answers, env_file, asks=asks, yes=yes)
    settings = load_settings(env_file=env_file)
    _write_offers(settings, asks=asks, yes=yes)
    _write_examples(env_file.parent)
    _tell_webhooks(settings, asks=asks)
    _install("wrapper", wrapper, lambda: wrapper_text(env_file), asks=asks, yes=yes)
    _install("unit", unit, lambda: unit_text(env_file), asks=asks, yes=yes)
    note("Next: the rules in offers.toml, then `cartbridge check`, then `cartbridge up`.")


def _must_work(answers: Answers) -> None:
    """Try every system that is set; exit, with nothing written, where one fails or none is set."""
    settings = answers.settings()
    if not settings.learningcart.is_configured or not settings.sources():
        missing = [*settings.learningcart.missing(), *(() if settings.sources() else ("a source's variables",))]
        *others, last = missing
        wanted = f"{', '.join(others)} and {last}" if others else last
        complain(f"Nothing was written. Set {wanted} in the environment. See .env.example.")
        raise typer.Exit(MISUSED)
    failed = [name for name in _NAMES if (found := answers.probe(name)) is not None and found.failed]
    if failed:
        complain(f"Nothing was written: {' and '.join(failed)} did not accept what is set.")
        raise typer.Exit(FAILED)


def _ask_systems(answers: Answers) -> None:
    for name, about in _NAMES.items():
        system = answers.settings().systems()[name]
        wanted = name == "learningcart" or system.is_begun
        if name != "learningcart":
            wanted = ask_yes(f"{about}: is it in use?", default=wanted)
        else:
            say(about)
        if not wanted:
            continue
        answers.ask_system(system)
        if isinstance(system, ThreedcartSettings):
            sells = ask_yes("  Do orders come from it, too?", default=system.orders_enabled)
            answers.give(system.variable("orders_enabled"), str(sells).lower())
            if sells:
                answers.probe(name)
        if isinstance(system, SourceSettings) and name != "frontcore" and not system.takes_webhooks:
            question = "  Shall it tell of its orders at once, by a webhook (else it is asked every few minutes)?"
            if ask_yes(question, default=True):
                answers.give(system.variable("webhook_url_token"), secrets.token_hex(_TOKEN_BYTES))


def _ask_rest(answers: Answers) -> None:
    say("And for you")
    answers.ask("CARTBRIDGE_TIME_ZONE", question="Your time zone", default=_zone_here())
    name = "CARTBRIDGE_WEB__ADMIN_PASSWORD"
    if answers.value(name) is None and ask_yes("  Open the operator's page in a browser?", default=True):
        answers.ask(name, question="A password for it", default=(made := secrets.token_urlsafe(12)))
        if answers.value(name) == made:
            say(f"  The page's password is {made}")


def _zone_here() -> str:
    """This machine's time zone by its name; UTC where it has none."""
    parts = Path("/etc/localtime").resolve().parts
    return os.environ.get("TZ") or ("/".join(parts[parts.index("zoneinfo") + 1 :]) if "zoneinfo" in parts else "UTC")


def _keep_together(answers: Answers, folder: Path) -> None:
    """Name the ledger and the offers by whole paths, so that a command finds them from any folder."""
    settings = answers.settings()
    if settings.on_sqlite:
        path = folder / settings.database_url.get_secret_value().removeprefix("sqlite:///")
        answers.give("CARTBRIDGE_DATABASE_URL", f"sqlite:///{path}")
    answers.give("CARTBRIDGE_OFFERS_FILE", str(folder / settings.offers_file))


def _write_env(answers: Answers, path: Path, *, asks: bool, yes: bool) -> None:
    before = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    comments = {name: variable.description for name, variable in variables().items()}
    text = with_values(before or _HEAD, answers.given, comments)
    if text == before:
        note(f"{path} stays as it is.")
        return
    if before:
        about = f"set {', '.join(sorted(answers.given))} in it? What else it holds stays."
        _may_change(path, about, asks=asks, yes=yes)
    write_whole(path, text, mode=private_mode(path))
    say(f"Written: {path}, which only its owner can read.")


def _may_change(path: Path, what: str, *, asks: bool, yes: bool) -> None:
    """Go on if a file that is there may be changed; else exit, with everything as it is."""
    if yes or (asks and ask_yes(f"{path} is there already: {what}")):
        return
    complain(f"{path} is there already and stays as it is." + ("" if asks else " To change it: --yes"))
    raise typer.Exit(FAILED if asks else MISUSED)


def _write_offers(settings: Settings, *, asks: bool, yes: bool) -> None:
    from tasks.runtime import Runtime
    from workflows.planning.offers import Offers

    path = settings.offers_file
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    offers = load_offers(path) if before else Offers()
    runtime = Runtime(settings)
    try:
        with progress("reading what was sold"):
            sold = [each for each in read_sold(runtime.sources.values(), offers) if each.rule not in before]
    finally:
        runtime.close()
    if before and not sold:
        note(f"{path} stays as it is: nothing was sold that it does not name.")
        return
    about = f"{counted(len(sold), 'product')} as rules that are not in force yet"
    if before:
        _may_change(path, f"add {about}?", asks=asks, yes=yes)
    write_whole(path, offers_text(before, sold), mode=0o644)
    say(f"Written: {path}, with {about}." if sold else f"Written: {path}. Nothing was sold yet.")


def _write_examples(folder: Path) -> None:
    for name in _EXAMPLES:
        if not (folder / name).exists():
            write_whole(folder / name, shipped_file(name).read_text(encoding="utf-8"), mode=0o644)


def _tell_webhooks(settings: Settings, *, asks: bool) -> None:
    if not settings.webhook_sources():
        return
    host = ANYWHERE
    if asks:
        host = ask_text("Where is this machine reached from outside (https://…)?", default=ANYWHERE).rstrip("/")
    for line in webhook_lines(settings, host, shows_secrets=asks):
        console().print(cell(fitted(line, sys.stdout)), soft_wrap=True)


def _install(what: str, path: Path | None, text: Callable[[], str], *, asks: bool, yes: bool) -> None:
    """Write the wrapper or the unit where the operator wants it, if at all."""
    is_wrapper = what == "wrapper"
    if path is None and asks:
        question = "Make a `cartbridge` that works from any folder?" if is_wrapper else "Write a systemd unit for it?"
        if ask_yes(question, default=False):
            path = Path(ask_text("  Where", default=str(_usual_place(is_wrapper=is_wrapper)))).expanduser()
    if path is None:
        return
    if path.absolute() == program():
        complain(f"{path} is Cartbridge itself. Choose another with --{what} FILE.")
        raise typer.Exit(FAILED)
    if path.exists() and not is_ours(path):
        _may_change(path, "replace it?", asks=asks, yes=yes)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text(), mode=0o755 if is_wrapper else 0o644)
    except OSError as error:
        complain(f"Cannot write {path}: {error.strerror}. All else is written; choose another with --{what} FILE.")
        raise typer.Exit(FAILED) from None
    say(f"Written: {path}")
    if not is_wrapper:
        note(f"Start it: systemctl daemon-reload && systemctl enable --now {path.stem}")


def _usual_place(*, is_wrapper: bool) -> Path:
    is_root = os.geteuid() == 0
    if is_wrapper:
        return Path("/usr/local/bin/cartbridge") if is_root else Path.home() / ".local/bin/cartbridge"
    return Path("/etc/systemd/system/cartbridge.service" if is_root else "cartbridge.service")


def webhook_lines(settings: Settings, host: str, *, shows_secrets: bool) -> Iterator[str]:
    """For each source that takes webhooks, what to enter there.

    An address whose last part is the secret holds it only with `shows_secrets`: whoever sets it up must paste it.
    """
    for name, source in settings.sources().items():
        address = f"{host}/webhooks/{name}"
        if source.webhook_url_token is not None:
            token = source.webhook_url_token.get_secret_value() if shows_secrets else "TOKEN"
            yield f"{_WEBHOOK_STEPS[name].format(body='the default body')}\n    {address}/{token}"
            if not shows_secrets:
                yield f"    where TOKEN is {source.variable('webhook_url_token')}."
        elif source.webhook_secret is not None:
            yield f"{_WEBHOOK_STEPS[name].format(body='a field map')}\n    {address}\n    {_proof(source)}"


def _proof(source: SourceSettings) -> str:
    name = source.variable("webhook_secret")
    if source.system == "studiocart":
        return f'The field map is id:id, trigger:trigger, studiocart_secret:"SECRET", where SECRET is {name}.'
    return f"with the header X-Webhook-Secret: SECRET, where SECRET is {name}."
