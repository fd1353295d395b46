"""Reliability diagrams: the share of right predictions over their confidence, a panel per setting."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from study.report.logits.calibration import Reliability
from study.report.logits.calibration_report import Calibration
from trainables.core.errors import BadInput
from trainables.core.storage_path import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ACROSS = 4
"""Panels in a row."""
_BLUE, _LIGHT_BLUE, _ORANGE, _LIGHT_ORANGE, _GREY = "#2171b5", "#9ecae1", "#d95f0e", "#fdd0a2", "#787878"


def write_reliability_pictures(found: Calibration, study: str, folder: Path) -> list[Path]:
    """Write ``<dataset>-<profile>.png`` for every data set and profile; return the paths.

    Raises:
        BadInput: a file cannot be written.
    """
    paths = []
    for place, settings in found.places:
        if not settings:
            continue
        panels = [
            (
                f"{one.row.method} ({one.kept.label})",
                f"ECE {one.row.mean('ece'):.4f}, accuracy {one.row.mean('accuracy'):.4f}, n = {one.row.n}",
                one.bins,
            )
            for one in settings
        ]
        path = folder / f"{place.dataset}-{place.profile}.png"
        picture = reliability_picture(panels, f"{study}, {place.name}: test images, {found.condition}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, picture)
        except OSError as error:
            raise BadInput(f"--pictures {folder}: cannot be written ({error.strerror})") from None
        paths.append(path)
    return paths


def reliability_picture(panels: Sequence[tuple[str, str, Reliability]], caption: str) -> bytes:
    """Draw reliability diagrams as PNG.

    A blue bar is the share of right predictions in a bin of confidence, a mark the mean confidence of its images. They
    meet in a calibrated bin; the gap is light orange where the network is overconfident, light blue where it is
    underconfident. The strip below shows the share of all images in each bin.

    Args:
        panels: title, subtitle and bins of each panel; at least one.
        caption: text above all.

    Source: Guo, Pleiss, Sun and Weinberger, 2017, figure 1.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(max(6.4, 2.9 * across + 0.3), 3.5 * down + 0.9), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    legend = (
        "blue, light blue included: share of right predictions in a bin; mark: mean confidence\n"
        "gap: light orange overconfident, light blue underconfident; below: share of all images"
    )
    figure.suptitle(f"{caption}\n{legend}", fontsize=8)
    rows = figure.subfigures(down, across, squeeze=False)
    for place, (title, subtitle, bins) in zip(rows.flat, panels, strict=False):
        upper, lower = place.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        upper.set_title(f"{title}\n{subtitle}", fontsize=8)
        _draw(upper, lower, bins)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw(upper: Axes, lower: Axes, bins: Reliability) -> None:
    count, width = bins.count, 1 / len(bins.count)
    middles = (np.arange(len(count)) + 0.5) * width
    filled = count > 0
    at, images = middles[filled], count[filled]
    right, confidence = bins.right[filled] / images, bins.confidence[filled] / images
    upper.plot((0, 1), (0, 1), color=_GREY, linewidth=0.8, linestyle="--")
    both, over, under = np.minimum(right, confidence), confidence > right, confidence < right
    gap = np.abs(right - confidence)
    upper.bar(at, both, width=width * 0.92, color=_BLUE)
    for wrong, colour in ((over, _LIGHT_ORANGE), (under, _LIGHT_BLUE)):
        upper.bar(at[wrong], gap[wrong], width=width * 0.92, bottom=both[wrong], color=colour)
    upper.hlines(confidence, at - width * 0.46, at + width * 0.46, color=_ORANGE, linewidth=1.5)
    upper.set(xlim=(0, 1), ylim=(0, 1))
    lower.bar(middles, count / max(1, count.sum()), width=width * 0.92, color=_GREY)
    lower.set(xlim=(0, 1), ylim=(0, 1))
    lower.set_xlabel("confidence", fontsize=7)
    upper.set_ylabel("accuracy", fontsize=7)
    for axes in (upper, lower):
        axes.tick_params(labelsize=6)
        axes.spines[["top", "right"]].set_visible(False)
