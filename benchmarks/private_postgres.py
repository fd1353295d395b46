"""A private PostgreSQL server for the duration of a benchmark, in a temporary folder, on a socket there."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_USERS = ("postgres", "nobody")
"""Users that run the server if this process is root; PostgreSQL refuses to run as root."""


def server_programs() -> Path | None:
    """Return the folder of ``initdb`` and ``pg_ctl``: Debian's newest, else the one on the path, else None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def _unprivileged() -> str:
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _USERS if name in names)


@contextmanager
def private_postgres(programs: Path) -> Iterator[str]:
    """Start a server and yield the URL of its database; server and data are removed afterwards.

    Args:
        programs: folder of ``initdb`` and ``pg_ctl``.

    Raises:
        CalledProcessError: the server cannot be created or started; its error output is printed.
    """
    user = _unprivileged()
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, user)

        def run(*command: str) -> None:
            subprocess.run(
                command, check=True, stdout=subprocess.DEVNULL, cwd=folder, user=user if os.geteuid() == 0 else None
            )

        data = f"{folder}/data"
        run(str(programs / "initdb"), "-D", data, "-U", "ledger", "--auth=trust", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder}"
        run(str(programs / "pg_ctl"), "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://ledger@/postgres?host={folder}"
        finally:
            run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
