"""Checkpoints that are damaged, foreign or hostile."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import pytest
import torch

from trainables.checkpoints import KEPT, newest_checkpoint, remove_checkpoints, save_checkpoint


def _state(epoch: int) -> dict[str, object]:
    return {"epoch": epoch, "backbone": {"weight": torch.full((3,), float(epoch))}}


def test_the_newest_is_read_and_the_oldest_are_removed(tmp_path: Path) -> None:
    for epoch in range(1, 6):
        save_checkpoint(tmp_path, epoch, _state(epoch))
    state = newest_checkpoint(tmp_path)
    assert state is not None and state["epoch"] == 5
    assert torch.equal(state["backbone"]["weight"], torch.full((3,), 5.0))
    assert len(list(tmp_path.glob("checkpoint-*.pt"))) == KEPT


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_cut_off_checkpoint_is_skipped_for_the_one_before(
    tmp_path: Path, share: float, caplog: pytest.LogCaptureFixture
) -> None:
    save_checkpoint(tmp_path, 1, _state(1))
    save_checkpoint(tmp_path, 2, _state(2))
    newest = tmp_path / "checkpoint-000002.pt"
    content = newest.read_bytes()
    newest.write_bytes(content[: int(share * len(content))])
    with caplog.at_level(logging.WARNING):
        state = newest_checkpoint(tmp_path)
    assert state is not None and state["epoch"] == 1
    assert "epoch 2" in caplog.text


def test_without_a_readable_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    save_checkpoint(tmp_path, 1, _state(1))
    (tmp_path / "checkpoint-000001.pt").write_bytes(b"")
    assert newest_checkpoint(tmp_path) is None


class _Trap:
    def __init__(self, sign: str) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return open, (self.sign, "w")  # type: ignore[return-value]


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    sign = tmp_path / "sprung"
    torch.save({"epoch": 1, "trap": _Trap(str(sign))}, tmp_path / "checkpoint-000001.pt")
    (tmp_path / "checkpoint-000002.pt").write_bytes(pickle.dumps(_Trap(str(sign))))
    assert newest_checkpoint(tmp_path) is None
    assert not sign.exists()


def test_a_half_written_file_is_not_taken_for_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint-000009.pt.0123").write_bytes(b"half")
    save_checkpoint(tmp_path, 1, _state(1))
    state = newest_checkpoint(tmp_path)
    assert state is not None and state["epoch"] == 1


def test_removing_frees_all(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, _state(1))
    remove_checkpoints(tmp_path)
    assert list(tmp_path.glob("checkpoint-*.pt")) == []
