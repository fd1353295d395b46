"""The option ``--plot-features`` of ``study train``: features in the plane, or their t-SNE and UMAP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from study.tracking.plots.embedding_plot import embedding_figure, projected_panels
from trainables.core.errors import BadInput
from trainables.core.trial_folder import StoredJson
from trainables.training.balanced_sample import pictured_classes
from trainables.training.embedding import UMAP_MISSING, embedding, has_umap, prototypes_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trainables.data import Split
    from trainables.entry_points.standalone import Ending, Extra, Say
    from trainables.training.trainer import Trainer

_KINDS = (".png", ".pdf", ".svg")


def plotted_features(path: Path, *, of_test: bool) -> Extra:
    """Return an extra of `train_once`: it checks the path at once and draws at the end.

    All images are drawn if the network has two features; of more features, t-SNE and UMAP of a balanced sample.

    Args:
        path: of the picture, ``.png``, ``.pdf`` or ``.svg``.
        of_test: draw the test images; otherwise those that validate.
    """

    def before(trainer: Trainer) -> Ending:
        _check(path)

        def after(say: Say) -> StoredJson:
            images = trainer.data.test() if of_test else trainer.data.validation
            plane = trainer.network.backbone.feature_dim == 2
            if not plane and not has_umap():
                say(UMAP_MISSING)
            drawn = _plane(trainer, images) if plane else _projected(trainer, images)
            if drawn is None:
                say(f"{path} is not drawn: the features cannot be embedded (all equal, not finite, or too few)")
                return {}
            figure, count = drawn
            save_figure(figure, path)
            say(f"features of {count} images drawn in {path}")
            return {}

        return after

    return before


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure; the path's ending says its kind.

    Raises:
        BadInput: the file cannot be written.
    """
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise BadInput(f"--plot-features {path}: cannot be written ({error.strerror or error})") from None


def _plane(trainer: Trainer, images: Split) -> tuple[Figure, int]:
    names, prototypes = trainer.data.class_names, prototypes_of(trainer)
    points, labels = trainer.features(images).numpy(), images.labels.numpy()
    return embedding_figure({"features": points}, labels, dict(enumerate(names)), prototypes=prototypes), len(labels)


def _projected(trainer: Trainer, images: Split) -> tuple[Figure, int] | None:
    found, names = embedding(trainer, images), trainer.data.class_names
    if found is None:
        return None
    shown = {int(k): names[k] for k in pictured_classes(trainer.data.class_counts.numpy())}
    return embedding_figure(projected_panels(found), found["labels"], shown), len(found["labels"])


def _check(path: Path) -> None:
    if path.suffix not in _KINDS:
        raise BadInput(f"--plot-features {path}: expected a file that ends in {', '.join(_KINDS)}")
    if not path.parent.is_dir():
        raise BadInput(f"--plot-features {path}: there is no folder {path.parent}")
