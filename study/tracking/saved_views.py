"""Views of an experiment that MLflow's page opens by name: cells, confirmed trials, and trials of the search.

A view is a tag of the experiment, as MLflow's page writes it under "Save & share view"; the address selects one by
``viewStateShareKey``. The tag holds name, time and state for servers that list views by name. The same state stands
beside them for older servers, which read a view from the tag itself.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

from study.spec.cell import Cell
from study.spec.study_spec import StudySpec
from study.tracking.metric_keys import TEST_METRICS, best_key, deviation_key, epoch_key, mean_key, test_key
from study.tracking.run_names import RunNames
from study.tracking.run_shown import plain

GROUP_TAG = "study.group"
"""Tag of confirmation trials with the name of their method, ratio and setting."""

CELLS_VIEW, CONFIRMED_VIEW, TRIALS_VIEW, STUDY_VIEW = "cells", "confirmed", "trials", "study"
VIEW_TAG = "mlflow.sharedViewState."
"""Prefix of an experiment's tag that holds a view."""
_LONGEST = 5000
"""Longest tag of an experiment that every supported server stores."""

_MODES = {CELLS_VIEW: "CHART", CONFIRMED_VIEW: "TABLE", TRIALS_VIEW: "CHART", STUDY_VIEW: "TABLE"}

FILTERS = {
    "cells": "tags.`study.kind` = 'cell'",
    "trials": "tags.`study.kind` = 'trial'",
    "best trials": "tags.`study.best` = 'yes'",
    "confirmed": "tags.`study.kind` = 'confirmed'",
    "pruned": "tags.`study.state` = 'PRUNED'",
    "study": "tags.`study.kind` = 'study'",
}
"""Name -> search filter of the runs page; docs/artifacts.md lists them."""


def view_path(experiment: str, view: str) -> str:
    """Return the path of a view's page on an MLflow server.

    >>> view_path("1", "cells")
    '/#/experiments/1/runs?viewStateShareKey=cells&compareRunsMode=CHART&workflowType=machine_learning'
    """
    # without workflowType, MLflow first shows its pages for language models
    return (
        f"/#/experiments/{experiment}/runs?viewStateShareKey={view}&compareRunsMode={_MODES[view]}"
        "&workflowType=machine_learning"
    )


def saved_views(spec: StudySpec, cells: Sequence[Cell]) -> dict[str, str]:
    """Return the tags of an experiment that hold its views: key -> value. Equal studies have equal tags."""
    views = {
        CELLS_VIEW: ("1 Cells: best value by method and ratio", _cells(spec)),
        CONFIRMED_VIEW: ("2 Confirmed trials by method, on test images", _confirmed(spec, cells)),
        TRIALS_VIEW: ("3 Trials of the search, on validation images", _trials(spec, cells)),
    }
    if spec.confirm is None:
        del views[CONFIRMED_VIEW]
    return {f"{VIEW_TAG}{key}": _tag(name, state) for key, (name, state) in views.items()}


def study_view() -> dict[str, str]:
    """Return the tag of the view of the study's own run, for an experiment that has one."""
    state = _state(FILTERS["study"], "attributes.start_time", [])
    return {f"{VIEW_TAG}{STUDY_VIEW}": _tag("4 Whole study: the best setting at every ratio", state)}


def _tag(name: str, state: dict[str, Any]) -> str:
    packed = base64.b64encode(zlib.compress(json.dumps(state, sort_keys=True).encode(), 9)).decode()
    named = {"name": name, "createdAt": 0, "state": f"deflate;{packed}"}
    both = json.dumps({**named, **state})
    return both if len(both) <= _LONGEST else json.dumps(named)


def _state(search: str, order: str, columns: Sequence[str], charts: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    section = {"uuid": "study", "name": "Study", "display": True, "isReordered": True, "columns": 2}
    sections = [{**section, "deleted": False, "isGenerated": False}]
    return {
        "searchFilter": search,
        "orderByKey": order,
        "orderByAsc": True,
        "runsHiddenMode": "SHOW_ALL",
        "selectedColumns": list(columns),
        "isAccordionReordered": True,
        **({"compareRunSections": sections, "compareRunCharts": list(charts)} if charts else {}),
    }


def _cells(spec: StudySpec) -> dict[str, Any]:
    metric, charts = spec.search.metrics[0], []
    best = best_key(metric)
    charts.append(_chart("BAR", f"best validation {metric}", metricKey=best))
    shown = [best]
    if spec.confirm is not None:
        mean = mean_key("best", metric)
        charts.append(_chart("BAR", f"test {metric} of the best setting, mean over seeds", metricKey=mean))
        shown += [mean, deviation_key("best", metric)]
    together = {"selectedParams": ["ratio", "method"], "selectedMetrics": shown[:2], "showAllRuns": False}
    charts.append(_chart("PARALLEL", "ratio, method and value of every cell", **together))
    search = f"best validation {metric} so far, over the trials"
    charts.append(_chart("LINE", search, metricKey=best, selectedMetricKeys=[best], **_LINE))
    hidden = [key(s, m) for s in ("best", "preset") for m in _tested(spec) for key in (mean_key, deviation_key)]
    charts += [_hidden(key) for key in hidden if key != mean_key("best", metric)]
    columns = [*_params("method", "ratio"), *_metrics(*shown), "tags.`trials`"]
    return _state(FILTERS["cells"], "tags.`study.order`", columns, charts)


def _confirmed(spec: StudySpec, cells: Sequence[Cell]) -> dict[str, Any]:
    columns = [*_metrics(*map(test_key, _tested(spec))), *_params("seed", "ratio"), "tags.`study.setting`"]
    state = _state(FILTERS["confirmed"], f"metrics.`{test_key(spec.search.metrics[0])}`", columns)
    # one tag, since MLflow shows its value alone; several would be cut off in a list of names and values
    keys = [{"mode": "tag", "groupByData": GROUP_TAG}]
    grouped = {"groupBy": {"aggregateFunction": "average", "groupByKeys": keys}, "useGroupedValuesInCharts": True}
    names, roles = RunNames(cells), ("best", "preset", "best and preset")
    # MLflow's ids of the groups; a closed group shows its means alone
    closed = {f"tag.{GROUP_TAG}.{names.group(cell, role)}": False for cell in cells for role in roles}
    return {**state, **grouped, "orderByAsc": False, "groupsExpanded": closed}


def _trials(spec: StudySpec, cells: Sequence[Cell]) -> dict[str, Any]:
    metric = epoch_key(spec.search.metrics[0])
    everywhere = [plain(name) for name in cells[0].space if all(name in cell.space for cell in cells)]
    params = ["ratio", "method", *everywhere]
    charts = [
        _chart("PARALLEL", f"params and {metric}", selectedParams=params, selectedMetrics=[metric], showAllRuns=True),
        _chart("LINE", metric, metricKey=metric, selectedMetricKeys=[metric], **_LINE),
    ]
    columns = [*_metrics(metric), *_params("method", "ratio", *everywhere), "tags.`study.state`", "tags.`study.best`"]
    state = _state(FILTERS["trials"], f"metrics.`{metric}`", columns, charts)
    return {**state, "orderByAsc": False, "runsHiddenMode": "FIRST_20_RUNS"}


_LINE = {
    "xAxisKey": "step",
    "lineSmoothness": 0,
    "scaleType": "linear",
    "xAxisScaleType": "linear",
    "yAxisKey": "metric",
}


def _chart(kind: str, title: str, **settings: Any) -> dict[str, Any]:
    """Return a chart; its identity is its kind and title, so that equal studies have equal views."""
    common = {"uuid": f"{kind} {title}", "metricSectionId": "study", "deleted": False, "isGenerated": False}
    line = {"range": {}, "yAxisExpressions": [], "useGlobalXaxisKey": True} if kind == "LINE" else {}
    return {"type": kind, "displayName": title, "runsCountToCompare": 100, **common, **line, **settings}


def _hidden(key: str) -> dict[str, Any]:
    """Return the deleted chart of a metric: without it the page would add one."""
    return {"type": "BAR", "uuid": f"hidden {key}", "metricSectionId": "study", "deleted": True, "metricKey": key}


def _tested(spec: StudySpec) -> list[str]:
    return [name for name in dict.fromkeys((*spec.search.metrics, *TEST_METRICS)) if name != "train_loss"]


def _params(*names: str) -> list[str]:
    return [f"params.`{name}`" for name in names]


def _metrics(*keys: str) -> list[str]:
    return [f"metrics.`{key}`" for key in keys]
