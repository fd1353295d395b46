"""Renew the README's table of methods: python -m study.report.readme_table README.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from study.report.catalog_tables import methods_markdown

_TABLE = re.compile(r"(<!-- methods -->\n).*?(\n<!-- /methods -->)", flags=re.S)


def renewed(text: str) -> str:
    """Return a text with the table between its two markers made from the code's own."""
    return _TABLE.sub(lambda found: found[1] + methods_markdown() + found[2], text)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
