"""The task of training one trial, as its runner hands it to a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainables.core.config import TrialConfig
from trainables.core.storage_path import StoragePath, storage_path

HANG_NOTE = "hang.txt"
"""File of a trial's folder in which a process that stood still says where."""

MODEL = "model"
"""The kind that exports the network itself."""

ARTIFACTS = ("offsets", "embedding", "mistakes", "logits", MODEL)
"""Kinds of records of the finished network, for pictures in MLflow and for reports, and the exported network."""


@dataclass(frozen=True)
class TrialTask:
    """Everything that a worker needs to train a trial.

    Attributes:
        trial: the configuration that determines its numbers.
        folder: its own folder.
        shared: the folder of shared trainings.
        share_prefix: share its first stages with other trials.
        evaluate_test: evaluate the test images once, after the last epoch.
        threads: CPU threads of the training.
        select_by: metric whose best epoch on validation is the trial's result; None takes the last epoch.
        artifacts: kinds of `ARTIFACTS` to store after the last epoch.
        locks: URL of the database that holds the locks of folders on object storage; None for local folders.
        hang_seconds: seconds without a training step after which the process ends itself; None waits for ever.
        plugins: path of every plug-in's copy in the storage -> digest of its source.
        workers: processes that train the trial together.
        rank: of the process that gets this task, from 0.
        growth_bytes: growth of the process since its first trial after which it is replaced before the next one; None
            never replaces it.
    """

    trial: TrialConfig
    folder: StoragePath
    shared: StoragePath
    share_prefix: bool
    evaluate_test: bool = False
    threads: int = 1
    select_by: str | None = None
    artifacts: tuple[str, ...] = ()
    locks: str | None = None
    hang_seconds: float | None = None
    plugins: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    rank: int = 0
    growth_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the task as plain values, the configuration of Ray's Trainable."""
        return {
            "trial": self.trial.model_dump(mode="json"),
            "folder": str(self.folder),
            "shared": str(self.shared),
            "share_prefix": self.share_prefix,
            "evaluate_test": self.evaluate_test,
            "threads": self.threads,
            "select_by": self.select_by,
            "artifacts": list(self.artifacts),
            "locks": self.locks,
            "hang_seconds": self.hang_seconds,
            "plugins": dict(self.plugins),
            "workers": self.workers,
            "rank": self.rank,
            "growth_bytes": self.growth_bytes,
        }

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> TrialTask:
        """Read a task back.

        Raises:
            KeyError: an entry is missing.
            ValidationError: the trial's configuration is not valid.
        """
        return cls(
            TrialConfig.model_validate(given["trial"]),
            storage_path(given["folder"]),
            storage_path(given["shared"]),
            bool(given["share_prefix"]),
            bool(given["evaluate_test"]),
            int(given["threads"]),
            given["select_by"],
            tuple(given["artifacts"]),
            given.get("locks"),
            given.get("hang_seconds"),
            dict(given.get("plugins", {})),
            int(given.get("workers", 1)),
            int(given.get("rank", 0)),
            given.get("growth_bytes"),
        )
