"""``study slurm --dry-run`` as a user runs it; tests/study/slurm has the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_a_dry_run_prints_the_script_and_writes_nothing(tmp_path: Path) -> None:
    storage = tmp_path / "runs"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "study.cli.app", "slurm", "studies/quickstart.yaml", "--nodes", "4"),
            *("--time", "4:00:00", "--partition", "gpu", "--gpus-per-node", "a100:4", "--dry-run"),
            *("--set", "name=again", "--storage", str(storage)),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "STUDY_LEDGER": "postgresql+psycopg://me:hunter2@db/study",
            "MLFLOW_TRACKING_PASSWORD": "hunter3",
            "PYTHONPROFILEIMPORTTIME": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("#!/bin/bash\n#SBATCH --job-name=study-again\n#SBATCH --nodes=4\n")
    assert "#SBATCH --gpus-per-node=a100:4\n" in done.stdout
    assert f"#SBATCH --output={storage}/again/slurm/job-%j.log\n" in done.stdout
    assert "hunter" not in done.stdout + done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line}
    assert not {"ray", "mlflow"} & imported
    assert not storage.exists()
