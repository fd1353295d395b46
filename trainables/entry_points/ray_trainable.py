"""The Ray Tune Trainable around the training loop: one step is one epoch, actors are reused."""

from __future__ import annotations

import errno
import gc
import time
from pathlib import Path
from typing import Any

import torch
from ray import tune

from trainables.core.config import TrialConfig
from trainables.core.device import device_name, pick_device
from trainables.core.environment import describe_environment
from trainables.core.files import content_of
from trainables.core.metrics import recall_per_class
from trainables.core.trial_folder import Record, TrialFolder
from trainables.data import load
from trainables.shared.shared_needs import SharedNeeds
from trainables.training.checkpoints import newest_checkpoint, save_checkpoint
from trainables.training.evaluation import Evaluation
from trainables.training.finite_watch import NonFiniteLoss
from trainables.training.trainer import Trainer

_LOST_CAUSES = (NonFiniteLoss, torch.OutOfMemoryError)
"""Errors that the same trial would meet again: it fails alone and is not tried once more."""


_MACHINE_FAULTS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.ENOTDIR),
}
"""Errors of a disk or of its folders: no trial is to blame, and each would meet them."""


class ImbalanceTrial(tune.Trainable):
    """One trial under Ray Tune.

    Its configuration is ``{"trial": TrialConfig as JSON, "folder": path, "shared": path, "share_opening": bool,
    "evaluate_test": bool, "threads": n}``. ``evaluate_test``, which may be left out, has the test images evaluated at
    the end, into ``test.json``; nothing else reads them. Checkpoints are written into the trial's own folder and not
    through Tune, so that whoever holds the folder can continue: the same actor, another node, or a new driver after
    everything died. What it shares with other trials is trained first, an epoch a step, in the shared folder.
    """

    _trainer: Trainer | None
    _needs: SharedNeeds | None
    _folder: TrialFolder
    _failure: str | None
    _record: Record | None
    _saved_at: float
    _evaluates_test: bool

    def setup(self, config: dict[str, Any]) -> None:
        """Build the trial and continue from its newest checkpoint, if it has one."""
        gc.freeze()  # what was imported stays: collecting between trials would look through it every time
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Free one trial and build the next in the same process."""
        self._free()
        self._begin(new_config)
        return True

    def cleanup(self) -> None:
        """Free the trial."""
        self._free()

    def step(self) -> dict[str, Any]:
        """Run one epoch; report a lost cause instead of raising it."""
        trainer = self._trainer
        if trainer is not None:
            try:
                if not trainer.finished:
                    if self._needs is not None and not self._needs.met():
                        return {"shared_epoch": self._needs.advance(), "done": False}
                    self._run_epoch(trainer)
                if trainer.finished and self._evaluates_test:
                    self._evaluate_test(trainer)
            except _LOST_CAUSES as error:
                self._give_up(error)
            except OSError as error:
                if error.errno not in _MACHINE_FAULTS:
                    raise
                return {"machine_fault": str(error), "done": True}
        if self._failure is not None or trainer is None:
            return {"failure": self._failure, "done": True}
        spent = self._needs.spent() if self._needs is not None else {}
        return {"record": self._record, "shared": spent, "done": trainer.finished}

    def _give_up(self, error: Exception) -> None:
        if self._needs is not None:
            self._needs.release()
        self._failure, self._trainer, self._needs = f"{type(error).__name__}: {error}", None, None

    def _begin(self, config: dict[str, Any]) -> None:
        torch.set_num_threads(int(config["threads"]))
        self._trainer = self._failure = self._record = self._needs = None
        self._saved_at, self._evaluates_test = time.monotonic(), bool(config.get("evaluate_test", False))
        self._folder = TrialFolder(Path(config["folder"]))
        trial = TrialConfig.model_validate(config["trial"])
        data, device = load(trial.data), pick_device()
        store, share = Path(config["shared"]), bool(config["share_opening"])
        needs = SharedNeeds(trial, data, device, store, self._folder, share_prefix=share)
        try:
            trainer = Trainer(trial, data, device, needs.reference)
        except _LOST_CAUSES as error:
            self._give_up(error)
            return
        self._describe(trainer)
        self._continue(trainer)
        needs.bind(trainer)
        self._trainer, self._needs = trainer, needs

    def _continue(self, trainer: Trainer) -> None:
        state = newest_checkpoint(self._folder.path)
        records = {record["epoch"]: record for record in self._folder.history()}
        epochs = trainer.config.training.epochs
        if state is not None and state["epoch"] >= epochs and epochs not in records:
            # the end is there but not what it found: that is had again by repeating the last epochs
            state = newest_checkpoint(self._folder.path, before=epochs)
        if state is not None:
            trainer.load(state)
            self._record = records.get(trainer.epoch)

    def _describe(self, trainer: Trainer) -> None:
        environment = describe_environment(device_name(trainer.device))
        environment["threads"] = torch.get_num_threads()
        if trainer.config.model.weights is not None:
            environment["weights_sha256"] = content_of(Path(trainer.config.model.weights))
        environment["precision"] = str(trainer.network.autocast or torch.float32).removeprefix("torch.")
        self._folder.write_config(
            {
                "trial": trainer.config.model_dump(mode="json"),
                "data_fingerprint": trainer.data.fingerprint,
                "environment": environment,
            }
        )

    def _run_epoch(self, trainer: Trainer) -> None:
        self._record = trainer.run_epoch()
        self._folder.append_epoch(self._record)
        self._write_evaluation(trainer)
        due = time.monotonic() - self._saved_at >= trainer.config.training.checkpoint_seconds
        if due or trainer.finished:
            save_checkpoint(self._folder.path, trainer.epoch, trainer.state())
            self._saved_at = time.monotonic()

    def _write_evaluation(self, trainer: Trainer) -> None:
        assert trainer.evaluation is not None
        self._folder.write_evaluation(_by_class(trainer, trainer.evaluation))

    def _evaluate_test(self, trainer: Trainer) -> None:
        """Evaluate the test images once, after the last epoch; a process that died before that does it here too."""
        if self._folder.test() is None:
            found = trainer.evaluate(trainer.data.test())
            self._folder.write_test({"metrics": trainer.metrics(found), **_by_class(trainer, found)})

    def _free(self) -> None:
        if self._needs is not None:
            self._needs.release()
        self._trainer = self._needs = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _by_class(trainer: Trainer, found: Evaluation) -> Record:
    """Return what an evaluation says of every class."""
    return {
        "epoch": trainer.epoch,
        "recall": recall_per_class(found.confusion.numpy()).tolist(),
        "confusion": found.confusion.tolist(),
        "class_counts": trainer.data.class_counts.tolist(),
        "class_names": list(trainer.data.class_names),
    }
