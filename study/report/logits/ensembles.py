"""``study ensemble``: the mean of the softmax over the seeds of a setting, beside its single networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from study.report.confirmed_results import TEST_METRICS, Row
from study.report.confirmed_tables import SHORT, number, spread
from study.report.logits.calibration import Floats, Ints, log_softmax
from study.report.logits.image_scores import calibration_scores, class_scores
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

_SHOWN = {**{name: SHORT.get(name, name) for name in TEST_METRICS}, "nll": "NLL", "brier": "Brier", "ece": "ECE"}


class Ensemble:
    """A mean of softmax probabilities, made up of one network after the other.

    Attributes:
        members: number of networks so far.
        labels: (N,), of the images.

    >>> ensemble = Ensemble(np.array([1]))
    >>> ensemble.add(np.log([[0.6, 0.4]])), ensemble.add(np.log([[0.1, 0.9]]))
    (None, None)
    >>> np.exp(ensemble.log_probabilities).round(6).tolist(), ensemble.members
    ([[0.35, 0.65]], 2)
    """

    def __init__(self, labels: Ints) -> None:
        self.labels, self.members = labels, 0
        self._log_sum: Floats | None = None  # in logs: a probability that underflows would have no logarithm

    def add(self, log_probabilities: Floats) -> None:
        """Add a network with its log probabilities (N, K)."""
        before = self._log_sum
        self._log_sum = log_probabilities if before is None else np.logaddexp(before, log_probabilities)
        self.members += 1

    @property
    def log_probabilities(self) -> Floats:
        """Logarithm of the mean of the members' probabilities, (N, K); there must be a member."""
        assert self._log_sum is not None
        return self._log_sum - math.log(self.members)

    def scores(self, class_counts: tuple[int, ...]) -> dict[str, float]:
        """Return metrics of the confusion matrix and of calibration; ``class_counts`` (K,) are training images."""
        return network_scores(self.log_probabilities, None, self.labels, class_counts)


def network_scores(
    log_probabilities: Floats, predictions: Ints | None, labels: Ints, class_counts: tuple[int, ...]
) -> dict[str, float]:
    """Return metrics of the confusion matrix and of calibration.

    Args:
        log_probabilities: (N, K).
        predictions: (N,); None takes the most probable classes.
        labels: (N,).
        class_counts: (K,), training images per class.
    """
    chosen = log_probabilities.argmax(axis=1) if predictions is None else predictions
    return {
        **class_scores(chosen, labels, class_counts),
        **calibration_scores(log_probabilities, chosen, labels),
    }


@dataclass(frozen=True)
class EnsembledSetting:
    """One setting: ``single`` has its networks' metrics by seed, ``ensemble`` those of all its networks together."""

    kept: KeptSetting
    single: Row
    ensemble: dict[str, float]


@dataclass(frozen=True)
class Ensembles:
    """Ensembles of all settings of a study, and the agreement of their logits with the recorded results."""

    places: tuple[tuple[Place, tuple[EnsembledSetting, ...]], ...]
    agreement: Agreement


def ensembled(view: StudyView) -> Ensembles:
    """Average the softmax over the seeds of every confirmed setting that keeps logits.

    Raises:
        BadInput: the study has no confirmation or keeps no logits, a file of logits is damaged, or the test images of
            two seeds differ.
    """
    agreement, found = Agreement(), []
    for place in places_of(view):
        settings = []
        for kept in place.settings:
            one, agrees = _setting(kept)
            settings.append(one)
            agreement += agrees
        found.append((place, tuple(settings)))
    return Ensembles(tuple(found), agreement)


def _setting(kept: KeptSetting) -> tuple[EnsembledSetting, Agreement]:
    agreement, single = Agreement(), {}
    ensemble: Ensemble | None = None
    counts: tuple[int, ...] = ()
    for trial in kept.trials:
        read = trial.read()
        test, counts = read.splits["test"], read.class_counts
        ensemble = ensemble or Ensemble(test.labels)
        if not np.array_equal(ensemble.labels, test.labels):
            raise BadInput(
                f"{trial.folder}: its test images have other labels than those of {kept.trials[0].folder}: the data "
                "changed between the two, and no ensemble can be made of them"
            )
        log_probabilities = log_softmax(test.logits)
        ensemble.add(log_probabilities)
        single[trial.seed] = network_scores(log_probabilities, test.predictions, test.labels, counts)
        agreement += trial.agreement(read)
    assert ensemble is not None  # a setting of a place keeps at least one trial's logits
    return EnsembledSetting(kept, with_scores(kept.row, single), ensemble.scores(counts)), agreement


def print_ensembles(found: Ensembles, console: Console) -> None:
    """Print a table for every data set and profile: single networks and their ensemble."""
    for place, settings in found.places:
        console.print()
        grid = plain_table(f"{place.name}: test images, single networks and the mean of their softmax over seeds")
        for column in ("method", "setting", "networks"):
            grid.add_column(column, no_wrap=True)
        for column in _SHOWN.values():
            grid.add_column(column, justify="right", no_wrap=True)
        for one in settings:
            who = (one.single.method, one.kept.label)
            _, *others = (one.single.mean(name) for name in _SHOWN)
            grid.add_row(*who, "single", spread(one.single, next(iter(_SHOWN))), *map(_text, others))
            grid.add_row(*who, f"ensemble of {one.single.n}", *(_text(one.ensemble[name]) for name in _SHOWN))
        console.print(grid, highlight=False)
    console.print()
    notes = [
        "single: mean over the networks of the seeds; +- standard deviation.",
        "An ensemble is one result per setting, so it has no deviation. It costs the inference of all its networks: "
        "compare it with ensembles, not with single networks.",
        "NLL in nats. ECE: expected calibration error, 15 bins of equal width.",
        found.agreement.line(),
        lacking_line(place for place, _ in found.places),
    ]
    for note in filter(None, notes):
        console.print(note, highlight=False)


def _text(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else ""


def ensembles_as_json(found: Ensembles) -> dict[str, Any]:
    """Return the ensembles as JSON-ready values."""
    return {
        "agreement": vars(found.agreement),
        "places": places_as_json(found.places, _setting_as_json),
    }


def _setting_as_json(one: EnsembledSetting) -> dict[str, Any]:
    return row_as_json(one.kept, one.single, ensemble={name: number(value) for name, value in one.ensemble.items()})
