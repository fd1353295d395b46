"""A Trainable as a user of Ray Tune writes it: train an epoch, return its numbers, let Tune keep the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ray import tune

from trainables.core.config import TrialConfig
from trainables.data import load
from trainables.training.trainer import Trainer


class StockTrial(tune.Trainable):
    """The work of our trials, epoch for epoch, around the same training loop."""

    def setup(self, config: dict[str, Any], trial: dict[str, Any] | None = None) -> None:
        """Build the training; ``config`` holds what is searched, ``trial`` the rest, by `tune.with_parameters`."""
        assert trial is not None
        torch.set_num_threads(1)
        given = {**trial, "training": {**trial["training"], "lr": config["lr"]}}
        checked = TrialConfig.model_validate(given)
        self._trainer = Trainer(checked, load(checked.data))

    def step(self) -> dict[str, Any]:
        """Train one epoch and return its record."""
        record = self._trainer.run_epoch()
        return {**record, "done": self._trainer.finished}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save the training, which Tune asks for at its end."""
        torch.save(self._trainer.state(), Path(checkpoint_dir) / "state.pt")

    def load_checkpoint(self, checkpoint: dict[str, Any] | str | None) -> None:
        """Continue a training."""
        self._trainer.load(torch.load(Path(str(checkpoint)) / "state.pt", weights_only=True))
