"""Image pairs for verification: read from a file in LFW's format, or sampled from labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainables.core.errors import BadInput
from trainables.core.files import read_regular

FOLDS = 10


class Pairs(NamedTuple):
    """Pairs of images of a split, in folds; half the pairs of each fold show the same class.

    Attributes:
        first: int64 (P,), rows of the split.
        second: int64 (P,), likewise.
        same: bool (P,), true if both images show the same class.
        folds: int64 (P,), in [0, F).
    """

    first: Tensor
    second: Tensor
    same: Tensor
    folds: Tensor


def draw_pairs(labels: Tensor, count: int, generator: torch.Generator, folds: int = FOLDS) -> Pairs:
    """Sample distinct pairs, half of them of the same class.

    A same-class pair is two images of a class sampled uniformly from those with at least two images. A different-class
    pair is one image each of two classes sampled uniformly. Each fold has equally many pairs of both kinds.

    Args:
        labels: int64 (N,).
        count: P, number of pairs, a positive multiple of 2 F.
        generator: CPU generator.
        folds: F, number of folds, at least 2.

    Raises:
        BadInput: if ``count`` is not a multiple of 2 F or there are too few images.

    >>> pairs = draw_pairs(torch.arange(3).repeat(9), 20, torch.Generator().manual_seed(0))
    >>> int(pairs.same.sum()), pairs.folds.bincount().tolist()
    (10, [2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    """
    if count < 1 or count % (2 * folds):
        raise BadInput(f"the number of pairs must be a multiple of {2 * folds}, for {folds} equal folds, got {count}")
    images = _Images(labels)
    kinds = [images.draw(count // 2, same, generator) for same in (True, False)]
    first, second = (torch.cat([kind[side] for kind in kinds]) for side in (0, 1))
    same = torch.arange(count) < count // 2
    return Pairs(first, second, same, torch.arange(count) % folds)


class _Images:
    """The images of every class, to sample pairs from."""

    def __init__(self, labels: Tensor) -> None:
        counts = labels.bincount()
        self.rows = labels.argsort(stable=True)
        self.first = (counts.cumsum(0) - counts)[counts > 0]
        self.counts = counts[counts > 0]

    def draw(self, count: int, same: bool, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        possible = self._possible(same)
        if possible < count:
            kind = "of one class" if same else "of two classes"
            raise BadInput(f"{count} pairs {kind} are requested, but {len(self.rows)} images form only {possible}")
        found = torch.zeros(0, 2, dtype=torch.int64)
        while len(found) < count:
            some = self._same(count, generator) if same else self._different(count, generator)
            found = _first_of_each(torch.cat([found, some.sort(1).values]), len(self.rows))
        return found[:count, 0], found[:count, 1]

    def _possible(self, same: bool) -> int:
        squares = int(self.counts.square().sum())
        return (squares - len(self.rows)) // 2 if same else (len(self.rows) ** 2 - squares) // 2

    def _same(self, count: int, generator: torch.Generator) -> Tensor:
        several = (self.counts > 1).nonzero().flatten()
        classes = several[torch.randint(len(several), (count,), generator=generator)]
        return self._two_of(classes, count, generator)

    def _two_of(self, classes: Tensor, count: int, generator: torch.Generator) -> Tensor:
        one = _below(self.counts[classes], generator)
        other = _below(self.counts[classes] - 1, generator)
        other += other >= one
        return self.rows[self.first[classes].unsqueeze(1) + torch.stack([one, other], 1)]

    def _different(self, count: int, generator: torch.Generator) -> Tensor:
        one = torch.randint(len(self.counts), (count,), generator=generator)
        other = torch.randint(len(self.counts) - 1, (count,), generator=generator)
        other += other >= one
        sides = [self.rows[self.first[k] + _below(self.counts[k], generator)] for k in (one, other)]
        return torch.stack(sides, 1)


def _below(limits: Tensor, generator: torch.Generator) -> Tensor:
    return (torch.rand(limits.shape, generator=generator, dtype=torch.float64) * limits).long()


def _first_of_each(pairs: Tensor, images: int) -> Tensor:
    # Sampling order is kept: sorted pairs would give every fold other classes.
    keys = pairs[:, 0] * images + pairs[:, 1]
    _, first = np.unique(keys.numpy(), return_index=True)
    return pairs[torch.from_numpy(np.sort(first))]


def read_pairs(path: Path, labels: Tensor, class_names: Sequence[str]) -> Pairs:
    """Read pairs in the format of LFW's ``pairs.txt``.

    The first line holds the number of folds F and a number n. Each fold then has n lines ``name i j`` (same class) and
    n lines ``name i name j`` (different classes). Images are counted from 1 within their class, in the order of the
    split; for files named as in LFW this is the number in the name. In tab-separated lines, names may contain spaces.

    Args:
        path: pairs file.
        labels: int64 (N,), labels of the split.
        class_names: (K,), in label order.

    Raises:
        BadInput: with file and line, if the format is wrong or a class or image does not exist.
    """
    try:
        lines = read_regular(path).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"pairs {path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    folds, size = _header(path, lines)
    index = {name: k for k, name in enumerate(class_names)}
    rows = [(labels == k).nonzero().flatten() for k in range(len(class_names))]
    found = []
    for number, line in enumerate(lines[1 : 1 + 2 * folds * size]):
        same = number // size % 2 == 0
        fields = line.split("\t") if "\t" in line else line.split()
        try:
            found.append([_row(rows, index, *image) for image in _two_images(fields, same)])
        except ValueError as error:
            raise BadInput(f"pairs {path}, line {number + 2}: {error}") from None
    first, second = torch.tensor(found).T
    place = torch.arange(len(found))
    return Pairs(first, second, place // size % 2 == 0, place // (2 * size))


def _header(path: Path, lines: list[str]) -> tuple[int, int]:
    words = lines[0].split() if lines else []
    if len(words) != 2 or not all(word.isdecimal() for word in words) or int(words[0]) < 2 or int(words[1]) < 1:
        raise BadInput(f"pairs {path}, line 1: expected the number of folds, at least 2, and of pairs, as in '10 300'")
    folds, size = map(int, words)
    given = len([line for line in lines[1:] if line.strip()])
    if given != 2 * folds * size:
        raise BadInput(f"pairs {path}: expected {folds} folds of {size} and {size} lines after the first, got {given}")
    return folds, size


def _two_images(fields: list[str], same: bool) -> list[tuple[str, str]]:
    if len(fields) != (3 if same else 4):
        form = "name i j" if same else "name i name j"
        raise ValueError(f"expected '{form}' here, got {len(fields)} fields")
    if same:
        return [(fields[0], fields[1]), (fields[0], fields[2])]
    return [(fields[0], fields[1]), (fields[2], fields[3])]


def _row(rows: list[Tensor], index: dict[str, int], name: str, number: str) -> int:
    if name not in index:
        raise ValueError(f"the data set has no class '{name}'")
    count = len(rows[index[name]])
    if not number.strip().isdecimal() or not 1 <= int(number) <= count:
        raise ValueError(f"expected an image of '{name}' from 1 to {count}, got '{number}'")
    return int(rows[index[name]][int(number) - 1])
