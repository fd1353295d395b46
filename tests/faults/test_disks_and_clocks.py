"""A disk that fills or cannot be written, a clock that is set back, two drivers of one study: with the real command."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.fault_lab import Lab, Undisturbed, content, timeless, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STUDY: dict[str, Any] = {
    "name": "disks",
    "data": [{"dataset": "digits", "validation_fraction": 0.2, "profiles": [{"ratio": 10}]}],
    "methods": ["cce"],
    "model": "mlp",
    "training": {"epochs": 60, "batch_size": 32, "lr": 0.05, "checkpoint_seconds": 0, "precision": "float32"},
    "search": {"trials": 4, "searcher": "random", "pruner": "none"},
}
_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long offset(void) {  /* seconds in the file $CLOCK_OFFSET; only Python's clock is changed */
    char said[32] = {0}, program[512] = {0};
    const char *file = getenv("CLOCK_OFFSET");
    if (!file || readlink("/proc/self/exe", program, sizeof program - 1) < 0 || !strstr(program, "python")) return 0;
    int handle = open(file, O_RDONLY);
    if (handle < 0) return 0;
    if (read(handle, said, sizeof said - 1) < 0) said[0] = 0;
    close(handle);
    return atol(said);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += offset();
    return code;
}
"""
"""A clock that can be set while processes run: that of the machine belongs to others, too."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if (why := _mount("-t", "tmpfs", "-o", "size=24m", "tmpfs", place)) is not None:
        pytest.skip(f"needs a user who may mount a file system: {why}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def _mount(*words: str | Path) -> str | None:
    """Return why it did not work, or None."""
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else None


@pytest.fixture
def on_disk(tmp_path: Path, disk: Path) -> Iterator[Lab]:
    """A lab whose storage is on a disk of its own."""
    ray_folder = Path(tempfile.mkdtemp(prefix="ray-"))
    made = Lab(tmp_path, ray_folder, disk / "runs")
    yield made
    made.stop_all()
    shutil.rmtree(ray_folder, ignore_errors=True)


def _assert_undisturbed(lab: Lab, undisturbed: Undisturbed) -> None:
    assert content(lab.view()) == undisturbed.content
    for key, folder in lab.trials().items():
        assert [timeless(record) for record in folder.history()] == undisturbed.records[key]


def _fill(disk: Path) -> Path:
    """Write until nothing is left."""
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    return filler


def test_a_disk_that_fills_in_mid_study(on_disk: Lab, disk: Path, tmp_path: Path) -> None:
    running = on_disk.run(STUDY)
    wait_until(lambda: on_disk.epochs_written() >= 20, "the first epochs")
    filler = _fill(disk)
    code = running.wait()
    said = running.output()
    print(said)
    assert code == 1, said
    assert "Traceback" not in said
    assert (
        any(why in said for why in ("No space left on device", "scratch files"))
        and "once that is fixed: study resume disks" in said
    )
    wait_until(lambda: not running.family(), "every process to be gone")
    assert "interrupted" in _ran(on_disk, "status", "disks")  # a full disk can be read
    filler.unlink()
    on_disk.finish()
    _assert_undisturbed(on_disk, Undisturbed(STUDY, tmp_path / "undisturbed"))


def _ran(lab: Lab, *words: str, code: int = 0) -> str:
    running = lab.start(*words)
    assert running.wait() == code, running.output()
    assert "Traceback" not in running.output()
    return running.output()


def test_a_storage_that_can_only_be_read(on_disk: Lab, disk: Path, tmp_path: Path) -> None:
    running = on_disk.run(STUDY)
    wait_until(lambda: on_disk.ended() >= 1, "the end of a trial")
    running.interrupt()
    assert running.wait() == 130, running.output()
    wait_until(lambda: not running.family(), "every process to be gone")
    before = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
    assert _mount("-o", "remount,ro", disk) is None
    said = _ran(on_disk, "resume", "disks", code=2)
    assert f"cannot write to the storage folder {disk / 'runs'}: Read-only file system" in said
    assert f"cannot write to the storage folder {disk / 'runs'}: Read-only file system" in _ran(
        on_disk, "run", str(tmp_path / "study.yaml"), "--set", "name=another", code=2
    )
    for words in (["status"], ["status", "disks"], ["show", "disks", "--trials"]):
        assert "interrupted" in _ran(on_disk, *words)
    _ran(on_disk, "export", "disks", "--to", str(tmp_path / "all.parquet"))
    assert before == {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
    assert _mount("-o", "remount,rw", disk) is None
    on_disk.finish()
    _assert_undisturbed(on_disk, Undisturbed(STUDY, tmp_path / "undisturbed"))


def test_a_clock_that_is_set_back_in_mid_study(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("needs a C compiler")
    source, library, clock = tmp_path / "clock.c", tmp_path / "clock.so", tmp_path / "offset"
    source.write_text(_CLOCK)
    clock.write_text("0")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("CLOCK_OFFSET", str(clock))
    study = {**STUDY, "training": {**STUDY["training"], "epochs": 20}, "search": {**STUDY["search"], "trials": 3}}
    running = lab.run(study)
    wait_until(lambda: lab.epochs_written() >= 5, "the first epochs")
    clock.write_text("-10800")
    code = running.wait()
    print(running.output())
    assert code == 0, running.output()
    times = [(one.datetime_start, one.datetime_complete) for cell in lab.view().cells for one in cell.frozen]
    assert any(began > ended for began, ended in times if began is not None and ended is not None)
    shown = [(trial.started, trial.ended) for cell in lab.view().cells for trial in cell.trials]
    assert all(began <= ended for began, ended in shown if began is not None and ended is not None)
    _assert_undisturbed(lab, Undisturbed(study, tmp_path / "undisturbed"))
    monkeypatch.delenv("LD_PRELOAD")
    assert "trials" in _ran(lab, "show", "disks", "--trials")


def test_a_second_driver_is_told_who_is_at_work(lab: Lab) -> None:
    running = lab.run(STUDY)
    wait_until(lambda: lab.epochs_written() >= 5, "the first epochs")
    said = _ran(lab, "resume", "disks", code=2)
    holder = f"process {running.process.pid} on {socket.gethostname()}"
    assert f"study 'disks' is being run by another process now: {holder}" in said
    assert running.wait() == 0, running.output()
    assert os.path.getsize(lab.path / "driver.lock") > 0
    assert "is finished" in _ran(lab, "resume", "disks")
