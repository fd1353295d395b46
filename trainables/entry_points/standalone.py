"""One training without Ray: the loop, its epochs in a folder, its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from trainables.components.network import Network
from trainables.core.config import TrialConfig
from trainables.core.device import pick_device
from trainables.core.errors import BadInput
from trainables.core.object_path import SCHEMES
from trainables.core.trial_folder import EpochResult, StoredJson, TrialFolder
from trainables.data import StudyData, load, prepare
from trainables.shared_trainings.shared_training import SharedTraining, shared_reference
from trainables.training.checkpoints import newest_checkpoint, save_checkpoint
from trainables.training.final_artifacts import write_end_arrays
from trainables.training.finite_watch import NonFiniteLoss
from trainables.training.trainer import FindReference, Trainer

Say = Callable[[str], None]
Ending = Callable[[Say], StoredJson]
Extra = Callable[[Trainer], Ending]
"""Checks what it needs before the training, and returns what is done after it."""

_SHOWN = ("train_loss", "loss", "accuracy", "balanced_accuracy", "geometric_mean", "worst_recall")


def train_once(
    config: TrialConfig,
    *,
    output: Path | None,
    with_test: bool,
    say: Say,
    extras: Sequence[Extra] = (),
    on_epoch: Callable[[EpochResult], None] | None = None,
) -> StoredJson:
    """Train to the end of the budget.

    Args:
        config: what to train.
        output: folder of epochs and checkpoints, to continue from; None keeps nothing.
        with_test: evaluate on the test images at the end.
        say: prints a line.
        extras: what else is done at the end, such as `verification` of this room.
        on_epoch: called with the result of every epoch, also of those that an earlier call trained.

    Returns:
        The last epoch's result, with ``test_...`` metrics and what the extras found beside it.

    Raises:
        BadInput: the data cannot be had, or the folder holds another training.
    """
    if output is not None and str(output).startswith(tuple(f"{scheme}:/" for scheme in SCHEMES)):
        raise BadInput(f"--output {output}: must be a local folder; object storage holds studies alone")
    prepare(config.data)
    data, device = load(config.data), pick_device()
    trainer = Trainer(config, data, device, None if output is None else _kept_in(output, data, device))
    if data.other_test is not None:
        say(f"{config.data.dataset}: {data.other_test.said}")
    endings = [extra(trainer) for extra in extras]
    folder = _open(trainer, output) if output is not None else None
    say(
        f"{config.method.name} on {len(trainer.data.train.labels)} images of {config.data.dataset}, "
        f"{config.model.name}, {trainer.device}, {trainer.network.autocast or 'float32'}"
    )
    result: EpochResult = {}
    if folder is not None and on_epoch is not None:
        for earlier in folder.history()[: trainer.epoch]:
            on_epoch(earlier)
    while not trainer.finished:
        try:
            result = trainer.run_epoch()
        except NonFiniteLoss as error:
            raise BadInput(f"the training diverged: {error}") from None
        say(_line(result, config.training.epochs))
        if on_epoch is not None:
            on_epoch(dict(result))
        if folder is not None:
            if trainer.finished:
                write_end_arrays(trainer, folder)
            folder.append_epoch(result)
            save_checkpoint(folder.path, trainer.epoch, trainer.state())
    if with_test:
        result |= _test(trainer, say)
    for ending in endings:
        result |= ending(say)
    return result


def _kept_in(output: Path, data: StudyData, device: torch.device) -> FindReference:
    """Keep the network that the method refers to in the output folder, where going on finds it again."""

    def find(needed: TrialConfig) -> Network:
        return shared_reference(SharedTraining(output / "shared", needed, needed.training.epochs, data, device))

    return find


def _open(trainer: Trainer, output: Path) -> TrialFolder:
    folder = TrialFolder(output)
    state = newest_checkpoint(output)
    if state is not None:
        try:
            trainer.load(state)
        except ValueError as error:
            raise BadInput(f"--output {output}: {error}; name an empty folder") from None
    try:
        other = trainer.data.other_test
        tested = {} if other is None else {"test_images": other.recorded}
        folder.write_config({"trial": trainer.config.model_dump(mode="json"), **tested})
    except OSError as error:
        raise BadInput(f"--output {output}: cannot be written ({error.strerror})") from None
    return folder


def _line(result: EpochResult, epochs: int) -> str:
    shown = "  ".join(f"{name} {result[name]:.4f}" for name in _SHOWN)
    return f"epoch {result['epoch']:>3}/{epochs}  {shown}  {result['images_per_second']:.0f} images/s"


def _test(trainer: Trainer, say: Say) -> StoredJson:
    found = trainer.evaluate(trainer.data.test())
    metrics = trainer.metrics(found)
    say("test  " + "  ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    return {f"test_{name}": value for name, value in metrics.items()}
