from __future__ import annotations

import base64
import json
import zlib

from study.spec.cell import expand
from study.tracking.saved_views import saved_views
from tests.study.made_study import spec_of

_FACETS = {"searchFilter", "orderByKey", "orderByAsc"}


def test_views_are_stored_for_newer_and_older_servers() -> None:
    spec = spec_of(confirm={"seeds": 2})
    views = saved_views(spec, expand(spec))
    assert set(views) == {f"mlflow.sharedViewState.{name}" for name in ("cells", "confirmed", "trials")}
    for value in views.values():
        assert len(value) <= 5000  # the longest tag of an experiment that MLflow 3.10 stores
        stored = json.loads(value)
        kind, _, packed = stored.pop("state").partition(";")
        assert kind == "deflate"
        state = json.loads(zlib.decompress(base64.b64decode(packed)))
        plain = {key: found for key, found in stored.items() if key not in ("name", "createdAt")}
        assert plain in (state, {})  # a view too long for an older server is stored once
        assert state.keys() >= _FACETS


def test_confirmed_trials_are_grouped_by_setting_and_their_groups_are_closed() -> None:
    data = [{"dataset": "digits", "profiles": [{"kind": "long_tail", "ratio": [10, 50]}]}]
    spec = spec_of(data=data, confirm={"seeds": 2})
    state = json.loads(saved_views(spec, expand(spec))["mlflow.sharedViewState.confirmed"])
    assert state["searchFilter"] == "tags.`study.kind` = 'confirmed'"
    assert state["groupBy"]["aggregateFunction"] == "average"
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "study.group"}]
    assert state["groupsExpanded"]["tag.study.group.50 · cce · best"] is False


def test_without_a_confirmation_there_is_no_page_for_it() -> None:
    spec = spec_of()
    assert "mlflow.sharedViewState.confirmed" not in saved_views(spec, expand(spec))
