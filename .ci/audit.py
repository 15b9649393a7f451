"""Look the locked packages up in the public database of vulnerabilities, where it can be reached.

Exits 1 for a known vulnerability. Where the database cannot be reached it says so, in one line, and exits 0: a closed
network is no fault of the packages.
"""

from __future__ import annotations

import json
import subprocess
import sys

LOCK = "requirements-dev.txt"
"""It holds what Cartbridge runs on, too."""
COMMAND = ("pip_audit", "--disable-pip", "--no-deps", "--format=json", "--progress-spinner=off", "-r", LOCK)
NOT_AUDITED = "The locked packages were NOT audited: the database of vulnerabilities cannot be reached from here."


def main() -> int:
    """Audit the lock."""
    done = subprocess.run([sys.executable, "-m", *COMMAND], capture_output=True, text=True, timeout=300, check=False)  # noqa: S603  (our own words)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        packages = []
    looked_up = [package for package in packages if "skip_reason" not in package]
    if not looked_up:
        print(NOT_AUDITED)
        return 0
    found = [(package, each) for package in looked_up for each in package["vulns"]]
    print(f"{len(looked_up)} locked packages audited, {len(found)} known vulnerabilities")
    for package, each in found:
        fixed = ", ".join(each["fix_versions"]) or "no release yet"
        print(f"{package['name']} {package['version']}: {each['id']}, fixed in {fixed}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
