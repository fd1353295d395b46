"""A plot of two-dimensional features and prototypes, as figure 2 of the affinity paper draws them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from trainables.components.heads import PrototypeHead
from trainables.core.errors import BadInput
from trainables.core.trial_folder import StoredJson

if TYPE_CHECKING:
    from trainables.training.trainer import Trainer

_KINDS = (".png", ".pdf", ".svg")
_MOST_NAMES = 20
Floats = npt.NDArray[np.floating]


def feature_plot(path: Path, *, of_test: bool) -> Callable[[Trainer], Callable[[Callable[[str], None]], StoredJson]]:
    """Return what `train_once` takes in ``extras``: it checks at once and draws at the end.

    Args:
        path: of the picture, ``.png``, ``.pdf`` or ``.svg``.
        of_test: draw the test images; otherwise those that validate.
    """

    def before(trainer: Trainer) -> Callable[[Callable[[str], None]], StoredJson]:
        _check(path, trainer)

        def after(say: Callable[[str], None]) -> StoredJson:
            images = trainer.data.test() if of_test else trainer.data.validation
            head = trainer.plan.head
            prototypes = head.weight.detach().cpu().numpy() if isinstance(head, PrototypeHead) else None
            features = trainer.features(images).numpy()
            draw_features(path, features, images.labels.numpy(), trainer.data.class_names, prototypes)
            say(f"features of {len(features)} images drawn in {path}")
            return {}

        return after

    return before


def draw_features(
    path: Path,
    features: Floats,
    labels: npt.NDArray[np.int64],
    class_names: Sequence[str],
    prototypes: Floats | None = None,
) -> None:
    """Draw features as points coloured by class, and prototypes as stars.

    Args:
        path: of the picture; its ending says its kind.
        features: (N, 2).
        labels: (N,), in [0, K).
        class_names: (K,); up to 20 are named beside the plot.
        prototypes: (K, m, 2), or None.

    Raises:
        BadInput: the file cannot be written.
    """
    # not pyplot, which would look for a display and keep the figure
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    colours = colormaps["tab10" if len(class_names) <= 10 else "tab20" if len(class_names) <= 20 else "hsv"]
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.add_subplot(xlabel="feature 1", ylabel="feature 2", aspect="equal")
    for k, name in enumerate(class_names):
        colour = colours(k if len(class_names) <= _MOST_NAMES else k / len(class_names))
        mine = features[labels == k]
        axes.plot(mine[:, 0], mine[:, 1], ".", color=colour, markersize=3, label=name, rasterized=True)
        if prototypes is not None:
            places = prototypes[k]
            axes.plot(places[:, 0], places[:, 1], "*", color=colour, markersize=11, markeredgecolor="black")
    if len(class_names) <= _MOST_NAMES:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), markerscale=3, frameon=False)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise BadInput(f"--plot-features {path}: cannot be written ({error.strerror or error})") from None


def _check(path: Path, trainer: Trainer) -> None:
    if path.suffix not in _KINDS:
        raise BadInput(f"--plot-features {path}: expected a file that ends in {', '.join(_KINDS)}")
    if not path.parent.is_dir():
        raise BadInput(f"--plot-features {path}: there is no folder {path.parent}")
    dim = trainer.network.backbone.feature_dim
    if dim != 2:
        raise BadInput(
            f"--plot-features draws two features, and {trainer.config.model.name} has {dim}; take --model "
            "affinity-conv-2d"
        )
