"""Read the `CARTBRIDGE_…` variables: from the environment, from `.env`, and from the files that `…_FILE` names.

Only names and texts here: what a value means is for `worker.settings` to say. Nothing is raised: every problem is
collected, so that an operator mends all of them in one go. No problem's text holds a value, only names and paths.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv.parser import parse_stream

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


@dataclass(frozen=True)
class Reading:
    """What was found: `values` by the variable's own name, a `…_FILE` already replaced by what its file holds."""

    values: dict[str, str] = field(default_factory=dict, repr=False)
    places: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    """The file behind each variable that was given as `…_FILE` and could be read."""


@dataclass(frozen=True)
class _Entry:
    name: str
    value: str = field(repr=False)
    place: str


def read_variables(environ: Mapping[str, str], env_file: str | Path | None, known: Collection[str]) -> Reading:
    """The variables of `environ`, and of `env_file` those that `environ` does not set; `known` are the settings' names.

    An empty text counts as not set. A variable and its `…_FILE` in the same place exclude each other; either form in
    the environment outranks either form in `.env`. A missing `env_file` is no problem, an unreadable one is.
    """
    reading = Reading()
    environment = [_Entry(name, value, "environment") for name, value in environ.items()]
    for entries in (environment, _env_file_entries(env_file, reading)):
        _take(entries, known, reading)
    return reading


def _take(entries: list[_Entry], known: Collection[str], reading: Reading) -> None:
    """Add the variables of one place to `reading`, leaving those alone that an earlier place has set."""
    found: dict[str, _Entry] = {}
    for entry in entries:
        # Upper-cased: `cartbridge_lease_seconds` would otherwise be ignored in silence.
        if not entry.name.upper().startswith(PREFIX) or entry.name in NOT_SETTINGS:
            continue
        if _setting_of(entry.name, known) is None:
            reading.problems.append(Problem(entry.name, _unknown(entry.name, known), entry.place))
        elif entry.value:
            found[entry.name] = entry
    already_set = set(reading.places)
    for entry in found.values():
        setting = _setting_of(entry.name, known)
        if setting is None or setting in already_set:
            continue
        reading.places[setting] = entry.place
        if entry.name == setting:
            reading.values[setting] = entry.value
        elif setting in found:
            reading.problems.append(Problem(setting, f"is set, and so is {entry.name}. Keep one of them.", entry.place))
        else:
            _take_file(entry, setting, reading)


def _take_file(entry: _Entry, setting: str, reading: Reading) -> None:
    """Add what the file of a `…_FILE` variable holds, less one line end: editors and `echo` add one."""
    path = Path(entry.value)
    named = _shown_path(entry.value)
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        sentence = f"cannot read {named}: {error.strerror or type(error).__name__}."
        if named == _NOT_SHOWN:
            sentence += f" It takes a path; the value itself goes into {setting}."
        reading.problems.append(Problem(entry.name, sentence, entry.place))
    except ValueError:  # not UTF-8, or a path no file can have
        reading.problems.append(Problem(entry.name, f"{named} is not a file of UTF-8 text.", entry.place))
    else:
        reading.files[setting] = path
        text = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
        if text:
            reading.values[setting] = text


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


def _env_file_entries(env_file: str | Path | None, reading: Reading) -> list[_Entry]:
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
        reading.problems.append(Problem(str(path), f"cannot be read: {error.strerror or type(error).__name__}."))
        return []
    except UnicodeDecodeError:
        reading.problems.append(Problem(str(path), "is not UTF-8 text."))
        return []
    entries: list[_Entry] = []
    for binding in bindings:
        place = f"{path.name} line {binding.original.line + _leading_line_ends(binding.original.string)}"
        if binding.error:
            reading.problems.append(Problem(place, "is not of the form NAME=value. Quote a value that holds a quote."))
        elif binding.key is not None:
            entries.append(_Entry(binding.key, binding.value or "", place))
    return entries


def _leading_line_ends(text: str) -> int:
    """How many lines above the statement the parser counted as part of it."""
    return text[: len(text) - len(text.lstrip())].count("\n")


def _setting_of(name: str, known: Collection[str]) -> str | None:
    """The setting that `name` sets, itself or through a file; None when there is none.

    The name itself comes first: `CARTBRIDGE_OFFERS_FILE` is a setting of its own.
    """
    if name in known:
        return name
    setting = name.removesuffix(FILE_SUFFIX)
    return setting if setting != name and setting in known else None


def _unknown(name: str, known: Collection[str]) -> str:
    """The sentence for a name nobody reads, with the name that was probably meant."""
    wanted = name.upper()
    names = sorted(known)
    if wanted.endswith(FILE_SUFFIX):
        names += [f"{each}{FILE_SUFFIX}" for each in names]
    # A cutoff of 0: some name is always given, so that the operator sees what a name looks like.
    nearest = difflib.get_close_matches(wanted, names, n=1, cutoff=0)
    return f"unknown variable. The nearest one is {nearest[0]}." if nearest else "unknown variable."
