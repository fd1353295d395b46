"""Weights from a file: both formats, what is refused, and that a training begins from them."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import models as zoo

from trainables.backbones import build_backbone
from trainables.backbones.pretrained_weights import check_weights, load_weights, read_state
from trainables.core.config import ModelConfig, TrialConfig
from trainables.core.errors import BadInput
from trainables.core.files import content_of
from trainables.data import load
from trainables.training.checkpoints import save_checkpoint
from trainables.training.trainer import Trainer

MakeTrial = Callable[..., TrialConfig]
CPU = torch.device("cpu")
KINDS = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64"}


def write_safetensors(path: Path, state: dict[str, Tensor], **changes: Any) -> Path:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, tensor in state.items():
        content = tensor.contiguous().numpy().tobytes()
        places = [len(body), len(body) + len(content)]
        header[name] = {"dtype": KINDS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": places}
        body += content
    header |= changes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def state_of(name: str = "mlp", size: int = 8, seed: int = 5) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return build_backbone(name, 1, size).network.state_dict()


def weights_of(config: TrialConfig) -> list[Tensor]:
    return list(Trainer(config, load(config.data), CPU).network.backbone.state_dict().values())


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "backbone"])
@pytest.mark.parametrize("prefix", ["", "module.", "network.", "module.backbone.network."])
def test_a_state_dict_with_and_without_wrappers(tmp_path: Path, prefix: str, wrapper: str | None) -> None:
    state = state_of()
    renamed: Any = {prefix + name: value for name, value in state.items()}
    torch.save(renamed if wrapper is None else {wrapper: renamed, "epoch": 3}, tmp_path / "w.pt")
    torch.manual_seed(6)
    backbone = build_backbone("mlp", 1, 8)
    load_weights(backbone, tmp_path / "w.pt")
    check_weights("mlp", 1, 8, tmp_path / "w.pt")
    assert all(torch.equal(value, state[name]) for name, value in backbone.network.state_dict().items())


def test_safetensors(tmp_path: Path) -> None:
    state = state_of("resnet20", 8)
    path = write_safetensors(tmp_path / "w.safetensors", {"odd": torch.zeros(1, dtype=torch.float16), **state})
    found = read_state(path)
    assert found.pop("odd").dtype == torch.float16
    assert all(torch.equal(value, state[name]) and value.dtype == state[name].dtype for name, value in found.items())
    assert found.keys() == state.keys()
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    backbone = build_backbone("resnet20", 1, 8)
    load_weights(backbone, write_safetensors(tmp_path / "half.safetensors", half))
    assert all(p.dtype == torch.float32 for p in backbone.parameters())
    assert torch.equal(backbone.network.state_dict()["0.weight"], half["0.weight"].float())


def test_torchvisions_own_file_fits_large_images_and_its_classifier_is_passed_over(tmp_path: Path) -> None:
    torch.manual_seed(0)
    published = zoo.resnet18(num_classes=7)
    state = {k: v for k, v in published.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "resnet18.pth")
    backbone = build_backbone("resnet18", 3, 96)
    load_weights(backbone, tmp_path / "resnet18.pth")
    published.fc = torch.nn.Identity()
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(backbone.eval()(images), published.eval()(images))
    with pytest.raises(BadInput, match=r"it has conv1.weight \(64, 3, 7, 7\) in place of \(64, 3, 3, 3\)\. For images"):
        check_weights("resnet18", 3, 32, tmp_path / "resnet18.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("1.weight"), "it lacks 1.weight"),
        (lambda s: s.update(extra=torch.zeros(1)), "it has beside the network's extra"),
        (lambda s: s.update({"1.bias": torch.zeros(3)}), r"it has 1.bias \(3,\) in place of \(256,\)"),
        (lambda s: s.clear(), "expected a mapping of names to tensors"),
        (lambda s: s.update(note="text"), "expected a mapping of names to tensors"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    state = dict(state_of())
    change(state)
    torch.save(state, tmp_path / "w.pt")
    for refuse in (
        lambda: check_weights("mlp", 1, 8, tmp_path / "w.pt"),
        lambda: load_weights(build_backbone("mlp", 1, 8), tmp_path / "w.pt"),
    ):
        with pytest.raises(BadInput, match=message):
            refuse()


def test_many_faults_are_counted_and_not_listed(tmp_path: Path) -> None:
    torch.save(state_of("mlp"), tmp_path / "w.pt")
    with pytest.raises(BadInput, match=r"it lacks .*, .*, .* and \d+ more"):
        check_weights("resnet20", 1, 8, tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"12345678", b"\xff" * 64, b"\x02" + b"\0" * 7 + b"[]", b"text" * 100])
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=f"weights {tmp_path}/{name}"):
        read_state(tmp_path / name)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
        {"dtype": "F33", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"shape": [1], "data_offsets": [0, 4]},
        "text",
    ],
)
def test_damaged_headers_are_refused(tmp_path: Path, entry: Any) -> None:
    path = write_safetensors(tmp_path / "w.safetensors", {"a": torch.zeros(1)}, a=entry)
    with pytest.raises(BadInput, match="expected a state dict"):
        read_state(path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"a": Evil()}, tmp_path / "w.pt")
    with pytest.raises(BadInput, match="expected a state dict of tensors"):
        read_state(tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()


def test_a_training_begins_from_the_weights(make_trial: MakeTrial, tmp_path: Path) -> None:
    state = state_of()
    torch.save(state, tmp_path / "w.pt")
    plain = make_trial()
    given = plain.model_copy(update={"model": ModelConfig(name="mlp", weights=str(tmp_path / "w.pt"))})
    assert all(torch.equal(a, b) for a, b in zip(weights_of(given), state.values(), strict=True))
    head = Trainer(given, load(given.data), CPU).plan.head.state_dict()
    drawn = Trainer(plain, load(plain.data), CPU).plan.head.state_dict()
    assert all(torch.equal(head[name], drawn[name]) for name in head)  # the head is drawn as ever


def test_a_training_continues_from_another_trainings_checkpoint(make_trial: MakeTrial, tmp_path: Path) -> None:
    before = Trainer(make_trial("ldam"), load(make_trial().data), CPU)
    before.run_epoch()
    save_checkpoint(tmp_path, 1, before.state())
    weights = str(tmp_path / "checkpoint-000001.pt")
    config = make_trial().model_copy(update={"model": ModelConfig(name="mlp", weights=weights)})
    trained = before.network.backbone.state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(weights_of(config), trained, strict=True))


def test_the_fingerprint_follows_the_content_and_not_the_place(make_trial: MakeTrial, tmp_path: Path) -> None:
    def fingerprint(path: Path) -> str:
        return make_trial().model_copy(update={"model": ModelConfig(name="mlp", weights=str(path))}).fingerprint()

    for name, seed in (("one.pt", 1), ("other.pt", 2)):
        torch.save(state_of(seed=seed), tmp_path / name)
    (tmp_path / "moved").mkdir()
    moved = tmp_path / "moved" / "w.pt"
    moved.write_bytes((tmp_path / "one.pt").read_bytes())
    assert fingerprint(tmp_path / "one.pt") == fingerprint(moved)
    assert len({fingerprint(tmp_path / "one.pt"), fingerprint(tmp_path / "other.pt"), make_trial().fingerprint()}) == 3
    before = content_of(moved)
    moved.write_bytes((tmp_path / "other.pt").read_bytes())
    os.utime(moved, (1, 1))
    assert content_of(moved) != before
    with pytest.raises(BadInput, match=r"none.pt: cannot be read \(No such file"):
        fingerprint(tmp_path / "none.pt")
    with pytest.raises(BadInput, match="cannot be read"):
        read_state(tmp_path / "none.pt")
    with pytest.raises(BadInput, match="cannot be read"):
        read_state(tmp_path)


def test_the_place_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert ModelConfig(weights="w.pt").weights == str(tmp_path / "w.pt")
    assert ModelConfig.model_validate(ModelConfig(weights="w.pt").model_dump()) == ModelConfig(weights="w.pt")
