"""The keeper while Ray starts, with a stand-in for Ray: a child that has a service's name."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

KEEPER = """
import subprocess, sys, time
from study.driver import ray_keeper

def start():
    subprocess.Popen([sys.argv[1], "60"])
    time.sleep(60)

ray_keeper._start = start
ray_keeper.main()
"""


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    sleep = shutil.which("sleep")
    assert sleep is not None
    service = shutil.copy(sleep, tmp_path / "gcs_server")
    process = subprocess.Popen(
        [sys.executable, "-c", KEEPER, service],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process
    for left in (*psutil.Process(process.pid).children(), process) if process.poll() is None else ():
        left.kill()
    process.wait()


def _service(keeper: subprocess.Popen[str]) -> psutil.Process:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for child in psutil.Process(keeper.pid).children():
            if child.name() == "gcs_server":
                time.sleep(1)  # long enough to be seen by the keeper, too
                return child
        time.sleep(0.02)
    raise AssertionError("the service did not start")


def test_a_service_that_dies_while_ray_starts_ends_the_start(keeper: subprocess.Popen[str]) -> None:
    _service(keeper).kill()
    assert keeper.wait(30) == 1
    assert keeper.stderr is not None
    assert keeper.stderr.read().splitlines()[-1] == "gcs_server was killed or crashed"


def test_a_driver_that_goes_while_ray_starts_ends_the_start(keeper: subprocess.Popen[str]) -> None:
    service = _service(keeper)
    assert keeper.stdin is not None
    keeper.stdin.close()
    assert keeper.wait(30) == 0
    assert not service.is_running() or service.status() == psutil.STATUS_ZOMBIE


def test_what_kept_ray_from_starting_is_the_last_line() -> None:
    fails = (
        "from study.driver import ray_keeper\ndef start(): raise OSError('no ports left')\nray_keeper._start = start\n"
    )
    words = [sys.executable, "-c", f"{fails}ray_keeper.main()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(60) == 1
    assert said.splitlines()[-1] == "OSError: no ports left"
