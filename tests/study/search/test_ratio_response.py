from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from study.report.html.page import write_page
from study.search.ratio_response import ratio_responses
from study.store.study_view import open_view
from tests.study.made_study import EPOCHS, MadeStudy, spec_of

RATIOS = (10, 20, 50, 100)


def _value(ratio: float, gamma: float) -> float:
    """The best gamma is 0; the best value falls by .2 per decade."""
    return 1.1 - 0.2 * math.log10(ratio) - 0.0001 * gamma**2


def _study(storage: Path, trials: int, **search: Any) -> MadeStudy:
    data = [{"dataset": "digits", "profiles": [{"ratio": list(RATIOS)}]}]
    made = MadeStudy(storage, spec_of(data=data, methods=["erm", "cce"], search={"trials": trials, **search}))
    for cell in made.ledger.cells.values():
        for _ in range(trials if cell.cell.space else 1):
            trial = cell.ask()
            value = _value(trial.cell.ratio, float(trial.params.get("gamma", 0)))
            made.train(trial, range(1, EPOCHS + 1), **{made.spec.search.metrics[0]: value})
            made.end(trial)
    return made


def test_the_best_value_follows_the_ratio_inside_its_band(tmp_path: Path) -> None:
    made = _study(tmp_path, 5)
    (response,) = ratio_responses(open_view(made.folder))  # ERM has nothing to search
    assert (response.method, response.dataset, response.trials) == ("cce", "digits", 5 * len(RATIOS))
    assert response.ratios[0] == 10 and response.ratios[-1] == pytest.approx(100)
    assert all(later < before for before, later in zip(response.mean[:-1], response.mean[1:], strict=True))
    best = {ratio: max(_value(ratio, 0), 0) for ratio in (10, 30, 100)}
    for ratio, value in best.items():
        index = min(range(len(response.ratios)), key=lambda i: abs(math.log(response.ratios[i] / ratio)))
        assert response.low[index] < value < response.high[index] + 0.05
        assert response.mean[index] == pytest.approx(value, abs=0.05)
    assert all(
        0 <= low <= mean <= high <= 1
        for low, mean, high in zip(response.low, response.mean, response.high, strict=True)
    )


def test_too_few_trials_make_no_model(tmp_path: Path) -> None:
    assert ratio_responses(open_view(_study(tmp_path, 1).folder)) == []


def test_the_page_shows_it(tmp_path: Path) -> None:
    made = _study(tmp_path, 5)
    write_page(open_view(made.folder), html=tmp_path / "page.html", figures=None)
    page = (tmp_path / "page.html").read_text()
    assert "The best setting of the search at every ratio, validation images" in page
    assert "cce, ratio 100: best trial" in page
