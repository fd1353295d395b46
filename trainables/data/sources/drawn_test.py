"""The test split of a data set that has none: a fixed share of every class, drawn by a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from trainables.core.errors import BadInput
from trainables.data.sources.source import OtherTest


@dataclass(frozen=True)
class DrawnTest:
    """A draw of test images, stratified by class.

    Every image has a key that is the same on all machines, such as its name. The images of a class are ordered by the
    sha256 of seed and key, and the first are the test images. The order of files and rows is therefore without effect,
    the test images of a smaller share are among those of a larger one, and a new image moves at most one other.

    Attributes:
        fraction: share of every class, in (0, 1).
        seed: of the draw alone.
    """

    fraction: float
    seed: int

    def counts(self, sizes: Sequence[int], class_names: Sequence[str], where: object) -> list[int]:
        """Return the number of test images of every class: int(fraction * size), at least one.

        Args:
            sizes: images of every class, (K,).
            class_names: (K,).
            where: place of the images, for messages.

        Raises:
            BadInput: a class has too few images for a test image.
        """
        counts = [int(self.fraction * size + 1e-9) for size in sizes]  # 1e-9: 0.3 * 10 must be 3
        lacking = [k for k, count in enumerate(counts) if count == 0]
        if lacking:
            k = lacking[0]
            more = f"; {len(lacking) - 1} more classes have too few" if len(lacking) > 1 else ""
            raise BadInput(
                f"{where} has no test split, and `test_fraction` {self.fraction:g} draws no test image of class {k} "
                f"('{class_names[k]}'), which has {sizes[k]}: it needs {ceil(1 / self.fraction - 1e-9)}{more}. Raise "
                f"`test_fraction`, leave the class out, or bring a test split (docs/data.md)"
            )
        return counts

    def rows(
        self, keys: Sequence[bytes], labels: npt.NDArray[np.int64], class_names: Sequence[str], where: object
    ) -> npt.NDArray[np.bool_]:
        """Return True for every test image, (N,).

        Args:
            keys: key of every image, (N,).
            labels: int64 (N,).
            class_names: (K,).
            where: place of the images, for messages.

        Raises:
            BadInput: as in `counts`.
        """
        sizes = np.bincount(labels, minlength=len(class_names)).tolist()
        counts = self.counts(sizes, class_names, where)
        seed = f"test split {self.seed}\0".encode()
        digests = [hashlib.sha256(seed + key).digest() for key in keys]
        chosen = np.zeros(len(labels), dtype=np.bool_)
        for k, count in enumerate(counts):
            members = sorted(np.flatnonzero(labels == k).tolist(), key=lambda row: digests[row])
            chosen[members[:count]] = True
        return chosen

    def other_test(self, sizes: Sequence[int], class_names: Sequence[str], where: object) -> OtherTest:
        """Return what is said and recorded of the draw.

        Raises:
            BadInput: as in `counts`.
        """
        counts = self.counts(sizes, class_names, where)
        share = f"{100 * self.fraction:g} % of every class"
        return OtherTest(
            said=(
                f"no test split of its own: {sum(counts)} of its {sum(sizes)} images, {share}, are drawn as test "
                f"images by test_seed {self.seed}"
            ),
            recorded=f"drawn: {share}, test_seed {self.seed}",
            identity=repr((self.fraction, self.seed, counts, list(sizes))),
        )
