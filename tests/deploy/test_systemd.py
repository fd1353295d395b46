"""deploy/systemd: systemd accepts the units, secrets come from files, a stopped study gets time."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))


def _read(path: Path) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(re.sub(r"\\\n\s*", "", path.read_text()))
    return unit


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_it(path: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here")
    copy = tmp_path / path.name
    copy.write_text(path.read_text().replace("/opt/longtail-study/.venv/bin/", "/bin/true "))
    done = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True)
    about_it = [line for line in done.stderr.splitlines() if path.stem.rstrip("@") in line]
    assert not [line for line in about_it if "not-found" not in line and "Failed to add dependency" not in line]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_it_runs_as_a_user_with_secrets_from_a_file(path: Path) -> None:
    service = _read(path)["Service"]
    assert service["User"] == "study"
    assert service["EnvironmentFile"].startswith("/etc/longtail-study/")
    assert not re.search(r"PASSWORD=|SECRET_KEY=|AUTH_TOKEN=|://[^/\s]*:[^/\s]*@", path.read_text())
    if "ray" in service["ExecStart"] or "--address auto" in service["ExecStart"]:
        assert "RAY_AUTH_MODE=token" in path.read_text()


def test_servers_listen_on_loopback_alone() -> None:
    assert "--host 127.0.0.1" in _read(FOLDER / "mlflow.service")["Service"]["ExecStart"]
    assert "--dashboard-host=127.0.0.1" in _read(FOLDER / "ray-head.service")["Service"]["ExecStart"]


def test_a_study_stops_by_sigterm_and_waits_for_its_services_but_is_not_run_again_after_a_failure() -> None:
    service = _read(FOLDER / "study@.service")["Service"]
    assert service["KillMode"] == "mixed" and int(service["TimeoutStopSec"]) >= 60
    assert service["Restart"] == "on-failure" and int(service["RestartSec"]) >= 30
    assert service["RestartPreventExitStatus"] == "1"  # not 2, with which a study ends whose head is not there yet


def test_every_unit_is_in_the_readme() -> None:
    text = (FOLDER / "README.md").read_text()
    assert all(f"`{path.name.replace('@', '@NAME')}`" in text for path in UNITS)
