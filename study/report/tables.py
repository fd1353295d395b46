"""How every table of the command looks."""

from __future__ import annotations

from rich.table import Table


def plain_table(title: str | None = None) -> Table:
    """Return an empty table without lines, its title at the left."""
    return Table(title=title, title_justify="left", box=None, pad_edge=False, collapse_padding=True)
