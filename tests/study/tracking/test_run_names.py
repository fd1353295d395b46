from __future__ import annotations

from typing import Any

import pytest

from study.spec.cell import expand
from study.tracking.run_names import RunNames
from tests.study.made_study import spec_of


def _data(*ratios: float, dataset: str = "digits", kind: str = "long_tail") -> dict[str, Any]:
    return {"dataset": dataset, "profiles": [{"kind": kind, "ratio": list(ratios)}]}


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ([_data(10)], ["erm", "cce"]),
        ([_data(10, 100)], ["10 · erm", "10 · cce", "100 · erm", "100 · cce"]),
        ([_data(10), _data(10, dataset="mnist")], ["digits · erm", "digits · cce", "mnist · erm", "mnist · cce"]),
        (
            [{"dataset": "digits", "profiles": [{"kind": kind, "ratio": 10} for kind in ("long_tail", "step")]}],
            ["long_tail-10 · erm", "long_tail-10 · cce", "step-10 · erm", "step-10 · cce"],
        ),
    ],
)
def test_names_begin_with_what_differs(data: list[dict[str, Any]], wanted: list[str]) -> None:
    cells = expand(spec_of(data=data))
    names = RunNames(cells)
    assert sorted(map(names.cell, cells)) == sorted(wanted)
