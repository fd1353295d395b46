from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest

from study.slurm import shared_storage

Part = namedtuple("Part", "mountpoint fstype")


def test_a_folder_in_tmp_is_doubted() -> None:
    said = shared_storage.doubt(Path("/tmp/runs"))
    assert said is not None and "below /tmp" in said


@pytest.mark.parametrize(("kind", "doubted"), [("nfs4", False), ("lustre", False), ("xfs", True), ("beegfs", False)])
def test_the_file_system_decides_elsewhere(kind: str, doubted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [Part("/", "ext4"), Part("/scratch", kind)]
    monkeypatch.setattr("psutil.disk_partitions", lambda all: parts)
    assert (shared_storage.doubt(Path("/scratch/me/runs")) is not None) is doubted
    assert shared_storage.doubt(Path("/home/me/runs")) == "/home/me/runs is on a local disk (ext4)"
