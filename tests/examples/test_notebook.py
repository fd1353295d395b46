"""The notebook of the examples runs from its first cell to its last, and its picture is drawn."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "metric_against_ratio.ipynb"


@pytest.mark.timeout(900)
def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "the notebook is stored without outputs"
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=840, kernel_name="python3", resources=where).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 1
    tables = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert any("ldam-drw" in table and "over_baseline" in table for table in tables)
    if keep := os.environ.get("STUDY_KEEP_NOTEBOOK"):
        nbformat.write(notebook, keep)
