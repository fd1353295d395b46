"""Verification of pairs at the end of a training: which images, which pairs, and the line that is printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.core.errors import BadInput
from trainables.core.randomness import epoch_generator
from trainables.core.trial_folder import StoredJson
from trainables.data import Split, whole_test
from trainables.data.image_pairs import Pairs, draw_pairs, read_pairs
from trainables.training.pair_verification import verify

if TYPE_CHECKING:
    from trainables.training.trainer import Trainer


def verification(asked: str, dataset: str | None) -> Callable[[Trainer], Callable[[Callable[[str], None]], StoredJson]]:
    """Return what `train_once` takes in ``extras``: it finds the pairs at once and judges them at the end.

    Args:
        asked: a file in the format of LFW's ``pairs.txt``, over all test images of the data set; or a number
            of pairs, drawn with the training's seed from the images that results are reported on.
        dataset: another data set to verify on, as LFW is for a network trained on other faces; all of its test
            images are used. None is the training's own.
    """

    def before(trainer: Trainer) -> Callable[[Callable[[str], None]], StoredJson]:
        images, pairs = _images_and_pairs(trainer, asked, dataset)

        def after(say: Callable[[str], None]) -> StoredJson:
            found = verify(trainer.features(images), pairs)
            say(
                f"verification  accuracy {found.mean:.4f} +- {found.standard_error:.4f} "
                f"({len(pairs.same)} pairs in {len(found.accuracies)} folds)"
            )
            return {"verification_accuracy": found.mean, "verification_standard_error": found.standard_error}

        return after

    return before


def _images_and_pairs(trainer: Trainer, asked: str, dataset: str | None) -> tuple[Split, Pairs]:
    config, own = trainer.config, trainer.data
    if asked.isdecimal() and dataset is None:
        images, names = own.test(), own.class_names
    else:
        other = {} if dataset is None else {"dataset": dataset}
        images, names = whole_test(config.data.model_copy(update=other))
    shape, trained = tuple(images.images.shape[1:]), tuple(own.train.images.shape[1:])
    if shape != trained:
        raise BadInput(f"--verify-on {dataset}: its images are {shape}, the network's {trained} (channels, pixels)")
    if not asked.isdecimal():
        return images, read_pairs(Path(asked), images.labels, names)
    try:
        return images, draw_pairs(images.labels, int(asked), epoch_generator(config.seed, 0, "pairs"))
    except BadInput as error:
        raise BadInput(f"--verify {asked}: {error}") from None
