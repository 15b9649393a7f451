"""Where an installation is: the wrapper and the systemd unit that say so, and finding it by them."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_MARK: Final = "# Made by `cartbridge init`"
_UNIT_FOLDERS: Final = ("/etc/systemd/system", "/usr/lib/systemd/system")
_PROCESSES: Final = ("up", "web", "worker", "beat")
_OWN_LINES: Final = frozenset(
    {"Conflicts", "Documentation", "ExecStart", "Group", "ProtectHome", "StateDirectory", "StateDirectoryMode"}
    | {"User", "WorkingDirectory"}
)
"""What the units of deploy/systemd say of /opt/cartbridge and their own user."""


def program() -> Path:
    """The `cartbridge` of this environment."""
    return Path(sys.prefix) / "bin" / "cartbridge"


def shipped_file(name: str) -> Path:
    """A file that comes with Cartbridge: beside the code in a checkout, else where its wheel puts it."""
    in_checkout = Path(__file__).parents[3] / name
    return in_checkout if in_checkout.exists() else Path(sysconfig.get_path("data"), "share", "cartbridge", name)


def wrapper_text(env_file: Path) -> str:
    """A script that runs Cartbridge with these settings from any folder."""
    command = shlex.join([str(program()), "--env-file", str(env_file)])
    return f'#!/bin/sh\n{_MARK}: Cartbridge with the settings of one folder, from any folder.\nexec {command} "$@"\n'


def unit_text(env_file: Path) -> str:
    """The unit of deploy/systemd for `cartbridge up`, for this folder and its owner. Raises `OSError`."""
    folder = env_file.parent
    units = shipped_file("deploy/systemd")
    sections: dict[str, list[str]] = {"Unit": [], "Service": [], "Install": []}
    for name in ("cartbridge-up.service", "cartbridge-.service.d/running.conf", "cartbridge-.service.d/hardening.conf"):
        section = ""
        for line in (units / name).read_text(encoding="utf-8").splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line and line[0] != "#" and line.partition("=")[0] not in _OWN_LINES:
                sections[section].append(line)
    owner = folder.stat()
    command = " ".join(f'"{_escaped(str(part))}"' for part in (program(), "--env-file", env_file, "up"))
    sections["Service"] += [
        f"ExecStart={command}",
        f"User={pwd.getpwuid(owner.st_uid).pw_name}",
        f"Group={grp.getgrgid(owner.st_gid).gr_name}",
        f"WorkingDirectory={_escaped(str(folder))}",
        f'ReadWritePaths="{_escaped(str(folder))}"',
        "ProtectHome=read-only",
    ]
    body = "\n\n".join("\n".join([f"[{name}]", *lines]) for name, lines in sections.items())
    return f"{_MARK}, from deploy/systemd.\n{body}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")


def is_ours(path: Path) -> bool:
    """Whether `cartbridge init` made a file."""
    with suppress(OSError, UnicodeDecodeError), path.open(encoding="utf-8") as file:
        return _MARK in file.read(4096)
    return False


def find_installation() -> str | None:
    """A sentence that says where the settings are, by a wrapper, a unit or a running process; None if none does."""
    for env_file, how in (*_by_wrapper(), *_by_unit(), *_by_process()):
        if env_file.is_file():
            return (
                f"Cartbridge's settings are in {env_file} ({how}): cartbridge --env-file {shlex.quote(str(env_file))} …"
            )
    return None


def _by_wrapper() -> Iterator[tuple[Path, str]]:
    folders = [*os.environ.get("PATH", "").split(os.pathsep), str(Path.home() / ".local/bin"), "/usr/local/bin"]
    for path in (Path(folder) / "cartbridge" for folder in dict.fromkeys(folders) if folder):
        if is_ours(path):
            yield from ((env_file, f"the wrapper {path} says so") for env_file in _named_in(path))


def _by_unit() -> Iterator[tuple[Path, str]]:
    for folder in (*map(Path, _UNIT_FOLDERS), Path.home() / ".config/systemd/user"):
        for path in sorted(folder.glob("cartbridge*.service")):
            yield from ((env_file, f"the unit {path} says so") for env_file in _named_in(path))


def _named_in(path: Path) -> Iterator[Path]:
    """The files of settings that the commands in a script or a unit name."""
    with suppress(OSError, ValueError):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "--env-file" in line and not line.startswith("#"):
                words = shlex.split(line)
                yield Path(words[words.index("--env-file") + 1].replace("%%", "%").replace("$$", "$"))


def _by_process() -> Iterator[tuple[Path, str]]:
    """Of those processes that this user may look at, where there is a /proc."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            words = (process / "cmdline").read_text(encoding="utf-8").split("\0")
            if any(Path(word).name == "cartbridge" for word in words[:2]) and set(_PROCESSES) & set(words):
                name = words[words.index("--env-file") + 1] if "--env-file" in words else ".env"
                yield (process / "cwd").readlink() / name, f"process {process.name} runs with them"
