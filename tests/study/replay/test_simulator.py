from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from optuna.trial import TrialState

from study.replay.recorded_curves import Surrogates, read_surrogates
from study.replay.simulator import Simulated, simulate
from study.spec.study_spec import StudySpec
from study.store.study_view import open_view
from tests.study.replay.conftest import EPOCHS, Recorded, height
from trainables.core.errors import BadInput

Record = Callable[..., Recorded]


def _landscapes(made: Recorded, spec: StudySpec | None = None) -> dict[str, Surrogates]:
    return read_surrogates(open_view(made.folder), spec or made.spec)


def _replay(made: Recorded, *overrides: str, noise: bool = False) -> Simulated:
    spec = made.folder.read_spec(overrides)
    return simulate(spec, _landscapes(made, spec), noise=noise)


def _content(done: Simulated) -> list[tuple[Any, ...]]:
    return [
        (t.number, t.state, t.params, t.value, t.intermediate_values)
        for cell in done.ledger.cells.values()
        for t in cell.trials()
    ]


def test_replayed_as_it_was_recorded_it_proposes_the_same_and_finds_the_same(recorded: Record) -> None:
    made = recorded()
    done = _replay(made)
    (before,), (after,) = made.ledger.cells.values(), done.ledger.cells.values()
    assert [t.params for t in after.trials()] == [t.params for t in before.trials()]
    assert [t.value for t in after.trials()] == pytest.approx([t.value for t in before.trials()], abs=0.02)
    assert {t.state for t in after.trials()} == {TrialState.COMPLETE}
    assert done.clock == 25 * EPOCHS


@pytest.mark.parametrize("noise", [False, True])
def test_the_same_setting_gives_the_same_replay(recorded: Record, noise: bool) -> None:
    made = recorded()
    settings = ("search.searcher=tpe", "search.pruner=median", "search.concurrency=3", "search.trials=12")
    assert _content(_replay(made, *settings, noise=noise)) == _content(_replay(made, *settings, noise=noise))
    assert _content(_replay(made, *settings, noise=noise)) != _content(_replay(made, *settings, "seed=1", noise=noise))


def test_the_budget_may_be_larger_than_what_was_recorded(recorded: Record) -> None:
    done = _replay(recorded(), "search.searcher=random", "search.trials=60")
    (cell,) = done.ledger.cells.values()
    assert len(cell.trials(TrialState.COMPLETE)) == 60
    assert all(abs(done.truth[key] - height(_values(done, key))) < 0.05 for key in done.truth)


def _values(done: Simulated, key: str) -> dict[str, Any]:
    from search_spaces.encoding import decode

    (cell,) = done.ledger.cells.values()
    return decode(cell.cell.space, cell.trials()[int(key.rpartition("/")[2])].params)


def test_the_ledgers_own_pruner_stops_trials(recorded: Record) -> None:
    done = _replay(recorded(), "search.pruner=median")
    (cell,) = done.ledger.cells.values()
    pruned = cell.trials(TrialState.PRUNED)
    assert pruned
    assert all(len(t.intermediate_values) < EPOCHS for t in pruned)
    assert done.clock < 25 * EPOCHS
    assert len(done.truth) == 25


def test_workers_share_the_clock(recorded: Record) -> None:
    made = recorded()
    assert _replay(made, "search.concurrency=5").clock == 5 * EPOCHS


def test_a_study_that_was_pruned_can_be_replayed(recorded: Record) -> None:
    made = recorded(search={"pruner": "median"})
    (cell,) = _replay(made, "search.pruner=none").ledger.cells.values()
    assert len(cell.trials(TrialState.COMPLETE)) == 25


def test_a_trial_diverges_as_its_neighbour_did(recorded: Record) -> None:
    def torn(values: dict[str, Any], epoch: int) -> float:
        return float("nan") if values["training.lr"] > 0.2 and epoch > 2 else height(values, epoch)

    made = recorded(torn)
    (cell,) = _replay(made).ledger.cells.values()
    failed = cell.trials(TrialState.FAIL)
    assert failed
    assert all(len(t.intermediate_values) == 2 and t.params["training.lr"] > 0.1 for t in failed)
    assert all("diverges after 2 epochs" in t.user_attrs["reason"] for t in failed)


def test_openings_are_shared_as_in_a_run(recorded: Record) -> None:
    def flat(values: dict[str, Any], epoch: int) -> float:
        return 0.5 + 0.01 * epoch

    made = recorded(flat, methods=["ldam-drw"], search={"trials": 6, "training": {}})
    spec = made.spec.model_copy(update={"search": made.spec.search.model_copy(update={"concurrency": 2})})
    done = simulate(spec, _landscapes(made))
    (cell,) = done.ledger.cells.values()
    noted = [t.user_attrs.get("shared_epochs") for t in cell.trials()]
    assert noted[0] is not None
    until = noted[0]["adopted"]
    assert until == cell.cell.pruning_start_epoch > 0
    shared = [note for note in noted if note is not None]
    assert sum(note["trained"] for note in shared) % until == 0
    assert min(cell.trials()[0].intermediate_values) == until + 1


def test_another_metric_of_the_folders_can_decide(recorded: Record) -> None:
    (cell,) = _replay(recorded(), "search.metric=loss").ledger.cells.values()
    best = cell.best()
    assert best is not None
    assert best.value == min(t.values[0] for t in cell.trials(TrialState.COMPLETE))


def test_the_ledger_serves_where_folders_are_gone(recorded: Record) -> None:
    import shutil

    made = recorded()
    shutil.rmtree(made.folder.path / "cells")
    assert _replay(made).clock == 25 * EPOCHS
    with pytest.raises(BadInput, match=r"no trial of digits/long_tail-10/cce has an epoch with loss"):
        _replay(made, "search.metric=loss")


def test_a_cell_with_nothing_to_search_repeats_its_mean(recorded: Record) -> None:
    made = recorded(lambda values, epoch: 0.1 * epoch, methods=["erm"], search={"training": {}, "trials": 4})
    done = _replay(made)
    assert list(done.truth.values()) == pytest.approx([0.6] * 4, abs=1e-3)
