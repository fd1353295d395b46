"""The surrogate of a recorded cell by randomised trees: another kind of model than any searcher that is compared on it.

Source: Eggensperger et al. 2015, "Efficient Benchmarking of Hyperparameter Optimizers via Surrogates": regression trees
as surrogates, since they make few assumptions. Extremely randomised trees interpolate smoothly in the mean over trees.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from benchmarks.seeded_landscapes import Landscape, study_of
from search_spaces import Space
from study.replay.recorded_curves import Surrogates
from study.replay.surrogate import Curve, Surrogate
from study.search.unit_cube import Floats, unit_point
from study.spec.cell import expand
from study.spec.study_spec import StudySpec

_TREES = 100
_LEAF = 2
"""Smallest number of recorded points in a leaf; the best of single points would owe its place to chance."""
_NEIGHBOURS = 5


class TreeSurrogate:
    """Curves of a cell as a function of its searched params, with the methods of `study.replay.surrogate.Surrogate`.

    Attributes:
        points: the recorded points in the unit cube, (n, D).
        means: curves in the mean over seeds, (n, epochs).
    """

    def __init__(
        self,
        space: Space,
        settings: Sequence[dict[str, Any]],
        curves: Sequence[Sequence[list[float] | None]],
        epochs: int,
    ) -> None:
        """Fit the trees.

        Args:
            space: the cell's search space.
            settings: natural params of the recorded points.
            curves: by point and seed, the metric after every epoch; None if missing, shorter if it diverged.
            epochs: epochs of a complete training.
        """
        self.space = space
        known = [[c for c in of_point if c is not None] for of_point in curves]
        self._diverged = [
            (unit_point(space, params), min(map(len, found)))
            for params, found in zip(settings, known, strict=True)
            if found and any(len(curve) < epochs for curve in found)
        ]
        complete = [[np.array(c) for c in found if len(c) == epochs] for found in known]
        complete = [found if len(found) == len(known[i]) else [] for i, found in enumerate(complete)]
        self.points = np.array([unit_point(space, p) for p, found in zip(settings, complete, strict=True) if found])
        self._seeds = [np.array(found) for found in complete if found]
        self.means = np.array([found.mean(axis=0) for found in self._seeds])
        self._low, self._high = float(self.means.min()), float(self.means.max())
        self._forest = _Forest(self.points, self.means)
        self._best = max(float(self.curve_at(point)[-1]) for point in self.points)

    def curve_at(self, point: Floats) -> Floats:
        """Return the noise-free curve at a point of the unit cube."""
        return self._forest.at(point)

    def curve(self, values: dict[str, Any]) -> Floats:
        """Return the noise-free metric after every epoch."""
        return self.curve_at(unit_point(self.space, values))

    def noisy_curve(self, values: dict[str, Any], rng: np.random.Generator) -> Floats:
        """Return the curve plus what one seed deviates from the mean at a near point with several seeds."""
        point = unit_point(self.space, values)
        order = np.argsort(np.linalg.norm(self.points - point, axis=1), kind="stable")
        nearest = [i for i in order if len(self._seeds[i]) > 1][:_NEIGHBOURS]
        if not nearest:
            return self.curve_at(point)
        seeds = self._seeds[rng.choice(nearest)]
        one = seeds[rng.integers(len(seeds))] - seeds.mean(axis=0)
        # the mean over few seeds is nearer to each of them than the true mean is
        return np.asarray(self.curve_at(point) + one * np.sqrt(len(seeds) / (len(seeds) - 1)))

    def diverges_after(self, values: dict[str, Any]) -> int | None:
        """Return the epoch after which a seed of the nearest recorded point diverged, or None."""
        if not self._diverged:
            return None
        point = unit_point(self.space, values)
        distance, epochs = min((float(np.linalg.norm(place - point)), length) for place, length in self._diverged)
        return epochs if distance < np.linalg.norm(self.points - point, axis=1).min() else None

    def best(self, *, maximize: bool) -> float:
        """Return the best noise-free final value of a recorded point."""
        assert maximize
        return self._best

    def noise(self) -> float:
        """Return the standard deviation of the final value over seeds, pooled over points."""
        several = [found[:, -1] for found in self._seeds if len(found) > 1]
        return float(np.sqrt(np.mean([found.var(ddof=1) for found in several]))) if several else 0.0

    def error(self, folds: int = 10) -> float:
        """Return the root mean squared error at points that were left out, in the metric's unit."""
        missed = []
        for fold in range(folds):
            out = np.arange(len(self.points)) % folds == fold
            forest = _Forest(self.points[~out], self.means[~out])
            missed += [forest.at(p)[-1] - m[-1] for p, m in zip(self.points[out], self.means[out], strict=True)]
        return float(np.sqrt(np.mean(np.square(missed))))


class _Forest:
    """Extremely randomised trees whose nodes lie in arrays, so that one point takes no longer than a tree is deep."""

    def __init__(self, points: Floats, curves: Floats) -> None:
        fitted = ExtraTreesRegressor(_TREES, min_samples_leaf=min(_LEAF, len(points)), random_state=0).fit(
            points, curves
        )
        trees = [one.tree_ for one in fitted.estimators_]
        most = max(tree.node_count for tree in trees)
        shape = (len(trees), most)
        self._feature, self._left, self._right = (np.full(shape, -1) for _ in range(3))
        self._threshold = np.zeros(shape)
        self._value = np.zeros((*shape, curves.shape[1]))
        for i, tree in enumerate(trees):
            count = tree.node_count
            self._feature[i, :count], self._threshold[i, :count] = tree.feature, tree.threshold
            self._left[i, :count], self._right[i, :count] = tree.children_left, tree.children_right
            self._value[i, :count] = tree.value[:, :, 0]

    def at(self, point: Floats) -> Floats:
        """Return the mean over trees at a point, (epochs,)."""
        every, node = np.arange(len(self._left)), np.zeros(len(self._left), dtype=int)
        point = point.astype(np.float32)
        while (inner := self._left[every, node] >= 0).any():
            goes_left = point[self._feature[every, node]] <= self._threshold[every, node]
            below = np.where(goes_left, self._left[every, node], self._right[every, node])
            node = np.where(inner, below, node)
        return np.asarray(self._value[every, node].mean(axis=0))


def read_landscape(
    path: Path, methods: Sequence[str] = (), *, trees: bool = True
) -> tuple[StudySpec, dict[str, Surrogates]]:
    """Return the study of a packed landscape, and cell -> metric -> surrogate.

    Args:
        path: file of `benchmarks.seeded_landscapes`.
        methods: the methods to keep; all if empty.
        trees: False interpolates by the Gaussian process of `study replay`, a cell by itself.
    """
    content = json.loads(gzip.decompress(path.read_bytes()))
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content["landscape"].items()}
    landscape = Landscape(**fields)
    study = study_of(path.name.partition(".")[0], landscape)
    if methods:
        study = study.model_copy(update={"methods": [m for m in study.methods if m.name in methods]})
    found: dict[str, Any] = {}
    for cell in expand(study):
        settings, curves = content["cells"][cell.name]["points"], content["cells"][cell.name]["curves"]
        surrogate = (TreeSurrogate if trees else _by_gaussian_process)(cell.space, settings, curves, landscape.epochs)
        found[cell.name] = {"balanced_accuracy": surrogate}
    return study, found


def _by_gaussian_process(
    space: Space, settings: Sequence[dict[str, Any]], curves: Sequence[Sequence[list[float] | None]], epochs: int
) -> Surrogate:
    recorded = [
        Curve(params, np.array(curve + [np.nan] * (epochs - len(curve))), len(curve) < epochs)
        for params, seeds in zip(settings, curves, strict=True)
        for curve in seeds
        if curve is not None
    ]
    return Surrogate(space, recorded, epochs)
