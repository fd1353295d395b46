"""``study adjust``: post-hoc logit adjustment of any method's confirmed trials, before and after on test images."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.console import Console

from study.report.confirmed_results import TEST_METRICS, Row
from study.report.confirmed_tables import SHORT, metrics_as_json, spread
from study.report.logits.image_scores import class_scores
from study.report.logits.stored_logits import (
    Agreement,
    KeptSetting,
    Place,
    lacking_line,
    places_as_json,
    places_of,
    row_as_json,
    with_scores,
)
from study.store.study_view import StudyView
from study.terminal import plain_table
from trainables.core.errors import BadInput
from trainables.core.logit_file import KeptLogits, SplitLogits
from trainables.core.metrics import from_confusion

Tau = float | None
"""The weight of the log prior; None selects it on validation images."""

_SHOWN = {name: SHORT.get(name, name) for name in TEST_METRICS if name != "geometric_mean"}
AUTO = "auto"
STANDARD: tuple[Tau, ...] = (None, 1.0)
"""What is compared by default: a selected tau, and the one for which the adjustment is Bayes-optimal."""


class Adjusted(NamedTuple):
    """The weight of the log prior, and the metrics of the confusion matrix on the adjusted test logits."""

    tau: float
    scores: dict[str, float]


def parsed_tau(given: str) -> Tau:
    """Read ``--tau``.

    Raises:
        BadInput: neither ``auto`` nor a finite number of at least 0.

    >>> parsed_tau("auto"), parsed_tau("1.5")
    (None, 1.5)
    """
    if given == AUTO:
        return None
    try:
        tau = float(given)
    except ValueError:
        tau = math.nan
    if not 0 <= tau < math.inf:
        raise BadInput(f"--tau {given}: must be auto or a number of at least 0, such as 1")
    return tau


def adjusted(kept: KeptLogits, tau: Tau) -> Adjusted:
    """Subtract tau times the log class prior of the training images from a trial's logits.

    A selected tau is the first of 0, 0.1, ... 2 with the best balanced accuracy on validation images, as in the method
    ``posthoc-logit-adjustment``.

    Args:
        kept: logits of validation and test images.
        tau: of at least 0; None selects it.

    Source: Menon, Jayasumana, Rawat, Jain, Veit and Kumar, 2021, eq 9.
    """
    import torch

    from trainables.components.heads import Head
    from trainables.components.network import Outputs
    from trainables.components.posthoc.posthoc_change import Picked, pick
    from trainables.components.posthoc.prior_subtraction import PriorSubtraction

    counts = torch.tensor(kept.class_counts)
    subtraction, no_head = PriorSubtraction(tau, counts), Head(1, len(kept.class_counts))

    def picked(split: SplitLogits, only: float | None) -> Picked:
        outputs = Outputs(torch.zeros(len(split.labels), 1), torch.from_numpy(split.logits))
        return pick(subtraction, no_head, outputs, torch.from_numpy(split.labels), None, only)

    value = picked(kept.splits["validation"], None).value
    found = picked(kept.splits["test"], value).confusion
    return Adjusted(value, from_confusion(found.numpy(), kept.class_counts))


@dataclass(frozen=True)
class AdjustedSetting:
    """One setting: its metrics by seed as trained, and adjusted with each tau, ``tau`` among the metrics."""

    kept: KeptSetting
    before: Row
    after: tuple[tuple[Tau, Row], ...]


@dataclass(frozen=True)
class Adjustments:
    """Adjusted settings of a study.

    Attributes:
        places: data sets and profiles, each with its settings.
        changed: methods whose logits include a post-hoc change of their own.
        agreement: of the kept logits with the recorded results.
    """

    places: tuple[tuple[Place, tuple[AdjustedSetting, ...]], ...]
    changed: tuple[str, ...]
    agreement: Agreement


def adjustments(view: StudyView, taus: Sequence[Tau] = STANDARD) -> Adjustments:
    """Adjust the logits of every confirmed trial that keeps them.

    Args:
        view: the study.
        taus: weights of the log prior; None selects one for each trial on its validation images.

    Raises:
        BadInput: the study has no confirmation or keeps no logits, or a file of logits is damaged.
    """
    agreement, found, changed = Agreement(), [], Counter[str]()
    for place in places_of(view):
        settings = []
        for kept in place.settings:
            before: dict[int, dict[str, float]] = {}
            after: dict[Tau, dict[int, dict[str, float]]] = {tau: {} for tau in taus}
            for trial in kept.trials:
                read = trial.read()
                test = read.splits["test"]
                before[trial.seed] = class_scores(test.predictions, test.labels, read.class_counts)
                for tau in after:
                    value, scores = adjusted(read, tau)
                    after[tau][trial.seed] = {**scores, "tau": value}
                agreement += trial.agreement(read)
                changed[kept.row.method] += read.posthoc_value is not None
            rows = tuple((tau, with_scores(kept.row, scores)) for tau, scores in after.items())
            settings.append(AdjustedSetting(kept, with_scores(kept.row, before), rows))
        found.append((place, tuple(settings)))
    return Adjustments(tuple(found), tuple(name for name, count in changed.items() if count), agreement)


def print_adjustments(found: Adjustments, console: Console) -> None:
    """Print a table for every data set and profile: each setting as trained and adjusted."""
    for place, settings in found.places:
        console.print()
        grid = plain_table(f"{place.name}: test images, as trained and with post-hoc logit adjustment")
        for column in ("method", "setting"):
            grid.add_column(column, no_wrap=True)
        for column in ("n", "tau", *_SHOWN.values()):
            grid.add_column(column, justify="right", no_wrap=True)
        for one in settings:
            who = (one.before.method, one.kept.label, str(one.before.n))
            grid.add_row(*who, "as trained", *(spread(one.before, name) for name in _SHOWN))
            for tau, row in one.after:
                grid.add_row(*who, _tau(tau, row), *(spread(row, name) for name in _SHOWN))
        console.print(grid, highlight=False)
    console.print()
    for note in _notes(found):
        console.print(note, highlight=False)


def _tau(tau: Tau, row: Row) -> str:
    if tau is not None:
        return f"{tau:g}"
    deviation = row.deviation("tau")
    return f"auto: {row.mean('tau'):.2f}" + (f" +-{deviation:.2f}" if math.isfinite(deviation) else "")


def _notes(found: Adjustments) -> list[str]:
    notes = [
        "Mean and standard deviation over seeds. Adjusted: logits less tau x log class prior of the training images."
    ]
    selects = any(tau is None for _, settings in found.places for one in settings for tau, _ in one.after)
    if selects:
        notes.append(
            "tau auto: of 0, 0.1, ... 2, the one with the best balanced accuracy on each trial's validation images."
        )
    if found.changed:
        notes.append(f"Adjusted on top of a post-hoc change of their own: {', '.join(found.changed)}.")
    if selects and any(place.protocol == "test-select" for place, _ in found.places):
        notes.append("Protocol test-select: tau was selected on these test images, so the results are optimistic.")
    notes.append(
        "tau-normalisation rescales the classifier's weights: it needs the network (method tau-norm), not logits."
    )
    lacking = lacking_line(place for place, _ in found.places)
    return [*notes, found.agreement.line(), *([lacking] if lacking else [])]


def adjustments_as_json(found: Adjustments) -> dict[str, Any]:
    """Return the adjustments as JSON-ready values; ``adjusted`` has a row for each tau."""
    return {
        "agreement": vars(found.agreement),
        "posthoc_methods": list(found.changed),
        "places": places_as_json(found.places, _setting_as_json),
    }


def _setting_as_json(one: AdjustedSetting) -> dict[str, Any]:
    after = [{"tau": AUTO if tau is None else tau, "metrics": metrics_as_json(row)} for tau, row in one.after]
    return row_as_json(one.kept, one.before, adjusted=after)
