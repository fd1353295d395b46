"""Fixture with a stored study for the tests of reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.study.made_study import MadeStudy


@pytest.fixture
def made(tmp_path: Path) -> MadeStudy:
    return MadeStudy(tmp_path / "runs")
