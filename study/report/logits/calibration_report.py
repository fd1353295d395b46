"""``study calibration``: how far the probabilities of confirmed trials can be believed, on test images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from study.report.confirmed_results import Row
from study.report.confirmed_tables import spread
from study.report.logits.calibration import (
    BINS,
    Reliability,
    fitted_temperature,
    log_softmax,
    reliability,
)
from study.report.logits.image_scores import calibration_scores, class_scores
from study.report.logits.stored_logits import (
    Agreement,
    KeptSetting,
    KeptTrial,
    Place,
    lacking_line,
    places_as_json,
    places_of,
    row_as_json,
    with_scores,
)
from study.store.study_view import StudyView
from study.terminal import plain_table

_SHOWN = {"ece": "ECE", "classwise_ece": "class-wise ECE", "nll": "NLL", "brier": "Brier"}


@dataclass(frozen=True, eq=False)
class CalibratedSetting:
    """Calibration of one setting; ``row`` has its metrics by seed, ``bins`` the images of all its seeds."""

    kept: KeptSetting
    row: Row
    bins: Reliability


@dataclass(frozen=True, eq=False)
class Calibration:
    """Calibration of all settings of a study.

    Attributes:
        places: data sets and profiles, each with its settings.
        temperature: whether the probabilities are scaled with a temperature fitted on validation images.
        agreement: of the kept logits with the recorded results.
    """

    places: tuple[tuple[Place, tuple[CalibratedSetting, ...]], ...]
    temperature: bool
    agreement: Agreement

    @property
    def condition(self) -> str:
        """What is true of the probabilities, for titles."""
        return "temperature fitted on validation images" if self.temperature else "probabilities as trained"


def calibrated(view: StudyView, *, temperature: bool = False, bins: int = BINS) -> Calibration:
    """Compute the calibration on test images of every confirmed trial that keeps its logits.

    Args:
        view: the study.
        temperature: divide the logits of each trial by the temperature that minimises the NLL on its validation images.
        bins: number of bins of equal width.

    Raises:
        BadInput: the study has no confirmation or keeps no logits, or a file of logits is damaged.
    """
    agreement, found = Agreement(), []
    for place in places_of(view):
        settings = []
        for kept in place.settings:
            scores, together = {}, None
            for trial in kept.trials:
                scores[trial.seed], own, agrees = _trial(trial, temperature, bins)
                together = own if together is None else together + own
                agreement += agrees
            assert together is not None  # a setting of a place keeps at least one trial's logits
            settings.append(CalibratedSetting(kept, with_scores(kept.row, scores), together))
        found.append((place, tuple(settings)))
    return Calibration(tuple(found), temperature, agreement)


def _trial(trial: KeptTrial, temperature: bool, bins: int) -> tuple[dict[str, float], Reliability, Agreement]:
    kept = trial.read()
    validation, test = kept.splits["validation"], kept.splits["test"]
    fitted = fitted_temperature(validation.logits, validation.labels) if temperature else 1.0
    log_probabilities = log_softmax(test.logits, fitted)
    scores = {
        **class_scores(test.predictions, test.labels, kept.class_counts),
        **calibration_scores(log_probabilities, test.predictions, test.labels, bins),
        **({"temperature": fitted} if temperature else {}),
    }
    confidence = np.exp(log_probabilities[np.arange(len(test.labels)), test.predictions])
    return scores, reliability(confidence, test.predictions == test.labels, bins), trial.agreement(kept)


def print_calibration(found: Calibration, console: Console) -> None:
    """Print a table for every data set and profile, and what the columns mean."""
    for place, settings in found.places:
        console.print()
        grid = plain_table(f"{place.name}: calibration on test images, {found.condition}")
        for column in ("method", "setting"):
            grid.add_column(column, no_wrap=True)
        temperature = ["T"] if found.temperature else []
        for column in ("n", "accuracy", "over", *_SHOWN.values(), *temperature):
            grid.add_column(column, justify="right", no_wrap=True)
        for one in settings:
            accuracy = one.row.mean("accuracy")
            over = f"{one.row.mean('confidence') - accuracy:+.4f}"
            values = (
                *(spread(one.row, name) for name in _SHOWN),
                *(f"{one.row.mean('temperature'):.3f}" for _ in temperature),
            )
            grid.add_row(one.row.method, one.kept.label, str(one.row.n), f"{accuracy:.4f}", over, *values)
        console.print(grid, highlight=False)
    console.print()
    for note in _notes(found):
        console.print(note, highlight=False)


def _notes(found: Calibration) -> list[str]:
    settings = [one for _, settings in found.places for one in settings]
    bins = len(settings[0].bins.count)
    notes = [
        "Mean and standard deviation over seeds. over: mean confidence, the probability of the predicted class, less "
        "accuracy; above 0, the method is overconfident.",
        f"ECE: expected calibration error, {bins} bins of equal width. class-wise ECE: its mean over the probabilities "
        "of all classes. NLL in nats. Brier: squared errors summed over classes, from 0 to 2.",
    ]
    if found.temperature:
        values = [value for one in settings for value in one.row.by_seed["temperature"].values()]
        notes.append("T: divides the logits of a trial; fitted by NLL on its validation images. Predictions stay.")
        if count := values.count(1.0):
            notes.append(f"T is 1 in {count} trials without a mistake on validation images: nothing to fit it by.")
    if found.temperature and any(place.protocol == "test-select" for place, _ in found.places):
        notes.append("Protocol test-select: T was fitted on these test images, so the results are optimistic.")
    lacking = lacking_line(place for place, _ in found.places)
    return [*notes, found.agreement.line(), *([lacking] if lacking else [])]


def calibration_as_json(found: Calibration) -> dict[str, Any]:
    """Return the calibration as JSON-ready values; bins are those of the reliability diagrams, over all seeds."""
    return {
        "temperature_fitted_on_validation": found.temperature,
        "agreement": vars(found.agreement),
        "places": places_as_json(found.places, lambda one: row_as_json(one.kept, one.row, bins=_bins(one.bins))),
    }


def _bins(bins: Reliability) -> list[dict[str, float | int | None]]:
    count = len(bins.count)
    return [
        {
            "from": m / count,
            "to": (m + 1) / count,
            "images": int(images),
            "confidence": float(bins.confidence[m] / images) if images else None,
            "accuracy": float(bins.right[m] / images) if images else None,
        }
        for m, images in enumerate(bins.count)
    ]
