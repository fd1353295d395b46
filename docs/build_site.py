"""Builds the site of the documentation: stages pages and what they link to, then runs mkdocs, warnings as errors."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGE = ROOT / "build" / "site-pages"
PAGES = ("*.md", "docs/**/*.md", "deploy/**/*.md", "benchmarks/*.md")
PICTURES = ("docs/images/*",)
_LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")

REFERENCE = {
    "python": ("Python interface", ["study.api.study_handle", "study.api.trained_trial", "study.api.single_training"]),
    "methods": (
        "Methods, plans and search spaces",
        ["trainables.methods.method", "trainables.methods.plan", "search_spaces.dimension", "trainables.testing"],
    ),
}
"""Page -> its title and the modules whose public names it documents, from their docstrings."""


def stage() -> None:
    """Copy pages, pictures and what pages link to into the staging folder, at the same relative places."""
    shutil.rmtree(STAGE, ignore_errors=True)
    pages = sorted({path for pattern in PAGES for path in ROOT.glob(pattern)})
    linked = {path for page in pages for path in _linked(page)}
    pictures = {path for pattern in PICTURES for path in ROOT.glob(pattern)}
    for path in (*pages, *sorted(linked | pictures)):
        target = STAGE / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for name, (title, modules) in REFERENCE.items():
        target = STAGE / "reference" / f"{name}.md"
        target.parent.mkdir(exist_ok=True)
        text = "\n\n".join([f"# {title}", *(f"::: {module}" for module in modules)])
        target.write_text(f"{text}\n", encoding="utf-8")


def _linked(page: Path) -> list[Path]:
    """Return the files of the project that a page links to; mkdocs warns of those that are missing."""
    targets = (link for link in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link)
    found = ((page.parent / target).resolve() for target in targets)
    return [path for path in found if path.is_file() and path.is_relative_to(ROOT)]


def main() -> None:
    """Build the site into build/site."""
    stage()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", *sys.argv[1:]]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    sys.exit(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
