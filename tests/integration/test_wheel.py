"""The wheel, installed: it carries the examples, runs, and says so where others' packages hide its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from tests.integration.product import ENOUGH_SECONDS

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PARTS = (
    *(".env.example", "LICENSE", "README.md", "deploy", "offers.example.toml", "pyproject.toml"),
    *("migrations", "tasks", "worker", "workflows"),
)


def run(*command: str | Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"} | variables
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=2 * ENOUGH_SECONDS, check=False
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with Cartbridge's wheel and, behind it, what it needs."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    for name in PARTS:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        tree.mkdir(exist_ok=True)
        copy(source, tree / name)
    pip = [sys.executable, "-m", "pip"]
    built = run(*pip, "wheel", ".", "--no-deps", "--no-build-isolation", "-w", folder, folder=tree)
    assert built.returncode == 0, built.stderr
    environment = folder / "environment"
    assert run(sys.executable, "-m", "venv", "--without-pip", environment, folder=folder).returncode == 0
    [wheel] = folder.glob("*.whl")
    done = run(*pip, "--python", environment / "bin/python", "install", "--no-deps", "--no-index", wheel, folder=folder)
    assert done.returncode == 0, done.stderr
    [packages] = environment.glob("lib/python*/site-packages")
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))
    return environment


def test_examples_and_unit_are_there_when_the_wheel_is_installed(installed: Path) -> None:
    shared = installed / "share" / "cartbridge"
    for name in (".env.example", "offers.example.toml"):
        assert (shared / name).read_text() == (ROOT / name).read_text()
    assert (shared / "deploy/systemd/cartbridge-up.service").exists()


def test_version_is_told_when_the_wheel_is_installed(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "bin/cartbridge", "-V", folder=tmp_path)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert done.stdout == f"cartbridge {version}\n", done.stderr


@pytest.mark.parametrize("name", ["tasks", "worker"])
def test_a_sentence_says_so_when_another_package_hides_ours(installed: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    done = run(installed / "bin/cartbridge", "-V", folder=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert f"`{name}` cannot be used: {tmp_path / name}/__init__.py is another package." in done.stderr
    assert "Traceback" not in done.stderr
