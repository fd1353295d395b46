"""Plots of features in the plane: t-SNE, UMAP, or features that are two-dimensional themselves, with prototypes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from study.tracking.plots.drawing import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trainables.core.trial_folder import ArrayFile

_MOST_NAMES = 20
_TITLES = {"tsne": "t-SNE", "umap": "UMAP"}
_FEATURES = "features"
"""Title of a panel whose axes are the features themselves."""
Floats = npt.NDArray[Any]


def embedding_picture(
    arrays: ArrayFile, class_names: Sequence[str], class_counts: Sequence[int], caption: str
) -> bytes:
    """Plot a stored embedding as PNG, a panel for each projection.

    Args:
        arrays: what `trainables.training.embedding.embedding` returned, and ``of_test``.
        class_names: K names.
        class_counts: K numbers of training images; the legend begins with the most frequent class.
        caption: text above the panels; the number and split of the images are appended.
    """
    labels = arrays["labels"].astype(np.int64)
    counts = np.asarray(class_counts)
    classes = [int(k) for k in np.argsort(-counts, kind="stable") if k in labels]
    panels = projected_panels(arrays) or {_FEATURES: arrays["features"]}
    per_class = np.bincount(labels)[classes]
    size = f"{per_class[0]}" if len(set(per_class.tolist())) == 1 else f"{min(per_class)} to {max(per_class)}"
    of_all = "" if len(classes) == len(counts) else f", {len(classes)} of {len(counts)} classes"
    split = "test" if bool(arrays["of_test"]) else "validation"
    title = f"{caption}\n{len(labels)} {split} images, {size} of each class{of_all}"
    names = {k: f"{short(str(class_names[k]), 24)} ({counts[k]})" for k in classes}
    figure = embedding_figure(panels, labels, names, title=title, prototypes=arrays.get("prototypes"))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def projected_panels(arrays: ArrayFile) -> dict[str, Floats]:
    """Return title -> points (N, 2) of the projections of a stored embedding; features in the plane have none."""
    return {title: arrays[name] for name, title in _TITLES.items() if name in arrays}


def embedding_figure(
    panels: Mapping[str, Floats],
    labels: npt.NDArray[np.int64],
    names: Mapping[int, str],
    *,
    title: str = "",
    prototypes: Floats | None = None,
) -> Figure:
    """Draw points coloured by class, and prototypes as stars, as figure 2 of the affinity paper does.

    Args:
        panels: title -> points (N, 2); the axes of projections have no unit and no ticks.
        labels: (N,), classes of the points.
        names: class -> text in the legend, in its order; above 20 classes there is no legend.
        title: text above the panels.
        prototypes: (K, m, 2), or None.
    """
    # not pyplot, which would look for a display and keep the figure
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    named = len(names) <= _MOST_NAMES
    colours = colormaps["tab10" if len(names) <= 10 else "tab20" if named else "hsv"]
    figure = Figure(figsize=(4.6 * len(panels) + 2.0, 5.0), layout="constrained")
    figure.suptitle(title, fontsize=11, parse_math=False)
    size = 3 if len(labels) > 2000 else 5
    every = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (kind, points) in zip(every, panels.items(), strict=True):
        axes.set_title(kind, fontsize=11)
        axes.set_aspect("equal", adjustable="datalim")
        if kind == _FEATURES:
            axes.set_xlabel("feature 1")
            axes.set_ylabel("feature 2")
        else:
            axes.set_xticks([])
            axes.set_yticks([])
        for rank, (k, name) in enumerate(names.items()):
            colour = colours(rank if named else rank / len(names))
            mine = points[labels == k]
            axes.plot(mine[:, 0], mine[:, 1], ".", color=colour, markersize=size, label=name, rasterized=True)
            if prototypes is not None:
                places = prototypes[k]
                axes.plot(places[:, 0], places[:, 1], "*", color=colour, markersize=11, markeredgecolor="black")
    if named:
        found = dict(zip(*reversed(every[0].get_legend_handles_labels()), strict=True))
        legend = figure.legend(
            found.values(), found.keys(), loc="outside right upper", markerscale=2, frameon=False, fontsize=9
        )
        if title:
            legend.set_title("class (training images)")
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure
