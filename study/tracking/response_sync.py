"""Sync a study's own MLflow run: what every method's best setting is expected to reach at every imbalance ratio."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.search.ratio_response import RatioResponse, has_responses, ratio_responses
from study.search.search_task import search_task
from study.search.trial_params import params_text
from study.spec.confirm_spec import BASELINE
from study.spec.study_spec import StudySpec
from study.store.study_view import CellView
from study.tracking.plots.palette import Style, styles_of
from study.tracking.plots.ratio_response_plot import BestTrial, ratio_response_picture
from study.tracking.run_fields import RECORDED, TAG_LENGTH, VERSION
from study.tracking.run_shown import milliseconds, shown
from study.tracking.saved_views import study_view

if TYPE_CHECKING:
    from study.tracking.run_index import Runs

RESPONSE_TABLE, RESPONSE_PICTURE = "ratio_response.json", "ratio_response.png"

_COLUMNS = ("dataset", "profile_kind", "method", "ratio", "mean", "low", "high", "trials", "setting")
_EVIDENCE = "study.evidence"
"""Tag with a digest of the trials that the files rest on: unless they change, nothing is fitted again."""


def sync_responses(runs: Runs, spec: StudySpec, cells: Sequence[CellView]) -> None:
    """Write the responses of a study whose search is over to its own run: a table and a picture.

    The operation is idempotent. A study without a response, such as one of a single ratio, gets no run of its own.
    Fitting 200 trials takes well under a second of processor time, 1,000 of one method four seconds.

    Args:
        runs: the study's runs.
        spec: the study.
        cells: all its cells.
    """
    searched = [(cell.cell, cell.frozen) for cell in cells]
    if not has_responses(spec, searched):
        return
    evidence = _digest(cells)
    known = runs.known_study()
    if known is not None and known.ended and known.tags.get(_EVIDENCE) == evidence:
        return
    responses = ratio_responses(spec, searched)
    if not responses:
        return
    trials = [trial for cell in cells for trial in cell.trials]
    with runs.locked():
        run = runs.of_study(min((trial.started for trial in trials if trial.started), default=None))
        with tempfile.TemporaryDirectory() as scratch:
            _write_files(responses, spec, cells, Path(scratch))
            runs.upload(run, scratch)
        runs.write(run, (), _tags(responses, cells[0].metric))
        runs.tag_experiment(study_view())
        runs.go_on(run)
        runs.write(run, (), {RECORDED: VERSION, _EVIDENCE: evidence})
        runs.end(run, "FINISHED", max(milliseconds(trial.ended) for trial in trials))


def response_rows(responses: Sequence[RatioResponse]) -> list[list[Any]]:
    """Return the rows of the table, a row per response and ratio; numbers have six significant digits."""
    return [
        [
            *(one.dataset, one.profile_kind, one.method),
            *(float(f"{value:.6g}") for value in values),
            *(one.trials, params_text(setting)),
        ]
        for one in responses
        for *values, setting in zip(one.ratios, one.mean, one.low, one.high, one.settings, strict=True)
    ]


def _write_files(responses: Sequence[RatioResponse], spec: StudySpec, cells: Sequence[CellView], folder: Path) -> None:
    table = json.dumps({"columns": _COLUMNS, "data": response_rows(responses)})
    (folder / RESPONSE_TABLE).write_text(table, encoding="utf-8")
    best = [
        BestTrial(search_task(cell.cell), cell.cell.method, cell.cell.ratio, trial.value)
        for cell in cells
        if (trial := cell.best()) is not None and trial.value is not None
    ]
    picture = ratio_response_picture(responses, best, _styles(responses, cells), spec.search.metrics[0])
    (folder / RESPONSE_PICTURE).write_bytes(picture)


def _styles(responses: Sequence[RatioResponse], cells: Sequence[CellView]) -> dict[str, Style]:
    """Return the styles of all methods; of many, those with the best response at the largest ratios are coloured."""
    methods = list(dict.fromkeys(cell.cell.method for cell in cells))
    baseline = next((cell.cell.method for cell in cells if cell.cell.base.method.name == BASELINE), None)
    sign = -1.0 if cells[0].maximize else 1.0
    ranked = [one.method for one in sorted(responses, key=lambda one: sign * one.mean[-1])]
    return styles_of(methods, baseline, list(dict.fromkeys((*ranked, *methods))))


def _tags(responses: Sequence[RatioResponse], metric: str) -> dict[str, str]:
    return {
        "mlflow.loggedArtifacts": json.dumps([{"path": RESPONSE_TABLE, "type": "table"}]),
        "mlflow.note.content": _note(responses, metric),
    }


def _note(responses: Sequence[RatioResponse], metric: str) -> str:
    """Return the description of the run in Markdown: responses at the smallest and largest ratio, as many as fit."""
    lines = [
        "At each ratio, what the setting with the best expected value there is expected to reach in validation "
        f"{metric}, by one model of all trials of the method, with its 95 % band. "
        f"`{RESPONSE_PICTURE}` draws it, `{RESPONSE_TABLE}` has the numbers.",
        "",
        "| data set | profile | method | trials | smallest ratio | expected | largest ratio | expected |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in responses:
        ends = (f"{shown(one.ratios[at])} | {_expected(one, at)}" for at in (0, -1))
        lines.append(f"| {one.dataset} | {one.profile_kind} | {one.method} | {one.trials} | {' | '.join(ends)} |")
    while len(text := "\n".join(lines)) > TAG_LENGTH:
        del lines[-1]
    return text


def _expected(response: RatioResponse, at: int) -> str:
    return f"{response.mean[at]:.4f} ({response.low[at]:.4f} to {response.high[at]:.4f})"


def _digest(cells: Sequence[CellView]) -> str:
    """Return a digest of the table's columns and the ended trials: cell, number, state, values, and when they ended."""
    told = [
        (cell.cell.name, trial.number, trial.state, trial.values or trial.value, milliseconds(trial.ended))
        for cell in cells
        for trial in cell.trials
    ]
    return hashlib.sha256(json.dumps([_COLUMNS, told]).encode()).hexdigest()[:16]
