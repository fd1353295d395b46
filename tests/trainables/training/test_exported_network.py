from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch

from trainables.core.config import TrialConfig
from trainables.data import load
from trainables.training.exported_network import exported_network
from trainables.training.trainer import Trainer

MakeTrial = Callable[..., TrialConfig]


HEADS = ("erm", "ldam", "offset", "fslwf", "oltr", "affinity")
POSTHOC = ("posthoc-logit-adjustment", "tau-norm", "empirical-offset")


@pytest.mark.parametrize("method", [*HEADS, *POSTHOC])
def test_the_program_gives_the_logits_of_the_training(make_trial: MakeTrial, method: str) -> None:
    config = make_trial(method, epochs=1)
    trainer = Trainer(config, load(config.data))
    trainer.run_epoch()
    test = trainer.data.test()

    program, example = exported_network(trainer, test)

    loaded = torch.export.load(io.BytesIO(program)).module()
    images = torch.as_tensor(np.asarray(test.images))
    wanted = trainer.outputs(test).logits
    for rows in (slice(0, 1), slice(0, 37), slice(None)):
        torch.testing.assert_close(loaded(images[rows]), wanted[rows], rtol=1e-4, atol=1e-4)
    assert example["images"].dtype == np.uint8
    np.testing.assert_allclose(example["logits"], wanted[: len(example["images"])], rtol=1e-4, atol=1e-4)
