"""The shared trainings that one trial needs: its shared prefix, and the reference network of its method."""

from __future__ import annotations

import time
from functools import partial

import torch

from trainables.components.network import Network
from trainables.core.config import TrialConfig
from trainables.core.step_progress import OnStep
from trainables.core.storage_path import StoragePath
from trainables.core.trial_folder import TrialFolder
from trainables.core.trial_report import NOTHING_SHARED, SharedEpochs
from trainables.core.workers import ALONE, Workers
from trainables.data import StudyData
from trainables.methods.registry import reference_of, shared_prefix_of
from trainables.shared_trainings.shared_training import SharedTraining, shared_reference
from trainables.training.trainer import Trainer

_POLL = 0.5
"""Seconds that a step waits for a state that another process trains."""


class SharedNeeds:
    """Finds the shared trainings of a trial, or trains them, one epoch at a time.

    Args:
        config: the trial's configuration.
        data: its data set.
        device: the device to train on.
        store: the folder of all shared trainings.
        folder: the trial's own folder, which stores its shared epochs.
        share_prefix: share the prefix. A prefix that no other trial has is better trained by the trial itself.
        locks: as for `SharedTraining`.
        workers: the processes that train the trial together; `met` and `advance` are of all of them at once.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: StudyData,
        device: torch.device,
        store: StoragePath,
        folder: TrialFolder,
        *,
        share_prefix: bool = True,
        locks: str | None = None,
        workers: Workers = ALONE,
    ) -> None:
        shared_prefix, reference = shared_prefix_of(config) if share_prefix else None, reference_of(config)
        epochs = config.training.epochs
        find = partial(SharedTraining, store, data=data, device=device, locks=locks, workers=workers)
        self._shared_prefix = None if shared_prefix is None else find(config=shared_prefix[0], until=shared_prefix[1])
        self._reference = None if reference is None else find(config=reference, until=epochs)
        self._find = partial(find, until=epochs)
        self._missing = [shared for shared in (self._shared_prefix, self._reference) if shared is not None]
        self._needed = sum(shared.until for shared in self._missing)
        self._folder = folder
        self._trained = SharedEpochs.from_json(folder.shared_epochs()).trained

    def bind(self, trainer: Trainer) -> None:
        """Set the trainer of the trial. A training that has begun needs no shared prefix any more."""
        self._trainer = trainer
        if self._reference is not None and trainer.reference not in (None, self._reference.config):
            older = self._find(config=trainer.reference)  # it goes on with the reference that it began with
            self._missing[self._missing.index(self._reference)] = older
            self._reference = older
        if trainer.epoch > 0 and self._shared_prefix is not None:
            self._missing.remove(self._shared_prefix)

    def reference(self, config: TrialConfig) -> Network:
        """Return the frozen reference network of the trial, whose configuration is that of the bound trainer."""
        assert self._reference is not None and self._reference.config == config
        return shared_reference(self._reference)

    def met(self) -> bool:
        """Adopt every state that is there; return whether nothing is missing any more."""
        while self._missing:
            shared = self._missing[0]
            state = shared.find()
            if state is None:
                return False
            if shared is self._shared_prefix:
                for result in state["records"]:
                    self._folder.append_epoch({**result, "shared": True})
                self._trainer.adopt(state)
            shared.release()
            self._missing.pop(0)
            self._folder.write_shared_epochs(self.spent().to_json())
        return True

    def advance(self, on_step: OnStep | None = None) -> int:
        """Train one epoch of a missing training, or wait briefly for its trainer; return the epochs trained.

        Args:
            on_step: as in `Trainer.run_epoch`.
        """
        shared = self._missing[0]
        if not shared.acquire():
            time.sleep(_POLL)
            return 0
        if shared.find() is None:  # not finished by another process between check and lock
            shared.run_epoch(on_step)
            self._trained += 1
            self._folder.write_shared_epochs(self.spent().to_json())
        return 1

    def spent(self) -> SharedEpochs:
        """Return the trial's epochs in shared trainings so far."""
        if not self._needed:
            return NOTHING_SHARED
        adopted = self._shared_prefix.until if self._shared_prefix is not None else 0
        return SharedEpochs(adopted, self._needed, self._trained)

    def release(self) -> None:
        """Release the locks of the trainings that this process trains."""
        for shared in self._missing:
            shared.release()
