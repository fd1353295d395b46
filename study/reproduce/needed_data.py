"""The data sets of the papers: which are downloaded, which are had by hand, which cannot be had."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainables.core.hf_name import is_hf
from trainables.data.catalog import DATASETS
from trainables.data.sources.source_lookup import folder_datasets

Access = Literal["here", "bundled", "downloaded", "by hand", "not to be had"]

_BY_HAND = {
    "tiny-imagenet": "free to download (cs231n.stanford.edu/tiny-imagenet-200.zip)",
    "road-marking": "photographs are free; signs must be cut out, and the paper's split is not published",
    "imagenet-lt": "images of ILSVRC-2012, by registration, and the lists of Liu et al. 2019",
    "places-lt": "images of Places-365 and the lists of Liu et al. 2019",
    "sun397": "free to download; lists must be made",
    "celeba-5": "CelebA is free for research",
    "dil-5": "sold under a licence (Edinburgh Dermofit Image Library)",
    "dil-10": "sold under a licence (Edinburgh Dermofit Image Library)",
}
_NOT_TO_BE_HAD = {
    "twitter": "the paper does not say how its texts became vectors",
    "reuters": "the paper does not say how its texts became vectors",
    "faces": "VGG-Face2 is no longer distributed",
}


@dataclass(frozen=True)
class Need:
    """A data set that a table needs, how it is had, and what to know about that."""

    dataset: str
    access: Access
    said: str

    @property
    def trains(self) -> bool:
        """True if a study can train on it without further work of the user."""
        return self.access in ("here", "bundled", "downloaded")

    def __str__(self) -> str:
        """Return name and access in a few words."""
        return f"{self.dataset} ({self.access})"


def need_of(dataset: str, data_dir: Path | None) -> Need:
    """Return how a data set is had.

    Args:
        dataset: its name in study files; ``faces`` for the affinity paper's verification of faces.
        data_dir: folder of data sets, or None.
    """
    if dataset in folder_datasets(data_dir):
        return Need(dataset, "here", f"in {data_dir}")
    if dataset in DATASETS:
        if DATASETS[dataset].source == "scikit-learn":
            return Need(dataset, "bundled", "built in")
        return Need(dataset, "downloaded", "by torchvision, when first used")
    if is_hf(dataset):
        return Need(dataset, "downloaded", "by `datasets`, when first used")
    if dataset in _NOT_TO_BE_HAD:
        return Need(dataset, "not to be had", _NOT_TO_BE_HAD[dataset])
    return Need(dataset, "by hand", _BY_HAND.get(dataset, "a folder of your own (docs/data.md)"))
