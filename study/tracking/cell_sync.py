"""Sync a cell's summary to its MLflow run: best params, confirmed result, importance, response curves."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.search.budget import count_trials
from study.spec.study_spec import StudySpec
from study.spec.yaml_io import write_yaml
from study.store.study_view import CellView, TrialView
from study.tracking.data_inputs import StoredData, data_of
from study.tracking.metric_keys import best_key
from study.tracking.plots.importance_plot import importance_picture
from study.tracking.plots.response_plots import response_picture
from study.tracking.run_fields import CELL, RECORDED, VERSION, cell_parameters, metrics
from study.tracking.run_index import BEST, Runs, in_requests
from study.tracking.run_shown import milliseconds, plain, shown
from study.tracking.seed_means import ConfirmedSetting, confirmed_settings, confirmed_table

if TYPE_CHECKING:
    from mlflow.entities import Metric

_ENOUGH = 8
"""Fewest complete trials for an importance estimate; with fewer it is noise."""


def importance(cell: CellView) -> dict[str, float]:
    """Return the importance of each searched param: shares that sum to 1.

    Empty with fewer than 8 complete trials. PED-ANOVA (Watanabe, Bansal and Hutter, 2023) compares the params of
    the best trials, five or a tenth of all, with the params of all trials.
    """
    complete = [trial for trial in cell.frozen if trial.state.name == "COMPLETE"]
    if len(complete) < _ENOUGH or not cell.cell.space:
        return {}
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances  # imports scikit-learn

    # a copy in memory, as minimisation, which the evaluator expects
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), directions=["minimize"] * len(cell.metrics))
    study.add_trials(complete)
    sign = -1.0 if cell.maximize else 1.0
    evaluator = PedAnovaImportanceEvaluator(target_quantile=min(0.5, max(0.1, 5 / len(complete))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning that the target must be minimised
        found = get_param_importances(study, evaluator=evaluator, target=lambda trial: sign * trial.values[0])
    names = {dimension.searched_name(name): name for name, dimension in cell.cell.space.items()}
    return {names[key]: float(share) for key, share in found.items() if key in names and share == share}


def cell_summary(cell: CellView, study: StudySpec) -> dict[str, Any]:
    """Return a cell's summary: trials by state, epochs, best and preset trial, importance, confirmed results."""
    best = cell.best()
    preset = next((trial for trial in cell.in_state("COMPLETE") if trial.number == 0), None)
    confirmed = {name: found.summary() for name, found in confirmed_settings(cell, study).items() if found.trials}
    return {
        "metric": cell.metric,
        "trials": cell.counts(),
        "epochs_trained": cell.epochs_trained(),
        "epochs_saved": cell.epochs_saved(),
        "best": None if best is None else _result(best),
        "preset": None if preset is None else _result(preset),
        "importance": importance(cell),
        **({"confirmed": confirmed} if confirmed else {}),
        **({"front": [_result(trial) for trial in cell.front()]} if len(cell.metrics) > 1 else {}),
    }


def _result(trial: TrialView) -> dict[str, Any]:
    selected = {} if trial.selected_epoch is None else {"epoch": trial.selected_epoch}
    return {"trial": trial.number, "value": trial.value, "params": trial.params, **selected}


def sync_cell(
    runs: Runs, cell: CellView, study: StudySpec, *, finished: bool = False, driven: bool = False, whole: bool = True
) -> None:
    """Sync a cell's summary to its run. The operation is idempotent.

    Args:
        runs: the study's runs.
        cell: the cell, with its confirmation trials.
        study: its study.
        finished: True if the whole study has reached its budget; a cell may reach its own before.
        driven: True if a driver is at work on the study: a cell that is not over then runs, else it waits.
        whole: write the files, too; False writes numbers and tags only, which is quick.
    """
    ended = cell.in_state("COMPLETE", "PRUNED", "FAIL")
    if not cell.trials:
        return
    summary = cell_summary(cell, study) if whole else {**cell_summary(replace(cell, frozen=()), study)}
    confirmed = confirmed_settings(cell, study)
    tags = {"mlflow.note.content": _note(cell, summary, confirmed), "mlflow.runName": runs.cell_name(cell.cell)}
    tags |= _bookkeeping(cell, summary) | {"study.kind": CELL, "study.order": f"{runs.order(cell.cell):04d}"}
    if notices := cell.notices():
        tags["notice"] = "; ".join(notices)
    over = (finished or count_trials(study, cell.cell, cell.frozen).done) and cell.unconfirmed(study) == 0
    with runs.locked():
        run = runs.of_cell(cell.cell, cell.trials[0].started)
        _mark_trials(runs, cell, study)
        if over and run.ended and tags.items() <= run.tags.items():
            return
        if whole:
            with tempfile.TemporaryDirectory() as scratch:
                _write_files(cell, summary, study, runs.cell_name(cell.cell), Path(scratch))
                runs.upload(run, scratch)
        if (data := _data(cell)) is not None:
            runs.log_data(run, data)
        points = [*best_so_far(cell), *(point for found in confirmed.values() for point in found.running_means())]
        logged = {} if run.logged == 0 else {key: runs.last_step(run, key) for key in {m.key for m in points}}
        points = [point for point in points if point.step > logged.get(point.key, 0)]
        for batch in in_requests(points) or [[]]:  # without points, tags and params only
            runs.write(run, batch, tags, cell_parameters(cell.cell))
        run.logged = None
        time = max((milliseconds(trial.ended) for trial in (*ended, *cell.confirming)), default=0)
        if over and whole:  # a run that has ended has its files
            runs.go_on(run)
            runs.write(run, (), {RECORDED: VERSION})
            runs.end(run, "FINISHED", time)
        elif driven or over:
            runs.go_on(run)
        else:
            runs.pause(run)


def best_so_far(cell: CellView) -> list[Metric]:
    """Return the best value over the ended trials of the search, in the order of their ends: step = trials so far."""
    ended = sorted(
        cell.in_state("COMPLETE", "PRUNED", "FAIL"), key=lambda trial: (milliseconds(trial.ended), trial.number)
    )
    best: TrialView | None = None
    points: list[Metric] = []
    for step, trial in enumerate(ended, 1):
        if trial.state == "COMPLETE":
            best = cell.better(best, trial)
        if best is not None and best.value is not None:
            points += metrics([(best_key(cell.metric), best.value)], step, milliseconds(trial.ended))
    return points


def _mark_trials(runs: Runs, cell: CellView, study: StudySpec) -> None:
    """Tag the cell's best trial, and each confirmation trial with the role that its setting has now.

    A trial that is not recorded yet is tagged by a later summary: looking for each would take thousands of requests.
    """
    best = cell.best()
    for trial in cell.trials:
        if (run := runs.known_trial(trial)) is None:
            continue
        if best is not None and trial.number == best.number:
            runs.write(run, (), {BEST: "yes"})
        else:
            runs.untag(run, BEST)
    roles = {t.number: s.names for s in cell.settings(study) for t in cell.confirmed(s)}
    for trial in cell.confirming:
        if (run := runs.known_trial(trial)) is not None:
            role = " and ".join(roles.get(trial.number, ("former best",)))
            runs.write(run, (), runs.setting_tags(cell.cell, role))


def _data(cell: CellView) -> StoredData | None:
    found = (data_of(trial, trial.stored_config(), trial.evaluation()) for trial in cell.trials)
    return next((data for data in found if data is not None), None)


def _bookkeeping(cell: CellView, summary: dict[str, Any]) -> dict[str, str]:
    """Return what is counted and not compared, as tags: MLflow draws every metric."""
    counts = ", ".join(f"{n} {state}" for state, n in summary["trials"].items() if n and state != "RUNNING")
    tags = {"trials": counts or "none ended"}
    tags |= {name: str(summary[name]) for name in ("epochs_trained", "epochs_saved")}
    for which in ("best", "preset"):
        if summary[which] is not None:
            tags[f"{which}.trial"] = f"{summary[which]['trial']:03d}"
            tags[f"{which}.validation.{summary['metric']}"] = f"{summary[which]['value']:.6g}"
    if summary["best"] is not None:
        tags |= {f"best.{plain(name)}": shown(value) for name, value in summary["best"]["params"].items()}
    return tags


def _note(cell: CellView, summary: dict[str, Any], confirmed: Mapping[str, ConfirmedSetting]) -> str:
    """Return the description of the run in Markdown."""
    trials = ", ".join(f"{n} {state}" for state, n in summary["trials"].items() if n)
    # the confirmed result comes first: MLflow folds all but the first lines of a description
    lines = [*confirmed_table(confirmed), f"**{cell.cell.name}**: {trials} trials.", ""]
    lines += ["Search, on validation images:", ""]
    for which, said in (("best", "Best"), ("preset", f"Preset `{cell.cell.base.method.preset}`")):
        if summary[which] is not None:
            found = summary[which]
            params = (
                ", ".join(f"`{plain(k)}` = {shown(v)}" for k, v in found["params"].items()) or "nothing is searched"
            )
            value = f"validation {summary['metric']} **{found['value']:.4f}**"
            epoch = f", epoch {found['epoch']}" if "epoch" in found else ""
            lines.append(f"- {said}: {value} in trial {found['trial']:03d}{epoch} ({params})")
    if summary["importance"]:
        shares = ", ".join(f"`{plain(name)}` {share:.0%}" for name, share in summary["importance"].items())
        lines.append(f"- Importance (PED-ANOVA): {shares}")
    lines += [f"- {notice}" for notice in cell.notices()]
    return "\n".join(lines)


def _write_files(cell: CellView, summary: dict[str, Any], study: StudySpec, name: str, folder: Path) -> None:
    (folder / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    (folder / "study.yaml").write_text(write_yaml(study.model_dump(mode="json")), encoding="utf-8")
    if cell.cell.space and any(trial.value is not None for trial in cell.in_state("COMPLETE", "PRUNED")):
        (folder / "response_validation.png").write_bytes(response_picture(cell))
    if len(summary["importance"]) > 1:
        shares = {plain(key): share for key, share in summary["importance"].items()}
        caption = f"{name}: importance of the searched params for validation {cell.metric}"
        (folder / "importance_validation.png").write_bytes(importance_picture(shares, caption))
