"""Ray's reports of usage are off wherever this project starts Ray: in the program, in deployments, in the docs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from study.driver.submit import _JOB_ENVIRONMENT
from study.slurm.batch_script import _BODY

ROOT = Path(__file__).parents[1]
OFF = "RAY_USAGE_STATS_ENABLED=0"
PYTHON = ("study", "trainables", "search_spaces", "benchmarks", "tests", "docs")


def _files(*patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def test_python_starts_ray_in_one_place_which_turns_them_off() -> None:
    found = [path for folder in PYTHON for path in (ROOT / folder).rglob("*.py")]
    starts = {str(path.relative_to(ROOT)) for path in found if re.search(r"\bray\.init\(", path.read_text())}
    assert starts - {"tests/test_usage_reports.py"} == {"study/driver/ray_connection.py"}


def test_python_that_calls_ray_start_turns_them_off() -> None:
    for path in (path for folder in PYTHON for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text()
        if re.search(r'"ray"\)\), "start"|"\$ray" start', text):
            assert re.search(r'RAY_USAGE_STATS_ENABLED(=0|": "0")|\bUSAGE_REPORTS_OFF\b', text), path


def test_a_ray_of_this_machine_has_them_off_although_nothing_says_so() -> None:
    code = """
import os, psutil
from study.driver.local_ray import LocalRay
with LocalRay() as ray:
    ray.address()
    for process in psutil.Process().children(recursive=True):
        if process.name() in ("gcs_server", "raylet") or "dashboard" in " ".join(process.cmdline()):
            print("started", process.environ().get("RAY_USAGE_STATS_ENABLED"))
"""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_USAGE_STATS_ENABLED"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("started")]
    assert len(said) >= 2 and set(said) == {"started 0"}, done.stdout + done.stderr


def test_jobs_and_slurm_scripts_have_them_off() -> None:
    assert _JOB_ENVIRONMENT["RAY_USAGE_STATS_ENABLED"] == "0"
    assert _BODY.index(OFF) < _BODY.index('"$ray" start')


@pytest.mark.parametrize("path", _files("deploy/systemd/*.service"), ids=lambda path: path.name)
def test_units_have_them_off(path: Path) -> None:
    text = path.read_text()
    assert "/bin/mlflow" in text or re.search(rf"^Environment=.*{OFF}", text, re.M)


def test_the_image_has_them_off_and_all_containers_that_start_ray_use_it() -> None:
    assert re.search(rf"^ENV .*{OFF}", (ROOT / "deploy/image/Dockerfile").read_text(), re.M)
    compose = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text())
    for service in compose["services"].values():
        if service.get("command", [""])[0] == "ray":
            assert service["image"].startswith("longtail-study:")
    for path in _files("deploy/kuberay/*.yaml"):
        images = re.findall(r"^ +image: (?!\*)(?:&\S+ )?(\S+)", path.read_text(), re.M)
        assert images and all("/longtail-study:" in image for image in images), path


def test_the_launcher_s_nodes_have_them_off() -> None:
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    [environment] = [command for command in cluster["setup_commands"] if "cat > ~/.study_env" in command]
    assert re.search(rf"^export .*{OFF}", environment, re.M)
    starts = [line for key in cluster if key.endswith("start_ray_commands") for line in cluster[key]]
    assert all(line.startswith(". ~/.study_env;") for line in starts if "ray start" in line)


@pytest.mark.parametrize("path", _files("*.md", "docs/*.md", "deploy/**/*.md"), ids=lambda path: path.name)
def test_commands_in_the_docs_have_them_off(path: Path) -> None:
    for block in re.findall(r"^```\n(.*?)^```", path.read_text(), re.M | re.S):
        if "ray start" in block:
            assert OFF in block, f"{path}:\n{block}"
