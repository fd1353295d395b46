"""Verification of pairs at the end of a training: its images, its pairs and its result line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.core.randomness import epoch_generator
from trainables.core.trial_folder import StoredJson
from trainables.data import Split, whole_source, whole_test
from trainables.data.image_pairs import Pairs, draw_pairs, read_pairs
from trainables.data.pair_lists import draw_age_pairs, pair_format, read_file_pairs, read_video_pairs
from trainables.data.sources.agedb import AgeDb
from trainables.data.sources.source_lookup import folder_of
from trainables.data.sources.youtube_faces import YouTubeFaces
from trainables.training.pair_verification import mean_features, verify

if TYPE_CHECKING:
    from trainables.training.trainer import Trainer


class _Task(NamedTuple):
    """Images and pairs to verify; with ``videos``, int64 (N,), pairs are of videos and frames are averaged."""

    images: Split
    pairs: Pairs
    videos: Tensor | None = None


def verification(
    asked: str, dataset: str | None, age_gap: int | None = None
) -> Callable[[Trainer], Callable[[Callable[[str], None]], StoredJson]]:
    """Return an extra of `train_once` that finds the pairs before the training and verifies them after it.

    Args:
        asked: a pairs file, over all test images of the data set, or a number of pairs. Files have the format of LFW's
            ``pairs.txt``, of YouTube Faces' ``splits.txt`` (the feature of a video is the mean over its frames) or of
            AgeDB-30. Numbers are sampled with the training's seed from the images that results are reported on.
        dataset: another data set to verify on, such as LFW for a network trained on other faces; all of its test images
            are used. None means the training's own. YouTube Faces and AgeDB need it: a folder in their own layout.
        age_gap: with a number, the age gap of the pairs in years; ``dataset`` is then a folder of AgeDB.

    Raises:
        BadInput: by the extra, if the pairs or images do not exist or do not fit the network.
    """

    def before(trainer: Trainer) -> Callable[[Callable[[str], None]], StoredJson]:
        task = _task(trainer, asked, dataset, age_gap)

        def after(say: Callable[[str], None]) -> StoredJson:
            features = trainer.features(task.images)
            found = verify(features if task.videos is None else mean_features(features, task.videos), task.pairs)
            say(
                f"verification  accuracy {found.mean:.4f} +- {found.standard_error:.4f} "
                f"({len(task.pairs.same)} pairs in {len(found.accuracies)} folds)"
            )
            return {"verification_accuracy": found.mean, "verification_standard_error": found.standard_error}

        return after

    return before


def _task(trainer: Trainer, asked: str, dataset: str | None, age_gap: int | None) -> _Task:
    config, own = trainer.config, trainer.data
    data = config.data if dataset is None else config.data.model_copy(update={"dataset": dataset})
    kind = None if asked.isdecimal() else pair_format(Path(asked))
    if dataset is None and (kind in ("ytf", "agedb") or age_gap is not None):
        raise BadInput(f"--verify {asked}: these pairs need --verify-on, the folder of YouTube Faces or AgeDB")
    if age_gap is not None and kind is not None:
        raise BadInput(f"--verify-age-gap needs --verify NUMBER, got --verify {asked}")
    if kind == "ytf":
        return _of_videos(trainer, data, Path(asked))
    if kind == "agedb" or age_gap is not None:
        return _of_ages(trainer, data, asked, age_gap)
    images, names = (own.test(), own.class_names) if kind is None and dataset is None else whole_test(data)
    _check_shape(trainer, images, dataset)
    if kind is not None:
        return _Task(images, read_pairs(Path(asked), images.labels, names))
    try:
        return _Task(images, draw_pairs(images.labels, int(asked), epoch_generator(config.seed, 0, "pairs")))
    except BadInput as error:
        raise BadInput(f"--verify {asked}: {error}") from None


def _of_videos(trainer: Trainer, data: DataConfig, path: Path) -> _Task:
    source = YouTubeFaces(data.dataset, folder_of(data), data.image_size)
    images, videos = whole_source(source, data.memory_budget_gb)
    _check_shape(trainer, images, data.dataset)
    return _Task(images, read_video_pairs(path, videos), images.labels)


def _of_ages(trainer: Trainer, data: DataConfig, asked: str, age_gap: int | None) -> _Task:
    source = AgeDb(data.dataset, folder_of(data), data.image_size)
    images, _ = whole_source(source, data.memory_budget_gb)
    _check_shape(trainer, images, data.dataset)
    faces = source.faces()
    if age_gap is None:
        return _Task(images, read_file_pairs(Path(asked), faces))
    try:
        generator = epoch_generator(trainer.config.seed, 0, "pairs")
        return _Task(images, draw_age_pairs(faces, int(asked), age_gap, generator))
    except BadInput as error:
        raise BadInput(f"--verify {asked}: {error}") from None


def _check_shape(trainer: Trainer, images: Split, dataset: str | None) -> None:
    shape, trained = tuple(images.images.shape[1:]), tuple(trainer.data.train.images.shape[1:])
    if shape != trained:
        raise BadInput(f"--verify-on {dataset}: its images are {shape}, the network's {trained} (channels, pixels)")
