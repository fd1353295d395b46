"""How every table of the command looks."""

from __future__ import annotations

import os

from rich.console import Console
from rich.table import Table

_WIDTH_OF_A_LOG = 120


def plain_table(title: str | None = None) -> Table:
    """Return an empty table without lines, its title at the left."""
    return Table(title=title, title_justify="left", box=None, pad_edge=False, collapse_padding=True)


def console() -> Console:
    """Return where the command prints: as wide as the terminal, wider than Rich's 80 in a file or a job's log."""
    found = Console()
    wide = found.is_terminal or "COLUMNS" in os.environ
    return found if wide else Console(width=_WIDTH_OF_A_LOG)
