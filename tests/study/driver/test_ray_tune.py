from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune

from study.driver.ray_connection import init_ray
from study.driver.ray_tune import _concurrency, _join, _places
from study.ledger.study_ledger import Ledger
from study.spec.study_spec import ResourcesSpec, StudySpec
from study.store.study_folder import StudyFolder
from trainables.core.errors import BadInput

MakeSpec = Callable[..., StudySpec]


@pytest.mark.parametrize(
    ("cluster", "resources", "concurrency", "expected"),
    [
        ({"CPU": 8.0}, {"cpus": 1}, None, 4),  # at most the number of trials
        ({"CPU": 3.0}, {"cpus": 1}, None, 3),
        ({"CPU": 8.0}, {"cpus": 3}, None, 2),
        ({"CPU": 8.0, "GPU": 1.0}, {"cpus": 1, "gpus": 0.5}, None, 2),
        ({"CPU": 8.0}, {"cpus": 1, "gpus": 1}, None, 4),  # a cluster that will grow
        ({"CPU": 8.0}, {"cpus": 1}, 2, 2),
        ({"CPU": 1.0}, {"cpus": 1}, 6, 6),
        ({"CPU": 8.0}, {"cpus": 1, "workers": 4}, None, 2),
        ({"CPU": 64.0, "GPU": 8.0}, {"cpus": 4, "gpus": 1, "workers": 4}, None, 2),
    ],
)
def test_trials_at_a_time(
    cluster: dict[str, float],
    resources: dict[str, Any],
    concurrency: int | None,
    expected: int,
    make_spec: MakeSpec,
    open_ledger: Callable[..., Ledger],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: cluster)
    spec = make_spec(resources=resources, search={"trials": 4, "concurrency": concurrency})
    assert _concurrency(spec, open_ledger(spec)) == expected


def test_a_trial_of_several_workers_reserves_a_bundle_for_each() -> None:
    assert _places(ResourcesSpec(cpus=2, gpus=0.25)) == {"cpu": 2, "gpu": 0.25}
    places = _places(ResourcesSpec(cpus=4, gpus=1, workers=3))
    assert isinstance(places, tune.PlacementGroupFactory)
    assert places.bundles == [{"CPU": 4, "GPU": 1}] * 3


def test_a_ray_that_cannot_be_joined_is_one_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/proc/nowhere")  # where not even root can make a folder
    with pytest.raises(BadInput, match=r"^cannot join Ray at local: .*/proc/nowhere.*study resume mine --storage .*$"):
        _join("local", StudyFolder(tmp_path, "mine"))
    assert not ray.is_initialized()


def test_rays_own_notices_are_not_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ray has no public switch for them; the private one may go with a newer version."""
    from ray._private import worker

    monkeypatch.setattr(worker, "_worker_logs_enabled", True)
    monkeypatch.setattr(ray, "init", lambda **_: None)
    notice = {"lines": ["A worker died or was killed"], "pid": "raylet", "is_err": False}
    worker.print_worker_logs(notice, sys.stdout)
    assert "A worker died" in capsys.readouterr().out
    init_ray("local")
    worker.print_worker_logs(notice, sys.stdout)
    assert capsys.readouterr().out == ""
