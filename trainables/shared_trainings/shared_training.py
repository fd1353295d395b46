"""Shared trainings: trained once, stored beside the studies, found again by fingerprint.

A method with stages repeats the training of a simpler method until its last stage begins (`Method.shared_prefix`).
Some methods need a whole training of another one (`Method.reference`). Both are a `TrialConfig` and a number of epochs.
The folder is named by a hash of everything that determines the training; wanted states are pinned there by epoch.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from trainables.components.network import Network
from trainables.core.config import TrialConfig
from trainables.core.device import autocast_dtype, device_name
from trainables.core.environment import code_fingerprint
from trainables.core.locks import lock_at
from trainables.core.step_progress import OnStep
from trainables.core.storage_path import StoragePath, mark_used
from trainables.core.trial_folder import EpochResult, TrialFolder
from trainables.core.workers import ALONE, Workers
from trainables.data import StudyData
from trainables.shared_trainings.stored_trainings import key_of
from trainables.training.checkpoints import (
    load_state,
    newest_checkpoint,
    remove_checkpoints,
    save_checkpoint,
    save_state,
)
from trainables.training.trainer import Trainer
from trainables.training.training_state import State

_LOCK_PATIENCE = 120.0
"""Seconds for which a trial waits for the database of its locks."""
_POLL = 0.2
"""Seconds between two checks for a state that another process trains."""


class SharedTraining:
    """One training in the shared store, run by the process that holds its lock.

    Args:
        store: the folder of all shared trainings.
        config: the configuration of the training.
        until: the epoch whose state is wanted.
        data: the data set of the configuration.
        device: the device to train on.
        locks: URL of the database that holds the locks of a store on object storage; None for a local folder.
        workers: the processes that train it together: `state` is of this process alone, `find` and `run_epoch` are of
            all at once, and the one that leads holds the lock and writes.
    """

    def __init__(
        self,
        store: StoragePath,
        config: TrialConfig,
        until: int,
        data: StudyData,
        device: torch.device,
        locks: str | None = None,
        workers: Workers = ALONE,
    ) -> None:
        self.workers = workers
        self.config, self.until, self.data, self.device = config, until, data, device
        self._identity = _identity(config, data, device, workers)
        self.path = store / key_of(self._identity)
        self._folder = TrialFolder(self.path, writes=workers.leads)
        self._lock = lock_at(self.path / "lock", locks, _LOCK_PATIENCE)
        self._trainer: Trainer | None = None
        self._saved_at = 0.0

    def state(self) -> State | None:
        """Return the state wanted, or None while it is not there.

        A damaged one is as good as none, and so is that of another training. Beside what `Trainer.state` says it holds
        ``records``, the results of all epochs up to it.
        """
        state = load_state(self._pin)
        if state is None or not self._is_own(state) or state["epoch"] != self.until:
            return None
        mark_used(self._pin)  # what nobody uses can be found and removed
        return state

    def _is_own(self, state: State) -> bool:
        return bool(state["fingerprint"] == self.config.fingerprint())

    def find(self) -> State | None:
        """Return `state` in every process or in none: the one that leads decides.

        Raises:
            OSError: the process that leads has found the state and this one has not.
        """
        state = self.state() if self.workers.leads else None
        if not self.workers.agreed(int(state is not None)):
            return None
        state = self.state() if state is None else state
        if state is None:
            raise OSError(f"{self._pin} is there for one worker of the trial and not for another")
        return state

    @property
    def _pin(self) -> StoragePath:
        return self.path / f"state-{self.until:06d}.pt"

    def acquire(self) -> bool:
        """Take the training on, unless another process has; the lock is freed when its holder dies.

        A database frees it also when it restarts. Another process may then have taken it, and the training with it:
        this one leaves what it has trained and waits.
        """
        held = bool(self.workers.agreed(int(self._acquire() if self.workers.leads else False)))
        if not held:
            self._trainer = None
        return held

    def _acquire(self) -> bool:
        if self._lock.held:
            if not self._lock.still_held():
                self._trainer = None
            return self._lock.held
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            return self._lock.try_acquire()
        except FileNotFoundError:  # removed since
            return False

    def release(self) -> None:
        """Let another process have it."""
        self._trainer = None
        self._lock.release()

    def run_epoch(self, on_step: OnStep | None = None) -> EpochResult:
        """Train the next epoch, holding the lock; the last one pins the state.

        Args:
            on_step: as in `Trainer.run_epoch`.
        """
        trainer = self._trainer = self._trainer or self._begin()
        result = trainer.run_epoch(on_step)
        self._folder.append_epoch(result)
        if not self.workers.leads:
            return result
        if trainer.epoch >= self.until:
            # of a training that went further before, later epochs are there, too
            epochs = [one for one in self._folder.history() if one["epoch"] <= self.until]
            save_state(self._pin, {**trainer.state(), "records": epochs})  # the key that stored states have
            remove_checkpoints(self.path)
        elif time.monotonic() - self._saved_at >= self.config.training.checkpoint_seconds:
            save_checkpoint(self.path, trainer.epoch, trainer.state())
            self._saved_at = time.monotonic()
        return result

    def _begin(self) -> Trainer:
        trainer = Trainer(self.config, self.data, self.device, workers=self.workers)
        self._folder.write_config({"trial": self.config.model_dump(mode="json"), "identity": self._identity})
        pinned: list[StoragePath] = list(self.path.glob("state-*.pt"))
        found = [newest_checkpoint(self.path), *map(load_state, pinned)]
        own = [state for state in found if state is not None and self._is_own(state)]
        before = [state for state in own if state["epoch"] < self.until]
        if before:
            trainer.load(max(before, key=lambda state: int(state["epoch"])))
        if trainer.epoch != self.workers.agreed(trainer.epoch):
            raise OSError(f"{self.path}: the workers of the trial do not find the same checkpoint")
        self._saved_at = time.monotonic()
        return trainer


def _identity(config: TrialConfig, data: StudyData, device: torch.device, workers: Workers) -> dict[str, Any]:
    """Return everything that determines a training's numbers."""
    precision = autocast_dtype(config.training.precision, device)
    return {
        "trial": config.fingerprint(),
        "data": data.fingerprint,
        "code": code_fingerprint(),
        "torch": torch.__version__,
        "device": device_name(device),
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "precision": str(precision),
        **({} if workers.alone else {"workers": workers.count}),
    }


def shared_reference(shared: SharedTraining) -> Network:
    """Return the frozen network of a shared training, in evaluation mode; trained here if it is not there."""
    with torch.random.fork_rng():
        state = wait_for(shared)
        trainer = Trainer(shared.config, shared.data, shared.device)
    trainer.load(state)
    return trainer.evaluated.requires_grad_(False).eval()


def wait_for(shared: SharedTraining) -> State:
    """Return the state of a shared training: found, awaited from another process, or trained here."""
    try:
        while (state := shared.find()) is None:
            if not shared.acquire():
                time.sleep(_POLL)
            elif shared.find() is None:  # not finished by another between the look and the lock
                shared.run_epoch()
        return state
    finally:
        shared.release()
