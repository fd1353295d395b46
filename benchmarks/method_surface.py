"""The surrogate of a recorded landscape: the curves of a method as a function of params and imbalance ratio.

One surface of a method is fitted to the points of all its cells. A cell alone has too few of them: what it mispredicts
at points left out is larger than the differences that a searcher is to find. No searcher that is compared uses either
kind of surface.

Sources: Eggensperger et al. 2015, "Efficient Benchmarking of Hyperparameter Optimizers via Surrogates" (trees);
Pfisterer et al. 2022, "YAHPO Gym" (neural networks).
"""

from __future__ import annotations

import gzip
import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.seeded_landscapes import Landscape, study_of
from search_spaces import Space
from study.replay.recorded_curves import Surrogates
from study.search.unit_cube import Floats, unit_point
from study.spec.cell import expand
from study.spec.study_spec import StudySpec

Kind = Literal["networks", "trees"]
"""An ensemble of neural networks, which is smooth and predicts best; or extremely randomised trees."""

_NETWORKS, _WIDTH, _DECAY, _STEPS = 5, 64, 0.1, 400
_TREES, _LEAF = 100, 2
_NEIGHBOURS = 5


class RecordedCell:
    """The recorded trainings of a cell.

    Attributes:
        points: the points whose seeds all reached the last epoch, in the unit cube, (n, D).
        seeds: their curves, by point (seeds, epochs).
        means: curves in the mean over seeds, (n, epochs).
        diverged: the points with a seed that diverged, and the epoch after which the first did.
    """

    def __init__(
        self,
        space: Space,
        settings: Sequence[dict[str, Any]],
        curves: Sequence[Sequence[list[float] | None]],
        epochs: int,
    ) -> None:
        """Sort the trainings.

        Args:
            space: the cell's search space.
            settings: natural params of the recorded points.
            curves: by point and seed, the metric after every epoch; None if missing, shorter if it diverged.
            epochs: epochs of a complete training.
        """
        self.space = space
        self.diverged: list[tuple[Floats, int]] = []
        points, self.seeds = [], []
        for params, of_point in zip(settings, curves, strict=True):
            known = [curve for curve in of_point if curve is not None]
            if known and (shortest := min(map(len, known))) < epochs:
                self.diverged.append((unit_point(space, params), shortest))
            elif known:
                points.append(unit_point(space, params))
                self.seeds.append(np.array(known))
        self.points = np.array(points)
        self.means = np.array([found.mean(axis=0) for found in self.seeds])

    def noise(self) -> float:
        """Return the standard deviation of the final value over seeds, pooled over points."""
        several = [found[:, -1] for found in self.seeds if len(found) > 1]
        return float(np.sqrt(np.mean([found.var(ddof=1) for found in several]))) if several else 0.0


@dataclass(frozen=True)
class Surface:
    """The noise-free curves of a method over the unit cube of its space and the logarithm of the ratio.

    Attributes:
        levels: mean curve of every cell, (cells, epochs), to which the regression adds.
        places: place of every cell on the axis of ratios, (cells,), in [0, 1].
    """

    levels: Floats
    places: Floats
    _regression: Any

    @classmethod
    def of(cls, kind: Kind, points: Sequence[Floats], curves: Sequence[Floats], log_ratios: Sequence[float]) -> Surface:
        """Fit a surface.

        Args:
            kind: what interpolates.
            points: by cell, points of the unit cube, (n, D).
            curves: by cell, their curves, (n, epochs).
            log_ratios: logarithm of the ratio of every cell.
        """
        levels = np.array([found.mean(axis=0) for found in curves])
        low, high = min(log_ratios), max(log_ratios)
        places = np.array([(one - low) / (high - low) if high > low else 0.0 for one in log_ratios])
        inputs = np.concatenate([_with_place(found, at) for found, at in zip(points, places, strict=True)])
        targets = np.concatenate([found - level for found, level in zip(curves, levels, strict=True)])
        regression = _networks() if kind == "networks" else _trees(len(inputs))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed number of steps, by intention
            return cls(levels, places, regression.fit(inputs, targets))

    def at(self, cell: int, points: Floats) -> Floats:
        """Return the curves, (m, epochs), of a cell at points of the unit cube, (m, D)."""
        return np.asarray(self.levels[cell] + self._regression.predict(_with_place(points, self.places[cell])))


def _with_place(points: Floats, place: float) -> Floats:
    return np.column_stack([points, np.full(len(points), place)])


def _networks() -> TransformedTargetRegressor:
    one = MLPRegressor(hidden_layer_sizes=(_WIDTH, _WIDTH), alpha=_DECAY, solver="lbfgs", max_iter=_STEPS)
    several = BaggingRegressor(make_pipeline(StandardScaler(), one), _NETWORKS, bootstrap=False, random_state=0)
    return TransformedTargetRegressor(several, transformer=StandardScaler())


def _trees(points: int) -> ExtraTreesRegressor:
    return ExtraTreesRegressor(_TREES, min_samples_leaf=min(_LEAF, points), random_state=0)


def error(kind: Kind, cells: Sequence[RecordedCell], log_ratios: Sequence[float], folds: int = 10) -> float:
    """Return the root mean squared error of a surface's final value at points left out, noise of their means included.

    One of every ``folds`` points of each cell is left out at a time.
    """
    missed: list[float] = []
    for fold in range(folds):
        out = [np.arange(len(cell.points)) % folds == fold for cell in cells]
        pairs = list(zip(cells, out, strict=True))
        surface = Surface.of(kind, [c.points[~o] for c, o in pairs], [c.means[~o] for c, o in pairs], log_ratios)
        for index, (cell, left) in enumerate(pairs):
            if left.any():
                missed += (surface.at(index, cell.points[left]) - cell.means[left])[:, -1].tolist()
    return float(np.sqrt(np.mean(np.square(missed))))


class CellSurrogate:
    """A cell of a surface, with the methods of `study.replay.surrogate.Surrogate`.

    Attributes:
        recorded: the trainings of the cell.
    """

    def __init__(self, recorded: RecordedCell, surface: Surface, index: int) -> None:
        """Take cell number ``index`` of the surface."""
        self.recorded, self._surface, self._index = recorded, surface, index
        self._best = float(surface.at(index, recorded.points)[:, -1].max())

    def curve_at(self, point: Floats) -> Floats:
        """Return the noise-free curve at a point of the unit cube."""
        return np.asarray(self._surface.at(self._index, point[None])[0])

    def curve(self, values: dict[str, Any]) -> Floats:
        """Return the noise-free metric after every epoch."""
        return self.curve_at(unit_point(self.recorded.space, values))

    def noisy_curve(self, values: dict[str, Any], rng: np.random.Generator) -> Floats:
        """Return the curve plus what one seed deviates from the mean at a near point with several seeds."""
        point = unit_point(self.recorded.space, values)
        points, curves = self.recorded.points, self.recorded.seeds
        order = np.argsort(np.linalg.norm(points - point, axis=1), kind="stable")
        nearest = [i for i in order if len(curves[i]) > 1][:_NEIGHBOURS]
        if not nearest:
            return self.curve_at(point)
        seeds = curves[rng.choice(nearest)]
        one = seeds[rng.integers(len(seeds))] - seeds.mean(axis=0)
        # the mean over few seeds is nearer to each of them than the true mean is
        return np.asarray(self.curve_at(point) + one * np.sqrt(len(seeds) / (len(seeds) - 1)))

    def diverges_after(self, values: dict[str, Any]) -> int | None:
        """Return the epoch after which a seed of the nearest recorded point diverged, or None."""
        if not self.recorded.diverged:
            return None
        point = unit_point(self.recorded.space, values)
        distance, epochs = min((float(np.linalg.norm(at - point)), length) for at, length in self.recorded.diverged)
        return epochs if distance < np.linalg.norm(self.recorded.points - point, axis=1).min() else None

    def best(self, *, maximize: bool) -> float:
        """Return the best noise-free final value of a recorded point."""
        assert maximize
        return self._best

    def rank(self, value: float) -> int:
        """Return the rank, from 1, of a noise-free final value among those of the recorded points."""
        return 1 + int((self._surface.at(self._index, self.recorded.points)[:, -1] > value).sum())


@dataclass(frozen=True)
class RecordedMethod:
    """The recorded cells of a method.

    Attributes:
        cells: name -> trainings.
        log_ratios: logarithm of the ratio of every cell.
    """

    cells: dict[str, RecordedCell]
    log_ratios: list[float]

    def surrogates(self, kind: Kind) -> dict[str, CellSurrogate]:
        """Fit the surface; return the surrogate of every cell."""
        known = list(self.cells.values())
        surface = Surface.of(kind, [c.points for c in known], [c.means for c in known], self.log_ratios)
        return {name: CellSurrogate(cell, surface, i) for i, (name, cell) in enumerate(self.cells.items())}


def read_methods(path: Path, methods: Sequence[str] = ()) -> tuple[StudySpec, dict[str, RecordedMethod]]:
    """Return the study of a packed landscape, and method -> what was recorded of it.

    Args:
        path: file of `benchmarks.seeded_landscapes`.
        methods: the methods to keep; all if empty.
    """
    content = json.loads(gzip.decompress(path.read_bytes()))
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content["landscape"].items()}
    landscape = Landscape(**fields)
    study = study_of(path.name.partition(".")[0], landscape)
    if methods:
        study = study.model_copy(update={"methods": [m for m in study.methods if m.name in methods]})
    found: dict[str, RecordedMethod] = {}
    for cell in expand(study):
        settings, curves = content["cells"][cell.name]["points"], content["cells"][cell.name]["curves"]
        recorded = RecordedCell(cell.space, settings, curves, landscape.epochs)
        method = found.setdefault(cell.method, RecordedMethod({}, []))
        method.cells[cell.name] = recorded
        method.log_ratios.append(math.log(cell.ratio))
    return study, found


def read_landscape(
    path: Path, methods: Sequence[str] = (), kind: Kind = "networks"
) -> tuple[StudySpec, dict[str, Surrogates]]:
    """Return the study of a packed landscape as `read_methods` does, and cell -> metric -> surrogate."""
    study, recorded = read_methods(path, methods)
    found: dict[str, Any] = {
        name: {"balanced_accuracy": surrogate}
        for method in recorded.values()
        for name, surrogate in method.surrogates(kind).items()
    }
    return study, found
