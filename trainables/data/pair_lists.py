"""Pairs of videos in the format of YouTube Faces, and pairs of images in that of AgeDB-30."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from trainables.core.errors import BadInput
from trainables.core.files import read_regular
from trainables.data.image_pairs import FOLDS, Pairs
from trainables.data.sources.agedb import Face
from trainables.data.sources.image_files import SUFFIXES, lines_of

PairFormat = Literal["lfw", "ytf", "agedb"]


def pair_format(path: Path) -> PairFormat:
    """Return the format of a pairs file by its first line.

    ``ytf``: fields are separated by commas. ``agedb``: two image files and a number. ``lfw``: anything else.

    Raises:
        BadInput: if the file cannot be read.
    """
    try:
        first = next((line for line in read_regular(path).decode("utf-8-sig").splitlines() if line.strip()), "")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"pairs {path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if "," in first:
        return "ytf"
    fields = first.split()
    return "agedb" if len(fields) == 3 and fields[0].lower().endswith(SUFFIXES) else "lfw"


def read_video_pairs(path: Path, videos: Sequence[str]) -> Pairs:
    """Read pairs of videos in the format of YouTube Faces' ``splits.txt``.

    A line is ``split, pair, first, second, is same``, with splits from 1, videos as ``person/video`` and 0 or 1. A line
    of headings at the top is skipped.

    Args:
        path: the file.
        videos: names of the videos, (V,).

    Returns:
        Pairs whose rows are those of ``videos``; the folds are the splits.

    Raises:
        BadInput: with file and line, if the format is wrong or a video does not exist; or if a split is empty.
    """
    index = {name: row for row, name in enumerate(videos)}
    found: list[tuple[int, int, bool, int]] = []
    for place, (number, line) in enumerate(lines_of(path)):
        fields = [field.strip() for field in line.split(",")]
        if place == 0 and not fields[0].isdecimal():
            continue
        where = f"pairs {path}, line {number}"
        if len(fields) < 5 or not fields[0].isdecimal() or int(fields[0]) < 1 or fields[4] not in ("0", "1"):
            raise BadInput(f"{where}: expected 'split, pair, first, second, 0 or 1', got '{line}'")
        for name in fields[2:4]:
            if name not in index:
                raise BadInput(f"{where}: the data set has no video '{name}'")
        found.append((index[fields[2]], index[fields[3]], fields[4] == "1", int(fields[0]) - 1))
    return _pairs(path, found)


def read_file_pairs(path: Path, faces: Sequence[Face]) -> Pairs:
    """Read pairs of images in the format of AgeDB-30: lines ``file file flag``, ten folds of equal size in order.

    Args:
        path: the file.
        faces: the images, (N,).

    Returns:
        Pairs whose rows are those of ``faces``.

    Raises:
        BadInput: with file and line, if the format is wrong, an image does not exist, or the flag contradicts the
            names; or if the number of pairs is not a multiple of ten.
    """
    index = {face.file: row for row, face in enumerate(faces)}
    lines = lines_of(path)
    if not lines or len(lines) % FOLDS:
        raise BadInput(f"pairs {path}: expected a multiple of {FOLDS} pairs, for {FOLDS} folds, got {len(lines)}")
    found = []
    for place, (number, line) in enumerate(lines):
        fields, where = line.split(), f"pairs {path}, line {number}"
        if len(fields) != 3 or fields[2] not in ("1", "0", "-1"):
            raise BadInput(f"{where}: expected 'file file flag' with flag 1 (same), 0 or -1 (different), got '{line}'")
        for name in fields[:2]:
            if name not in index:
                raise BadInput(f"{where}: the data set has no image '{name}'")
        first, second, same = index[fields[0]], index[fields[1]], fields[2] == "1"
        if same != (faces[first].person == faces[second].person):
            said = "the same person" if same else "two persons"
            raise BadInput(
                f"{where}: the flag {fields[2]} means {said}, but the names are {faces[first].person} and "
                f"{faces[second].person}"
            )
        found.append((first, second, same, place // (len(lines) // FOLDS)))
    return _pairs(path, found)


def draw_age_pairs(faces: Sequence[Face], count: int, gap: int, generator: torch.Generator) -> Pairs:
    """Sample distinct pairs whose ages differ by exactly ``gap`` years, half of them of the same person.

    Pairs of each kind are uniform over all possible ones. Each of the ten folds has equally many of both kinds.

    Args:
        faces: the images, (N,).
        count: P, number of pairs, a positive multiple of 20.
        gap: age gap in years, at least 1; AgeDB's protocols have 5, 10, 20 and 30.
        generator: CPU generator.

    Raises:
        BadInput: if ``count`` is not a multiple of 20 or there are too few pairs with this gap.

    Source: Moschoglou et al. 2017, section 4.2.
    """
    if count < 1 or count % (2 * FOLDS):
        raise BadInput(f"the number of pairs must be a multiple of {2 * FOLDS}, for {FOLDS} equal folds, got {count}")
    ages = np.array([face.age for face in faces])
    persons = np.unique([face.person for face in faces], return_inverse=True)[1]
    younger, older = [], []
    for age in np.unique(ages):
        low, high = np.flatnonzero(ages == age), np.flatnonzero(ages == age + gap)
        younger.append(np.repeat(low, len(high)))
        older.append(np.tile(high, len(low)))
    first, second = np.concatenate(younger), np.concatenate(older)
    alike = persons[first] == persons[second]
    chosen = []
    for same in (True, False):
        possible = np.flatnonzero(alike == same)
        if len(possible) < count // 2:
            kind = "of one person" if same else "of two persons"
            raise BadInput(
                f"{count // 2} pairs {kind} with an age gap of {gap} years are requested, but the images form only "
                f"{len(possible)}"
            )
        order = torch.randperm(len(possible), generator=generator)[: count // 2]
        chosen.append(possible[order.numpy()])
    rows = np.concatenate(chosen)
    places = torch.arange(count)
    return Pairs(torch.from_numpy(first[rows]), torch.from_numpy(second[rows]), places < count // 2, places % FOLDS)


def _pairs(path: Path, found: list[tuple[int, int, bool, int]]) -> Pairs:
    splits = {fold for *_, fold in found}
    if len(splits) < 2 or splits != set(range(len(splits))):
        given = ", ".join(str(split + 1) for split in sorted(splits)) or "none"
        raise BadInput(f"pairs {path}: expected splits 1, 2 and so on, at least two, got {given}")
    first, second, same, folds = zip(*found, strict=True)
    return Pairs(torch.tensor(first), torch.tensor(second), torch.tensor(same), torch.tensor(folds))
