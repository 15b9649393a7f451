"""What `cartbridge init` asks: each system's settings, tried as they are given; what is set is offered again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from worker.cli.check.probes import probe_system
from worker.cli.check.result import ProbeResult
from worker.cli.errors import FAILED, complain
from worker.cli.init.prompts import ask_text
from worker.cli.output import cell, console, note
from worker.cli.terminal import fitted
from worker.errors import ConfigurationError
from worker.observability.logs import known_secrets
from worker.settings.environment import VariablesSource
from worker.settings.settings import Settings, SystemSettings, load_settings, variables


class Answers:
    """The settings so far: those of the environment and of `.env`, and those given since. Writes nothing."""

    def __init__(self, env_file: Path) -> None:
        load_settings(env_file=env_file)  # says what is wrong with it, before anything is asked
        source = VariablesSource(Settings, os.environ, env_file, variables())
        self._known = dict(source.values)
        self._in_files = frozenset(source.files)
        self.given = {
            name: value
            for name, value in source.values.items()
            if source.places[name] == "environment" and name not in self._in_files
        }
        """What is to be written."""

    def settings(self) -> Settings:
        """The settings as they would be. Raises `ConfigurationError`."""
        settings = load_settings(self._known | self.given, env_file=None)
        for secret in settings.secret_values():
            known_secrets.add(secret)
        return settings

    def value(self, name: str) -> str | None:
        """What a variable is, by now; None where it is not set."""
        return self.given.get(name, self._known.get(name))

    def give(self, name: str, value: str) -> None:
        """Take a value, unless it is set so or is the default. Raises `ConfigurationError` where it cannot be used."""
        if value == (self.value(name) or variables()[name].default) or name in self._in_files:
            return
        try:
            load_settings(self._known | self.given | {name: value}, env_file=None)
        except ConfigurationError as error:
            said = [line.partition(": ")[2] for line in str(error).splitlines() if line.strip().startswith(name)]
            if said:  # else it is about another one, whose turn comes
                raise ConfigurationError(said[0]) from None
        self.given[name] = value

    def ask(self, name: str, *, question: str | None = None, default: str | None = None) -> None:
        """Ask for a variable until its value can be used. A secret is not shown. What is in a mounted file stays."""
        if name in self._in_files:
            return None
        variable, now = variables()[name], self.value(name) or default
        about = question or variable.description.rstrip(".")
        while True:
            if variable.is_secret:
                enter = "keeps what is set" if self.value(name) else "takes a new one" if default else ""
                keeps = f"not shown; Enter {enter}" if enter else "not shown"
                given = ask_text(f"  {about} ({keeps})", default=now, hides=True)
            else:
                given = ask_text(f"  {about}", default=now)
            try:
                return self.give(name, given if variable.is_secret else given.strip())
            except ConfigurationError as error:
                complain(f"  It {error}")

    def ask_system(self, system: SystemSettings) -> None:
        """Ask for one system's settings and try them, until they work, or the operator keeps or drops them."""
        names = [system.variable(attribute) for attribute in system.required]
        while True:
            for name in names:
                default = variables()[name].default or None
                self.ask(name, default=default)
            found = self.probe(system.system)
            if found is None or not found.failed:
                return
            choice = ask_text("  Try [a]gain, [k]eep them as they are, or go on [w]ithout it", default="a")
            if choice.startswith("w"):
                self.given = {name: value for name, value in self.given.items() if name not in names}
                return
            if choice.startswith("k"):
                return

    def probe(self, name: str) -> ProbeResult | None:
        """Ask a system for real and tell what it said; None where it is not configured."""
        try:
            found = probe_system(name, self.settings().systems()[name])
        except ConfigurationError as error:
            complain(str(error))
            raise typer.Exit(FAILED) from None
        if not found.configured:
            return None
        mark, style = ("✗", "bold red") if found.failed else ("✓", "green")
        console().print(cell(fitted(f"  {mark} {name}: {found.detail}", sys.stdout), style))
        if found.next_step:
            note(f"    {found.next_step}")
        return found
