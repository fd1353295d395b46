from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from study.slurm.batch_script import batch_script
from study.slurm.job_options import JobOptions
from study.store.study_folder import StudyFolder
from tests.study.slurm.slurm_lab import INSTALL, SlurmLab, missing_programs


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmLab]:
    """A Slurm cluster of two nodes on this machine, with two processors each."""
    if missing := missing_programs():
        pytest.skip(f"no {', '.join(missing)} here; on Debian: {INSTALL}")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # short, as the paths of sockets are limited
    lab = SlurmLab(folder, nodes=2, cpus=2)
    yield lab
    lab.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_script(tmp_path: Path) -> Callable[..., str]:
    """Build the script of a study in the storage ``runs``."""

    def make(*, nodes: int = 2, time: str = "1:00:00", overrides: tuple[str, ...] = (), **options: object) -> str:
        folder = StudyFolder(tmp_path / "runs", "tiny")
        return batch_script(folder, JobOptions(nodes=nodes, time=time, **options), overrides)

    return make
