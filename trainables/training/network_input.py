"""Size of the images that a network gets, and the checks of the settings that determine it."""

from __future__ import annotations

from trainables.backbones import MIN_IMAGE_SIZE, architecture_of
from trainables.core.config import ModelConfig, TrainingConfig, input_scaling
from trainables.core.errors import BadInput
from trainables.data.catalog import resolve_augmentation

Shape = tuple[int, int, int]

_OF_PIXELS = ("brightness", "contrast", "saturation", "auto_augment", "cutout")


def network_input(model: ModelConfig, training: TrainingConfig, dataset: str, image_shape: Shape) -> Shape:
    """Return the shape of the training images as the network gets them, after cropping.

    Args:
        model: networks with a layer of fixed size need one size in training and evaluation.
        training: crop sizes, augmentation, changes of pixels and input scaling are used.
        dataset: name of the data set, for messages.
        image_shape: (C, H, W) of the stored images in pixels, or (D, 1, 1) for feature vectors.

    Raises:
        BadInput: if a setting does not fit the images or the network; gives the allowed values.

    >>> network_input(ModelConfig(), TrainingConfig(crop_size=224), "my-photos", (3, 256, 256))
    (3, 224, 224)
    """
    augmentation = resolve_augmentation(training.augmentation, dataset, image_shape)
    channels, height, width = image_shape
    if (height, width) == (1, 1):
        _refuse_image_settings(training, dataset)
    if input_scaling(model, training) == "pretrained" and not model.of_timm:
        raise BadInput(
            f"`input_scaling` pretrained needs a network of timm, got {model.name}; allowed: auto, standard, symmetric"
        )
    if training.crop_padding is not None and augmentation not in ("crop", "crop-flip"):
        raise BadInput(
            f"`crop_padding` needs a random crop, got augmentation {augmentation}; allowed with: crop, crop-flip"
        )
    _check_channels(training, dataset, channels)
    padding = training.crop_padding or 0
    _check_crop("crop_size", training.crop_size, padding, dataset, image_shape)
    _check_crop("test_crop_size", training.test_crop_size, 0, dataset, image_shape)
    if training.crop_size is not None and training.test_crop_size is None:
        _check_crop("crop_size", training.crop_size, 0, dataset, image_shape)
    size = training.crop_size
    shape = (channels, height, width) if size is None else (channels, size, size)
    if training.cutout > min(shape[1:]):
        raise BadInput(
            f"`cutout` must be at most {min(shape[1:])} pixels, the size of the images, got {training.cutout}"
        )
    tested = training.test_crop_size
    if architecture_of(model.name, model.options).square and tested not in (None, shape[1]):
        raise BadInput(f"`test_crop_size` must equal the training size {shape[1]} for {model.name}, got {tested}")
    if tested is not None and tested < MIN_IMAGE_SIZE:
        raise BadInput(f"`test_crop_size` must be at least {MIN_IMAGE_SIZE} pixels, got {tested}")
    return shape


def _check_channels(training: TrainingConfig, dataset: str, channels: int) -> None:
    if channels in (1, 3):
        return
    for name in ("contrast", "saturation", "auto_augment"):
        if value := getattr(training, name):
            raise BadInput(f"`{name}` {value} needs images of 1 or 3 channels, but those of {dataset} have {channels}")


def _refuse_image_settings(training: TrainingConfig, dataset: str) -> None:
    fields = TrainingConfig.model_fields
    for name in (*_OF_PIXELS, "crop_size", "crop_padding", "test_crop_size", "input_scaling"):
        value = getattr(training, name)
        if value not in (fields[name].default, "standard"):
            raise BadInput(f"`{name}` {value} needs images, but {dataset} holds vectors; omit it")


def _check_crop(name: str, size: int | None, padding: int, dataset: str, image_shape: Shape) -> None:
    _, height, width = image_shape
    largest = min(height, width) + 2 * padding
    if size is not None and size > largest:
        raise BadInput(
            f"`{name}` must be at most {largest} pixels for the images of {dataset} ({height} x {width}, padding "
            f"{padding}), got {size}"
        )
