"""Tables and console output of the command `study`."""

from __future__ import annotations

import os
import re
import sys
from io import TextIOBase
from typing import IO, cast

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

_WIDTH_OF_A_LOG = 120
_UNBROKEN = 100_000
"""Width in columns of output that is not a terminal. Programs may read it, so no line is wrapped or truncated."""

_PADDING = re.compile(r"[ \t]+$", flags=re.M)


class PlainTable(Table):
    """A table that fits a log's width if possible, without truncating a cell."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the table; it is wider than a log only if its longest words or unwrapped cells need it."""
        if options.max_width == _UNBROKEN:
            columns = os.environ.get("COLUMNS", "")
            wished = int(columns) if columns.isdecimal() else _WIDTH_OF_A_LOG
            for column in self.columns:
                if column.no_wrap:
                    column.min_width = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
            least = self.__rich_measure__(console, options).minimum
            options = options.update(width=max(wished, least))
        return super().__rich_console__(console, options)


def plain_table(title: str | None = None) -> Table:
    """Return an empty table without rules, with a left-aligned title."""
    return PlainTable(title=title, title_justify="left", box=None, pad_edge=False, collapse_padding=True)


class _WithoutPadding(TextIOBase):
    """Standard output without the trailing spaces of table rows."""

    def write(self, text: str) -> int:
        return sys.stdout.write(_PADDING.sub("", text))

    def flush(self) -> None:
        sys.stdout.flush()


def console() -> Console:
    """Return a console as wide as the terminal; in a file, a pipe or a log its width is unlimited."""
    found = Console()
    return found if found.is_terminal else Console(file=cast(IO[str], _WithoutPadding()), width=_UNBROKEN)


def trial_count(done: int, total: int, *, exact: bool) -> str:
    """Return how many trials of a study are done; ``exact`` is False while the total is an upper bound.

    >>> trial_count(3, 8, exact=True), trial_count(3, 8, exact=False)
    ('3/8', '3 of at most 8')
    """
    return f"{done}/{total}" if exact else f"{done} of at most {total}"
