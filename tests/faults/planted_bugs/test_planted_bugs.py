"""Every planted bug still has its place in the source, and those who look for them see what there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.planted_bugs import copy_of_tree
from tests.faults.planted_bugs.bug import Bug, BugDoesNotApplyError, ByTest, Killed
from tests.faults.planted_bugs.copy_of_tree import Seen
from tests.faults.planted_bugs.detecting import CAUGHT, TREE
from tests.faults.planted_bugs.planted import BUGS

pytestmark = pytest.mark.faults

QUICKEST = ("orphan's open call taken for retryable", "webhook accepted without a commit")
BY_NAME = {bug.name: bug for bug in BUGS}


@pytest.fixture(scope="module")
def pristine() -> Iterator[Path]:
    """A copy of the tree without a bug."""
    with copy_of_tree.copied() as copy:
        yield copy


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_bug_applies_once_when_the_source_is_the_present_one(bug: Bug) -> None:
    source = (TREE / bug.file).read_text(encoding="utf-8")
    planted = bug.planted(source)
    assert planted != source
    compile(planted, bug.file, "exec")


def test_every_bug_has_a_name_of_its_own_when_they_are_listed() -> None:
    assert len(BY_NAME) == len(BUGS) >= 25
    assert len({(bug.file, bug.before, bug.after) for bug in BUGS}) == len(BUGS)


@pytest.mark.parametrize("name", QUICKEST)
def test_bug_is_caught_when_it_is_planted(name: str, pristine: Path) -> None:
    seen = copy_of_tree.detect(BY_NAME[name], pristine)
    assert seen.caught, seen
    assert seen.words


def test_nothing_is_caught_when_no_bug_is_planted(pristine: Path) -> None:
    seen = copy_of_tree.run(Killed("webhook", "sent learningcart addCompOrder"), pristine, compiles=False)
    assert (seen.works, seen.caught, seen.words) == (True, False, "")


def test_nothing_is_caught_when_a_detector_does_not_work(pristine: Path) -> None:
    seen = copy_of_tree.run(ByTest("test_lanes.py::test_that_is_not_there"), pristine, compiles=False)
    assert not seen.works
    assert not seen.caught


@pytest.mark.parametrize(
    ("code", "out", "seen"),
    [
        (0, "\n2.5 \n", Seen(caught=False, words="", cpu_seconds=2.5)),
        (CAUGHT, "noise\n3.0 two orders\n", Seen(caught=True, words="two orders", cpu_seconds=3.0)),
        (1, "Traceback\nImportError: no\n", Seen(False, "exit 1: ImportError: no", 0.0, works=False)),
        (-9, "", Seen(False, "exit -9: it said nothing", 0.0, works=False)),
    ],
)
def test_only_the_agreed_exit_counts_as_caught_when_a_detector_ends(code: int, out: str, seen: Seen) -> None:
    assert copy_of_tree.read(code, out) == seen


def test_tree_is_left_as_it_was_when_a_bug_is_planted(pristine: Path) -> None:
    bug = BY_NAME["orphans not recovered"]
    before = copy_of_tree.digest(pristine)
    with copy_of_tree.copied(pristine) as copy:
        assert copy_of_tree.digest(copy) == before
        bug.plant(copy)
        changed = {name for name, checksum in copy_of_tree.digest(copy).items() if before[name] != checksum}
        assert changed == {bug.file}
        with pytest.raises(BugDoesNotApplyError, match="occurs 0 times"):
            bug.plant(copy)
    assert not copy.exists()
    assert copy_of_tree.digest(pristine) == before


@pytest.mark.parametrize("bug", [bug for bug in BUGS if isinstance(bug.caught_by, ByTest)], ids=lambda bug: bug.name)
def test_test_that_catches_a_bug_is_there_when_it_is_named(bug: Bug) -> None:
    assert isinstance(bug.caught_by, ByTest)
    file, _, name = bug.caught_by.name.partition("::")
    source = (TREE / file).read_text(encoding="utf-8")
    assert not name or f"def {name.partition('[')[0]}(" in source
