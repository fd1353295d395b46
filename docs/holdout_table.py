"""Compare the training images under `holdout` with the papers' in docs/protocol.md: python docs/holdout_table.py.

Counts come from the code that selects the images of a trial, on the class sizes of the published data sets.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np

from trainables.core.config import DataConfig, ProfileConfig
from trainables.data.catalog import DATASETS
from trainables.data.subset_selection import select_training

PAGE = Path(__file__).parent / "protocol.md"
RATIOS = (10, 50, 100)
DATA = ("cifar10", "cifar100")
_BLOCK = re.compile(r"(<!-- holdout -->\n).*?(<!-- /holdout -->)", flags=re.S)

Protocol = Literal["holdout", "m2m"]


def counts_of(dataset: str, kind: Literal["long_tail", "step"], ratio: float, protocol: Protocol) -> tuple[int, ...]:
    """Return the training images per class, in label order, of a balanced data set.

    Args:
        dataset: a name of `DATASETS` whose classes have equally many training images.
        kind: the profile.
        ratio: the imbalance ratio.
        protocol: ``holdout``, or ``m2m``, which trains on the papers' counts.
    """
    about = DATASETS[dataset]
    labels = np.repeat(np.arange(about.classes), about.train_images // about.classes)
    profile = ProfileConfig(kind=kind, ratio=ratio)
    chosen = select_training(labels, about.class_names, DataConfig(dataset=dataset, profile=profile, protocol=protocol))
    return tuple(int(count) for count in np.bincount(labels[chosen.rows], minlength=about.classes))


def class_table() -> str:
    """Return a Markdown table: long-tailed CIFAR-10, a row per ratio and pool, its images class by class."""
    rows = ["| ratio | images of the classes 0 to 9 | all | largest / smallest |", "|---|---|---|---|"]
    for ratio in RATIOS:
        for who, protocol in _POOLS:
            counts = counts_of("cifar10", "long_tail", ratio, protocol)
            shown = ", ".join(f"{count}" for count in counts)
            rows.append(f"| {ratio}, {who} | {shown} | {sum(counts):,} | {_ratio(counts)} |")
    return "\n".join(rows)


def sum_table() -> str:
    """Return a Markdown table: sums and true ratios of both pools, a row per data set, profile and ratio."""
    rows = ["| data set, profile | papers | `holdout` | of the papers' | ratio in papers | ratio under `holdout` |"]
    rows.append("|---|---|---|---|---|---|")
    for dataset in DATA:
        for kind in ("long_tail", "step"):
            for ratio in RATIOS:
                papers, held = (counts_of(dataset, kind, ratio, protocol) for _, protocol in _POOLS)
                share = f"{100 * sum(held) / sum(papers):.1f} %"
                name = f"{DATASETS[dataset].title}, `{kind}` {ratio}"
                rows.append(
                    f"| {name} | {sum(papers):,} | {sum(held):,} | {share} | {_ratio(papers)} | {_ratio(held)} |"
                )
    return "\n".join(rows)


_POOLS: tuple[tuple[str, Protocol], ...] = (("papers", "m2m"), ("`holdout`", "holdout"))


def _ratio(counts: tuple[int, ...]) -> str:
    return f"{max(counts) / min(counts):.2f}"


def renewed(text: str) -> str:
    """Return a page with the tables between its two markers made by the code."""
    return _BLOCK.sub(lambda found: f"{found[1]}{class_table()}\n\n{sum_table()}\n{found[2]}", text)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
