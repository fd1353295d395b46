"""Compares a ledger with itself and with the files of its trials: what was changed or lost is not believed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from study.spec.confirmed_settings import CONFIRM
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from trainables.core.errors import BadInput
from trainables.core.metric_names import METRICS
from trainables.core.storage_path import StoragePath
from trainables.core.trial_folder import EpochResult, TrialFolder

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from study.store.trial_view import TrialView

_SHARES = METRICS.keys() - {"loss", "train_loss", "false_positive_distance"}
"""Metrics that are shares of images or classes, between 0 and 1."""

_ROUNDING = 1e-9
_SHOWN = 3
"""Trials that a message names."""


class _Claim(NamedTuple):
    """A value in the ledger: what it is called there, the metric, its epoch, and the value."""

    where: str
    metric: str
    epoch: int
    value: float


def check_results(spec: StudySpec, place: str, trials: Iterable[FrozenTrial], path: StoragePath) -> None:
    """Check the results of one cell's trials; costs a few comparisons per trial and reads no file of a sound one.

    The ledger holds a result three times: as the trial's value, as the value of its epoch, and among the metrics of its
    result. A share lies between 0 and 1. Where that does not hold, the epochs in the trial's folder decide.

    Args:
        spec: the study.
        place: the cell's name, or that of its confirmation.
        trials: its trials, in the current format.
        path: the study's folder.

    Raises:
        BadInput: a value is not what the trial's epochs say; names the ledger, the trial and both values.
    """
    for trial in trials:
        if (doubt := _doubt(spec, trial)) is not None:
            _settle(spec, path, f"{place}/{trial.number:05d}", trial, doubt)


def _doubt(spec: StudySpec, trial: FrozenTrial) -> list[_Claim] | None:
    """Return everything that the ledger claims of a trial if it contradicts itself; the first claim is the doubt."""
    claims = list(_claims(spec, trial))
    steps = trial.intermediate_values
    first = spec.search.metrics[0]
    if steps and not (_possible(first, min(steps.values())) and _possible(first, max(steps.values()))):
        return [*_steps(spec, trial), *claims]
    if any(not _possible(claim.metric, claim.value) for claim in claims):
        return [*claims, *_steps(spec, trial)]
    said: dict[tuple[str, int], float] = {}
    for claim in claims:
        if claim.metric in spec.search.metrics and said.setdefault(claim[1:3], claim.value) != claim.value:
            return [*claims, *_steps(spec, trial)]
    return None


def _claims(spec: StudySpec, trial: FrozenTrial) -> Iterator[_Claim]:
    """Yield what the ledger says of the epoch that is a trial's result."""
    from study.search.trial_params import ENDED_WITH, SELECTED_EPOCH

    steps, said = trial.intermediate_values, trial.user_attrs
    complete = trial.state.name == "COMPLETE"
    epoch = int(said.get(SELECTED_EPOCH) or (spec.training.epochs if complete else max(steps, default=0)))
    first = spec.search.metrics[0]
    if complete:
        for metric, value in zip(spec.search.metrics, trial.values, strict=False):
            yield _Claim("value", metric, epoch, value)
        if epoch in steps:
            yield _Claim(f"value of epoch {epoch}", first, epoch, steps[epoch])
    for metric, value in said.get(ENDED_WITH, {}).get("metrics", {}).items():
        if isinstance(value, int | float) and not math.isnan(value):
            yield _Claim("metrics of its result", metric, epoch, value)


def _steps(spec: StudySpec, trial: FrozenTrial) -> Iterator[_Claim]:
    for epoch, value in trial.intermediate_values.items():
        yield _Claim(f"value of epoch {epoch}", spec.search.metrics[0], epoch, value)


def _possible(metric: str, value: float) -> bool:
    return metric not in _SHARES or -_ROUNDING <= value <= 1 + _ROUNDING


def _settle(spec: StudySpec, path: StoragePath, key: str, trial: FrozenTrial, doubt: Sequence[_Claim]) -> None:
    """Compare the claims with every attempt at the trial: epochs repeated on a GPU may differ, and either is right."""
    folder = TrialFolder(path / "cells" / key)
    attempts = folder.attempts()
    for claim in doubt:
        found = _in_files(attempts, claim)
        if found and claim.value not in found:
            raise BadInput(_contradiction(spec, path, key, claim, found[-1]))
    for claim in doubt:
        if not _possible(claim.metric, claim.value):
            raise BadInput(
                f"{ledger_name(spec, path)}: trial {key} has {claim.metric} {claim.value!r} ({claim.where}), "
                "which must lie between 0 and 1: the ledger was changed. "
                f"The trial's epochs are not in {folder.path}. {_mend(spec)}"
            )


def _in_files(attempts: Iterable[Iterable[EpochResult]], claim: _Claim) -> list[float]:
    return [
        float(result[claim.metric])
        for attempt in attempts
        for result in attempt
        if result["epoch"] == claim.epoch and isinstance(result.get(claim.metric), int | float)
    ]


def _contradiction(spec: StudySpec, path: StoragePath, key: str, claim: _Claim, right: float) -> str:
    return (
        f"{ledger_name(spec, path)}: trial {key} has {claim.metric} {claim.value!r} ({claim.where}), but its epochs in "
        f"{path / 'cells' / key} have {right!r} at epoch {claim.epoch}: the ledger was changed. {_mend(spec, right)}"
    )


def _mend(spec: StudySpec, right: float | None = None) -> str:
    if spec.records.ledger is not None:
        return "Restore the database from a backup"
    return "Put back a copy of the journal" + ("" if right is None else f", or write {right!r} in that place")


def ledger_name(spec: StudySpec, path: StoragePath) -> str:
    """Name a study's ledger for a message."""
    url = spec.records.ledger
    return str(path / "ledger.journal") if url is None else f"the ledger of {path} ({url})"


def trial_faults(spec: StudySpec, key: str, trial: FrozenTrial, path: StoragePath, files: TrialFolder) -> list[str]:
    """Compare everything that the ledger says of a trial's epochs with its files; return a sentence on each fault.

    Args:
        spec: the study.
        key: the trial's name.
        trial: the trial, in the current format.
        path: the study's folder.
        files: the trial's files.
    """
    if (damage := files.bundle_damage()) is not None:
        return [damage]
    names = ("trial.json", "evaluation.json", "test.json")
    damaged = {str(found) for name in names if (found := files.damaged_file(name)) is not None}
    faults = [f"{found}: is damaged; put back a copy of it" for found in sorted(damaged)]
    if faults or trial.state.name not in ("COMPLETE", "PRUNED", "FAIL"):
        return faults  # the epochs of the others are compared when they go on
    attempts, lacking = files.attempts(), set()
    for claim in (*_claims(spec, trial), *_steps(spec, trial)):
        values = _in_files(attempts, claim)
        if not values:
            lacking.add(claim.epoch)
        elif claim.value not in values:
            faults.append(_contradiction(spec, path, key, claim, values[-1]))
    if lacking:
        epochs = ", ".join(map(str, sorted(lacking)))
        faults.append(f"{files.path}: lacks the results of epochs {epochs}, which the ledger has")
    return faults


def params_fault(trial: TrialView) -> str | None:
    """Compare the params and the seed of a trial in the ledger with those that its process has recorded."""
    stored: Any = (trial.stored_config() or {}).get("trial")
    if not isinstance(stored, dict) or not isinstance(stored.get("method"), dict):
        return None
    now = trial.config.model_dump(mode="json")
    for part, name in (("method", "params"), ("training", "lr"), ("training", "weight_decay")):
        was, says = (config.get(part, {}).get(name) for config in (stored, now))
        if was is not None and was != says:
            return f"trial {trial.key}: {part}.{name} is {says} by study file and ledger, but it was trained with {was}"
    if (was := stored.get("seed")) is not None and was != now["seed"]:
        return f"trial {trial.key}: its seed is {now['seed']} by study file and ledger, but it was trained with {was}"
    return None


def check_known(spec: StudySpec, known: Mapping[str, int], path: StoragePath) -> None:
    """Check that the ledger knows all trials that have a folder: a folder is made after its trial's line in the ledger.

    Args:
        spec: the study.
        known: name of a cell or of its confirmation -> number of its trials in the ledger.
        path: the study's folder.

    Raises:
        BadInput: the ledger was deleted, cut short or replaced by an older copy; says how to go on.
    """
    unknown = [f"{place}/{name}" for place, count in known.items() for name in _folders(path / "cells" / place, count)]
    if not unknown:
        return
    ledger, cells = ledger_name(spec, path), path / "cells"
    resume = StudyFolder(path.parent, spec.name).command("resume")
    named = ", ".join(unknown[:_SHOWN]) + (f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else "")
    if not any(known.values()):
        what = "is missing or empty" if spec.records.ledger is None else "knows no trial of the study"
        raise BadInput(
            f"{ledger}: {what}, but {cells} holds {len(unknown)} trials ({named}). "
            "Only the ledger knows how trials ended: "
            f"put back a copy of it. Without one, move {cells} away, and `{resume}` starts anew"
        )
    raise BadInput(
        f"{ledger}: does not know {len(unknown)} trials that {cells} holds ({named}): "
        "it was cut short or is an older copy. "
        f"Put back a newer one. Without it, move their folders away, and `{resume}` trains them again"
    )


def _folders(place: StoragePath, known: int) -> list[str]:
    with suppress(FileNotFoundError, NotADirectoryError):
        names = sorted(entry.name for entry in place.iterdir())
        return [name for name in names if name.isdecimal() and len(name) >= 5 and int(name) >= known]
    return []


def places_of(cells: Iterable[Any]) -> list[str]:
    """Return the names of cells and of their confirmations, by which ledger and folders are divided."""
    return [place for cell in cells for place in (cell.name, f"{cell.name}/{CONFIRM}")]
