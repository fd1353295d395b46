"""Names of MLflow runs: they begin with what differs within the study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from study.spec.cell import Cell
from study.store.study_view import TrialView
from study.tracking.run_shown import shown

_BETWEEN = " · "


class RunNames:
    """Names the runs of one study.

    A cell is named by its data set, ratio and method, without the data set if the study has only one, and without the
    ratio if all cells have the same profile. Profiles that a ratio does not tell apart are written out.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        """Find out what differs between the cells of a study."""
        cells = list(cells)
        self._datasets = len({cell.dataset for cell in cells}) > 1
        self._profiles = len({cell.profile for cell in cells}) > 1
        ratios = Counter((ratio, dataset) for dataset, ratio, _ in {(c.dataset, c.ratio, c.profile) for c in cells})
        self._by_ratio = all(count == 1 for count in ratios.values())

    def cell(self, cell: Cell) -> str:
        """Return the name of a cell's run, such as ``100 · ldam-drw``."""
        profile = shown(cell.ratio) if self._by_ratio else cell.profile
        parts = [cell.dataset] * self._datasets + [profile] * self._profiles + [cell.method]
        return _BETWEEN.join(parts)

    def trial(self, view: TrialView) -> str:
        """Return the name of a trial's run, such as ``100 · ldam-drw · 005`` or ``m2m · best · seed 10001``."""
        if view.confirms is None:
            return _BETWEEN.join([self.cell(view.cell), f"{view.number:03d}"])
        return _BETWEEN.join([self.cell(view.cell), view.param_source, f"seed {view.confirms}"])

    def group(self, cell: Cell, role: str) -> str:
        """Return the name of a confirmed setting, whose trials differ by seed, such as ``100 · ldam-drw · best``."""
        return _BETWEEN.join([self.cell(cell), role])
