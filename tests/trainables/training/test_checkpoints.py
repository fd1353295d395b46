from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.core.config import FIRST_DEFAULTS, MethodConfig, TrialConfig
from trainables.data import load
from trainables.methods.registry import METHODS, build_params
from trainables.training.checkpoints import KEPT, newest_checkpoint, remove_checkpoints, save_checkpoint
from trainables.training.trainer import Trainer

MakeTrial = Callable[..., TrialConfig]
CPU = torch.device("cpu")


def _state(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "weights": torch.full((50,), float(epoch)), "nested": {"list": [1, "a", None, 2.5]}}


def _saved(folder: Path, *epochs: int) -> list[Path]:
    for epoch in epochs:
        save_checkpoint(folder, epoch, _state(epoch))
    return sorted(folder.glob("checkpoint-*.pt"))


def _newest(folder: Path) -> int | None:
    state = newest_checkpoint(folder)
    return None if state is None else state["epoch"]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    _saved(tmp_path, 3)
    state = newest_checkpoint(tmp_path)
    assert state is not None
    assert torch.equal(state.pop("weights"), torch.full((50,), 3.0))
    assert state == {"epoch": 3, "nested": {"list": [1, "a", None, 2.5]}}


def test_the_newest_wins_and_a_few_are_kept(tmp_path: Path) -> None:
    assert KEPT >= 2  # one, and the one before it
    files = _saved(tmp_path, 8, 9, 10, 1000000)
    assert [file.name for file in files] == ["checkpoint-000010.pt", "checkpoint-1000000.pt"]
    assert _newest(tmp_path) == 1000000
    assert sorted(tmp_path.iterdir()) == files


def test_without_checkpoints_there_is_none(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "no folder") is None


def test_a_checkpoint_cut_off_anywhere_is_skipped_for_the_one_before(tmp_path: Path) -> None:
    _, newest = _saved(tmp_path, 1, 2)
    content = newest.read_bytes()
    for length in [*range(0, len(content), max(1, len(content) // 60)), len(content) - 1]:
        newest.write_bytes(content[:length])
        assert _newest(tmp_path) == 1, length
    newest.write_bytes(content)
    assert _newest(tmp_path) == 2


def test_a_checkpoint_with_changed_bytes_is_never_used_as_if_it_were_whole(tmp_path: Path) -> None:
    _, newest = _saved(tmp_path, 1, 2)
    content = newest.read_bytes()
    place = content.index(torch.full((50,), 2.0).numpy().tobytes())
    newest.write_bytes(content[: place + 40] + b"\xff\xff\xff\xff" + content[place + 44 :])
    assert _newest(tmp_path) == 1


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04" + bytes(100)])
def test_when_all_are_damaged_there_is_none(content: bytes, tmp_path: Path) -> None:
    for file in _saved(tmp_path, 1, 2):
        file.write_bytes(content)
    assert newest_checkpoint(tmp_path) is None


class _Trap:
    def __init__(self, sprung: Path) -> None:
        self._sprung = sprung

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._sprung,)


def test_code_in_a_checkpoint_is_refused_and_never_run(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    _, newest = _saved(tmp_path, 1, 2)
    buffer = io.BytesIO()
    torch.save({**_state(2), "trap": _Trap(sprung)}, buffer)
    newest.write_bytes(buffer.getvalue())
    assert _newest(tmp_path) == 1
    newest.write_bytes(pickle.dumps(_Trap(sprung)))
    assert _newest(tmp_path) == 1
    assert not sprung.exists()
    torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
    assert sprung.exists()  # the trap does work


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    others = [tmp_path / name for name in ("checkpoint-x.pt", ".checkpoint-000009.pt.abc", "checkpoint-3.pt.bak")]
    for other in others:
        other.write_bytes(b"?")
    _saved(tmp_path, 1, 2, 3)
    assert _newest(tmp_path) == 3
    remove_checkpoints(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_writing_that_fails_leaves_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _saved(tmp_path, 1)

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path, 2, _state(2))
    assert _newest(tmp_path) == 1


def _timeless(record: dict[str, Any]) -> dict[str, str]:
    return {name: repr(value) for name, value in record.items() if name != "images_per_second"}


def test_after_damage_a_training_continues_from_the_one_before_with_the_same_numbers(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    config = make_trial("ldam-drw", epochs=4)
    data = load(config.data)
    trainer, records = Trainer(config, data), []
    while not trainer.finished:
        records.append(_timeless(trainer.run_epoch()))
        if trainer.epoch < 4:
            save_checkpoint(tmp_path, trainer.epoch, trainer.state())
    newest = tmp_path / "checkpoint-000003.pt"
    newest.write_bytes(newest.read_bytes()[:-200])
    state = newest_checkpoint(tmp_path)
    assert state is not None
    resumed = Trainer(config, data)
    resumed.load(state)
    assert resumed.epoch == 2
    assert [_timeless(resumed.run_epoch()) for _ in range(2)] == records[2:]


def test_a_checkpoint_of_another_configuration_is_refused(make_trial: MakeTrial, tmp_path: Path) -> None:
    config = make_trial()
    save_checkpoint(tmp_path, 0, Trainer(config, load(config.data)).state())
    state = newest_checkpoint(tmp_path)
    assert state is not None
    for other in (make_trial(seed=1), make_trial("cce"), make_trial(lr=0.06), make_trial(data={"subset_seed": 1})):
        with pytest.raises(ValueError, match="written by another configuration"):
            Trainer(other, load(other.data)).load(state)
    Trainer(config, load(config.data)).load(state)


DEFAULTS = [
    (name, field, build_params(MethodConfig(name=name)).model_dump()[field])
    for name in ("affinity", "elm", "elm-drw", "offset")
    for field in METHODS[name].presets[FIRST_DEFAULTS]
]


@pytest.mark.parametrize(("method", "field", "recommended"), DEFAULTS)
def test_presets_of_one_digest_are_told_apart_by_their_values(
    method: str, field: str, recommended: float, make_trial: MakeTrial
) -> None:
    def under(preset: str, **params: float) -> TrialConfig:
        return make_trial().model_copy(update={"method": MethodConfig(name=method, preset=preset, params=params)})

    first, today = under(FIRST_DEFAULTS), under("recommended")
    assert first.fingerprint() == today.fingerprint()
    data = load(first.data)
    state = Trainer(first, data, CPU).state()
    Trainer(first, data, CPU).load(state)
    with pytest.raises(ValueError, match=rf"`{field}` .*, not {recommended}"):
        Trainer(today, data, CPU).load(state)
    Trainer(today, data, CPU).load({name: value for name, value in state.items() if name != "resolved"})  # an older one
    # with the value set by hand only the name differs: it is the same training
    Trainer(under(FIRST_DEFAULTS, **{field: 0.5}), data, CPU).load(
        Trainer(under("recommended", **{field: 0.5}), data, CPU).state()
    )


def test_precisions_of_one_digest_are_told_apart_where_their_dtypes_differ(
    make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    automatic, native = make_trial(precision="auto"), make_trial(precision="native")
    assert automatic.fingerprint() == native.fingerprint()
    data = load(automatic.data)
    for multiplies in (False, True):
        monkeypatch.setattr("trainables.core.device.multiplies_bfloat16", lambda _, found=multiplies: found)
        state = Trainer(automatic, data, CPU).state()
        if multiplies:
            with pytest.raises(ValueError, match=r"with precision auto \(float32\), not native \(bfloat16\)"):
                Trainer(native, data, CPU).load(state)
        else:
            Trainer(native, data, CPU).load(state)
    moved = Trainer(native, data, CPU).state()
    monkeypatch.setattr("trainables.core.device.multiplies_bfloat16", lambda _: False)
    Trainer(native, data, CPU).load(moved)  # to another device, under the same name


def test_only_checkpoints_before_an_epoch_can_be_asked_for(tmp_path: Path) -> None:
    _saved(tmp_path, 3, 4)
    for before, found in ((5, 4), (4, 3), (3, None)):
        state = newest_checkpoint(tmp_path, before=before)
        assert (state and state["epoch"]) == found
