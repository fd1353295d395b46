"""A private PostgreSQL server for the duration of a benchmark, in a temporary folder, on a socket there."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.postgres_programs import executable_programs, run_as, server_user


@contextmanager
def private_postgres(programs: Path) -> Iterator[str]:
    """Start a server and yield the URL of its database; server and data are removed afterwards.

    Args:
        programs: folder of ``initdb`` and ``pg_ctl``, from `server_programs`.

    Raises:
        CalledProcessError: the server cannot be created or started; its error output is printed.
    """
    user = server_user()
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        if user is not None:
            shutil.chown(folder, user)
        programs = executable_programs(programs, Path(folder))

        def run(*command: str) -> None:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, **run_as(user))

        data = f"{folder}/data"
        run(str(programs / "initdb"), "-D", data, "-U", "ledger", "-E", "UTF8", "--auth=trust", "-N", "--no-locale")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder}"
        run(str(programs / "pg_ctl"), "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://ledger@/postgres?host={folder}"
        finally:
            run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
