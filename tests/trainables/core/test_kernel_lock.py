from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from trainables.core.kernel_lock import KernelLock, is_locked


def test_one_holder_at_a_time_whatever_took_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with KernelLock(path) as lock:
        assert lock.held and is_locked(path)
        assert not KernelLock(path).try_acquire()
        with pytest.raises(Timeout):
            FileLock(path).acquire(timeout=0)
    assert path.exists() and not is_locked(path)
    with FileLock(path):
        assert is_locked(path) and not KernelLock(path).try_acquire(0.02)


def test_a_killed_holder_leaves_it_free(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from trainables.core.kernel_lock import KernelLock\n"
        "lock = KernelLock(Path(sys.argv[1])); lock.acquire(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")]).returncode == -9
    assert not is_locked(tmp_path / "lock")
    with KernelLock(tmp_path / "lock") as lock:
        assert lock.held


def test_a_probe_neither_creates_nor_needs_a_writable_file(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path) and not path.exists()
    path.touch(mode=0o444)
    assert not is_locked(path)


def test_a_folder_in_its_place_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    assert not is_locked(tmp_path / "lock")


def test_a_file_that_was_moved_away_while_it_was_taken_guards_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with KernelLock(path):
        os.replace(path, tmp_path / "moved")
        with KernelLock(path) as other:
            assert other.held


def test_probes_never_make_a_patient_holder_fail(tmp_path: Path) -> None:
    path, over = tmp_path / "lock", threading.Event()

    def probe() -> None:
        while not over.is_set():
            is_locked(path)

    probing = threading.Thread(target=probe)
    probing.start()
    try:
        for _ in range(200):
            lock = KernelLock(path)
            assert lock.try_acquire(0.5)
            lock.release()
    finally:
        over.set()
        probing.join()
