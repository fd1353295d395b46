"""The wheel, installed into an empty environment, runs a ready study; nothing of the checkout is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_TRACES = ("PYTHONPATH", "STUDY_DATA_DIR", "STUDY_STORAGE")
"""Variables that would let the checkout or its data take part."""


def _ran(*words: str | Path, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in _TRACES}
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_wheel_runs_a_ready_study_in_an_empty_environment(tmp_path: Path) -> None:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    source = tmp_path / "source"  # setuptools builds in the folder of the source
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "runs", "build", "*.egg-info", "__pycache__"))
    _ran(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", tmp_path, source),
        folder=tmp_path,
    )
    (wheel,) = tmp_path.glob("longtail_study-*.whl")
    venv.create(tmp_path / "empty", with_pip=uv is None)
    python = tmp_path / "empty" / "bin" / "python"
    install = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
    _ran(*install, "--quiet", wheel, folder=tmp_path)
    shutil.rmtree(source)

    study = python.with_name("study")
    small = ("--set", "search.trials=1", "--set", "training.epochs=2", "--set", "data.0.profiles.0.ratio=[10]")
    said = _ran(study, "run", "quickstart", *small, folder=tmp_path)
    assert "study 'quickstart' is finished" in said
    assert (tmp_path / "runs" / "quickstart" / "study.yaml").exists()
    code = "from study import Study; print(len(Study('quickstart').trials()), Study('quickstart').state)"
    assert _ran(python, "-c", code, folder=tmp_path).split() == ["4", "finished"]
    assert "cce/table-9" in _ran(study, "reproduce", folder=tmp_path)
