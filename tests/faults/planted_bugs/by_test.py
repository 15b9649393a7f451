"""Detects by tests: `python -m tests.faults.planted_bugs.by_test tests/faults/effects/test_lanes.py::test_… [MORE]`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

import pytest

from tests.faults.planted_bugs.detecting import tell


class Report:
    """Notes what pytest says of each test."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed: list[str] = []
        self.broken: list[str] = []
        """Tests that could not be set up or torn down: nothing was detected by these."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest for each part of each test."""
        name = report.nodeid.rpartition("::")[2]
        if report.failed and report.when == "call":
            crash = getattr(report.longrepr, "reprcrash", None)
            self.failed.append(f"{name}: {str(crash.message).partition(chr(10))[0] if crash is not None else 'failed'}")
        elif report.failed:
            self.broken.append(name)
        elif report.passed and report.when == "call":
            self.passed += 1


def run_tests(names: Sequence[str]) -> str:
    """Which test failed first, and why; empty if all passed. Raises `RuntimeError` for a name that is no test's."""
    report = Report()
    options = ["-n", "0", "--no-cov", "-x", "-q", "-p", "no:cacheprovider", "--no-header"]
    with contextlib.redirect_stdout(sys.stderr):
        code = pytest.main([*options, *names], plugins=[report])
    if not report.failed and (code is not pytest.ExitCode.OK or report.broken or report.passed < len(names)):
        raise RuntimeError(f"{', '.join(names)} could not be run (pytest: {code!r}; {report.broken})")
    return "; ".join(report.failed)


if __name__ == "__main__":
    sys.exit(tell(lambda: run_tests(sys.argv[1:])))
