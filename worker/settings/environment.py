"""The source of settings: `CARTBRIDGE_…` in the environment, in `.env`, and in the files that `…_FILE` names.

No problem's text holds a value, only names and paths.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dotenv.parser import parse_stream
from pydantic_settings import BaseSettings, EnvSettingsSource

PREFIX = "CARTBRIDGE_"
FILE_SUFFIX = "_FILE"
_NOT_SHOWN = "the file it names"
NOT_SETTINGS = frozenset({"CARTBRIDGE_REQUIRE_SERVERS"})
"""Names with our prefix that are no settings: the tests' switch that makes a skip for want of a server a failure."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with one variable, as a sentence that never holds its value."""

    name: str
    sentence: str
    place: str = ""
    """`environment` or `.env line 3`; empty where the variable is not set at all."""

    def __str__(self) -> str:
        place = f" ({self.place})" if self.place else ""
        return f"{self.name}{place}: {self.sentence}"


class _Entry(NamedTuple):
    name: str
    value: str
    place: str


class VariablesSource(EnvSettingsSource):
    """The variables of `environ`, and of `env_file` those that `environ` does not set; `known` are the settings' names.

    Reads when it is made, and raises nothing: every problem is collected in `problems`, so that an operator mends all
    of them in one go. An empty text counts as not set. A variable and its `…_FILE` in the same place exclude each
    other; either form in the environment outranks either form in `.env`. A missing `env_file` is no problem, an
    unreadable one is.
    """

    def __init__(
        self,
        settings: type[BaseSettings],
        environ: Mapping[str, str],
        env_file: str | Path | None,
        known: Collection[str],
    ) -> None:
        super().__init__(settings)
        self._known = known
        self.values: dict[str, str] = {}
        """By the variable's own name, a `…_FILE` already replaced by what its file holds."""
        self.places: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.files: dict[str, Path] = {}
        """The file behind each variable that was given as `…_FILE` and could be read."""
        self._take([_Entry(name, value, "environment") for name, value in environ.items()])
        self._take(self._env_file_entries(env_file))
        self.env_vars = {name.lower(): value for name, value in self.values.items()}

    def _take(self, entries: list[_Entry]) -> None:
        """Add the variables of one place, leaving those alone that an earlier place has set."""
        found: dict[str, dict[str, _Entry]] = {}
        for entry in entries:
            # Upper-cased: `cartbridge_lease_seconds` would otherwise be ignored in silence.
            if not entry.name.upper().startswith(PREFIX) or entry.name in NOT_SETTINGS:
                continue
            setting = self._setting_of(entry.name)
            if setting is None:
                self.problems.append(Problem(entry.name, self._unknown(entry.name), entry.place))
            elif entry.value and setting not in self.places:
                found.setdefault(setting, {})[entry.name] = entry
        for setting, forms in found.items():
            by_file = forms.get(f"{setting}{FILE_SUFFIX}")
            plain = forms.get(setting)
            if plain is not None:
                self.places[setting], self.values[setting] = plain.place, plain.value
            if by_file is not None and plain is not None:
                sentence = f"is set, and so is {by_file.name}. Keep one of them."
                self.problems.append(Problem(setting, sentence, by_file.place))
            elif by_file is not None:
                self.places[setting] = by_file.place
                self._take_file(by_file, setting)

    def _take_file(self, entry: _Entry, setting: str) -> None:
        """Add what the file of a `…_FILE` variable holds, less one line end: editors and `echo` add one."""
        path = Path(entry.value)
        named = _shown_path(entry.value)
        try:
            text = path.read_bytes().decode("utf-8")
        except OSError as error:
            sentence = f"cannot read {named}: {error.strerror or type(error).__name__}."
            if named == _NOT_SHOWN:
                sentence += f" It takes a path; the value itself goes into {setting}."
            self.problems.append(Problem(entry.name, sentence, entry.place))
        except ValueError:  # not UTF-8, or a path no file can have
            self.problems.append(Problem(entry.name, f"{named} is not a file of UTF-8 text.", entry.place))
        else:
            self.files[setting] = path
            text = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
            if text:
                self.values[setting] = text

    def _env_file_entries(self, env_file: str | Path | None) -> list[_Entry]:
        """The lines of `.env`, the last one counting where a name comes twice.

        Parsed without python-dotenv's `${…}` expansion: a password may hold a dollar sign.
        """
        if env_file is None:
            return []
        path = Path(env_file)
        try:
            with path.open(encoding="utf-8-sig") as stream:
                bindings = list(parse_stream(stream))
        except FileNotFoundError:
            return []
        except OSError as error:
            self.problems.append(Problem(str(path), f"cannot be read: {error.strerror or type(error).__name__}."))
            return []
        except UnicodeDecodeError:
            self.problems.append(Problem(str(path), "is not UTF-8 text."))
            return []
        entries: list[_Entry] = []
        for binding in bindings:
            place = f"{path.name} line {binding.original.line + _leading_line_ends(binding.original.string)}"
            if binding.error:
                self.problems.append(Problem(place, "is not of the form NAME=value. Quote a value that holds a quote."))
            elif binding.key is not None:
                entries.append(_Entry(binding.key, binding.value or "", place))
        return entries

    def _setting_of(self, name: str) -> str | None:
        """The setting that `name` sets, itself or through a file; None when there is none.

        The name itself comes first: `CARTBRIDGE_OFFERS_FILE` is a setting of its own.
        """
        if name in self._known:
            return name
        setting = name.removesuffix(FILE_SUFFIX)
        return setting if setting != name and setting in self._known else None

    def _unknown(self, name: str) -> str:
        """The sentence for a name nobody reads, with the name that was probably meant."""
        wanted = name.upper()
        names = sorted(self._known)
        if wanted.endswith(FILE_SUFFIX):
            names += [f"{each}{FILE_SUFFIX}" for each in names]
        # A cutoff of 0: some name is always given, so that the operator sees what a name looks like.
        nearest = difflib.get_close_matches(wanted, names, n=1, cutoff=0)
        return f"unknown variable. The nearest one is {nearest[0]}." if nearest else "unknown variable."


def _shown_path(value: str) -> str:
    """The path as it may be told: only where its folder is there. Otherwise it may be the secret itself, typed where
    its file belongs.
    """
    path = Path(value)
    try:
        is_path = len(path.parts) > 1 and path.parent != Path(path.anchor) and path.parent.is_dir()
    except (OSError, ValueError):
        is_path = False
    return repr(value) if is_path else _NOT_SHOWN


def _leading_line_ends(text: str) -> int:
    """How many lines above the statement the parser counted as part of it."""
    return text[: len(text) - len(text.lstrip())].count("\n")
