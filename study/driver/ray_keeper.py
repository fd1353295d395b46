"""The program that keeps Ray for one driver: starts it in a session of its own, watches it, ends it with the driver.

``python -m study.driver.ray_keeper`` writes a JSON object a line: ``{"address": ...}`` once Ray runs, ``{"died": ...}``
if one of its services ends by itself. It ends when its standard input is closed, so also after a kill -9 of the driver.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from typing import TextIO

import psutil

from study.driver.ray_connection import init_ray

WATCHED = ("gcs_server", "raylet")
"""Services without which nothing is trained."""

_EVERY, _EVERY_IN_START = 1.0, 0.2
_FAREWELL = 30.0
"""Seconds that the driver has to leave after a service has died."""
_GRACE = 3.0
"""Seconds that Ray's processes have to end by themselves."""


def main() -> None:
    """Start Ray, and keep it until the driver is gone or a service has ended."""
    # a terminal or batch system signals its whole process group; the driver decides what a signal means
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what Ray prints is not for the driver
    gone = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    threading.Thread(target=_wait_for_end_of_input, args=(gone,), daemon=True).start()
    started = threading.Event()
    threading.Thread(target=_guard_start, args=(started, gone), daemon=True).start()
    try:
        address = _start()
        started.set()
        _say(answers, address=address)
        services = _services()
        while not gone.wait(_EVERY):
            if died := [name for name, process in services.items() if not _lives(process)]:
                _say(answers, died=died[0])
                gone.wait(_FAREWELL)  # a driver aborts when the raylet ends; it may first store and say what it can
                break
    finally:
        end_session(os.getpid(), spare=os.getpid())
    os._exit(0)  # Ray's own exit handler waits for services that have ended


def _start() -> str:
    import ray

    # without "local" Ray first looks for a running cluster on this machine, and waits long for a dead one
    init_ray("local", include_dashboard=False)
    return str(ray.get_runtime_context().gcs_address)


def _guard_start(started: threading.Event, gone: threading.Event) -> None:
    """End this program at once if the driver goes or a service dies while Ray starts, which Ray may notice late."""
    seen: dict[str, psutil.Process] = {}
    while not started.wait(_EVERY_IN_START):
        died = [name for name, process in seen.items() if not _lives(process)]
        if died or gone.is_set():
            end_session(os.getpid(), spare=os.getpid())
            if died:
                print(f"{died[0]} was killed or crashed", file=sys.stderr, flush=True)
            os._exit(0 if gone.is_set() else 1)
        seen |= _services()


def _services() -> dict[str, psutil.Process]:
    found = {}
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if (name := child.name()) in WATCHED:
                found[name] = child
    return found


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _wait_for_end_of_input(gone: threading.Event) -> None:
    # a buffered read would hold a lock that Python wants at its end, and hide why Ray did not start
    while os.read(sys.stdin.fileno(), 4096):
        pass
    gone.set()


def _say(answers: TextIO, **fields: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # the driver is gone; the end of the input says so, too
        print(json.dumps(fields), file=answers, flush=True)


def end_session(session: int, *, spare: int | None = None) -> None:
    """End all processes of a session: the raylet by SIGTERM, which ends its workers, then what is left by SIGKILL."""
    for process in _of_session(session, spare):
        if process.name() == "raylet":
            process.terminate()
    end = time.monotonic() + _GRACE
    while (left := _of_session(session, spare)) and time.monotonic() < end:
        if not any(process.name() == "raylet" for process in left):
            break
        time.sleep(0.05)
    while left := _of_session(session, spare):
        for process in left:
            process.kill()
        time.sleep(0.05)


def _of_session(session: int, spare: int | None) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            same = os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, ProcessLookupError):
            continue
        if same and process.pid != spare:
            found.append(process)
    return found


if __name__ == "__main__":
    main()
