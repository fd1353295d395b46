"""Our values beside the published figures: difference, and whether it lies within the spread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from study.reproduce.own_results import Own, own_result
from study.reproduce.published import Figure, Place
from study.reproduce.reproduction_plan import Plan, PlannedStudy
from study.reproduce.stored_reproduction import stored_view
from study.store.study_view import StudyView
from trainables.core.storage_path import StoragePath


@dataclass(frozen=True)
class Joined:
    """One figure of a table: the paper's, ours, and how they compare.

    Attributes:
        row: heading of its row.
        column: heading of its column.
        method: our method and preset, for example ``cce (paper)``; None if no study trains it.
        paper: what the paper prints, or None.
        own: our value, or None.
        why_not: reason for which there is no value of ours; None if there is one.
        doubt: why the paper's figure is doubtful, or None.
        judged: False if the two must not be compared, since ours is shortened or of another network or data set.
    """

    row: str
    column: str
    method: str | None
    paper: Figure | None
    own: Own | None
    why_not: str | None
    doubt: str | None
    judged: bool

    @property
    def difference(self) -> float | None:
        """Ours less the paper's, in percentage points; None without both."""
        return None if self.paper is None or self.own is None else self.own.mean - self.paper.mean

    @property
    def spread(self) -> str | None:
        """Whose deviations make up the spread: ``ours and the paper's``, ``ours``, ``the paper's``; None if neither."""
        given = [
            *(["ours"] if self.own is not None and self.own.deviation is not None else []),
            *(["the paper's"] if self.paper is not None and self.paper.deviation is not None else []),
        ]
        return " and ".join(given) or None

    @property
    def within(self) -> bool | None:
        """True if the difference is at most the sum of the known deviations; None if it is not judged or none is known.

        >>> own, paper = Own(70.0, 0.5, 3, "test"), Figure(mean=71.0, deviation=0.6)
        >>> joined = Joined("CE", "LT 100", "erm (paper)", paper, own, None, None, True)
        >>> joined.difference, joined.spread, joined.within
        (-1.0, "ours and the paper's", True)
        """
        if not self.judged or self.difference is None or self.spread is None:
            return None
        deviations = [self.own.deviation if self.own else None, self.paper.deviation if self.paper else None]
        # rounded: the paper's figures have two decimals, and 87.6 - 87.5 is above 0.1 in floating point
        return round(abs(self.difference), 6) <= round(sum(one for one in deviations if one is not None), 6)


def joined_figures(plan: Plan, storage: StoragePath) -> list[Joined]:
    """Return every kept figure of a table with our value where a study in the storage has it.

    Raises:
        BadInput: a stored study has the name of a planned one, but other settings.
    """
    views = {key: stored_view(study.spec, storage) for key, study in plan.studies.items()}
    return [
        _joined(plan, entry.row, entry.column, entry.figure, entry.place, lambda key: views.get(key))
        for entry in plan.entries
    ]


def _joined(
    plan: Plan,
    row: str,
    column: str,
    paper: Figure | None,
    place: Place,
    view_of: Callable[[tuple[str, str | None]], StudyView | None],
) -> Joined:
    study, own, why = plan.study_of(place), None, place.not_run
    if why is None and (study is None or place.study is None):
        why = "no study trains it"
    elif study is not None and place.study is not None:
        view = view_of((place.study, place.model))
        own = None if view is None else own_result(view, place, error=plan.table.error)
        why = None if own is not None else "not trained yet" if view is None else "no result yet"
    doubt = plan.table.doubt(row, column)
    return Joined(row, column, _method(study, place), paper, own, why, doubt, plan.changes.comparable)


def _method(study: PlannedStudy | None, place: Place) -> str | None:
    if study is None:
        return None
    found = next((one for one in study.spec.methods if (one.label or one.name) == place.method), None)
    return None if found is None else f"{found.name} ({found.preset})"


def joined_as_json(plan: Plan, joined: list[Joined]) -> dict[str, Any]:
    """Return a joined table as a JSON-ready object; figures in percent."""
    return {
        "table": plan.table.name,
        "shows": plan.table.shows,
        "comparable": plan.changes.comparable,
        "scale": plan.changes.scale,
        "departures": list(plan.labels),
        "studies": [study.spec.name for study in plan.studies.values()],
        "measure": "error" if plan.table.error else "accuracy",
        "figures": [_figure_as_json(one) for one in joined],
        "notes": list(plan.table.notes),
    }


def _figure_as_json(one: Joined) -> dict[str, Any]:
    return {
        "row": one.row,
        "column": one.column,
        "method": one.method,
        "paper": None if one.paper is None else {"mean": one.paper.mean, "deviation": one.paper.deviation},
        "ours": None
        if one.own is None
        else {"mean": one.own.mean, "deviation": one.own.deviation, "n": one.own.n, "images": one.own.images},
        "difference": one.difference,
        "spread": one.spread,
        "within_spread": one.within,
        "why_not": one.why_not,
        "doubt": one.doubt,
    }
