"""Keys of a study file that change nothing: searcher or pruner do not read them, or a race has one method alone."""

from __future__ import annotations

from collections.abc import Iterator

from study.spec.search_spec import PrunerSpec, SearchSpec
from study.spec.search_tables import PRUNERS, SEARCHERS
from study.spec.study_spec import StudySpec
from trainables.core.config import StrictModel
from trainables.core.errors import shown

SEARCHERS_READ = {"grid_points": ("grid",), "preset_prior": ("ratio-gp",)}
"""Key of `SearchSpec` -> the searchers of this project that read it; other keys are not the searcher's."""

PRUNERS_READ = {
    "startup_trials": ("median", "percentile", "ratio-gp"),
    "percentile": ("percentile",),
    "reduction_factor": ("successive-halving", "hyperband"),
    "lower": ("threshold",),
    "upper": ("threshold",),
    "least_chance": ("ratio-gp",),
}
"""Key of `PrunerSpec` -> the pruners that read it; none of a plug-in does."""


def ignored_key_notes(spec: StudySpec) -> list[str]:
    """Return a note on every key that was given and changes nothing: the key, its value and what would read it.

    Defaults that were left out are not named. A part that has all its keys, as a stored study has, names none.
    """
    return [*_of_searcher(spec.search), *_of_pruner(spec.search.pruner), *_of_race(spec)]


def _of_searcher(search: SearchSpec) -> Iterator[str]:
    for key, value in _given(search).items():
        readers = SEARCHERS_READ.get(key)
        if readers is None or search.searcher in readers:
            continue
        if key == "preset_prior" and not SEARCHERS.is_inside(search.searcher):
            continue  # a plug-in is given it
        yield f"search.{key}: {_said(value)} has no effect with searcher {search.searcher}; {_read_by(readers)}"


def _of_pruner(pruner: PrunerSpec) -> Iterator[str]:
    for key, value in _given(pruner).items():
        said = f"search.pruner.{key}: {_said(value)} has no effect"
        if key == "min_delta" and pruner.patience is None:
            yield f"{said} without `patience`, which reads it"
        elif key == "warmup_epochs" and pruner.name == "none" and pruner.patience is None:
            yield f"{said} with pruner none, unless `patience` is given; all other pruners read it"
        elif key in PRUNERS_READ and pruner.name not in PRUNERS_READ[key]:
            own = "" if PRUNERS.is_inside(pruner.name) else " of a plug-in"
            yield f"{said} with pruner {pruner.name}{own}; {_read_by(PRUNERS_READ[key])}"


def _of_race(spec: StudySpec) -> Iterator[str]:
    if spec.confirm is None or spec.confirm.race is None or len(spec.methods) > 1:
        return
    yield (
        f"confirm.race: has no effect with {spec.methods[0].label or spec.methods[0].name} as the only method: there "
        f"are no two methods to compare, and each setting is trained with the {spec.confirm.seeds} seeds of "
        "`confirm.seeds`"
    )


def _given(part: StrictModel) -> dict[str, object]:
    """Return the keys that were given, with their values, in the order of the schema; nothing if all were."""
    keys = type(part).model_fields
    if part.model_fields_set >= set(keys):
        return {}
    found = {key: getattr(part, key) for key in keys if key in part.model_fields_set}
    return {key: value for key, value in found.items() if value is not None}


def _said(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else shown(value)


def _read_by(readers: tuple[str, ...]) -> str:
    *others, last = readers
    return f"only {', '.join(others)} and {last} read it" if others else f"only {last} reads it"
