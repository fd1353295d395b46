"""Checks a study's network, crops and augmentation against the size of images; does not import torch."""

from __future__ import annotations

from study.spec.study_spec import StudySpec
from trainables.backbones import check_image_shape
from trainables.backbones.timm_lookup import why_undivided
from trainables.core.errors import BadInput
from trainables.training.network_input import Shape, network_input


def check_image_settings(spec: StudySpec, dataset: str, image_shape: Shape, *, source: str) -> Shape:
    """Check that a study's network can train on the images of a data set.

    Args:
        spec: the study.
        dataset: name of the data set, for messages.
        image_shape: (C, H, W) of its stored images in pixels, or (D, 1, 1) for feature vectors.
        source: the study file's name, for messages.

    Returns:
        The shape of the training images as the network gets them.

    Raises:
        BadInput: a setting does not fit the images or the network; names file and key.
    """
    place = "training"
    try:
        shape = network_input(spec.model, spec.training, dataset, image_shape)
        place = "model"
        check_image_shape(spec.model.name, shape, spec.model.options)
    except BadInput as error:
        raise BadInput(f"{source}: {place}: {error}") from None
    if spec.model.of_timm and spec.resources.workers > 1:
        channels, height, _ = shape
        why = why_undivided(spec.model.name, spec.model.options, channels, height)
        if why is not None:
            raise BadInput(
                f"{source}: resources.workers: {spec.model.name} {why}; must be 1 with it, got {spec.resources.workers}"
            )
    return shape
