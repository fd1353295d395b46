from __future__ import annotations

import cmaes
import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from search_spaces import Choices, Range, Space
from study.search.cma_es import from_unit, ranked, replay, spread, to_unit
from study.search.sampler_factory import build_searcher

SPACE: Space = {
    "gamma": Range(low=-50, high=-0.1, scale="log"),
    "beta": Range(low=0.9, high=0.9999, scale="log-complement"),
    "prototypes": Range(low=1, high=20, integer=True),
    "variant": Choices(choices=("a", "b")),
}
DISTRIBUTIONS = {d.searched_name(name): d.distribution() for name, d in SPACE.items()}


@pytest.mark.parametrize(
    ("distribution", "value", "place"),
    [
        (FloatDistribution(0, 4), 1.0, 0.25),
        (FloatDistribution(0.01, 100, log=True), 1.0, 0.5),
        (IntDistribution(1, 4), 1, 0.125),  # every whole number has a quarter
        (IntDistribution(1, 4), 4, 0.875),
    ],
)
def test_places_in_the_unit_interval(distribution: BaseDistribution, value: float, place: float) -> None:
    assert to_unit(distribution, value) == pytest.approx(place)
    assert from_unit(distribution, place) == pytest.approx(value)


def test_the_ends_of_the_unit_interval_are_the_ends_of_the_range() -> None:
    for low, high in ((0.1, 50.0), (1, 20)):
        kind = IntDistribution if isinstance(low, int) else FloatDistribution
        for log in (False, True):
            distribution = kind(low, high, log=log)
            assert (from_unit(distribution, 0), from_unit(distribution, 1)) == pytest.approx((low, high))


def _evolve(optimum: np.ndarray, generations: int, beyond: np.ndarray | None = None) -> cmaes.CMA:
    """Replay generations, each drawn from the distribution after the ones before, as in a study; then ``beyond``."""
    dimensions = len(optimum)
    seen: list[np.ndarray] = []
    evolution = replay(dimensions, seen, 0)
    for number in range(generations):
        points = np.array([evolution.ask() for _ in range(evolution.population_size)])
        seen.append(points[np.argsort((points - optimum) ** 2 @ (1 + np.arange(dimensions)))])
        evolution = replay(dimensions, seen, number + 1)
    return evolution if beyond is None else replay(dimensions, [*seen, beyond], 0)


@pytest.mark.parametrize("dimensions", [1, 2, 6])
def test_it_finds_the_optimum_of_a_bowl(dimensions: int) -> None:
    optimum = np.linspace(0.2, 0.9, dimensions)
    evolution = _evolve(optimum, 80)
    assert evolution.mean == pytest.approx(optimum, abs=1e-3)
    width, covariance = spread(evolution)
    assert width * np.sqrt(np.diag(covariance).max()) < 0.01


def test_points_from_elsewhere_cannot_make_it_jump() -> None:
    optimum = np.full(2, 0.2)
    before = _evolve(optimum, 30)
    width, covariance = spread(before)
    after = _evolve(optimum, 30, np.full((before.population_size, 2), 0.95))
    assert np.linalg.norm(after.mean - before.mean) < 10 * width * np.sqrt(np.linalg.eigvalsh(covariance).max())


def test_a_repeated_point_leaves_a_distribution_to_draw_from() -> None:
    """A generation may hold one point many times: a preset transferred repeatedly, or integers."""
    size = replay(3, [], 0).population_size
    evolution = replay(3, [np.full((size, 3), 0.25)] * 40, 1)
    assert np.isfinite(evolution.ask()).all()
    assert np.isfinite(evolution.mean).all()


def test_draws_lie_in_the_unit_cube() -> None:
    evolution = _evolve(np.zeros(3), 10)
    assert all(((p >= 0) & (p <= 1)).all() for p in (evolution.ask() for _ in range(200)))


def test_the_package_keeps_what_is_relied_on() -> None:
    major, minor = (int(part) for part in cmaes.__version__.split(".")[:2])
    assert (0, 12) <= (major, minor) <= (0, 13), (
        f"cmaes {cmaes.__version__} was not checked: see that CMA keeps its step size in `_sigma`, its covariance in "
        "`_C`, and uses the values of `tell` for their order alone; then widen this range"
    )
    width, covariance = spread(cmaes.CMA(np.full(2, 0.5), 0.3))
    assert width == 0.3
    assert (covariance == np.eye(2)).all()


def _asked(study: optuna.Study, number: int) -> optuna.Trial:
    study.sampler = build_searcher("cmaes", 0, "cell", number, SPACE)
    return study.ask(DISTRIBUTIONS)


def test_several_at_once_and_after_a_kill_are_proposed_the_same() -> None:
    """Running trials are ignored, and each trial has its own draw."""
    first, again = (optuna.create_study(direction="maximize") for _ in range(2))
    for study in (first, again):
        for number in range(20):
            trial = _asked(study, number)
            study.tell(trial, -abs(trial.params["prototypes"] - 5))
    running = [_asked(first, number).params for number in (20, 21, 22)]
    assert len({tuple(params.values()) for params in running}) == 3
    copy = optuna.create_study(direction="maximize")
    copy.add_trials(first.get_trials()[:20])
    assert [_asked(copy, number).params for number in (20, 21, 22)] == running
    assert _asked(again, 20).params == running[0]
    assert not any(name.startswith("cma") for trial in first.trials for name in trial.system_attrs)


def test_complete_trials_rank_before_stopped_ones() -> None:
    trials = [
        create_trial(state=TrialState.PRUNED, intermediate_values={1: 0.9}),
        create_trial(value=0.1),
        create_trial(state=TrialState.PRUNED, intermediate_values={1: 0.5, 2: 0.3}),
        create_trial(value=0.8),
        create_trial(state=TrialState.PRUNED, intermediate_values={1: 0.95}),
    ]
    assert [trials.index(t) for t in ranked(trials, StudyDirection.MAXIMIZE)] == [3, 1, 2, 4, 0]
    assert [trials.index(t) for t in ranked(trials, StudyDirection.MINIMIZE)] == [1, 3, 2, 0, 4]


def test_what_breaks_a_bound_ranks_behind_what_does_not() -> None:
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler())
    for value, constraint_violation in ((0.9, 0.2), (0.8, 0.1), (0.5, -0.1)):
        trial = study.ask({"x": FloatDistribution(0, 1)})
        trial.set_constraint("few", constraint_violation)
        study.tell(trial, value)
    assert [trial.value for trial in ranked(study.trials, study.direction)] == [0.5, 0.8, 0.9]


def test_it_learns_from_the_values_and_keeps_to_the_space() -> None:
    study = optuna.create_study(direction="maximize")
    distance = []
    for number in range(80):
        study.sampler = build_searcher("cmaes", 0, "cell", number, SPACE)
        trial = study.ask(DISTRIBUTIONS)
        assert set(trial.params) == {"-gamma", "1-beta", "prototypes", "variant"}
        assert 1e-4 * 0.999 <= trial.params["1-beta"] <= 0.1 * 1.001
        assert trial.params["prototypes"] in range(1, 21)
        distance.append(abs(np.log(trial.params["-gamma"] / 20)) + abs(trial.params["prototypes"] - 5) / 5)
        study.tell(trial, -distance[-1])
    assert np.mean(distance[60:]) < np.mean(distance[:20]) / 2


def test_only_choices_are_drawn_at_random() -> None:
    study = optuna.create_study()
    space: Space = {"variant": Choices(choices=("a", "b"))}
    drawn = set()
    for number in range(12):
        study.sampler = build_searcher("cmaes", 0, "cell", number, space)
        drawn.add(study.ask({"variant": CategoricalDistribution(("a", "b"))}).params["variant"])
    assert drawn == {"a", "b"}
