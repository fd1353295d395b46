from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainables.entry_points.hang_watch import EXIT_CODE, HangWatch

_HANGS = """
import ctypes, sys, time
from pathlib import Path
from trainables.entry_points import hang_watch
hang_watch._SECONDS_TO_SAY = 1.0
watch = hang_watch.HangWatch(Path(sys.argv[1]).write_text)
watch.begin(0.5)
for _ in range(8):
    time.sleep(0.2)
    watch.step()
print("steps done", flush=True)
{hang}
"""


def _run(hang: str, to: Path) -> subprocess.CompletedProcess[str]:
    code = [sys.executable, "-c", _HANGS.format(hang=hang), str(to)]
    return subprocess.run(code, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[3])


def test_a_process_that_stands_still_says_where_and_ends(tmp_path: Path) -> None:
    to = tmp_path / "said"
    found = _run("time.sleep(600)", to)
    assert found.returncode == EXIT_CODE
    assert found.stdout == "steps done\n"
    assert "no training step ended within 0.5 s" in to.read_text()
    assert "in <module>" in to.read_text()


def test_a_process_that_keeps_the_interpreters_lock_ends_too(tmp_path: Path) -> None:
    found = _run("ctypes.PyDLL(None).sleep(600)", tmp_path / "said")
    assert found.returncode not in (0, EXIT_CODE)
    assert found.stdout == "steps done\n"
    assert "in <module>" in found.stderr


@pytest.mark.parametrize("seconds", [None, 0.2])
def test_an_idle_process_lives(seconds: float | None) -> None:
    watch = HangWatch(print)
    watch.begin(seconds)
    watch.end()
    time.sleep(0.6)
