from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from benchmarks import contextual_search, seeded_landscapes
from benchmarks.method_surface import (
    CellSurrogate,
    Kind,
    RecordedCell,
    RecordedMethod,
    error,
    read_landscape,
    read_methods,
)
from benchmarks.seeded_landscapes import Landscape, done_in, jobs_of, pack, points_of, study_of
from search_spaces import Range, Space
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
    assert isinstance(surrogate, CellSurrogate)
    assert surrogate.recorded.noise() == pytest.approx(0.01 * np.sqrt(2), rel=0.01)
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


def test_the_errors_of_a_surface_are_those_at_points_left_out(packed: Path) -> None:
    _, methods = read_methods(packed)
    assert list(methods) == ["cce", "focal"]
    cells = list(methods["cce"].cells.values())
    level = float(np.std(np.concatenate([cell.means[:, -1] for cell in cells])))
    for kind in get_args(Kind):
        assert 0 < error(kind, cells, methods["cce"].log_ratios, 5) < level
    shown = list(contextual_search.surface_errors(packed, ("focal",), 5))
    assert len(shown) == 1
    assert "noise of a training 0.0141, of the means 0.0" in shown[0]


def test_cells_of_a_method_lend_each_other_their_points() -> None:
    space: Space = {"x": Range(low=0, high=1)}
    rng = np.random.default_rng(0)
    settings = [[{"x": float(x)} for x in rng.random(6)] for _ in range(5)]
    curves = [[[[0.3, 0.5 - (p["x"] - 0.4) ** 2 - 0.1 * i]] for p in of_cell] for i, of_cell in enumerate(settings)]
    cells = {str(i): RecordedCell(space, settings[i], curves[i], 2) for i in range(5)}
    asked = np.linspace(0.1, 0.9, 9)[:, None]
    truth = 0.5 - (asked[:, 0] - 0.4) ** 2

    def missed(method: RecordedMethod) -> float:
        surrogate = method.surrogates("networks")["0"]
        return float(np.abs([surrogate.curve_at(point)[-1] for point in asked] - truth).max())

    together = missed(RecordedMethod(cells, [0.0, 1.0, 2.0, 3.0, 4.0]))
    assert together < 0.03
    assert together < missed(RecordedMethod({"0": cells["0"]}, [0.0]))
