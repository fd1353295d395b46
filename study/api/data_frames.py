"""Results of a stored study as pandas data frames; the columns are those of ``study export`` and ``study report``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from study.report.class_export import class_rows
from study.report.confirmed_results import Comparison, Table, confirmed_tables
from study.report.export import all_trials, epoch_rows, trial_row
from study.report.response_export import response_columns, response_rows
from study.report.status import Status
from study.store.study_view import StudyView
from study.store.trial_view import TrialView, read_ahead
from trainables.core.metric_names import METRICS


def status_frame(status: Status) -> pd.DataFrame:
    """Return one row per cell: its place, trials by state, best value, epochs trained and saved, confirmed trials."""
    rows = []
    for cell in status["cells"]:
        best = cell["best"] or {"value": None, "epoch": None}
        confirmation = cell.get("confirmation")
        states = {} if confirmation is None else confirmation["states"]
        rows.append(
            {
                **{name: cell[name] for name in ("cell", "dataset", "profile", "ratio", "method")},
                **{state.lower(): count for state, count in cell["states"].items()},
                "best": best["value"],
                "best_epoch": best["epoch"],
                **{name: cell[name] for name in ("epochs_trained", "epochs_saved")},
                "confirmed": sum(count for state, count in states.items() if state != "RUNNING"),
                "unconfirmed": 0 if confirmation is None else confirmation["left"],
            }
        )
    frame = pd.DataFrame(rows)
    frame.attrs.update(study=status["study"], state=status["state"])
    return frame


def trial_frame(view: StudyView) -> pd.DataFrame:
    """Return one row per trial of search and confirmation, with the metrics of the epoch that is its result."""
    trials = all_trials(view)
    read_ahead(trial for trial in trials if trial.confirms is not None or "metrics" not in trial.ended_with)
    return pd.DataFrame([_trial(view.spec.name, trial) for trial in trials])


def response_frame(view: StudyView) -> pd.DataFrame:
    """Return one row per data set, kind of profile, method and ratio of the model's responses."""
    rows = response_rows(view)
    return pd.DataFrame(rows, columns=response_columns(rows))


def _trial(study: str, trial: TrialView) -> dict[str, Any]:
    result, test = trial.result(), trial.tested()
    return {
        **trial_row(study, trial),
        "epochs": trial.epochs,
        "value": trial.value,
        **{name: result[name] for name in METRICS if name in result},
        **({} if test is None else {f"test_{name}": value for name, value in test["metrics"].items()}),
    }


def epoch_frame(view: StudyView) -> pd.DataFrame:
    """Return one row per trial and epoch."""
    return pd.DataFrame(epoch_rows(view))


def class_frame(view: StudyView) -> pd.DataFrame:
    """Return one row per trial, set of images and class."""
    return pd.DataFrame(class_rows(view))


def confirmed_frame(view: StudyView, metric: str | None, baseline: str | None) -> pd.DataFrame:
    """Return one row per confirmed setting, with the paired tests of best settings."""
    ratios = {(cell.cell.dataset, cell.cell.profile): cell.cell.ratio for cell in view.cells}
    tables = confirmed_tables(view, metric=metric, baseline=baseline)
    return pd.DataFrame([row for table in tables for row in _confirmed(table, ratios[table.dataset, table.profile])])


def _confirmed(table: Table, ratio: float) -> Iterable[dict[str, Any]]:
    against = {test.method: test for test in table.against_baseline}
    presets = {test.method: test for test in table.against_preset}
    for row in table.rows:
        best = row.setting == "best"
        yield {
            "dataset": table.dataset,
            "profile": table.profile,
            "ratio": ratio,
            "method": row.method,
            "setting": row.setting,
            "metric": table.metric,
            "mean": row.mean(table.metric),
            "std": row.deviation(table.metric),
            "seeds": row.n,
            "missing": row.missing,
            **{f"mean_{name}": row.mean(name) for name in METRICS if name in row.by_seed},
            **_tested("baseline", against.get(row.method) if best else None),
            **_tested("preset", presets.get(row.method) if best else None),
            "params": row.params,
        }


def _tested(against: str, test: Comparison | None) -> dict[str, Any]:
    """Return what a paired test found; empty columns without one."""
    found = None if test is None else test.found
    return {
        f"over_{against}": None if found is None or not found.n else found.difference,
        f"p_{against}": None if test is None or found is None else found.t_test,
        f"p_holm_{against}": None if test is None else test.t_holm,
    }
