"""The trained network of a stored trial, rebuilt from its last checkpoint."""

from __future__ import annotations

import torch

from trainables.core.config import TrialConfig
from trainables.core.errors import BadInput
from trainables.core.storage_path import StoragePath
from trainables.data import load, prepare
from trainables.training.checkpoints import newest_checkpoint
from trainables.training.exported_network import Classifier, classifier_of
from trainables.training.trainer import Trainer


def restored_classifier(config: TrialConfig, folder: StoragePath) -> Classifier | None:
    """Return the network that a trial was evaluated with, from stored images to logits, on the CPU.

    Args:
        config: of the trial.
        folder: of the trial, with its checkpoint.

    Returns:
        The network, or None if the folder holds no checkpoint.

    Raises:
        BadInput: the data cannot be had, or the checkpoint is another training's.
    """
    state = newest_checkpoint(folder)
    if state is None:
        return None
    prepare(config.data)
    trainer = Trainer(config, load(config.data), torch.device("cpu"))
    try:
        trainer.load(state)
    except ValueError as error:
        raise BadInput(f"{folder}: {error}") from None
    if state.get("selected") is not None:
        trainer.take_weights(state["selected"])
    return classifier_of(trainer)
