from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from trainables.components.heads import Head, LinearHead
from trainables.components.network import Outputs
from trainables.components.posthoc.empirical_offset import EmpiricalOffset
from trainables.data import load
from trainables.training.trainer import Trainer


def test_is_half_of_mean_times_weight_off_every_logit() -> None:
    torch.manual_seed(0)
    head = LinearHead(3, 4, bias=False).double()
    f, means = torch.randn(5, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    ours = EmpiricalOffset().logits(head, Outputs(f, head(f)), 1.0, means)
    w, m = head.weight.detach().numpy(), means.numpy()
    expected = [[sum(w[k] * x) - sum(m[k] * w[k]) / 2 for k in range(4)] for x in f.numpy()]
    np.testing.assert_allclose(ours.detach(), expected, rtol=0, atol=1e-10)


def test_a_factor_of_zero_leaves_the_logits() -> None:
    head, f = LinearHead(3, 4, bias=False), torch.randn(5, 3)
    outputs = Outputs(f, head(f))
    assert torch.equal(EmpiricalOffset().logits(head, outputs, 0.0, torch.randn(4, 3)), outputs.logits)


def test_it_has_one_candidate_and_asks_for_class_means() -> None:
    assert EmpiricalOffset().values == (1.0,)
    assert EmpiricalOffset().needs_class_means


def test_the_training_takes_it_from_the_training_images(make_trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_trial("empirical-offset", epochs=1)
    trainer = Trainer(config, load(config.data), torch.device("cpu"))
    seen = []
    original = EmpiricalOffset.logits

    def spy(self: EmpiricalOffset, head: Head, outputs: Outputs, value: float, means: torch.Tensor) -> torch.Tensor:
        seen.append((value, means))
        return original(self, head, outputs, value, means)

    monkeypatch.setattr(EmpiricalOffset, "logits", spy)
    record = trainer.run_epoch()
    (value, means), images = seen[0], trainer._pipeline(trainer.data.train)
    features = torch.cat([trainer.network.features(batch).detach() for batch, _ in images.in_order(512)])
    expected = torch.stack([features[images.labels == k].mean(dim=0) for k in range(10)])
    assert value == record["posthoc_value"] == 1.0
    torch.testing.assert_close(means, expected)
