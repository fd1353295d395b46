"""A stored study whose trials were never trained: results follow a formula, so thousands take seconds."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from search_spaces.encoding import distributions_of, encode
from study.ledger.storage import open_storage
from study.search.trial_params import ENDED_WITH, PARAM_SOURCE, PARAMS
from study.spec.cell import Cell, expand
from study.spec.confirmed_settings import CONFIRM, seeds_of, settings_of
from study.spec.objectives import directions
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from trainables.core.metric_names import METRICS
from trainables.core.metrics import from_confusion, recall_per_class
from trainables.core.trial_folder import TrialFolder

CLASSES = 10
_IMAGES_OF_A_CLASS = 200
_BEGAN = datetime(2026, 1, 1)
PRUNED, FAILED = 0.3, 0.03
"""Shares of a cell's trials that are pruned and that fail, the first trial aside."""


class SyntheticStudy:
    """Writes a study with ended trials into a storage folder, and its confirmation if the study has one."""

    def __init__(self, storage: Path, spec: StudySpec, *, seed: int = 0, pruned: float = PRUNED) -> None:
        """Create the study's folder and ledger; `write` adds the trials."""
        self.spec, self.pruned = spec, pruned
        self.cells = expand(spec)
        self.folder = StudyFolder(storage, spec.name)
        data = {
            f"{cell.dataset}/{cell.profile}": hashlib.sha256(cell.profile.encode()).hexdigest() for cell in self.cells
        }
        with self.folder.driver_lock():
            self.folder.create(spec, data)
        self._rng = np.random.default_rng(seed)
        self._clock = _BEGAN
        names = list(dict.fromkeys(cell.method for cell in self.cells))
        self._strength = {name: 0.0 if name == "erm" else float(self._rng.normal(0.15, 0.2)) for name in names}

    def write(self) -> StudyFolder:
        """Write all trials."""
        storage = open_storage(self.folder.path, None)
        for cell in self.cells:
            best = self._search(storage, cell)
            if self.spec.confirm is not None:
                self._confirm(storage, cell, best)
        return self.folder

    def _study(self, storage: BaseStorage, name: str) -> optuna.Study:
        wanted = directions(self.spec.search.metric)
        return optuna.create_study(study_name=f"{self.spec.name}/{name}", storage=storage, directions=wanted)

    def _search(self, storage: BaseStorage, cell: Cell) -> dict[str, Any] | None:
        study, metric = self._study(storage, cell.name), self.spec.search.metrics[0]
        epochs = self.spec.training.epochs
        ended: list[FrozenTrial] = []
        best: tuple[float, dict[str, Any]] | None = None
        for number in range(self.spec.search.trials):
            drawn = {name: dimension.from_unit(self._rng.random()) for name, dimension in cell.space.items()}
            params = cell.preset_params() if number == 0 else drawn
            chance = self._rng.random() if number else 1.0
            failed, pruned = chance < FAILED, FAILED <= chance < FAILED + self.pruned
            last = 1 if failed else int(self._rng.integers(1, epochs)) if pruned and epochs > 1 else epochs
            curve = self._curve(cell, params, last)
            files = TrialFolder(self.folder.path / "cells" / cell.name / f"{number:05d}")
            self._write_files(files, cell, params, number, None, curve)
            reason = {"reason": "NonFiniteLoss: the loss is nan in step 12 of epoch 2"} if failed else {}
            source = {PARAM_SOURCE: "recommended"} if number == 0 else {}
            value = curve[-1][metric]
            complete = not failed and last == epochs
            if complete and (best is None or value > best[0]):
                best = value, params
            ended.append(
                create_trial(
                    state=TrialState.FAIL if failed else TrialState.COMPLETE if complete else TrialState.PRUNED,
                    value=value if complete else None,
                    params=encode(cell.space, params),
                    distributions=distributions_of(cell.space),
                    user_attrs={PARAMS: params, **source, **(reason or _end(curve))},
                    intermediate_values={result["epoch"]: result[metric] for result in curve},
                )
            )
        self._add(study, ended)
        return None if best is None else best[1]

    def _confirm(self, storage: BaseStorage, cell: Cell, best: dict[str, Any] | None) -> None:
        study, metric = self._study(storage, f"{cell.name}/{CONFIRM}"), self.spec.search.metrics[0]
        ended: list[FrozenTrial] = []
        for seed in seeds_of(self.spec):
            for setting in settings_of(cell, best):
                curve = self._curve(cell, setting.params, self.spec.training.epochs)
                files = TrialFolder(self.folder.path / "cells" / cell.name / CONFIRM / f"{len(ended):05d}")
                self._write_files(files, cell, setting.params, 0, seed, curve)
                about = {
                    PARAMS: setting.params,
                    PARAM_SOURCE: " and ".join(setting.names),
                    "phase": CONFIRM,
                    "seed": seed,
                    **_end(curve),
                }
                seen = {result["epoch"]: result[metric] for result in curve}
                state = TrialState.COMPLETE
                ended.append(
                    create_trial(state=state, value=curve[-1][metric], user_attrs=about, intermediate_values=seen)
                )
        self._add(study, ended)

    def _add(self, study: optuna.Study, trials: list[FrozenTrial]) -> None:
        for trial in trials:
            trial.datetime_start = self._clock
            self._clock += timedelta(seconds=20 * max(trial.intermediate_values, default=1))
            if trial.state.is_finished():
                trial.datetime_complete = self._clock
        study.add_trials(trials)

    def _recall(self, cell: Cell, params: dict[str, Any]) -> np.ndarray[Any, Any]:
        """Return the expected recall per class: lower for rare classes, and away from the best params."""
        counts = _counts(cell.ratio)
        ratio = math.log10(max(1.0, cell.ratio))
        places = [dimension.to_unit(params[name]) for name, dimension in cell.space.items()]
        away = sum((place - min(0.95, 0.25 + 0.22 * ratio)) ** 2 for place in places)
        rarity = np.log10(counts.max() / counts)
        strength = self._strength[cell.method]
        return np.asarray(1 / (1 + np.exp(-(2.6 - 1.4 * rarity * (1 - strength) - 0.3 * strength - 3 * away))))

    def _curve(self, cell: Cell, params: dict[str, Any], last: int) -> list[dict[str, Any]]:
        """Return the epoch results of a trial; the last one also has its confusion matrix."""
        counts, recall = _counts(cell.ratio), self._recall(cell, params)
        shift = self._rng.normal(0, 0.015)
        found = []
        for epoch in range(1, last + 1):
            reached = np.clip(recall * (1 - 0.5 * math.exp(-2.5 * epoch / self.spec.training.epochs)) + shift, 0.0, 1.0)
            wrong = (1 - reached)[:, None] * (np.ones((CLASSES, CLASSES)) - np.eye(CLASSES)) / (CLASSES - 1)
            shares = np.diag(reached) + wrong
            confusion = self._rng.multinomial(_IMAGES_OF_A_CLASS, shares / shares.sum(axis=1, keepdims=True))
            found.append(
                {
                    "epoch": epoch,
                    "stage": "all",
                    "train_loss": 2.0 / epoch,
                    "loss": 2.5 / epoch,
                    **from_confusion(confusion, counts.tolist()),
                    "learning_rate": 0.05,
                    "images_per_second": 1000.0,
                    "confusion": confusion,
                }
            )
        return found

    def _write_files(
        self,
        files: TrialFolder,
        cell: Cell,
        params: dict[str, Any],
        number: int,
        seed: int | None,
        curve: list[dict[str, Any]],
    ) -> None:
        files.path.mkdir(parents=True, exist_ok=True)
        config = cell.trial(params, number).model_dump(mode="json")
        environment = {
            "code": "0123456789abcdef",
            "git_commit": "0123456789ab",
            "device": "cpu",
            "precision": "float32",
            "host": "synthetic",
            "cpus": 2,
            "python": "3.11.7",
            "packages": {"torch": "2.15.0"},
        }
        stored = {"trial": config | ({} if seed is None else {"seed": seed}), "environment": environment}
        (files.path / "trial.json").write_text(json.dumps(stored | {"data_fingerprint": "synthetic"}))
        lines = [{name: value for name, value in result.items() if name != "confusion"} for result in curve]
        (files.path / "epochs-1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        confusion = curve[-1]["confusion"]
        evaluation = {
            "epoch": curve[-1]["epoch"],
            "recall": recall_per_class(confusion).tolist(),
            "confusion": confusion.tolist(),
            "class_counts": _counts(cell.ratio).tolist(),
            "class_names": [str(k) for k in range(CLASSES)],
        }
        files.write_evaluation(evaluation)
        if seed is not None:
            metrics = {n: v for n, v in lines[-1].items() if n not in ("epoch", "stage", "train_loss")}
            (files.path / "test.json").write_text(json.dumps({**evaluation, "metrics": metrics}))


def _end(curve: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the ledger keeps of an ended trial."""
    metrics = {name: value for name, value in curve[-1].items() if name in METRICS}
    return {ENDED_WITH: {"metrics": metrics, "precision": "float32", "device": "cpu"}}


def _counts(ratio: float) -> np.ndarray[Any, Any]:
    """Return the long-tailed class counts of a ratio."""
    steps = np.arange(CLASSES) / (CLASSES - 1)
    return np.asarray(np.maximum(1, (1000 * ratio**-steps).astype(int)))
