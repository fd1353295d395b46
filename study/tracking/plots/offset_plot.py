"""Plot of the offsets of a linear head over classes sorted by frequency."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from study.tracking.plots.drawing import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from trainables.core.trial_folder import StoredJson

_MOST_NAMES = 20
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#888888"
"""Blue and vermilion as in `response_plots`."""
_LOOKS: dict[str, dict[str, Any]] = {
    "empirical": {"color": _BLUE, "marker": "o", "label": "empirical: mean_k · w_k / 2"},
    "estimated": {"color": _ORANGE, "marker": "s", "label": "estimated: c_k · w_k / 2"},
}


def offset_picture(offsets: StoredJson, caption: str) -> bytes:
    """Plot prior, trained offset, and empirical beside estimated offset as PNG.

    The panels are those of figures 1 and 3 of Kim, Hong and Kim, 2021; what the head lacks has no panel or line.

    Args:
        offsets: the record that `trainables.training.class_offsets.class_offsets` returned.
        caption: text above the panels.
    """
    # not pyplot, which retains figures and is not thread-safe; imported here because it takes half a second
    from matplotlib.figure import Figure

    counts = np.asarray(offsets["class_counts"], dtype=np.float64)
    order = np.argsort(-counts, kind="stable")
    trained = offsets["trained"] is not None
    figure = Figure(figsize=(4.4 * (3 if trained else 2), 3.8), layout="constrained")
    figure.suptitle(caption, fontsize=11, parse_math=False)
    panels = list(figure.subplots(1, 3 if trained else 2))
    places = np.arange(1, len(order) + 1)
    small = {"markersize": 4 if len(order) <= _MOST_NAMES else 2, "linewidth": 1.2}

    _prior(panels[0], places, counts[order], np.asarray(offsets["log_prior"])[order], small)
    if trained:
        panels[1].set_title("trained offset (bias, added to the logits)", fontsize=10)
        panels[1].plot(places, np.asarray(offsets["trained"])[order], color=_BLUE, marker="o", **small)
    panels[-1].set_title("offsets to subtract from the logits", fontsize=10)
    for kind, look in _LOOKS.items():
        if offsets[kind] is not None:
            panels[-1].plot(places, np.asarray(offsets[kind])[order], **look, **small)
    panels[-1].legend(fontsize=9, frameon=False, loc="best")
    for panel in panels[1:]:
        panel.axhline(0, color=_GREY, linewidth=0.8)
        panel.margins(y=0.15)
    for panel in panels:
        _ranks(panel, [str(offsets["class_names"][k]) for k in order])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _prior(panel: Axes, places: Any, counts: Any, log_prior: Any, small: dict[str, Any]) -> None:
    panel.set_title("prior", fontsize=10)
    panel.set_ylabel("ln Pr(y = k)", fontsize=9)
    images = panel.twinx()
    images.bar(places, counts, color="#dddddd", width=0.9)
    images.set_ylabel("training images", fontsize=9, color=_GREY)
    images.tick_params(labelsize=8, labelcolor=_GREY)
    panel.plot(places, log_prior, color=_BLUE, marker="o", **small)
    panel.set_zorder(images.get_zorder() + 1)  # the line above the bars
    panel.patch.set_visible(False)


def _ranks(panel: Axes, names: list[str]) -> None:
    if len(names) <= _MOST_NAMES:
        long = max(map(len, names)) > 3
        panel.set_xticks(range(1, len(names) + 1), [short(name, 12) for name in names], rotation=90 if long else 0)
        for label in panel.get_xticklabels():
            label.set_parse_math(False)
    panel.set_xlabel("class, from most to least frequent in training", fontsize=9)
    panel.tick_params(labelsize=8)
    panel.grid(axis="y", color="#eeeeee", linewidth=0.8)
    panel.set_axisbelow(True)
