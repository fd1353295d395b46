"""Draw the learning curves of a study's search trials: python docs/draw_learning_curves.py EXPORT.parquet PICTURE.png.

EXPORT.parquet is what `study export` writes. Each imbalance ratio has a column: training loss above, balanced accuracy
on validation images below, one line a method (that of its first trial).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import pyarrow.parquet as pq

METRICS = {
    "train_loss": "training loss\n(each method's own)",
    "balanced_accuracy": "balanced accuracy\non validation images",
}
# Okabe and Ito's colours differ in every kind of colour vision
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")


def draw(export: Path, picture: Path) -> None:
    """Write the picture; its suffix decides between PNG, SVG and PDF."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in pq.read_table(export).to_pylist() if row["phase"] == "search" and row["trial"] == 0]
    ratios = sorted({row["ratio"] for row in rows})
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure, panels = pyplot.subplots(
        len(METRICS), len(ratios), figsize=(4.5 * len(ratios), 6), squeeze=False, sharex=True, sharey="row"
    )
    for column, ratio in enumerate(ratios):
        for (metric, label), panel in zip(METRICS.items(), panels[:, column], strict=True):
            for method, colour in zip(methods, COLOURS, strict=False):
                mine = sorted(
                    (row["epoch"], row[metric]) for row in rows if (row["method"], row["ratio"]) == (method, ratio)
                )
                panel.plot(*zip(*mine, strict=True), color=colour, linewidth=1.4, label=method)
            panel.grid(color="#e5e5e5")
            panel.set_title(f"imbalance ratio {ratio:g}" if metric == "train_loss" else "", fontsize=10)
            panel.set_ylabel("" if column else label)
    for panel in panels[0]:
        panel.set_yscale("symlog", linthresh=0.1)  # some losses are negative
    for panel in panels[-1]:
        panel.set_xlabel("epoch")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.set_layout_engine("constrained")
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path, help="a file that `study export` wrote")
    parser.add_argument("picture", type=Path, help="the PNG, SVG or PDF file to write")
    given = parser.parse_args()
    draw(given.export, given.picture)
