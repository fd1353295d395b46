from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from trainables.core.storage_path import write_atomically
from trainables.core.trial_folder import TrialFolder


def _epochs(folder: Path, *epochs: int, **more: float) -> TrialFolder:
    """Make one attempt that finishes these epochs."""
    attempt = TrialFolder(folder)
    attempt.write_config({"trial": {}})
    for epoch in epochs:
        attempt.append_epoch({"epoch": epoch, **more})
    time.sleep(0.01)  # attempts are told apart by when they wrote last
    return attempt


def test_nothing_is_there_before_something_is_written(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "cell" / "00000")
    assert not folder.path.exists()
    assert folder.config() is None
    assert folder.evaluation() is None
    assert folder.history() == []
    assert folder.attempts() == []


def test_what_is_written_is_read_by_another_process_to_come(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "cell" / "00000")
    folder.write_config({"trial": {"seed": 1}})
    folder.append_epoch({"epoch": 1, "loss": 0.5, "few": math.nan, "stage": "plain"})
    folder.write_evaluation({"epoch": 1, "recall": [1.0, math.nan]})
    other = TrialFolder(folder.path)
    assert other.config() == {"trial": {"seed": 1}}
    (record,) = other.history()
    assert (record["epoch"], record["loss"], record["stage"]) == (1, 0.5, "plain")
    assert math.isnan(record["few"])
    evaluation = other.evaluation()
    assert evaluation is not None
    assert evaluation["recall"][0] == 1
    assert math.isnan(evaluation["recall"][1])


def test_attempts_are_kept_apart_and_merged_by_epoch(tmp_path: Path) -> None:
    _epochs(tmp_path, 1, 2, 3, attempt=1)
    _epochs(tmp_path, 3, 4, attempt=2)
    folder = TrialFolder(tmp_path)
    assert [[record["epoch"] for record in attempt] for attempt in folder.attempts()] == [[1, 2, 3], [3, 4]]
    assert [(record["epoch"], record["attempt"]) for record in folder.history()] == [(1, 1), (2, 1), (3, 2), (4, 2)]


def test_two_processes_at_once_do_not_garble_each_other(tmp_path: Path) -> None:
    """A worker that outlives its driver for a moment, and its successor."""
    old, new = TrialFolder(tmp_path), TrialFolder(tmp_path)
    for epoch in range(1, 4):
        old.append_epoch({"epoch": epoch, "loss": 1 / epoch})
        new.append_epoch({"epoch": epoch, "loss": 1 / epoch})
    assert [record["epoch"] for record in TrialFolder(tmp_path).history()] == [1, 2, 3]
    assert len(TrialFolder(tmp_path).attempts()) == 2


def test_a_record_cut_off_anywhere_is_left_out_and_no_other(tmp_path: Path) -> None:
    _epochs(tmp_path, 1, 2, 3, loss=0.25)
    (file,) = tmp_path.glob("epochs-*.jsonl")
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        whole = content[:length].count(b"\n")
        epochs = [record["epoch"] for record in TrialFolder(tmp_path).history()]
        assert epochs in ([1, 2, 3][:whole], [1, 2, 3][: whole + 1])  # a record may lack but its line break
        TrialFolder(tmp_path).append_epoch({"epoch": 9})
        assert TrialFolder(tmp_path).history()[-1] == {"epoch": 9}
        for other in set(tmp_path.glob("epochs-*.jsonl")) - {file}:
            other.unlink()


@pytest.mark.parametrize("damage", [b"{", b"\xff\xfe", b"[1, 2]", b'{"loss": 1}', b'{"epoch": "2"}', b"null"])
def test_a_damaged_line_costs_no_other(damage: bytes, tmp_path: Path) -> None:
    _epochs(tmp_path, 1, 2, 3)
    (file,) = tmp_path.glob("epochs-*.jsonl")
    lines = file.read_bytes().splitlines()
    lines[1] = damage
    file.write_bytes(b"\n".join(lines) + b"\n")
    assert [record["epoch"] for record in TrialFolder(tmp_path).history()] == [1, 3]


@pytest.mark.parametrize("content", ["", "{", "not json", "[]", '{"trial": {}'])
def test_a_damaged_file_is_as_none(content: str, tmp_path: Path) -> None:
    for name in ("trial.json", "evaluation.json"):
        (tmp_path / name).write_text(content)
    assert TrialFolder(tmp_path).config() is None
    assert TrialFolder(tmp_path).evaluation() is None


def test_an_atomic_write_replaces_all_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for durable in (True, False):
        for content in (b"", b"old and long", b"new"):
            write_atomically(path, content, durable=durable)
            assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


_WRITE_ON = """
import sys
from pathlib import Path
from trainables.core.trial_folder import TrialFolder
folder = TrialFolder(Path(sys.argv[1]))
folder.write_config({})
epoch = 0
while True:
    epoch += 1
    folder.append_epoch({"epoch": epoch, "padding": "x" * 20000})
    folder.write_evaluation({"epoch": epoch, "padding": "x" * 200000})
    print(epoch, flush=True)
"""


def test_killed_at_any_moment_everything_that_was_finished_is_there(tmp_path: Path) -> None:
    for kill_after in range(1, 6):
        place = tmp_path / str(kill_after)
        with subprocess.Popen([sys.executable, "-c", _WRITE_ON, str(place)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(kill_after):
                finished = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
        folder = TrialFolder(place)
        epochs = [record["epoch"] for record in folder.history()]
        assert epochs == list(range(1, len(epochs) + 1))
        assert len(epochs) >= finished
        evaluation = folder.evaluation()
        assert evaluation is not None
        assert finished <= evaluation["epoch"] <= len(epochs)
        assert json.loads((place / "trial.json").read_text()) == {}


def test_arrays_come_back_and_damaged_ones_are_as_good_as_none(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    assert folder.arrays("translations") is None
    folder.write_arrays("translations", {"seed": np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3)})
    found = folder.arrays("translations")
    assert found is not None and found["seed"].tolist() == [[[[0, 1, 2], [3, 4, 5]]]]
    path = tmp_path / "translations.npz"
    for damage in (b"", path.read_bytes()[:40]):
        path.write_bytes(damage)
        assert folder.arrays("translations") is None


def _ended(path: Path) -> TrialFolder:
    """A trial that two processes trained, with files of every kind."""
    for epochs in ((1, 2), (2, 3)):
        folder = TrialFolder(path)
        folder.write_config({"trial": {"seed": 1}})
        for epoch in epochs:
            folder.append_epoch({"epoch": epoch, "by": epochs[0]})
        time.sleep(0.01)
    folder.write_evaluation({"epoch": 3})
    folder.write_arrays("mistakes", {"images": np.arange(3)})
    (path / "checkpoint-000003.pt").write_bytes(b"state")
    (path / "logits.parquet").write_bytes(b"logits")
    return folder


def _content(path: Path) -> tuple[object, ...]:
    folder = TrialFolder(path)
    arrays = folder.arrays("mistakes") or {}
    return (
        folder.attempts(),
        folder.history(),
        folder.config(),
        folder.evaluation(),
        arrays["images"].tolist(),
        folder.test(),
    )


def test_a_packed_trial_reads_as_before(tmp_path: Path) -> None:
    before = (_ended(tmp_path), _content(tmp_path))[1]
    reader = TrialFolder(tmp_path)
    reader.config()
    TrialFolder(tmp_path).pack()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-000003.pt", "logits.parquet", "trial.zip"]
    assert _content(tmp_path) == before
    assert reader.history() == before[1]  # it had looked before the files were bundled
    packed = (tmp_path / "trial.zip").read_bytes()
    TrialFolder(tmp_path).pack()
    assert (tmp_path / "trial.zip").read_bytes() == packed


@pytest.mark.parametrize("deleted", range(5))
def test_a_kill_while_packing_loses_nothing(deleted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (_ended(tmp_path), _content(tmp_path))[1]
    unlink, left = Path.unlink, [deleted]

    def dying(path: Path, missing_ok: bool = False) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        unlink(path, missing_ok)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", dying)
        TrialFolder(tmp_path).pack()
    assert _content(tmp_path) == before
    TrialFolder(tmp_path).append_epoch({"epoch": 4})  # by a process that outlived everything
    TrialFolder(tmp_path).pack()
    assert _content(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_in_the_place_of_a_record_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "trial.json").mkdir()
    assert TrialFolder(tmp_path).record("trial") is None
