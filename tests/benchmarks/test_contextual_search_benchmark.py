from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import contextual_search, seeded_landscapes
from benchmarks.seeded_landscapes import Landscape, done_in, jobs_of, pack, points_of, study_of
from benchmarks.tree_surrogate import TreeSurrogate, read_landscape
from study.spec.cell import expand

SMALL = Landscape("digits", 8, ("cce", "focal"), ratios=(10.0, 50.0), epochs=2, points=8, seeds=2)


def _curve(params: dict[str, float], seed: int) -> list[float]:
    best = 0.8 - 0.2 * np.log10(params["training.lr"] / 0.05) ** 2
    return [round(best / 2, 5), round(best + 0.01 * (2 * seed - 1), 5)]


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pack a small landscape whose trainings are made up; the last line was cut off by a kill."""
    monkeypatch.setitem(seeded_landscapes.LANDSCAPES, "small", SMALL)
    cells = expand(study_of("small", SMALL))
    lines = [json.dumps([c.name, number, seed, _curve(p, seed)]) for c, number, p, seed in jobs_of(cells, SMALL)]
    (tmp_path / "part-0.jsonl").write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:20])
    path = tmp_path / "small.json.gz"
    assert pack("small", tmp_path, path) == len(lines) - 1 == 2 * 2 * 9 * 2 - 1
    return path


def test_points_are_the_preset_and_then_others_that_differ_between_cells(packed: Path) -> None:
    cells = expand(study_of("small", SMALL))
    points = {cell.name: points_of(cell, 8) for cell in cells}
    for cell in cells:
        assert points[cell.name][0] == cell.preset_params()
        assert points[cell.name] == points_of(cell, 8)
    ten, fifty = (points[f"digits/long_tail-{ratio}/cce"] for ratio in (10, 50))
    assert ten[0] == fifty[0]
    assert not {json.dumps(p) for p in ten[1:]} & {json.dumps(p) for p in fifty[1:]}
    assert len({json.dumps(params) for params in ten}) == 9


def test_what_a_kill_cut_off_is_trained_again(packed: Path, tmp_path: Path) -> None:
    cells = expand(study_of("small", SMALL))
    done = done_in(tmp_path)
    missing = [
        (c.name, number, seed) for c, number, _, seed in jobs_of(cells, SMALL) if (c.name, number, seed) not in done
    ]
    assert len(missing) == 1


def test_a_packed_landscape_is_replayed_with_every_searcher(packed: Path) -> None:
    study, surrogates = read_landscape(packed, ("cce",))
    assert set(surrogates) == {"digits/long_tail-10/cce", "digits/long_tail-50/cce"}
    surrogate = surrogates["digits/long_tail-10/cce"]["balanced_accuracy"]
    assert isinstance(surrogate, TreeSurrogate)
    assert surrogate.noise() == pytest.approx(0.01 * np.sqrt(2), rel=0.01)
    params = expand(study)[0].preset_params()
    noisy = {round(float(surrogate.noisy_curve(params, np.random.default_rng(i))[-1]), 6) for i in range(9)}
    assert len(noisy) == 2
    contextual_search.take_landscape(study, surrogates)
    arms = ("random", "tpe", "ratio-gp", "tpe, median", "ratio-gp, ratio-gp")
    found = {arm: [contextual_search.replay(4, {"startup_trials": 2}, (arm, 0))] for arm in arms}
    for arm, (one,) in found.items():
        for measured in one.values():
            assert 1 <= measured.until <= 4
            assert len(measured.regret) == 4
            assert 1 <= measured.rank <= 10
            assert measured.epochs_until <= measured.epochs <= 8
            assert measured.epochs == 8 or ", " in arm
    shown = contextual_search.lines(found, [4])
    assert any(line.startswith("ratio-gp ") and "of tpe's" in line for line in shown)
    assert any(line.startswith("ratio-gp, ratio-gp") and "of tpe, median's" in line for line in shown)
