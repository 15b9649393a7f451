from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PYPROJECT = REPOSITORY / "pyproject.toml"
OUTSIDE_THE_LAYERS = {"worker.sandbox"}
"""Has contracts of its own: it stands beside the product."""


def test_imports_run_one_way_when_every_contract_is_checked() -> None:
    # In a process of its own: import-linter configures logging, which switches off every logger there is.
    command = [
        sys.executable,
        "-c",
        "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())",
    ]
    done = subprocess.run([*command, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_has_its_layer_when_the_tree_is_listed() -> None:
    contracts = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "layers")
    listed = {name for layer in layers for name in re.findall(r"[\w.]+", layer)}
    modules = {
        f"worker.{path.stem}"
        for path in (REPOSITORY / "worker").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    } - {"worker.__init__"}
    assert modules - OUTSIDE_THE_LAYERS <= listed
