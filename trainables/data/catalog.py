"""Table of named data sets, without heavy imports; ``study datasets`` prints it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainables.core.errors import BadInput

Augmentation = Literal["none", "flip", "crop", "crop-flip", "resized-crop-flip"]

LARGE_IMAGE_SIZE = 64
"""Minimum height and width, in pixels, at which colour images default to ``resized-crop-flip``."""

_DIGIT_NAMES = tuple("0123456789")
_FASHION_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_CIFAR10_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_CIFAR100_NAMES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl",
    "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair",
    "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin",
    "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp",
    "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck",
    "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road",
    "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger",
    "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman",
    "worm",
)  # fmt: skip


@dataclass(frozen=True)
class DatasetDescription:
    """Description of a data set, known without opening a file.

    Attributes:
        title: its name in papers.
        class_names: in label order.
        image_shape: (C, H, W), pixels.
        train_images: number of images of the published training split.
        test_images: number of images of the published test split.
        augmentation: augmentation used in its papers; the meaning of ``augmentation: auto``.
        source: provider of the images if the data folder has no folder of that name.
        citation: authors, title and year.
        short: its name in the head of a table, where the title is too long.
    """

    title: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    train_images: int
    test_images: int
    augmentation: Augmentation
    source: Literal["scikit-learn", "torchvision"]
    citation: str
    short: str = ""

    @property
    def heading(self) -> str:
        """Return its name in the head of a table."""
        return self.short or self.title

    @property
    def classes(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)


DATASETS: dict[str, DatasetDescription] = {
    "digits": DatasetDescription(
        "Optical Recognition of Handwritten Digits", _DIGIT_NAMES, (1, 8, 8), 1442, 355, "none",
        "scikit-learn",
        "Alpaydin, Kaynak: Optical Recognition of Handwritten Digits. UCI, 1998", "digits",
    ),
    "mnist": DatasetDescription(
        "MNIST", _DIGIT_NAMES, (1, 28, 28), 60_000, 10_000, "none", "torchvision",
        "LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition. 1998",
    ),
    "fashion-mnist": DatasetDescription(
        "Fashion-MNIST", _FASHION_NAMES, (1, 28, 28), 60_000, 10_000, "crop-flip", "torchvision",
        "Xiao, Rasul, Vollgraf: Fashion-MNIST. 2017",
    ),
    "cifar10": DatasetDescription(
        "CIFAR-10", _CIFAR10_NAMES, (3, 32, 32), 50_000, 10_000, "crop-flip", "torchvision",
        "Krizhevsky: Learning Multiple Layers of Features from Tiny Images. 2009",
    ),
    "cifar100": DatasetDescription(
        "CIFAR-100", _CIFAR100_NAMES, (3, 32, 32), 50_000, 10_000, "crop-flip", "torchvision",
        "Krizhevsky: Learning Multiple Layers of Features from Tiny Images. 2009",
    ),
    "svhn": DatasetDescription(
        "Street View House Numbers", _DIGIT_NAMES, (3, 32, 32), 73_257, 26_032, "crop", "torchvision",
        "Netzer, Wang, Coates, Bissacco, Wu, Ng: Reading Digits in Natural Images. 2011", "SVHN",
    ),
}  # fmt: skip


def default_augmentation(dataset: str, channels: int = 3, size: int = 32) -> Augmentation:
    """Return the augmentation that ``auto`` selects for a data set.

    A data set of `DATASETS` has the augmentation of its papers, regardless of its source. Other colour images get
    ``crop-flip``, or ``resized-crop-flip`` from `LARGE_IMAGE_SIZE` on. Grey images get ``none``, because most grey data
    sets show writing, which mirroring changes.

    Args:
        dataset: a name of `DATASETS` or of a folder of images.
        channels: 1 or 3; used only for data sets outside `DATASETS`.
        size: the shorter of height and width, in pixels; used only for data sets outside `DATASETS`.

    >>> default_augmentation("svhn"), default_augmentation("my-photos"), default_augmentation("my-scans", 1)
    ('crop', 'crop-flip', 'none')
    >>> default_augmentation("my-photos", size=224)
    'resized-crop-flip'
    """
    if dataset in DATASETS:
        return DATASETS[dataset].augmentation
    if channels != 3:
        return "none"
    return "resized-crop-flip" if size >= LARGE_IMAGE_SIZE else "crop-flip"


def resolve_augmentation(
    wanted: Literal["auto"] | Augmentation, dataset: str, image_shape: tuple[int, int, int]
) -> Augmentation:
    """Return the augmentation that a training uses.

    Args:
        wanted: value of the study file; ``auto`` means `default_augmentation`, or ``none`` for feature vectors.
        dataset: as in `default_augmentation`.
        image_shape: (C, H, W), or (D, 1, 1) for vectors.

    Raises:
        BadInput: if ``wanted`` would crop or flip feature vectors.

    >>> resolve_augmentation("auto", "my-photos", (3, 32, 32)), resolve_augmentation("auto", "my-texts", (300, 1, 1))
    ('crop-flip', 'none')
    """
    if image_shape[1:] != (1, 1):
        return default_augmentation(dataset, image_shape[0], min(image_shape[1:])) if wanted == "auto" else wanted
    if wanted not in ("auto", "none"):
        raise BadInput(f"`augmentation` {wanted} needs images, but {dataset} holds vectors; allowed: auto, none")
    return "none"
