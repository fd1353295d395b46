"""Checks of a study before anything is read: names of data sets, and the network against catalogued images."""

from __future__ import annotations

import os
from pathlib import Path

from study.driver.image_settings import check_image_settings
from study.spec.cell import expand
from study.spec.study_spec import StudySpec
from study.spec.validation import fine_tunes
from trainables.core.errors import BadInput, unknown_name
from trainables.core.hf_name import is_hf
from trainables.data.catalog import DATASETS
from trainables.data.sources.source_lookup import dataset_names


def check_without_data(spec: StudySpec, data_dir: Path | None, source: str) -> None:
    """Check what can be known of a study on a machine that has none of its data; torch is imported to fine-tune alone.

    Args:
        spec: the study.
        data_dir: folder of data sets; None is the environment variable STUDY_DATA_DIR.
        source: the study file's name, for messages.

    Raises:
        BadInput: a data set is neither in the catalogue nor a folder of the data folder, a setting does not fit the
            catalogued images, or the network lacks what a method tunes.
    """
    _check_names(spec, data_dir, source)
    for data in spec.data:
        known = DATASETS.get(data.dataset)
        if known is None:
            continue
        channels, height, width = known.image_shape
        shape = (channels, height, width) if data.image_size is None else (channels, data.image_size, data.image_size)
        seen = check_image_settings(spec, data.dataset, shape, source=source)
        if fine_tunes(spec):
            _check_tuning(spec, known.classes, seen, source)


def _check_names(spec: StudySpec, data_dir: Path | None, source: str) -> None:
    given = data_dir or os.environ.get("STUDY_DATA_DIR")
    for data in spec.data:
        if data.dataset in DATASETS or is_hf(data.dataset):
            continue
        place = data.data_dir or given
        names = dataset_names(Path(place) if place and Path(place).is_dir() else None)
        if data.dataset not in names:
            raise BadInput(f"{source}: data: {unknown_name('data set', data.dataset, names)}")


def _check_tuning(spec: StudySpec, classes: int, shape: tuple[int, int, int], source: str) -> None:
    """Check that the network has what the study's methods tune."""
    import torch

    from trainables.training.tuned_backbone import check_tuning, tuning_key

    for base in {tuning_key(cell.base): cell.base for cell in expand(spec)}.values():
        try:
            check_tuning(base, torch.ones(classes, dtype=torch.int64), shape)
        except BadInput as error:
            raise BadInput(f"{source}: methods: {error}") from None
