"""How every table of the command looks."""

from __future__ import annotations

import os
import re
import sys
from io import TextIOBase
from typing import IO, cast

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

_WIDTH_OF_A_LOG = 120
_UNBROKEN = 100_000
"""Columns of what is no terminal: there a line is never broken or cut, since it is read by programs too."""

_PADDING = re.compile(r"[ \t]+$", flags=re.M)


class PlainTable(Table):
    """A table that stays within a log's width, but never cuts what must stand in one line to fit there."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render; wider than a log only where the widest names need it."""
        if options.max_width == _UNBROKEN:
            columns = os.environ.get("COLUMNS", "")
            wished = int(columns) if columns.isdecimal() else _WIDTH_OF_A_LOG
            least = self.__rich_measure__(console, options).minimum
            options = options.update(width=max(wished, least))
        return super().__rich_console__(console, options)


def plain_table(title: str | None = None) -> Table:
    """Return an empty table without lines, its title at the left."""
    return PlainTable(title=title, title_justify="left", box=None, pad_edge=False, collapse_padding=True)


class _WithoutPadding(TextIOBase):
    """Standard output without the spaces that fill a table's rows up to their width."""

    def write(self, text: str) -> int:
        return sys.stdout.write(_PADDING.sub("", text))

    def flush(self) -> None:
        sys.stdout.flush()


def console() -> Console:
    """Return where the command prints: as wide as the terminal, and as wide as need be in a file, a pipe or a log."""
    found = Console()
    return found if found.is_terminal else Console(file=cast(IO[str], _WithoutPadding()), width=_UNBROKEN)
