"""A Trainable as a Ray Tune user would write it: train an epoch, return its results, let Tune keep the checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ray import tune

from trainables.core.config import TrialConfig
from trainables.data import load
from trainables.training.trainer import Trainer


class StockTrial(tune.Trainable):
    """The same epochs as in our trials, around the same training loop."""

    def setup(self, config: dict[str, Any], trial: dict[str, Any] | None = None) -> None:
        """Build the training: ``config`` holds the searched values, ``trial`` the rest (`tune.with_parameters`)."""
        assert trial is not None
        torch.set_num_threads(1)
        given = {**trial, "training": {**trial["training"], "lr": config["lr"]}}
        checked = TrialConfig.model_validate(given)
        self._trainer = Trainer(checked, load(checked.data))

    def step(self) -> dict[str, Any]:
        """Train one epoch and return its result."""
        record = self._trainer.run_epoch()
        return {**record, "done": self._trainer.finished}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save the training; Tune requests this at its end."""
        torch.save(self._trainer.state(), Path(checkpoint_dir) / "state.pt")

    def load_checkpoint(self, checkpoint: dict[str, Any] | str | None) -> None:
        """Restore a training from its checkpoint."""
        self._trainer.load(torch.load(Path(str(checkpoint)) / "state.pt", weights_only=True))


class EndedTrials(tune.Callback):
    """Calls a function when a trial has ended; Tune's stored copy of it calls none."""

    def __init__(self, act: Callable[[], None]) -> None:
        """Call ``act``."""
        self._act = act

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Call it."""
        self._act()

    def __getstate__(self) -> dict[str, Any]:
        return {}
