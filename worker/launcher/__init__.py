"""What the command `cartbridge` starts in. Installed under a name of its own, `cartbridge`, which no other package has.

Cartbridge's packages have common names: it is an application, for an environment of its own. Where another package
stands in the place of one of them, a sentence says so, instead of a failed import.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

_OURS = {"migrations": "env.py", "tasks": "runtime.py", "worker": "cli/app.py", "workflows": "registry.py"}
"""A file of each of our packages that no other has."""
_ADVICE = "Cartbridge is an application, not a library: install it in an environment of its own, such as by pipx."


def main() -> None:
    """Run the command line; exits 2 where its packages are hidden by others."""
    for name, file in _OURS.items():
        spec = find_spec(name)
        places = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
        if not any((place / file).is_file() for place in places):
            instead = "it is not there" if spec is None else f"{spec.origin or places[0]} is another package"
            sys.stderr.write(f"Cartbridge's package `{name}` cannot be used: {instead}. {_ADVICE}\n")
            sys.exit(2)
    from worker.cli.app import main as run  # noqa: PLC0415 -- only now is it known to be ours

    run()
