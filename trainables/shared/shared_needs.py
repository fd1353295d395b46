"""What one trial takes from shared trainings: its opening to begin from, the network it refers to."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from trainables.components.network import Network
from trainables.core.config import TrialConfig
from trainables.core.trial_folder import TrialFolder
from trainables.core.trial_report import NOTHING_SHARED, SharedEpochs
from trainables.data import StudyData
from trainables.methods.registry import reference_of, shared_prefix_of
from trainables.shared.shared_training import SharedTraining, shared_reference
from trainables.training.trainer import Trainer

_POLL = 0.5
"""Seconds that a step waits for what another process trains."""


class SharedNeeds:
    """Finds what a trial shares with others, or has it trained, an epoch at a time.

    Args:
        config: of the trial.
        data: what it names.
        device: where it trains.
        store: the folder of all shared trainings.
        folder: the trial's own; how much was shared is kept there.
        share_prefix: whether the opening is shared; one that no other trial has is better trained by the trial itself.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: StudyData,
        device: torch.device,
        store: Path,
        folder: TrialFolder,
        *,
        share_prefix: bool = True,
    ) -> None:
        shared_prefix, reference = shared_prefix_of(config) if share_prefix else None, reference_of(config)
        self._shared_prefix = None if shared_prefix is None else SharedTraining(store, *shared_prefix, data, device)
        epochs = config.training.epochs
        self._reference = None if reference is None else SharedTraining(store, reference, epochs, data, device)
        self._missing = [shared for shared in (self._shared_prefix, self._reference) if shared is not None]
        self._needed = sum(shared.until for shared in self._missing)
        self._folder = folder
        self._trained = SharedEpochs.from_json(folder.shared_epochs()).trained

    def bind(self, trainer: Trainer) -> None:
        """Say whose needs these are; a training that is under way needs no opening any more."""
        self._trainer = trainer
        if trainer.epoch > 0 and self._shared_prefix is not None:
            self._missing.remove(self._shared_prefix)

    def reference(self) -> Network:
        """Return the frozen network that the trial refers to."""
        assert self._reference is not None
        return shared_reference(self._reference)

    def met(self) -> bool:
        """Take in all that is there; tell whether nothing is missing any more."""
        while self._missing:
            shared = self._missing[0]
            state = shared.state()
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

    def advance(self) -> int:
        """Train an epoch of what is missing, or wait a moment for whoever trains it; return the epochs trained."""
        shared = self._missing[0]
        if not shared.acquire():
            time.sleep(_POLL)
            return 0
        if shared.state() is None:  # not finished by another between the look and the lock
            shared.run_epoch()
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
        """Let other processes have what this one trains."""
        for shared in self._missing:
            shared.release()
