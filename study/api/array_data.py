"""Data sets from arrays and tensors in memory."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from study.spec.study_spec import STUDY_NAME
from trainables.core.errors import BadInput
from trainables.core.paths import folder_named


@dataclass(frozen=True)
class ArrayData:
    """A data set that `from_arrays` has written.

    Attributes:
        label: its name in the cells of a study.
        name: its folder, which is its name as ``dataset`` of a study file and of ``study train``.
        data_dir: the folder in which that lies, for ``--data-dir``.
    """

    label: str
    name: str
    data_dir: Path


def from_arrays(
    train: tuple[Any, Any],
    test: tuple[Any, Any] | None = None,
    *,
    validation: tuple[Any, Any] | None = None,
    classes: Sequence[str] | None = None,
    name: str = "arrays",
    layout: Literal["NCHW", "NHWC"] | None = None,
    data_dir: str | Path | None = None,
) -> ArrayData:
    """Write images and labels in memory to a data folder, once, and return the data set to train on.

    Images are NumPy arrays or torch tensors (N, H, W), (N, H, W, C) or (N, C, H, W) with C of 1 or 3, of uint8, or of
    floats in [0, 1], which are kept with 8 bits (with a warning if that rounds them). They must not be normalised
    yet. Floats (N, D) are feature vectors, finite as float32. Labels are whole numbers 0..K-1, (N,); labels above
    10,000 need ``classes``. No value may be masked. Nothing removes the folder.

    Args:
        train: images and labels to train on.
        test: images and labels of the test split; None draws a share of every class (`test_fraction` of a study).
        validation: a published validation set, for ``protocol: published``.
        classes: names of the classes, in label order; None numbers them.
        name: of the data set in tables and cells.
        layout: order of the axes, where the shape does not show it: (N, 3, 32, 3).
        data_dir: folder of data sets; on a cluster one that all nodes see. None is the environment variable
            STUDY_DATA_DIR, else a folder of the cache.

    Returns:
        A value for ``dataset`` of `train` and in the mapping of `Study.from_dict`.

    Raises:
        BadInput: another shape, type or range, with what is allowed, before anything is written; or the folder cannot
            be written.
    """
    from trainables.data.sources.array_folder import array_folder
    from trainables.data.sources.image_cache import cache_dir

    if not re.fullmatch(STUDY_NAME, name):
        raise BadInput(f"`name` must be letters, digits, '.', '_' and '-', at most 64, got '{name}'")
    given = data_dir or os.environ.get("STUDY_DATA_DIR")
    place = cache_dir() / "arrays" if not given else folder_named(given, "`data_dir`")
    splits = {"train": train, "test": test, "validation": validation}
    for split, pair in splits.items():
        if pair is not None and not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise BadInput(f"`{split}` must be a pair of images and labels, got {type(pair).__name__}")
    written = array_folder(
        place.absolute(),
        name,
        {split: pair for split, pair in splits.items() if pair is not None},  # type: ignore[misc]
        classes,
        layout,
    )
    return ArrayData(name, written.name, written.parent)


def training_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of one training with data in arrays named as a folder.

    Raises:
        BadInput: a data folder is given beside it.
    """
    data = settings.get("dataset")
    return {**settings, **_named(data, settings)} if isinstance(data, ArrayData) else dict(settings)


def study_mapping(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping of a study with data in arrays named as folders, labelled by their names.

    Raises:
        BadInput: a data folder is given beside such data.
    """
    items = given.get("data")
    if not isinstance(items, list | tuple):
        return dict(given)
    return {**given, "data": [_item(item) for item in items]}


def _item(item: Any) -> Any:
    if not isinstance(item, Mapping) or not isinstance(item.get("dataset"), ArrayData):
        return item
    return {"label": item["dataset"].label, **item, **_named(item["dataset"], item)}


def _named(data: ArrayData, beside: Mapping[str, Any]) -> dict[str, str]:
    if beside.get("data_dir") is not None:
        raise BadInput("`data_dir` must be left out beside a data set from arrays: from_arrays() takes it")
    return {"dataset": data.name, "data_dir": str(data.data_dir)}
