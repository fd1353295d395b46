"""A vision transformer and a residual network of timm under the methods of the five papers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.core.config import ModelConfig, TrialConfig
from trainables.data import load
from trainables.training.exported_network import classifier_of, exported_network
from trainables.training.trainer import Trainer

pytest.importorskip("timm")

MakeTrial = Callable[..., TrialConfig]
PAPERS = ("cce", "offset", "elm", "m2m", "affinity")
NETWORKS = {
    "vit": ModelConfig(name="timm/test_vit", options={"patch_size": 4, "depth": 2, "drop_path_rate": 0.2}),
    "resnet": ModelConfig(name="timm/test_resnet"),
}
EPOCHS = 3


def _trainer(make_trial: MakeTrial, method: str, network: str) -> Trainer:
    trial = make_trial(method, epochs=EPOCHS, lr=0.02, data={"image_size": 16, "profile": {"ratio": 50}})
    trial = trial.model_copy(update={"model": NETWORKS[network]})
    return Trainer(trial, load(trial.data), torch.device("cpu"))


def _records(trainer: Trainer, until: int = EPOCHS) -> list[dict[str, Any]]:
    found = []
    while trainer.epoch < until:
        record = trainer.run_epoch()
        found.append({name: repr(value) for name, value in record.items() if name != "images_per_second"})
    return found


def _weights(trainer: Trainer) -> dict[str, Tensor]:
    return trainer.network.state_dict()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", PAPERS)
def test_a_training_that_is_stopped_goes_on_bit_for_bit(make_trial: MakeTrial, method: str, network: str) -> None:
    whole = _trainer(make_trial, method, network)
    records = _records(whole)
    first = _trainer(make_trial, method, network)
    assert _records(first, 2) == records[:2]
    second = _trainer(make_trial, method, network)
    second.load(first.state())
    assert _records(second) == records[2:]
    assert all(torch.equal(value, _weights(whole)[name]) for name, value in _weights(second).items())


@pytest.mark.parametrize("network", NETWORKS)
def test_it_learns_and_its_exported_program_gives_the_same_logits(make_trial: MakeTrial, network: str) -> None:
    trainer = _trainer(make_trial, "erm", network)
    records = _records(trainer)
    assert float(records[-1]["train_loss"]) < 0.8 * float(records[0]["train_loss"])
    images = trainer.data.validation.images[:7]
    with torch.no_grad():
        expected = classifier_of(trainer)(images)
    content, example = exported_network(trainer, trainer.data.validation)
    import io

    program = torch.export.load(io.BytesIO(content)).module()
    assert torch.allclose(program(images), expected, rtol=1e-4, atol=1e-5)
    assert example["logits"].shape == (4, 10)
