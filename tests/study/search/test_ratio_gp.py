from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from search_spaces import Choices, Range, Space, distributions_of
from search_spaces.encoding import decode
from study.ledger.study_ledger import Ledger
from study.search.ratio_gp import Places
from study.search.sampler_factory import MethodTrials, build_searcher
from study.search.unit_cube import unit_point
from study.spec.search_tables import CellTrials
from study.spec.study_spec import StudySpec
from tests.study.simulated import EPOCHS, ends_the_same_killed_after_any_write, finish, param_sources, train

MakeSpec = Callable[..., StudySpec]
OpenLedger = Callable[..., Ledger]
RATIOS = (10.0, 20.0, 50.0, 100.0, 200.0)
SPACE: Space = {"x": Range(low=0, high=1), "y": Range(low=0.001, high=0.1, scale="log")}
MIXED: Space = {
    "prototypes": Range(low=1, high=20, integer=True),
    "steps": Range(low=1, high=1000, integer=True, scale="log"),
    "gamma": Range(low=-50, high=-0.1, scale="log"),
    "beta": Range(low=0.9, high=0.999, scale="log-complement"),
    "scale": Choices(choices=(10.0, 20.0, 64.0)),
}


def test_places_have_the_coordinates_of_their_natural_params() -> None:
    places = Places(MIXED)
    drawn = np.random.default_rng(0).random((200, len(MIXED)))
    expected = [unit_point(MIXED, places.natural(place)) for place in drawn]
    assert places.coordinates(drawn) == pytest.approx(np.array(expected), abs=1e-12)
    again = places.at(np.array(expected))
    for place, other in zip(drawn, again, strict=True):
        assert places.natural(other) == pytest.approx(places.natural(place))


class _Cells:
    """Cells of one method as in-memory Optuna studies."""

    def __init__(
        self, searcher: str, space: Space = SPACE, ratios: tuple[float, ...] = RATIOS, seed: int = 0, **prior: Any
    ) -> None:
        self.searcher, self.space, self.seed, self.prior = searcher, space, seed, prior
        self.studies = {ratio: optuna.create_study(direction="maximize") for ratio in ratios}

    def ask(self, ratio: float) -> tuple[optuna.Trial, dict[str, Any]]:
        study = self.studies[ratio]
        number = len(study.get_trials(deepcopy=False))
        method = MethodTrials(f"cell {ratio:g}", "method", trials=self._trials, **self.prior)
        study.sampler = build_searcher(self.searcher, self.seed, f"cell {ratio:g}", number, self.space, method=method)
        trial = study.ask(distributions_of(self.space))
        return trial, decode(self.space, trial.params)

    def _trials(self) -> list[CellTrials]:
        return [
            CellTrials(f"cell {ratio:g}", "task", ratio, study.get_trials(deepcopy=False))
            for ratio, study in self.studies.items()
        ]


def _moving(ratio: float, params: dict[str, Any]) -> float:
    """Return a value between 0 and 1 whose optimum moves with the log ratio."""
    at = math.log(ratio / 10) / math.log(20)
    x, y = params["x"], SPACE["y"].to_unit(params["y"])
    return 0.9 - 0.3 * at - (1 + at) * ((x - 0.2 - 0.5 * at) ** 2 + (y - 0.7 + 0.4 * at) ** 2)


def _trials_until_near(searcher: str, seed: int, most: int = 20) -> int:
    """Return the trials, summed over cells that go on side by side, until each is near its optimum."""
    cells, open_cells, count = _Cells(searcher, seed=seed), set(RATIOS), 0
    for _ in range(most):
        for ratio in RATIOS:
            if ratio not in open_cells:
                continue
            trial, params = cells.ask(ratio)
            value = _moving(ratio, params)
            cells.studies[ratio].tell(trial, value)
            count += 1
            at = math.log(ratio / 10) / math.log(20)
            if value > 0.9 - 0.3 * at - 0.01:
                open_cells.remove(ratio)
    return count


def test_an_optimum_that_moves_with_the_ratio_is_found_in_half_of_the_trials_of_independent_searches() -> None:
    assert sum(_trials_until_near("ratio-gp", seed) for seed in range(3)) < 0.5 * sum(
        _trials_until_near("tpe", seed) for seed in range(3)
    )


def test_noisy_results_do_not_make_it_repeat_a_setting() -> None:
    cells, rng = _Cells("ratio-gp"), np.random.default_rng(0)
    proposed: dict[float, list[list[float]]] = {ratio: [] for ratio in RATIOS}
    for _ in range(16):
        for ratio in RATIOS:
            trial, params = cells.ask(ratio)
            proposed[ratio].append([params["x"], SPACE["y"].to_unit(params["y"])])
            cells.studies[ratio].tell(trial, _moving(ratio, params) + 0.02 * rng.standard_normal())
    repeated = 0
    for tried in map(np.array, proposed.values()):
        apart = np.linalg.norm(tried[:, None] - tried[None], axis=2)
        repeated += sum((apart[i, :i] < 0.01).any() for i in range(1, len(tried)))
    assert repeated <= 0.1 * 16 * len(RATIOS)


def test_pending_trials_are_avoided_also_those_of_other_cells() -> None:
    cells = _Cells("ratio-gp")
    for _ in range(3):
        for ratio in RATIOS:
            trial, params = cells.ask(ratio)
            cells.studies[ratio].tell(trial, _moving(ratio, params))
    asked = [cells.ask(50.0)[1] for _ in range(4)]
    points = np.array([unit_point(SPACE, params) for params in asked])
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2)[np.triu_indices(4, 1)]
    assert gaps.min() > 0.005
    other = unit_point(SPACE, cells.ask(100.0)[1])
    assert np.linalg.norm(points - other, axis=1).min() > 0.001


def test_nothing_is_tried_twice_in_a_small_space_and_then_it_goes_on() -> None:
    cells = _Cells("ratio-gp", {"n": Range(low=1, high=6, integer=True)}, (10.0,))
    drawn = []
    for _ in range(8):
        trial, params = cells.ask(10.0)
        drawn.append(params["n"])
        cells.studies[10.0].tell(trial, -abs(params["n"] - 4.2))
    assert sorted(drawn[:6]) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.COMPLETE], ids=["all fail", "all values are equal"])
def test_where_nothing_can_be_fitted_the_cells_share_a_sobol_sequence(state: TrialState) -> None:
    cells = _Cells("ratio-gp", {"x": Range(low=0, high=1)}, (10.0, 20.0))
    drawn = []
    for number in range(16):
        trial, params = cells.ask((10.0, 20.0)[number % 2])
        drawn.append(params["x"])
        study = cells.studies[(10.0, 20.0)[number % 2]]
        study.tell(trial, None if state == TrialState.FAIL else 0.5, state=state)
    assert sorted(int(x * 16) for x in drawn) == list(range(16))


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_a_wide_range_of_whole_numbers_is_not_tried_twice(scale: Any) -> None:
    space: Space = {"n": Range(low=1, high=100_000, scale=scale, integer=True)}
    cells, tried = _Cells("ratio-gp", space, ratios=(10.0, 20.0)), []
    for _ in range(12):
        for ratio in (10.0, 20.0):
            trial, params = cells.ask(ratio)
            tried.append((ratio, params["n"]))
            cells.studies[ratio].tell(trial, 1 / params["n"])
    assert len(set(tried)) == len(tried)


def test_choices_alone_are_searched() -> None:
    cells = _Cells("ratio-gp", {"scale": Choices(choices=(1, 2, 3, 4, 5, 6, 7, 8))}, (10.0, 20.0))
    for _ in range(8):
        for ratio in (10.0, 20.0):
            trial, params = cells.ask(ratio)
            cells.studies[ratio].tell(trial, -abs(params["scale"] - 3))
    for study in cells.studies.values():
        assert study.best_params["scale"] == 3
        assert len({trial.params["scale"] for trial in study.trials}) == 8


def test_a_region_that_always_fails_is_left() -> None:
    cells = _Cells("ratio-gp", {"x": Range(low=0, high=1)}, (10.0,))
    drawn = []
    for _ in range(20):
        trial, params = cells.ask(10.0)
        drawn.append(params["x"])
        failed = params["x"] > 0.5
        cells.studies[10.0].tell(
            trial, None if failed else params["x"], state=TrialState.FAIL if failed else TrialState.COMPLETE
        )
    assert sum(x > 0.6 for x in drawn[8:]) <= 2


def test_a_constraint_keeps_the_search_where_it_holds() -> None:
    cells = _Cells("ratio-gp", {"x": Range(low=0, high=1)}, (10.0,))
    for _ in range(16):
        trial, params = cells.ask(10.0)
        trial.set_constraint("many.min", params["x"] - 0.6)  # violated above 0.6
        cells.studies[10.0].tell(trial, params["x"])
    late = [trial.params["x"] for trial in cells.studies[10.0].trials[8:]]
    assert np.median(late) == pytest.approx(0.6, abs=0.1)
    assert max(x for x in late if x <= 0.6) > 0.55


def test_a_prior_around_the_preset_draws_the_first_proposals_and_fades() -> None:
    preset = {"x": 0.9, "y": 0.001}
    near, free = (_Cells("ratio-gp", preset=preset, preset_prior=strength) for strength in (3.0, 0.0))
    distances = []
    for cells in (near, free):
        found = []
        for _ in range(12):
            trial, params = cells.ask(50.0)
            found.append(float(np.linalg.norm(unit_point(SPACE, params) - unit_point(SPACE, preset))))
            cells.studies[50.0].tell(trial, _moving(50.0, params))
        distances.append(found)
    assert np.mean(distances[0][4:8]) < np.mean(distances[1][4:8])
    assert distances[0][-1] > 0.3  # the optimum is far from the preset, and evidence wins


@pytest.fixture
def spec(make_spec: MakeSpec) -> MakeSpec:
    def make(**search: Any) -> StudySpec:
        return make_spec(
            data=[{"dataset": "digits", "profiles": [{"ratio": [10, 50, 100]}]}],
            methods=[{"name": "cce", "search": {"gamma": {"low": -50, "high": -0.1, "scale": "log"}}}],
            training={"epochs": EPOCHS},
            search={
                "trials": 6,
                "searcher": "ratio-gp",
                "pruner": {"name": "median", "startup_trials": 1},
                "training": {"lr": {"low": 0.005, "high": 0.5, "scale": "log"}},
                **search,
            },
        )

    return make


@pytest.mark.parametrize("transfer", [True, False])
def test_killed_after_any_write_it_ends_as_if_undisturbed(transfer: bool, spec: MakeSpec, tmp_path: Path) -> None:
    assert len(list(ends_the_same_killed_after_any_write(spec(transfer=transfer), tmp_path, 29))) > 4


def test_a_trial_cut_off_while_it_was_sampled_is_proposed_again_though_others_went_on(
    spec: MakeSpec, open_ledger: OpenLedger, tmp_path: Path
) -> None:
    found = []
    for name in ("undisturbed", "cut off"):
        folder = tmp_path / name
        folder.mkdir()
        ledger = open_ledger(spec(transfer=False), folder)
        for _ in range(9):
            assignment = ledger.next()
            assert assignment is not None
            train(ledger, assignment)
        cell, other = (ledger.cells[f"digits/long_tail-{ratio}/cce"] for ratio in (50, 10))
        if name == "undisturbed":
            found.append(cell.ask())
            continue
        cell._study.sampler = cell._searcher(cell.started)
        cell._study.ask()  # the driver dies here, before any value is stored
        for _ in range(2):
            train(ledger, other.ask())
        found += open_ledger(spec(transfer=False), folder).interrupted()
    undisturbed, again = found
    assert again == undisturbed


def test_proposals_of_the_model_are_told_from_those_before_it_knows_enough(
    spec: MakeSpec, open_ledger: OpenLedger
) -> None:
    ledger = open_ledger(spec(trials=4, pruner="none"))
    finish(ledger)
    found = [param_sources(ledger, name) for name in ledger.cells]
    assert [sources[0] for sources in found] == ["recommended"] * 3
    # two params need four settings in all cells; the first round has one, since the presets are the same
    assert [sources[1] for sources in found] == ["sobol"] * 3
    assert all(sources[2:] == ["model"] * 2 for sources in found)


def test_where_all_values_are_equal_the_sequence_is_said_to_propose(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(trials=4, pruner="none"))
    while (assignment := ledger.next()) is not None:
        train(ledger, assignment, 0.5)
    assert all(param_sources(ledger, name) == ["recommended", *["sobol"] * 3] for name in ledger.cells)


def test_transfers_keep_their_source(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(trials=8, transfer=True, pruner="none"))
    finish(ledger)
    said = {source.split(":")[0] for name in ledger.cells for source in param_sources(ledger, name)}
    assert said == {"recommended", "transfer", "sobol", "model"}


@pytest.mark.parametrize("before", [4, 9])
def test_the_source_is_the_same_wherever_its_sampling_was_cut_off(
    before: int, spec: MakeSpec, open_ledger: OpenLedger, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    ledger = open_ledger(spec(), whole)
    for _ in range(before):
        assignment = ledger.next()
        assert assignment is not None
        train(ledger, assignment)
    journal = whole / "ledger.journal"
    written = len(journal.read_bytes().splitlines())
    asked = ledger.next()
    assert asked is not None
    expected = ledger.of(asked).trials()[asked.number].user_attrs
    assert expected["param_source"] == ("sobol" if before == 4 else "model")
    lines = journal.read_bytes().splitlines(keepends=True)
    for count in range(written + 1, len(lines) + 1):
        killed = tmp_path / f"killed-{count}"
        killed.mkdir()
        (killed / "ledger.journal").write_bytes(b"".join(lines[:count]))
        again = open_ledger(spec(), killed)
        assert again.interrupted() == [asked]
        assert again.of(asked).trials()[asked.number].user_attrs == expected, f"{count - written} writes"


def test_the_trials_of_a_cell_are_seen_as_they_were_at_a_time(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec())
    cell = ledger.cells["digits/long_tail-50/cce"]
    first = cell.ask()
    began = cell.trials()[first.number].datetime_start
    train(ledger, first)
    train(ledger, cell.ask())
    now, then = cell.trials_at(None), cell.trials_at(began)
    assert [t.state for t in now.trials] == [TrialState.COMPLETE, TrialState.COMPLETE]
    assert [t.state for t in then.trials] == [TrialState.RUNNING]
    assert cell.trials()[0].state == TrialState.COMPLETE
    assert param_sources(ledger, "digits/long_tail-50/cce")[0] == "recommended"
