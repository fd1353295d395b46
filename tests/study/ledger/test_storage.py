from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from study.ledger.storage import open_storage
from trainables.core.errors import BadInput


def _study(storage: BaseStorage) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=storage, load_if_exists=True)


def _write_some(folder: Path) -> bytes:
    study = _study(open_storage(folder, None))
    for value in (0.5, 0.25):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.report(value, 1)
        study.tell(trial, value)
    return (folder / "ledger.journal").read_bytes()


def test_a_cut_anywhere_in_the_last_epoch_results_loses_nothing_but_the_torn_one(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    content = _write_some(first)
    lines = content.splitlines(keepends=True)
    folder = tmp_path / "cut"
    folder.mkdir()
    journal = folder / "ledger.journal"
    for offset in range(len(content) - sum(map(len, lines[-2:])), len(content) + 1):
        journal.write_bytes(content[:offset])
        whole = content[:offset].rfind(b"\n") + 1
        storage = open_storage(folder, None)
        assert journal.read_bytes() == content[:whole]
        trial = _study(storage).ask()  # the next record must not be appended to the incomplete line
        after = journal.read_bytes()
        assert after.startswith(content[:whole])
        assert all(json.loads(line) for line in after.splitlines())
        reopened = _study(open_storage(folder, None)).get_trials()
        assert reopened[-1].number == trial.number


@pytest.mark.parametrize("content", [None, b"", b'{"op_code": 0, "study'])
def test_starts_from_nothing_or_from_a_first_record_cut_off(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "ledger.journal").write_bytes(content)
    assert _study(open_storage(tmp_path, None)).ask().number == 0


def test_readers_pass_over_a_record_that_is_just_being_written(tmp_path: Path) -> None:
    content = _write_some(tmp_path)
    journal = tmp_path / "ledger.journal"
    journal.write_bytes(content[:-7])
    (study,) = open_storage(tmp_path, None, writable=False).get_all_studies()
    assert study.study_name == "s"
    assert journal.read_bytes() == content[:-7]


def test_locking_leaves_nothing_that_could_block(tmp_path: Path) -> None:
    _write_some(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.journal", "ledger.lock"]
    assert (tmp_path / "ledger.lock").stat().st_size == 0


_HOLD = """
import sys, time
from pathlib import Path
from trainables.core.kernel_lock import KernelLock
lock = KernelLock(Path(sys.argv[1]) / "ledger.lock")
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


def test_a_killed_holder_of_the_lock_holds_nobody_up(tmp_path: Path) -> None:
    _write_some(tmp_path)
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        os.kill(holder.pid, signal.SIGKILL)
    began = time.monotonic()
    _study(open_storage(tmp_path, None)).ask()
    assert time.monotonic() - began < 5  # with Optuna's own lock, this would wait half a minute


_WRITE = """
import sys
from pathlib import Path
from study.ledger.storage import open_storage
import optuna
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.load_study(study_name="s", storage=open_storage(Path(sys.argv[1]), None, writable=False))
for _ in range(40):
    study.tell(study.ask(), 1.0)
"""


def test_two_processes_write_whole_records(tmp_path: Path) -> None:
    study = _study(open_storage(tmp_path, None))
    other = subprocess.Popen([sys.executable, "-c", _WRITE, str(tmp_path)])
    mine = 0
    while other.poll() is None:
        study.tell(study.ask(), 1.0)
        mine += 1
    assert other.returncode == 0
    trials = _study(open_storage(tmp_path, None)).get_trials(states=(TrialState.COMPLETE,))
    assert len(trials) == mine + 40
    assert [trial.number for trial in trials] == list(range(mine + 40))


def test_a_database_by_url(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    _study(open_storage(tmp_path, url)).ask()
    assert len(_study(open_storage(tmp_path, url)).get_trials()) == 1
    assert not (tmp_path / "ledger.journal").exists()


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://me:secret@127.0.0.1:1/ledger", "nonsense://me:secret@host/db", "no url at all"]
)
def test_a_database_that_cannot_be_reached_is_bad_input_without_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"records\.ledger: cannot open") as caught:
        open_storage(tmp_path, url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("line", [b"not json", b"\xff\xfe", b"5", b"{}", b"null", b'{"op_code": 99, "worker_id": "x"}'])
def test_a_journal_damaged_in_its_middle_is_named(line: bytes, tmp_path: Path) -> None:
    lines = _write_some(tmp_path).splitlines()
    lines[3] = line
    (tmp_path / "ledger.journal").write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(BadInput, match=r"ledger\.journal: line 4"):
        open_storage(tmp_path, None)


def test_a_write_that_fails_halfway_leaves_no_half_line(tmp_path: Path) -> None:
    study = _study(open_storage(tmp_path, None))
    journal = tmp_path / "ledger.journal"
    before = journal.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            study.ask()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert journal.read_bytes() == before
    assert study.ask().number == 0  # the same process goes on
    assert len(_study(open_storage(tmp_path, None)).get_trials()) == 1


def test_lines_of_earlier_versions_have_no_checksum(tmp_path: Path) -> None:
    lines = _write_some(tmp_path).splitlines()
    plain = [line[: line.index(b',"crc32"')] + b"}" for line in lines]
    (tmp_path / "ledger.journal").write_bytes(b"\n".join([*plain[:5], *lines[5:]]) + b"\n")
    assert [trial.value for trial in _study(open_storage(tmp_path, None)).get_trials()] == [0.5, 0.25]


@pytest.mark.parametrize("at", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_flipped_bit_is_noticed_in_every_line(at: float, tmp_path: Path) -> None:
    whole = bytearray(_write_some(tmp_path))
    whole[int(len(whole) * at)] ^= 2
    (tmp_path / "ledger.journal").write_bytes(whole)
    if whole.endswith(b"\n"):
        with pytest.raises(BadInput, match=r"ledger\.journal: line \d+ was changed after it was written"):
            open_storage(tmp_path, None, writable=False)
