"""Images for studies: sources, cache, imbalance profiles, splits and the batched device pipeline.

Importing this package loads numpy. torch, torchvision, scikit-learn and pyarrow are imported when a function needs
them. `trainables.data.pipeline` imports torch and is therefore not imported here.
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
from trainables.data.splits import DataSummary, Split, StudyData

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
