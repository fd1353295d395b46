"""Renew all that documents say of the methods from the methods themselves: python -m study.report.method_documents.

These are the table of axes in `trainables.methods`, the README's table, the pages of families and their index, and the
study of all methods. A page that somebody wrote stays; what it does not say of a method is added at its end.
"""

from __future__ import annotations

import re
from pathlib import Path

from study.report.catalog_tables import methods_markdown
from study.report.method_page import Page, in_yaml, method_page, page_lines, preset_rows
from trainables.methods import axes
from trainables.methods.registry import METHODS, family_of

ROOT = Path(__file__).parents[2]
_TABLE = re.compile(r"(<!-- methods -->\n).*?(\n<!-- /methods -->)", flags=re.S)
_LISTED = re.compile(r"(^methods:\n)(?:  - \S+\n)+", flags=re.M)
_DERIVED = re.compile(r"\n<!-- derived -->.*?<!-- /derived -->\n", flags=re.S)


def documents(root: Path = ROOT) -> dict[Path, str]:
    """Return every document that tells of methods, and the content that it should have.

    Args:
        root: the folder that holds README.md, docs and studies.
    """
    readme, index = root / "README.md", root / "docs" / "methods.md"
    every = root / "studies" / "digits-all-methods.yaml"
    pages = _pages(root)
    return {
        axes.TABLE: axes.written(METHODS),
        readme: _with_table(readme.read_text(encoding="utf-8"), methods_markdown()),
        **pages,
        index: _with_table(index.read_text(encoding="utf-8"), _index(pages)),
        every: _LISTED.sub(_list_of_methods, every.read_text(encoding="utf-8")),
    }


def _with_table(text: str, table: str) -> str:
    return _TABLE.sub(lambda found: found[1] + table + found[2], text)


def _list_of_methods(found: re.Match[str]) -> str:
    return found[1] + "".join(f"  - {name}\n" for name in from_scratch())


def from_scratch() -> list[str]:
    """Return the methods that train a whole network: all but those that fine-tune a part of a pretrained one."""
    return [name for name, method in METHODS.items() if method.tuning is None]


def _families() -> dict[str, list[str]]:
    """Return the methods of every family, by the name of its file."""
    found: dict[str, list[str]] = {}
    for name in METHODS:
        found.setdefault(family_of(name), []).append(name)
    return found


def _index(pages: dict[Path, str]) -> str:
    rows = ["| page | methods |", "|---|---|"]
    for (path, text), names in zip(pages.items(), _families().values(), strict=True):
        title = text.partition("\n")[0].removeprefix("# ").partition(":")[0]
        rows.append(f"| [{title}](methods/{path.name}) | {_quoted(names)} |")
    return "\n".join(rows)


def _pages(root: Path) -> dict[Path, str]:
    found = {}
    for family, names in _families().items():
        path = root / "docs" / "methods" / f"{family}.md"
        written = path.read_text(encoding="utf-8") if path.exists() else _heading(names)
        written = _DERIVED.sub("", written)
        missing = [name for name in names if f"`{name}`" not in written.partition("\n")[2]]
        found[path] = written + _derived(missing) if missing else written
    return found


def _heading(names: list[str]) -> str:
    return f"# {METHODS[names[0]].title}: {_quoted(names)}\n"


def _quoted(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _derived(names: list[str]) -> str:
    sections = "\n\n".join(_section(method_page(name)) for name in names)
    return f"\n<!-- derived -->\n{sections}\n<!-- /derived -->\n"


def _section(page: Page) -> str:
    said = [line.strip() for line in page_lines(page)[1:]]
    parts = [f"## `{page['name']}`", "\n".join(f"- {line}" for line in said)]
    if page["hyperparameters"]:
        rows = [
            f"| `{one['param']}` | {in_yaml(one['default'])} | {one['allowed']} | {one['searched'] or 'no'} |"
            for one in page["hyperparameters"]
        ]
        parts.append("\n".join(["| param | default | allowed | searched |", "|---|---|---|---|", *rows]))
    presets = [f"| `{preset}` | {values} |" for preset, values in preset_rows(page)]
    parts.append("\n".join(["| preset | params |", "|---|---|", *presets]))
    return "\n\n".join(parts)


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
