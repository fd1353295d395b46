"""``study report --html``: the whole page in one file, and ``--figures``: its pictures as SVG and PDF."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from study.report.html.absence import absences_of, listed, search_absence
from study.report.html.best_params import FEWEST_FOR_TREND, Movement, movements_of
from study.report.html.class_results import ClassResults, class_results_of, confusion_change, most_gained
from study.report.html.findings import Verdict, gain_text, limits_of, metric_text, overall_of, verdicts_of
from study.report.html.param_figures import importance_figure, movement_figure, parallel_figure, response_figure
from study.report.html.picture import Picture, drawing
from study.report.html.provenance import provenance_of
from study.report.html.result_figures import confusion_figure, frequency_figure, rank_figure, ratio_figure
from study.report.html.results import Place, Results, Unit, results_of
from study.report.html.search_figures import model_figure, progress_figure
from study.report.html.spending import failures_of, spending_by_method
from study.report.ranks import Ranks, ranks_of
from study.search.ratio_response import NEEDED, RatioResponse, ratio_responses
from study.search.search_task import search_task
from study.search.trial_params import params_text
from study.store.study_view import CellView, StudyView
from study.store.trial_view import read_ahead
from study.tracking.plots.palette import MOST, Style, styles_of
from trainables.core.errors import BadInput
from trainables.core.paths import folder_named
from trainables.core.storage_path import write_atomically

FEWEST_CELLS = 5
"""Fewest data sets and profiles for mean ranks: with fewer, hardly any difference reaches the critical one."""
FEWEST_FOR_RESPONSE = 5
"""Fewest complete trials of a response curve; with fewer, section 5 says all there is."""

MOST_PANELS = {"ratio": 12, "classes": 9, "movement": 18, "progress": 9, "response": 18, "parallel": 6, "confusion": 4}
"""Most pictures of a kind; those of the largest ratios, and of the methods with a colour, come first."""


@dataclass
class Page:
    """The parts of the page, each computed once."""

    results: Results

    @property
    def view(self) -> StudyView:
        """The stored study."""
        return self.results.view

    @cached_property
    def styles(self) -> dict[str, Style]:
        """Method -> its colour, marker and dash."""
        results = self.results
        return styles_of(results.methods, results.baseline, results.by_mean_position)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The winner of each data set and profile."""
        return verdicts_of(self.results)

    @cached_property
    def absences(self) -> list[str]:
        """Why places have no result, as sentences; empty if all have one."""
        return absences_of(self.results)

    @staticmethod
    def has_result(places: Sequence[Place]) -> bool:
        """Return True if one of the places has a result."""
        return any(place.ranked() for place in places)

    @cached_property
    def no_search(self) -> str:
        """Why no search has a best trial, as a clause; empty if one has."""
        return search_absence(self.view.cells)

    @cached_property
    def no_params(self) -> str:
        """Why no best params are compared, as a clause; empty if some are."""
        if self.movements:
            return ""
        if not any(cell.cell.space for cell in self.view.cells):
            return "no param was searched"
        if self.no_search:
            return self.no_search
        if not self.searched:
            return (
                "every fold of the cross-validation has a search of its own, so a data set and profile has no single "
                f"best trial; study show {self.view.spec.name} lists the settings that all folds have trained"
            )
        return "no complete trial of a searched param has a finite result"

    @cached_property
    def no_confusion(self) -> str:
        """Why no two methods are compared by their confusion, as a clause."""
        if len(self.results.methods) < 2:
            return "the study has one method"
        if all(self._pair(place) is None for place in self.hard_places):
            return "no data set and profile has two methods with a result"
        return "the trials have not stored their confusion matrices"

    @cached_property
    def hard_places(self) -> list[Place]:
        """The places with a result, by falling ratio."""
        known = [place for place in self.results.places if place.ranked()]
        return sorted(known, key=lambda place: -place.ratio)

    @cached_property
    def classes(self) -> dict[str, ClassResults]:
        """Name of a place -> recall and confusion per class, for the places that the page shows.

        They do not depend on the metric, which may be undefined.
        """
        found: dict[str, ClassResults] = {}
        for place in sorted(self.results.places, key=lambda place: -place.ratio):
            if len(found) < MOST_PANELS["classes"] and (result := class_results_of(self.results, place)) is not None:
                found[place.name] = result
        return found

    @cached_property
    def gain(self) -> str:
        """The class that gained most at the hardest place, as a sentence; empty if none did."""
        if not self.hard_places or self.hard_places[0].name not in self.classes:
            return ""
        place = self.hard_places[0]
        pair = self._pair(place)
        if pair is None:
            return ""
        gained = most_gained(self.classes[place.name], *pair, tested=place.testable, race=place.race)
        return "" if gained is None else gain_text(gained, *pair, self.results.said(place), place.level)

    @cached_property
    def no_gain(self) -> str:
        """Why no class is named, as a sentence."""
        if not self.hard_places:
            return "No method has a result to compare."
        place = self.hard_places[0]
        said, pair = self.results.said(place), self._pair(place)
        if pair is None:
            return f"At {said} no two methods have a result to compare."
        if place.name not in self.classes:
            return f"At {said} no trial has stored its recall per class."
        return f"At {said} no class's recall rose from {pair[1]} to {pair[0]}."

    def _pair(self, place: Place) -> tuple[str, str] | None:
        """Return the best method at a place and the one it is compared with: the baseline, else the second best."""
        ranked = [score.method for score in place.ranked()]
        if len(ranked) < 2:
            return None
        base = self.results.baseline
        return (ranked[0], base) if base in ranked and base != ranked[0] else (ranked[0], ranked[1])

    @cached_property
    def searched(self) -> list[tuple[tuple[str, str], CellView]]:
        """(data set, family) -> cell for every cell without folds that searches a param."""
        return [
            (place.group, cells[0])
            for place in self.results.places
            for cells in place.cells.values()
            if len(cells) == 1 and cells[0].cell.space
        ]

    @cached_property
    def movements(self) -> list[Movement]:
        """The best values of every param over the ratios."""
        return movements_of(self.searched)

    @property
    def own_movements(self) -> list[Movement]:
        """The movements of the methods' own params, the best methods first."""
        order = self.results.by_mean_position
        own = [move for move in self.movements if not move.param.startswith("training.")]
        return sorted(own, key=lambda move: order.index(move.method))

    @property
    def training_movements(self) -> list[Movement]:
        """The movements of params of the training, such as the learning rate."""
        return [move for move in self.movements if move.param.startswith("training.")]

    @cached_property
    def search_unit(self) -> Unit:
        """Name and unit of the metric that the search optimises."""
        return Unit(self.view.cells[0].metric)

    @property
    def complete_places(self) -> int:
        """Number of places where every method has a result."""
        return len(self._ranked_table[1])

    @cached_property
    def _ranked_table(self) -> tuple[list[str], list[list[float]]]:
        """The methods with a result anywhere, and their means at the places where all of them have one."""
        places = self.results.places
        methods = [m for m in self.results.methods if any(m in place.scores for place in places)]
        return methods, [
            [place.scores[method].mean for method in methods]
            for place in places
            if methods and {score.method for score in place.ranked()} >= set(methods)
        ]

    @property
    def scope(self) -> str:
        """Data sets, profiles and ratios of the study, in a line."""
        named = [f"{dataset} {family}" for dataset, family in self.results.groups]
        ratios = sorted({place.ratio for place in self.results.places})
        said = ", ".join(f"{ratio:g}" for ratio in ratios) if len(ratios) <= 6 else f"{ratios[0]:g} to {ratios[-1]:g}"
        confirm = self.view.spec.confirm
        seeds = ""
        if self.results.images == "test" and confirm is not None:
            fewest, most = self.results.fewest, self.results.most
            trained = f"{most}" if fewest == most else f"{fewest} to {most}"
            seeds = f" · {trained} seeds" + (f" (a race of {confirm.seeds_said})" if self.results.raced else "")
        return f"{listed(named, 4)} at ratio{'s' if len(ratios) > 1 else ''} {said}{seeds}"

    @cached_property
    def ranks(self) -> Ranks | None:
        """Mean ranks over the places where every method has a result; None with too few of either."""
        methods, table = self._ranked_table
        if len(methods) < 2 or len(table) < FEWEST_CELLS:
            return None
        return ranks_of(methods, table, maximize=self.results.maximize)

    @cached_property
    def importance(self) -> dict[str, dict[str, float]]:
        """Method -> param -> its share of importance, mean over the cells that have enough trials."""
        from study.tracking.cell_sync import importance  # imports Optuna

        found: dict[str, list[dict[str, float]]] = {}
        for _, cell in self.searched:
            if len(cell.cell.space) > 1 and (shares := importance(cell)):
                found.setdefault(cell.cell.method, []).append(shares)
        return {
            method: {param: sum(one.get(param, 0.0) for one in cells) / len(cells) for param in cells[0]}
            for method, cells in found.items()
            if self.styles[method].shown
        }

    @cached_property
    def pictures(self) -> dict[str, list[Picture]]:
        """Section -> its pictures."""
        with drawing():
            return self._drawn()

    def _drawn(self) -> dict[str, list[Picture]]:
        results, styles = self.results, self.styles
        by_ratio = sorted(results.places, key=lambda place: -place.ratio)
        shown = [place for place in by_ratio if place.name in self.classes]
        moves = [move for move in (*self.own_movements, *self.training_movements) if styles[move.method].shown]
        return {
            "ratio": [
                ratio_figure(results, places, styles, f"ratio-{index}")
                for index, places in enumerate(results.groups.values())
                if any(place.ranked() for place in places)
            ][: MOST_PANELS["ratio"]],
            "model": self._model_figures()[: MOST_PANELS["ratio"]],
            "classes": [
                frequency_figure(results, place, self.classes[place.name], styles, f"classes-{index}")
                for index, place in enumerate(shown)
            ],
            "movement": [
                movement_figure(move, styles, f"movement-{index}")
                for index, move in enumerate(moves[: MOST_PANELS["movement"]])
            ],
            "confusion": [
                confusion_figure(change, results.images, f"confusion-{index}")
                for index, place in enumerate(shown[: MOST_PANELS["confusion"]])
                if (pair := self._pair(place)) is not None
                and (change := confusion_change(place, self.classes[place.name], *pair)) is not None
            ],
            "ranks": [rank_figure(self.ranks, styles, results.images, "ranks")] if self.ranks is not None else [],
            "progress": [
                progress_figure(place, self.search_unit, styles, f"progress-{index}")
                for index, place in enumerate(self._searched_places[: MOST_PANELS["progress"]])
            ],
            "importance": [importance_figure(self.importance, styles, "importance")] if self.importance else [],
            "response": [
                response_figure(cell, param, Unit(cell.metric), styles, f"response-{index}")
                for index, (cell, param) in enumerate(self._responses()[: MOST_PANELS["response"]])
            ],
            "parallel": [
                parallel_figure(cell, Unit(cell.metric), f"parallel-{index}")
                for index, cell in enumerate(self._parallels()[: MOST_PANELS["parallel"]])
            ],
        }

    @cached_property
    def modelled(self) -> list[tuple[list[Place], list[RatioResponse]]]:
        """The responses of every data set and kind of profile that has any."""
        responses = ratio_responses(self.view.spec, [(cell.cell, cell.frozen) for cell in self.view.cells])
        found = []
        for places in self.results.groups.values():
            tasks = {search_task(cell.cell) for place in places for own in place.cells.values() for cell in own}
            found.append((places, [response for response in responses if response.task in tasks]))
        return [(places, own) for places, own in found if own]

    @property
    def may_be_modelled(self) -> bool:
        """Return True if the study has the ratios of a response: several, of one metric, and no folds."""
        ratios = {place.ratio for place in self.results.places}
        return len(ratios) > 1 and len(self.view.spec.search.metrics) == 1 and self.results.over != "folds"

    @cached_property
    def unmodelled(self) -> list[str]:
        """The methods without a response: they have no searched param, or too few trials."""
        modelled = {response.method for _, own in self.modelled for response in own}
        return [method for method in self.results.by_mean_position if method not in modelled]

    def best_expected(self, response: RatioResponse, ratio: float) -> tuple[str, str]:
        """Return the setting with the best expected value at a ratio of the study, and that value with its band."""
        if ratio not in response.ratios:
            return "", ""
        at, value = response.ratios.index(ratio), self.search_unit.value
        band = f"{value(response.mean[at])} [{value(response.low[at])}, {value(response.high[at])}]"
        return params_text(response.settings[at]), band

    def _model_figures(self) -> list[Picture]:
        drawn = [(places, own) for places, own in self.modelled if any(self.styles[one.method].shown for one in own)]
        return [
            model_figure(own, places, self.search_unit, self.styles, f"model-{index}")
            for index, (places, own) in enumerate(drawn)
        ]

    @cached_property
    def _searched_places(self) -> list[Place]:
        found = [p for p in self.results.places if any(c.in_state("COMPLETE") for own in p.cells.values() for c in own)]
        return sorted(found, key=lambda place: -place.ratio)

    def _hardest_cells(self) -> list[CellView]:
        """Return the cells of the hardest place of the search with a complete trial, of methods with a colour."""
        if not self._searched_places:
            return []
        own = [cells[0] for cells in self._searched_places[0].cells.values() if cells[0].cell.space]
        return [cell for cell in own if cell.in_state("COMPLETE") and self.styles[cell.cell.method].shown]

    def _responses(self) -> list[tuple[CellView, str]]:
        enough = [cell for cell in self._hardest_cells() if len(cell.in_state("COMPLETE")) >= FEWEST_FOR_RESPONSE]
        pairs = [(cell, param) for cell in enough for param in cell.cell.space]
        return sorted(pairs, key=lambda pair: pair[1].startswith("training."))

    def _parallels(self) -> list[CellView]:
        return [
            cell for cell in self._hardest_cells() if len(cell.cell.space) > 1 and len(cell.in_state("COMPLETE")) > 2
        ]

    def context(self) -> dict[str, Any]:
        """Return what the template reads."""
        spending = spending_by_method(self.view)
        return {
            "page": self,
            "results": self.results,
            "unit": self.results.unit,
            "spec": self.view.spec,
            "state": self.view.state,
            "styles": list(self.styles.values()),
            "style_of": self.styles,
            "best_first": [self.styles[method] for method in self.results.by_mean_position],
            "verdicts": self.verdicts,
            "overall": overall_of(self.results),
            "limits": limits_of(self.results),
            "metric_text": metric_text(self.results),
            "spending": spending,
            "total": spending[-1],
            "failures": failures_of(self.view),
            "provenance": provenance_of(self.view),
            "pictures": self.pictures,
            "most": MOST_PANELS,
            "most_colours": MOST,
            "fewest_cells": FEWEST_CELLS,
            "fewest_for_response": FEWEST_FOR_RESPONSE,
            "fewest_for_trend": FEWEST_FOR_TREND,
            "level": f"{self.results.level:g}".removeprefix("0"),
            "t_test": "sequential paired t test" if self.results.raced else "paired t test",
            "groups": list(self.results.groups.items()),
            "isfinite": math.isfinite,
            "needed": NEEDED,
            "listed": listed,
        }

    def html(self) -> str:
        """Return the page."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup

        folder = Path(__file__).parent / "templates"
        engine = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        # the drawings and these two files are the program's own; every text from the study is escaped
        engine.globals["svg"] = lambda picture: Markup(picture.svg())
        engine.globals["own_file"] = lambda name: Markup((folder / name).read_text(encoding="utf-8"))
        return engine.get_template("page.html.j2").render(self.context())


def write_page(
    view: StudyView,
    *,
    html: Path | None,
    figures: Path | None,
    metric: str | None = None,
    baseline: str | None = None,
) -> list[Path]:
    """Write the page of a study, its pictures, or both.

    Args:
        view: the stored study.
        html: the file to write; replaced if it exists.
        figures: folder for the pictures, as SVG and PDF.
        metric: the metric of the results; None is the study's.
        baseline: label of the method to compare with; None is the first ERM.

    Returns:
        The paths that were written: the file, the folder.

    Raises:
        BadInput: unknown metric or method, or a path that cannot be written.
    """
    if html is not None and html.suffix not in (".html", ".htm"):
        raise BadInput(f"--html {html}: must end in .html")
    written_to = []
    read_ahead(trial for cell in view.cells for trial in cell.all_trials)
    page = Page(results_of(view, metric=metric, baseline=baseline))
    if html is not None:
        content = page.html().encode()
        try:
            html.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(html, content)
        except OSError as error:
            raise BadInput(f"--html {html}: cannot be written ({os.strerror(error.errno or 0)})") from None
        written_to.append(html)
    if figures is not None:
        folder = folder_named(figures, "--figures")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"--figures {figures}: cannot be written ({os.strerror(error.errno or 0)})") from None
        _save(page.pictures.values(), folder)
        written_to.append(folder)
    return written_to


def _save(sections: Any, folder: Path) -> None:
    pictures: Sequence[Picture] = [picture for section in sections for picture in section]
    for picture in pictures:
        picture.save(folder)
