"""The journal file of a ledger whose folder goes away."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from study.ledger.journal_file import JournalFile
from trainables.core.object_path import StorageFault


def test_a_ledger_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    journal = JournalFile(folder / "ledger.journal", nullcontext())
    journal.append_logs([{"op_code": 0}])
    folder.rename(tmp_path / "moved")
    for _ in range(2):
        with pytest.raises(StorageFault, match=r"ledger\.journal is gone: its folder was moved or removed"):
            journal.append_logs([{"op_code": 0}])
        with pytest.raises(StorageFault, match="is gone"):
            list(journal.read_logs(0))
        folder.mkdir(exist_ok=True)  # a worker writes an epoch
    assert list(folder.iterdir()) == []
    folder.rmdir()
    (tmp_path / "moved").rename(folder)
    journal.append_logs([{"op_code": 1}])
    assert [log["op_code"] for log in journal.read_logs(0)] == [0, 1]
