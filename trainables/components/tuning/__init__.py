"""Tunings: what of a backbone is trained beside the head, and what is inserted for it; one file each."""

from __future__ import annotations

from trainables.components.tuning.biases import Biases
from trainables.components.tuning.head_alone import HeadAlone
from trainables.components.tuning.low_rank import LowRank, merge_low_rank
from trainables.components.tuning.parallel_adapters import ParallelAdapters
from trainables.components.tuning.tuning import Tuning
from trainables.components.tuning.tuning_choice import tuning_named

__all__ = ["Biases", "HeadAlone", "LowRank", "ParallelAdapters", "Tuning", "merge_low_rank", "tuning_named"]
