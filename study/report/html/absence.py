"""Why the page has no result at a place, in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from study.report.html.results import Place, Results
from study.store.study_view import CellView
from trainables.core.metric_names import METRICS
from trainables.core.metrics import from_confusion


def absences_of(results: Results, places: Sequence[Place] | None = None) -> list[str]:
    """Return a sentence for every reason why places have no result, with the places if others have another reason.

    Args:
        results: the results of the study.
        places: the places concerned; None takes all.
    """
    reasons: dict[tuple[str, str], list[Place]] = {}
    concerned = results.places if places is None else places
    for place in concerned:
        if not place.ranked():
            reasons.setdefault(_reason(results, place), []).append(place)
    sentences = []
    for (opening, reason), without in reasons.items():
        named = "" if len(without) == len(results.places) else f" at {listed([results.said(p) for p in without])}"
        sentences.append(f"{opening}{named}: {reason}.")
    return sentences


def search_absence(cells: Iterable[CellView]) -> str:
    """Return why a search has no best trial, as a clause; empty if a trial is complete.

    >>> search_absence([])
    'no trial has begun'
    """
    own = list(cells)
    counts = {state: sum(len(cell.in_state(state)) for cell in own) for state in ("RUNNING", "PRUNED", "FAIL")}
    if any(cell.in_state("COMPLETE") for cell in own):
        return ""
    words = {"RUNNING": "running or interrupted", "PRUNED": "pruned", "FAIL": "failed"}
    said = [f"{count} {words[state]}" for state, count in counts.items() if count]
    return f"no trial is complete ({', '.join(said)})" if said else "no trial has begun"


def _reason(results: Results, place: Place) -> tuple[str, str]:
    """Return how the sentence begins and why the place has no result."""
    waiting, never = "No result yet", "No result"
    cells = [cell for own in place.cells.values() for cell in own]
    searched = search_absence(cells)
    if searched:
        return (waiting if results.view.state != "finished" else never), searched
    if _group_is_empty(results.metric, cells):
        meaning = METRICS[results.metric][0]
        return never, f"{results.unit.name} is undefined; it is the {meaning}, and there are none"
    if place.scores and any(score.values for score in place.scores.values()):
        return never, f"{results.unit.name} is not a finite number in any of the trials"
    if results.images == "test":
        return waiting, "no confirmation trial of a best setting is complete"
    if any(cell.cell.base.data.folds is not None for cell in cells) and not place.scores:
        return waiting, "no setting has a complete trial in every fold"
    return never, f"the complete trials have not recorded {results.unit.name}"


def _group_is_empty(metric: str, cells: Sequence[CellView]) -> bool:
    """Return True if the metric is that of a group of classes, such as ``few``, and the group is empty."""
    stored = (trial.evaluation() for cell in cells for trial in cell.in_state("COMPLETE"))
    counts = next((found["class_counts"] for found in stored if found is not None), None)
    if counts is None:
        return False
    faultless = np.eye(len(counts), dtype=np.int64)
    return math.isnan(from_confusion(faultless, counts).get(metric, 0.0))


def listed(items: Sequence[str], most: int = 4) -> str:
    """Join items as in a sentence, and count those beyond the first few.

    >>> listed(["a"]), listed(["a", "b", "c"]), listed(["a", "b", "c"], most=2)
    ('a', 'a, b and c', 'a, b and 1 more')
    """
    shown = [*items[:most], *([f"{len(items) - most} more"] if len(items) > most else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
