"""Confirmed results of a cell for its MLflow run: mean and deviation of the test metrics over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from study.spec.study_spec import StudySpec
from study.store.study_view import CellView, TrialView
from study.tracking.metric_keys import TEST_METRICS, deviation_key, mean_key
from study.tracking.run_fields import metrics
from study.tracking.run_shown import milliseconds

if TYPE_CHECKING:
    from mlflow.entities import Metric

_ROLES = ("best", "preset")


@dataclass(frozen=True)
class ConfirmedSetting:
    """The confirmation of one setting so far.

    Attributes:
        role: ``best`` or ``preset``; a cell whose best setting is its preset has both with the same trials.
        names: the test metrics, the study's own first.
        trials: confirmation trials with test results, by seed, up to the first that has not ended.
        tested: their test metrics.
    """

    role: str
    names: tuple[str, ...]
    trials: tuple[TrialView, ...]
    tested: tuple[Mapping[str, float], ...]

    def values(self, name: str, first: int | None = None) -> list[float]:
        """Return a metric of the first seeds, or of all; NaN and missing values are left out."""
        found = (tested.get(name) for tested in self.tested[:first])
        return [value for value in found if value is not None and math.isfinite(value)]

    def running_means(self) -> list[Metric]:
        """Return mean and deviation over the first seeds: step = number of seeds. The last are the result."""
        points: list[Metric] = []
        for count in range(1, len(self.trials) + 1):
            time = max(milliseconds(trial.ended) for trial in self.trials[:count])
            for name in self.names:
                values = self.values(name, count)
                if values:
                    points += metrics([(mean_key(self.role, name), statistics.fmean(values))], count, time)
                if len(values) > 1:
                    points += metrics([(deviation_key(self.role, name), statistics.stdev(values))], count, time)
        return points

    def summary(self) -> dict[str, Any]:
        """Return seeds, and mean and standard deviation of every test metric."""
        found = {name: self.values(name) for name in self.names}
        return {
            "seeds": [trial.confirms for trial in self.trials],
            "test": {
                name: {"mean": statistics.fmean(v), "sd": statistics.stdev(v) if len(v) > 1 else None}
                for name, v in found.items()
                if v
            },
        }


def confirmed_settings(cell: CellView, study: StudySpec) -> dict[str, ConfirmedSetting]:
    """Return the confirmed settings of a cell by their role; none without ``confirm``."""
    found: dict[str, ConfirmedSetting] = {}
    names = tuple(name for name in dict.fromkeys((*study.search.metrics, *TEST_METRICS)) if name != "train_loss")
    for setting in cell.settings(study):
        trials, tested = [], []
        for trial in cell.confirmed(setting):
            if trial.state == "RUNNING":
                break
            if (test := trial.test()) is not None and trial.state == "COMPLETE":
                trials.append(trial)
                tested.append(test["metrics"])
        for role in (role for role in _ROLES if role in setting.names):
            found[role] = ConfirmedSetting(role, names, tuple(trials), tuple(tested))
    return found


def confirmed_table(found: Mapping[str, ConfirmedSetting]) -> list[str]:
    """Return the lines of a Markdown table of the confirmed results; none without any."""
    rows = [setting for setting in found.values() if setting.trials]
    if not rows:
        return []
    names = [name for name in rows[0].names if name != "loss"]
    lines = ["Confirmed on the **test images**, mean and standard deviation over seeds:", ""]
    lines += [f"| setting | seeds | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for setting in rows:
        cells = [_mean(setting.values(name)) for name in names]
        lines.append(f"| {setting.role} | {len(setting.trials)} | {' | '.join(cells)} |")
    return [*lines, ""]


def _mean(values: list[float]) -> str:
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4f}{spread}"
