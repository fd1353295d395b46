from __future__ import annotations

import itertools
import logging
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from search_spaces import Choices, Range, Space
from study.search.sampler_factory import build_searcher

SPACE: dict[str, BaseDistribution] = {
    "gamma": FloatDistribution(0.1, 50, log=True),
    "prototypes": IntDistribution(1, 20),
    "scale": CategoricalDistribution((10.0, 20.0, 30.0)),
}
RANGES: Space = {
    "gamma": Range(low=0.1, high=50, scale="log"),
    "prototypes": Range(low=1, high=20, integer=True),
    "scale": Choices(choices=(10.0, 20.0, 30.0)),
}
SEARCHERS = ["tpe", "random", "qmc", "cmaes", "grid", "ratio-gp", pytest.param("gp", marks=pytest.mark.slow)]


def _propose(searcher: str, cell: str = "cell", seed: int = 0, trials: int = 9) -> list[dict[str, Any]]:
    """Ask for trials as a study would; their values depend on the proposed params."""
    study = optuna.create_study(direction="maximize")
    for number in range(trials):
        study.sampler = build_searcher(searcher, seed, cell, number, RANGES, 12)
        trial = study.ask(SPACE)
        study.tell(trial, -abs(trial.params["gamma"] - 3) + 0.1 * trial.params["prototypes"])
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_the_same_seed_proposes_the_same(searcher: str) -> None:
    assert _propose(searcher) == _propose(searcher)


@pytest.mark.parametrize("searcher", [name for name in SEARCHERS if name != "grid"])
def test_cells_and_seeds_differ(searcher: str) -> None:
    given = [_propose(searcher), _propose(searcher, cell="other"), _propose(searcher, seed=1)]
    for one, other in itertools.combinations(given, 2):
        assert all(a["gamma"] != b["gamma"] for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_nothing_is_proposed_twice(searcher: str) -> None:
    assert len({tuple(params.values()) for params in _propose(searcher, trials=12)}) == 12


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_proposals_lie_in_the_space(searcher: str) -> None:
    for params in _propose(searcher):
        assert 0.1 <= params["gamma"] <= 50
        assert params["prototypes"] in range(1, 21)
        assert params["scale"] in (10.0, 20.0, 30.0)


def test_tpe_learns_from_the_values() -> None:
    found = [abs(params["gamma"] - 3) for params in _propose("tpe", trials=40)]
    assert sum(found[20:]) / 20 < sum(found[:10]) / 10


def test_qmc_takes_the_point_of_the_trials_number_whatever_was_drawn_before() -> None:
    study = optuna.create_study()
    study.add_trial(
        optuna.trial.create_trial(params={"gamma": 1.0, "prototypes": 5, "scale": 10.0}, distributions=SPACE, value=0.0)
    )
    study.sampler = build_searcher("qmc", 0, "cell", 4, RANGES)
    drawn = study.ask(SPACE).params
    study.sampler = build_searcher("qmc", 0, "cell", 4, RANGES)
    assert study.ask(SPACE).params == drawn == _propose("qmc")[4]


def test_qmc_covers_a_range_evenly() -> None:
    study = optuna.create_study()
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 1)}
    ranges: Space = {"x": Range(low=0, high=1)}
    study.add_trial(optuna.trial.create_trial(params={"x": 0.5}, distributions=space, value=0.0))
    drawn = []
    for number in range(16):
        study.sampler = build_searcher("qmc", 0, "cell", number, ranges)
        drawn.append(study.ask(space).params["x"])
    assert sorted(int(x * 16) for x in drawn) == list(range(16))


def test_qmc_goes_on_where_every_trial_failed() -> None:
    study = optuna.create_study()
    drawn = set()
    for number in range(8):
        study.sampler = build_searcher("qmc", 0, "cell", number, RANGES)
        trial = study.ask(SPACE)
        drawn.add(tuple(trial.params.values()))
        study.tell(trial, state=TrialState.FAIL)
    assert len(drawn) == 8


def test_gp_does_not_complain_of_a_package_that_it_does_without() -> None:
    name = "optuna._gp.batched_lbfgsb"
    build_searcher("gp", 0, "cell", 0)
    build_searcher("gp", 0, "cell", 1)
    logger = logging.getLogger(name)
    said = "The 'greenlet' package is unavailable, falling back to sequential L-BFGS-B optimization. "
    assert not logger.filter(logging.makeLogRecord({"name": name, "msg": said}))
    assert logger.filter(logging.makeLogRecord({"name": name, "msg": "another warning"}))
    assert len(logger.filters) == 1
