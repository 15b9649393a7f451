"""Detects by one test: `python -m tests.faults.teeth.by_test tests/faults/test_lanes.py::test_…`."""

from __future__ import annotations

import contextlib
import sys

import pytest

from tests.faults.teeth.detecting import tell


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


def run_test(name: str) -> str:
    """Which test failed, and why; empty if all passed."""
    report = Report()
    options = ["-n", "0", "--no-cov", "-x", "-q", "-p", "no:cacheprovider", "--no-header"]
    with contextlib.redirect_stdout(sys.stderr):
        code = pytest.main([*options, name], plugins=[report])
    if not report.failed and (code is not pytest.ExitCode.OK or report.broken or not report.passed):
        raise RuntimeError(f"{name} could not be run (pytest: {code!r}; {report.broken})")
    return "; ".join(report.failed)


if __name__ == "__main__":
    sys.exit(tell(lambda: run_test(sys.argv[1])))
