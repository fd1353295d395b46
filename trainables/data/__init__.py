"""Images for studies: sources, cache, imbalance profiles, splits and the batched device pipeline.

Importing this package loads numpy, and neither torch nor torchvision, scikit-learn or pyarrow: they wait
until a function needs them. `trainables.data.pipeline.augment` does import torch, so it is imported by its own name.
"""

from __future__ import annotations

from trainables.data.catalog import (
    DATASETS,
    Augmentation,
    DatasetDescription,
    default_augmentation,
    resolve_augmentation,
)
from trainables.data.loading import load, prepare, summarize, whole_test
from trainables.data.study_data import DataSummary, Split, StudyData

__all__ = [
    "DATASETS",
    "Augmentation",
    "DataSummary",
    "DatasetDescription",
    "Split",
    "StudyData",
    "default_augmentation",
    "load",
    "prepare",
    "resolve_augmentation",
    "summarize",
    "whole_test",
]
