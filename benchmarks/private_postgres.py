"""A PostgreSQL server of one's own for as long as a benchmark runs: in a temporary folder, on a socket there."""

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
"""Who runs the server where this process is root, which PostgreSQL refuses to run as."""


def server_programs() -> Path | None:
    """Return the folder of ``initdb`` and ``pg_ctl``, the newest Debian has or the one on the path, or None."""
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
    """Start a server and yield the URL of its database; the server and all it holds are gone afterwards.

    Args:
        programs: folder of ``initdb`` and ``pg_ctl``.

    Raises:
        CalledProcessError: the server cannot be made or started; its output is printed.
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
