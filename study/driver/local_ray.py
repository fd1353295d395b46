"""Ray of one driver on this machine, run by the keeper in a process of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from study.driver.ray_keeper import end_session
from trainables.core.errors import BadInput

_TRIES = 3
_STOP_WITHIN = 15.0
_LEAST_FREE = 32 * 2**20
"""Bytes that Ray's logs and sockets of a short study take, about."""
_START_ENDS_WITHIN = 5.0
_TOKEN = secrets.token_hex(32)
"""One for all of a process's starts: Ray reads its token once."""
_in_token_mode = False


def rays_folder() -> Path:
    """Return the folder in which Ray makes its temporary one."""
    return Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir()))


def _check_room(resume: str) -> None:
    """Refuse a full temporary folder: Ray would fail after minutes, and not say why."""
    folder = rays_folder()
    with suppress(OSError):  # Ray says what is wrong with a folder that is not there
        free = shutil.disk_usage(folder).free
        if free < _LEAST_FREE:
            raise BadInput(
                f"Ray's temporary folder {folder} has {free / 2**20:.0f} MiB free, and Ray needs "
                f"{_LEAST_FREE / 2**20:.0f} at least: free some, or name another folder in RAY_TMPDIR. Nothing that is "
                f"stored is lost: `{resume}`"
            )


class LocalRay:
    """Starts Ray at once, without waiting for it; ends it at the end of a ``with`` block, or with this process.

    Ray's processes are in a session of their own, so a signal to the driver's process group does not reach them.
    """

    def __init__(self, resume: str = "study resume") -> None:
        """Start the keeper.

        Ray asks for a token that only this user can read, unless `RAY_AUTH_MODE` is set. A program that has imported
        Ray before goes without: Ray reads its mode when it is imported.

        Args:
            resume: the command that continues the study, for messages.

        Raises:
            BadInput: Ray's temporary folder is full.
        """
        global _in_token_mode
        self._resume = resume
        _check_room(resume)
        self._before = {name: os.environ.get(name) for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
        self._own: dict[str, str] = {}
        if self._before["RAY_AUTH_MODE"] is None and (_in_token_mode or "ray" not in sys.modules):
            os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN}
            _in_token_mode = True
        elif self._before["RAY_AUTH_MODE"] is None:
            self._own = {"RAY_AUTH_MODE": "disabled"}
        self._start()
        self._closing = self._runs = False

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the keeper
        self._process = subprocess.Popen(
            [sys.executable, "-m", "study.driver.ray_keeper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **self._own},
            start_new_session=True,
        )

    def address(self) -> str:
        """Wait for Ray's start and return its address.

        A start that fails is repeated: Ray gives its services 30 s, which a busy machine may exceed, and one of them
        may be killed meanwhile.

        Raises:
            BadInput: Ray did not start.
        """
        for left in reversed(range(_TRIES)):
            assert self._process.stdout is not None
            if line := self._process.stdout.readline():
                self._runs = True
                return str(json.loads(line)["address"])
            self._process.wait()
            if left:
                end_session(self._process.pid)
                self._start()
        raise BadInput(
            f"Ray did not start: {self._last_error()}; `study doctor` checks this machine. Nothing that is stored "
            f"is lost: `{self._resume}`"
        )

    def watch(self, died: Callable[[str], None]) -> None:
        """Call ``died`` from another thread with the reason, should Ray end before it is closed."""

        def wait() -> None:
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            if not self._closing:
                if not line:
                    end_session(self._process.pid)  # agents of the raylet would live on
                service = json.loads(line)["died"] if line else "its keeper"
                died(f"Ray has died on this machine: {service} was killed or crashed")

        threading.Thread(target=wait, name="ray-watch", daemon=True).start()

    def close(self) -> None:
        """End Ray and wait until its processes are gone."""
        self._closing = True
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_WITHIN if self._runs else _START_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            end_session(self._process.pid)
            self._process.wait()

    def _last_error(self) -> str:
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().decode(errors="replace").splitlines()]
        fatal = [line for line in lines if line.startswith("Fatal Python error")]  # stacks of threads follow it
        lines = fatal or [line for line in lines if line and line != "<no Python frame>"]
        return lines[-1][:500] if lines else f"exit status {self._process.returncode}"

    def __enter__(self) -> LocalRay:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
