"""Data sets as inputs of MLflow runs: profile, ratio, class sizes and fingerprint."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from study.store.study_view import TrialView
from study.tracking.run_shown import shown
from trainables.core.trial_folder import StoredJson

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

    from study.spec.cell import Cell

_DIGEST = 36
"""MLflow's longest digest."""


@dataclass(frozen=True)
class StoredData:
    """The training images of a trial.

    Attributes:
        name: data set and profile.
        digest: the first characters of the data's fingerprint.
        source: the data set's configuration.
        profile: ratio, protocol, classes and their training images.
    """

    name: str
    digest: str
    source: dict[str, Any]
    profile: dict[str, Any]

    def as_input(self) -> DatasetInput:
        """Return the input of an MLflow run."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=self.name,
            digest=self.digest,
            source_type="code",  # the one of MLflow's types that names no place: data_dir differs between machines
            source=json.dumps({"tags": self.source}, sort_keys=True),
            profile=json.dumps(self.profile),
        )
        return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def data_of(view: TrialView, stored: StoredJson | None, evaluation: StoredJson | None) -> StoredData | None:
    """Return the data of a trial; None before its process has described them and finished an epoch.

    Args:
        view: the trial.
        stored: its ``trial.json``.
        evaluation: its newest evaluation, which knows the sizes of the classes.
    """
    if stored is None or not {"class_counts", "class_names"} <= (evaluation or {}).keys():
        return None
    other = stored.get("test_images")
    return stored_data(view.cell, str(stored["data_fingerprint"]), evaluation or {}, other and str(other))


def stored_data(cell: Cell, fingerprint: str, evaluation: StoredJson, test_images: str | None = None) -> StoredData:
    """Return the data of a cell's trials; ``test_images`` says where those come from, if not from a test split."""
    data, counts = cell.base.data, [int(count) for count in evaluation["class_counts"]]
    names = [str(name) for name in evaluation["class_names"]]
    profile = {
        "profile": cell.profile,
        "ratio": shown(cell.ratio),
        "protocol": data.protocol,
        "training_images": sum(counts),
        "classes": len(counts),
        "class_sizes": dict(zip(names, counts, strict=True)) if len(names) == len(set(names)) else counts,
    }
    if test_images is not None:
        profile["test_images"] = test_images
    # the draw of test images is in the profile, where there is one
    source = data.model_dump(mode="json", exclude={"data_dir", "test_fraction", "test_seed"})
    return StoredData(f"{cell.dataset} {cell.profile}", fingerprint[:_DIGEST], source, profile)
