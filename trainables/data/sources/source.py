"""Interface of image sources: a key that is cheap to compute, and the decoded images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

SplitName = Literal["train", "test", "validation"]


@dataclass(frozen=True)
class LabelledImages:
    """One split, decoded.

    Attributes:
        images: uint8 (N, C, H, W), C is 1 or 3; or vectors of D features as float32 (N, D, 1, 1), finite and
            not scaled.
        labels: int64 (N,), in [0, K).
        class_names: (K,), in label order.
    """

    images: npt.NDArray[np.uint8 | np.float32]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]


class Source(Protocol):
    """Source of the images of a data set."""

    @property
    def dataset(self) -> str:
        """Return the data set's name."""

    @property
    def has_validation(self) -> bool:
        """Return True if the data set has a published validation split beside ``train`` and ``test``."""

    def key(self, split: SplitName) -> str:
        """Return hexadecimal digits that change whenever the split's images may have changed; cheap."""

    def read(self, split: SplitName) -> LabelledImages:
        """Read and decode a split, which is slow.

        Raises:
            BadInput: with file, row and the expected content, if the split cannot be read.
        """


@dataclass(frozen=True)
class OtherTest:
    """Where the test images of a data set come from that has no test split of its own.

    Attributes:
        said: what is said of it, after the data set's name and a colon.
        recorded: the same in a few words, for records.
        identity: changes whenever other images are tested on; equal on all machines.
    """

    said: str
    recorded: str
    identity: str


@runtime_checkable
class MayLackTest(Protocol):
    """A source that may take its test images from elsewhere than a test split."""

    def other_test(self) -> OtherTest | None:
        """Return where from; None if it has a test split. Cheap.

        Raises:
            BadInput: if the images cannot be listed or do not suffice.
        """


def other_test_of(source: Source) -> OtherTest | None:
    """Return where a source takes its test images from, None if from a test split of its own."""
    return source.other_test() if isinstance(source, MayLackTest) else None
