"""Ray of one driver: what is refused before it starts."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from study.driver.local_ray import LocalRay
from trainables.core.errors import BadInput


def test_a_full_temporary_folder_is_named_before_ray_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**20))
    with pytest.raises(BadInput) as refused:
        LocalRay("study resume tiny --storage /x")
    assert f"Ray's temporary folder {tmp_path} has 1 MiB free" in str(refused.value)
    assert "RAY_TMPDIR" in str(refused.value) and "`study resume tiny --storage /x`" in str(refused.value)
