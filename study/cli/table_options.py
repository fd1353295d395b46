"""Options ``--latex``, ``--csv``, ``--markdown`` and ``--to``, which print a paper's table or write it to a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from trainables.core.errors import BadInput

if TYPE_CHECKING:
    from study.report.paper_table import PaperTable

Latex = Annotated[bool, typer.Option("--latex", help="Print a LaTeX table (booktabs) as papers have it.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print the numbers of that table as CSV.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print that table as Markdown.")]
To = Annotated[
    Path | None, typer.Option("--to", metavar="FILE", help="Write the table to a file; .tex, .csv, .md name a format.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]

_ENDINGS = {".tex": "latex", ".csv": "csv", ".md": "markdown"}


class TableWish(NamedTuple):
    """The table that the options ask for: ``latex``, ``csv`` or ``markdown``, to a file or to standard output."""

    format: str
    to: Path | None
    force: bool

    def write(self, table: PaperTable) -> None:
        """Print the table or write it to the file.

        Raises:
            BadInput: the file cannot be written.
        """
        from study.report.table_formats import as_csv, latex, markdown
        from trainables.core.storage_path import write_atomically

        text = {"latex": latex, "csv": as_csv, "markdown": markdown}[self.format](table)
        if self.to is None:
            typer.echo(text, nl=False)
            return
        try:
            self.to.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.to, text.encode())
        except OSError as error:
            raise BadInput(f"--to {self.to}: cannot be written ({error.strerror})") from None
        typer.echo(f"wrote {self.to}")


def table_wish(
    *, latex: bool, csv: bool, markdown: bool, to: Path | None, force: bool, as_json: bool = False
) -> TableWish | None:
    """Return the wish for a table, or None if no option asks for one.

    Raises:
        BadInput: two formats at once, a file whose ending names none, or one that exists without ``force``.
    """
    formats = {"latex": latex, "csv": csv, "markdown": markdown}
    chosen = [name for name, wanted in {**formats, "json": as_json}.items() if wanted]
    if len(chosen) > 1:
        raise BadInput(f"--{chosen[0]} and --{chosen[1]} exclude each other: one format at a time")
    if to is None:
        return TableWish(chosen[0], None, force) if chosen and not as_json else None
    if as_json:
        raise BadInput("--to writes tables; redirect the output of --json: study report NAME --json > FILE")
    named = chosen[0] if chosen else _ENDINGS.get(to.suffix)
    if named is None:
        raise BadInput(
            f"--to {to}: must end in {', '.join(_ENDINGS)}, or name a format with --latex, --csv, --markdown"
        )
    if not force and os.path.lexists(to):
        raise BadInput(f"--to {to}: already exists; --force replaces it")
    return TableWish(named, to, force)
