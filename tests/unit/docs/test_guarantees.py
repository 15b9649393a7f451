"""What `docs/guarantees.md` names is there, and what it counts is so."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from tests.faults.simulation import boundaries
from worker.ledger.runs.held import PROMPT_ANSWER_SECONDS
from worker.settings.settings import load_settings
from workflows.execution.executor import Timing

REPOSITORY = Path(__file__).parents[3]
PAGE = (REPOSITORY / "docs" / "guarantees.md").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"`((?:tasks|worker|workflows)(?:\.\w+)+)`", PAGE)))
FILES = sorted(set(re.findall(r"`(tests/[\w./]+)`", PAGE)))
LINKS = re.findall(r"\]\((?!#)([^)]+)\)", PAGE)
NUMBERS = re.findall(r"^\| `([\w.]+)` \| ([\d.]+) \|", PAGE, re.MULTILINE)
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def named(name: str) -> Any:
    """What a dotted name stands for: the longest module, and then its attributes."""
    words = name.split(".")
    for length in range(len(words), 0, -1):
        try:
            module = importlib.import_module(".".join(words[:length]))
        except ModuleNotFoundError:
            continue
        return reduce(getattr, words[length:], module)
    raise AssertionError(f"{name} is nowhere")


def number_of(name: str) -> float:
    """A constant of the code, or a setting's default."""
    if not name.startswith("CARTBRIDGE_"):
        return float(named(name))
    default: Any = load_settings({}, env_file=None)
    for word in name.removeprefix("CARTBRIDGE_").lower().split("__"):
        default = getattr(default, word)
    return float(default)


def test_page_is_read_when_it_is_looked_through() -> None:
    assert NAMES
    assert FILES
    assert LINKS
    assert NUMBERS


@pytest.mark.parametrize("name", NAMES)
def test_function_is_there_when_the_page_names_it(name: str) -> None:
    assert named(name) is not None


@pytest.mark.parametrize("name", [*FILES, *(f"docs/{link}" for link in LINKS)])
def test_file_is_there_when_the_page_names_it(name: str) -> None:
    assert (REPOSITORY / name).exists()


@pytest.mark.parametrize(("name", "number"), NUMBERS)
def test_number_is_the_code_s_when_the_page_counts(name: str, number: str) -> None:
    assert number_of(name) == float(number)


def test_each_promise_names_what_keeps_it_and_what_tests_it() -> None:
    promises = re.split(r"^### ", SECTIONS["The promises"], flags=re.MULTILINE)[1:]
    assert [promise[0] for promise in promises] == list("12345678")
    for promise in promises:
        assert re.search(r"`(tasks|worker|workflows)\.", promise)
        assert re.search(r"`tests/", promise)


def test_every_kind_of_boundary_has_its_row() -> None:
    kinds = {value for name, value in vars(boundaries).items() if name.isupper() and isinstance(value, str)}
    rows = re.findall(r"^\| `(\w+)` \|", SECTIONS["Where a process can die"], re.MULTILINE)
    assert sorted(rows) == sorted(kinds)


def test_sums_are_right_when_the_page_adds_up_the_times() -> None:
    settings = load_settings({}, env_file=None)
    system = settings.learningcart
    call_seconds = system.connect_timeout_seconds + system.read_timeout_seconds
    timing = Timing(lease_seconds=settings.lease_seconds, call_seconds={system.system: call_seconds})
    deadline, settle = timing.deadline_seconds(system.system), settings.settle_seconds
    asked = PROMPT_ANSWER_SECONDS + settle + 2 * settings.dispatch_seconds
    endless = Timing(lease_seconds=settings.lease_seconds, call_seconds={system.system: 1e9})
    share = endless.deadline_seconds(system.system) / settings.lease_seconds
    section = SECTIONS["The time of an unknown outcome"]
    for words in (
        f"at most {share:g} of the lease",
        f"deadline_seconds`): {deadline:g} s",
        f"at least {settle:g} s to land in the left story, and {deadline:g} + {settle:g} s in the right one",
        f"{deadline + settings.retry.base_seconds + asked:g} s at most in the left",
        f"and {settings.lease_seconds + asked:g} s in the right",
    ):
        assert words in section
