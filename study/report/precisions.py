"""The precisions in which the trials of a study were trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from study.store.study_view import CellView

Precisions = Mapping[tuple[str, str], int]
"""(precision, device) -> number of trials."""


def precisions_of(cells: Iterable[CellView]) -> Precisions:
    """Count the trials of some cells by precision and device, confirmation trials included.

    Trials whose process has not begun are left out.
    """
    found = (trial.trained_in() for cell in cells for trial in cell.all_trials)
    return Counter(one for one in found if one is not None)


def mixed(found: Precisions) -> bool:
    """Return True if not all trials were trained in one precision.

    >>> mixed({("float32", "cpu"): 3}), mixed({("float32", "cpu"): 3, ("bfloat16", "NVIDIA H100"): 1})
    (False, True)
    >>> mixed({("bfloat16, float32", "cpu"): 1})  # a single trial, continued in another precision
    True
    """
    return len({precision for names, _ in found for precision in names.split(", ")}) > 1


def precision_line(found: Precisions) -> str:
    """Return a sentence on the precision of some trials, empty without trials.

    >>> precision_line({("float32", "cpu"): 12})
    'precision: float32'
    >>> precision_line({("float32", "cpu"): 12, ("bfloat16", "NVIDIA H100"): 3})
    'precisions are mixed: float32 (12 trials, cpu), bfloat16 (3 trials, NVIDIA H100); they round differently, ...'
    """
    if not found:
        return ""
    if not mixed(found):
        return f"precision: {next(iter(found))[0]}"
    parts = (
        f"{precision.replace(', ', ' then ')} ({count} {'trial' if count == 1 else 'trials'}, {device})"
        for (precision, device), count in found.items()
    )
    return (
        f"precisions are mixed: {', '.join(parts)}; they round differently, so small differences between these trials "
        f"may come from the precision"
    )
