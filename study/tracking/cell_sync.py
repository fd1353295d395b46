"""Sync a cell's summary to its MLflow run: best params, importance, response curves."""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

from study.search.budget import count_trials
from study.spec.study_spec import StudySpec
from study.spec.yaml_io import write_yaml
from study.store.study_view import CellView, TrialView
from study.tracking.plots.response_plots import response_picture
from study.tracking.run_fields import metrics, milliseconds, plain, shown
from study.tracking.run_index import Runs

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


def cell_summary(cell: CellView) -> dict[str, Any]:
    """Return a cell's summary: trials by state, epochs, best and preset trial, importance."""
    best = cell.best()
    preset = next((trial for trial in cell.in_state("COMPLETE") if trial.number == 0), None)
    return {
        "metric": cell.metric,
        "trials": cell.counts(),
        "epochs_trained": cell.epochs_trained(),
        "epochs_saved": cell.epochs_saved(),
        "best": None if best is None else _result(best),
        "preset": None if preset is None else _result(preset),
        "importance": importance(cell),
        **({"front": [_result(trial) for trial in cell.front()]} if len(cell.metrics) > 1 else {}),
    }


def _result(trial: TrialView) -> dict[str, Any]:
    selected = {} if trial.selected_epoch is None else {"epoch": trial.selected_epoch}
    return {"trial": trial.number, "value": trial.value, "params": trial.params, **selected}


def sync_cell(runs: Runs, cell: CellView, study: StudySpec, *, finished: bool = False) -> None:
    """Sync a cell's summary to its run. The operation is idempotent.

    Args:
        runs: the study's runs.
        cell: the cell.
        study: its study.
        finished: True if the whole study has reached its budget; a cell may reach its own before.
    """
    ended = cell.in_state("COMPLETE", "PRUNED", "FAIL")
    if not cell.trials:
        return
    summary = cell_summary(cell)
    notices = cell.notices()
    tags = {"mlflow.note.content": _note(cell, summary), **({"notice": "; ".join(notices)} if notices else {})}
    with runs.locked():
        run = runs.of_cell(cell.cell, cell.trials[0].started)
        if run.ended and tags.items() <= run.tags.items():
            return
        with tempfile.TemporaryDirectory() as scratch:
            _write_files(cell, summary, study, Path(scratch))
            runs.client.log_artifacts(run.id, scratch)
        # the last trial's time, so that a repeated sync adds no point; MLflow draws step 0 as bars
        time = max((milliseconds(trial.ended) for trial in ended), default=0)
        numbers = metrics(_numbers(summary).items(), 0, time)
        runs.write(run, numbers, tags)
        # repeated after a budget was raised: the end moves
        if finished or count_trials(study, cell.cell, cell.frozen).done:
            runs.end(run, "FINISHED", time)


def _numbers(summary: dict[str, Any]) -> dict[str, float]:
    numbers = {f"trials_{state.lower()}": n for state, n in summary["trials"].items() if state != "RUNNING"}
    numbers |= {name: summary[name] for name in ("epochs_trained", "epochs_saved")}
    for which in ("best", "preset"):
        if summary[which] is not None:
            numbers[f"{which}_{summary['metric']}"] = summary[which]["value"]
    return numbers | {f"importance/{plain(name)}": share for name, share in summary["importance"].items()}


def _note(cell: CellView, summary: dict[str, Any]) -> str:
    """Return the description of the run in Markdown."""
    trials = ", ".join(f"{n} {state}" for state, n in summary["trials"].items() if n)
    lines = [f"**{cell.cell.name}**: {trials} trials.", ""]
    for which, said in (("best", "Best"), ("preset", f"Preset `{cell.cell.base.method.preset}`")):
        if summary[which] is not None:
            found = summary[which]
            params = (
                ", ".join(f"`{plain(k)}` = {shown(v)}" for k, v in found["params"].items()) or "nothing is searched"
            )
            value = f"{summary['metric']} **{found['value']:.4f}**"
            epoch = f", epoch {found['epoch']}" if "epoch" in found else ""
            lines.append(f"- {said}: {value} in trial {found['trial']:03d}{epoch} ({params})")
    if summary["importance"]:
        shares = ", ".join(f"`{plain(name)}` {share:.0%}" for name, share in summary["importance"].items())
        lines.append(f"- Importance (PED-ANOVA): {shares}")
    lines += [f"- {notice}" for notice in cell.notices()]
    return "\n".join(lines)


def _write_files(cell: CellView, summary: dict[str, Any], study: StudySpec, folder: Path) -> None:
    (folder / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    (folder / "study.yaml").write_text(write_yaml(study.model_dump(mode="json")), encoding="utf-8")
    if cell.cell.space and any(trial.value is not None for trial in cell.in_state("COMPLETE", "PRUNED")):
        (folder / "response.png").write_bytes(response_picture(cell))
