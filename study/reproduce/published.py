"""The published figures of the papers: one file per table, read from ``studies/papers/published``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from study.spec.ready_studies import FOLDER
from study.spec.validation import error_lines
from study.spec.yaml_io import read_yaml
from trainables.core.config import StrictModel
from trainables.core.errors import BadInput, unknown_name

PAPERS = {
    "cce": "Kim, Lee and Jeon, 2021 (CCE)",
    "offset": "Kim, Hong and Kim, 2021 (estimated offset)",
    "elm": "Kato and Hotta, 2023 (ELM)",
    "m2m": "Kim, Jeong and Shin, 2020 (M2m)",
    "affinity": "Hayat, Khan, Zamir, Shen and Shao, 2019 (affinity)",
}
"""Short name of each paper -> authors, year and method."""

STUDIES = FOLDER / "papers"
"""Folder of the papers' study files."""

_SPREAD = re.compile(r"(\d+(?:\.\d+)?)\+-(\d+(?:\.\d+)?)")


class Figure(StrictModel):
    """A published figure in percent, with its deviation where the paper gives one."""

    mean: float = Field(ge=0, le=100)
    deviation: float | None = Field(None, ge=0, le=100)

    def shown(self, decimals: int) -> str:
        """Return the figure with as many decimals as its table has; deviations have two at most."""
        return f"{self.mean:.{decimals}f}" + ("" if self.deviation is None else f" +-{self.deviation:g}")


def _figure(given: Any) -> Any:
    """Read ``86.92`` or ``86.92+-0.06``."""
    if isinstance(given, str) and (found := _SPREAD.fullmatch(given)):
        return {"mean": float(found[1]), "deviation": float(found[2])}
    return {"mean": given} if isinstance(given, (int, float)) and not isinstance(given, bool) else given


class Place(StrictModel):
    """Where our value of a figure is found; columns and rows of a table each give a part.

    Attributes:
        study: name of a study file in `STUDIES`, without its ending.
        dataset: label of the data set in the study's cells.
        profile: name of the profile in the study's cells.
        method: label of the method in the study's cells.
        model: network, if it is not the study file's.
        metric: metric of the figure, on the test images.
        params: searched params, if the figure is one trial of a grid.
        not_run: reason for which no study trains it.
    """

    study: str | None = None
    dataset: str | None = None
    profile: str | None = None
    method: str | None = None
    model: str | None = None
    metric: str | None = None
    params: dict[str, Any] | None = None
    not_run: str | None = None


class Column(Place):
    """A column of a table: its heading and its part of the place."""

    heading: str


class Row(Column):
    """A row of a table, with one figure per column; None where the paper has none."""

    figures: tuple[Annotated[Figure, BeforeValidator(_figure)] | None, ...]


class Doubt(StrictModel):
    """A figure that may be misprinted or that the paper contradicts, and why."""

    row: str
    column: str
    why: str


class PublishedTable(StrictModel):
    """One table or figure of a paper.

    Attributes:
        paper: a key of `PAPERS`.
        kind: ``table``; ``figure``, a plot whose numbers the paper does not print; ``text``, numbers of the text.
        number: its number in the paper, in arabic digits.
        shows: what it shows, in our words.
        deviation: over what the paper takes its deviations; None without deviations.
        error: True if it shows the error, 100 - metric.
        place: the part of the place that all figures share.
        columns: its columns.
        rows: its rows.
        notes: what a reader of the comparison must know.
        doubtful: figures to be read with care.
    """

    paper: str
    kind: Literal["table", "figure", "text"] = "table"
    number: str
    shows: str
    deviation: str | None = None
    error: bool = False
    place: Place = Place()
    columns: tuple[Column, ...] = Field(min_length=1)
    rows: tuple[Row, ...] = Field(min_length=1)
    notes: tuple[str, ...] = ()
    doubtful: tuple[Doubt, ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> PublishedTable:
        if self.paper not in PAPERS:
            raise unknown_name("paper", self.paper, PAPERS)
        for row in self.rows:
            if len(row.figures) != len(self.columns):
                raise ValueError(
                    f"row '{row.heading}' must have {len(self.columns)} figures, one per column, got {len(row.figures)}"
                )
        for doubt in self.doubtful:
            self.at(doubt.row, doubt.column)
        return self

    @property
    def name(self) -> str:
        """Name on the command line, for example ``cce/table-9``."""
        return f"{self.paper}/{self.kind}-{self.number}"

    @property
    def decimals(self) -> int:
        """Number of decimals that the paper prints: 1 or 2."""
        means = [entry.figure.mean for entry in self.entries() if entry.figure is not None]
        return 1 if all(round(mean, 1) == mean for mean in means) else 2

    def at(self, row: str, column: str) -> Entry:
        """Return the figure of a row and a column.

        Raises:
            ValueError: no such row or column.
        """
        for entry in self.entries():
            if (entry.row, entry.column) == (row, column):
                return entry
        raise ValueError(f"{self.name} has no figure in row '{row}', column '{column}'")

    def entries(self) -> Iterator[Entry]:
        """Yield every figure with its place, column after column."""
        for index, column in enumerate(self.columns):
            for row in self.rows:
                parts = (part.model_dump(exclude_none=True) for part in (self.place, column, row))
                said = {name: value for part in parts for name, value in part.items() if name in Place.model_fields}
                yield Entry(row.heading, column.heading, row.figures[index], Place(**said))

    def doubt(self, row: str, column: str) -> str | None:
        """Return why a figure is doubtful, or None."""
        return next((one.why for one in self.doubtful if (one.row, one.column) == (row, column)), None)


@dataclass(frozen=True)
class Entry:
    """One figure of a table: its row and column, what the paper prints, and the place of ours."""

    row: str
    column: str
    figure: Figure | None
    place: Place


def read_published(path: Path) -> PublishedTable:
    """Read a file of published figures.

    Raises:
        BadInput: the file cannot be read or is not a table; names file, key and value.
    """
    try:
        return PublishedTable.model_validate(read_yaml(path))
    except ValidationError as error:
        raise BadInput("\n".join(f"{path}: {line}" for line in error_lines(error))) from None


def published_tables(folder: Path | None = None) -> list[PublishedTable]:
    """Return all published tables, paper by paper, tables before figures.

    Raises:
        BadInput: a file is damaged, or there is none.
    """
    place = (STUDIES if folder is None else folder) / "published"
    files = sorted(place.glob("*.yaml"))
    if not files:
        raise BadInput(f"{place}: no file of published figures; install the package anew, or run in a checkout")
    kinds = ("table", "figure", "text")
    tables = [read_published(file) for file in files]
    return sorted(tables, key=lambda one: (list(PAPERS).index(one.paper), kinds.index(one.kind), one.number))


def table_named(name: str, folder: Path | None = None) -> PublishedTable:
    """Return a table by its name.

    Raises:
        BadInput: no such table; the nearest name is given.
    """
    place = (STUDIES if folder is None else folder) / "published"
    file = place / f"{name.replace('/', '-')}.yaml"
    if re.fullmatch(r"[a-z0-9]+/[a-z]+-[a-z0-9]+", name) and file.is_file():
        return read_published(file)
    raise unknown_name("table", name, [table.name for table in published_tables(folder)])
