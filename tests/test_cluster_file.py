"""cluster.yaml: valid against Ray's own schema, complete, and closed to strangers."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
import yaml

from study.driver.places import LEDGER, TRACKING_URI

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "cluster.yaml").read_text()
SCHEMA = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
COMMAND_LISTS = ("setup_commands", "head_setup_commands", "head_start_ray_commands", "worker_start_ray_commands")


@pytest.fixture
def cluster() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(TEXT)
    return loaded


def _starts(cluster: dict[str, Any]) -> list[str]:
    commands = cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]
    return [command for command in commands if "ray start" in command]


def test_ray_s_schema_accepts_the_file(cluster: dict[str, Any]) -> None:
    jsonschema.validate(cluster, SCHEMA)


def test_ray_s_schema_refuses_what_it_does_not_know(cluster: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**cluster, "worker_count": 3}, SCHEMA)
    del cluster["available_node_types"]["gpu_spot"]["node_config"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(cluster, SCHEMA)


def test_ray_accepts_the_file_as_the_launcher_prepares_it(
    cluster: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.autoscaler._private.cli_logger import cli_logger
    from ray.autoscaler._private.util import prepare_config, validate_config

    warnings: list[str] = []
    monkeypatch.setattr(cli_logger, "warning", warnings.append)
    monkeypatch.chdir(ROOT)
    prepared = prepare_config(copy.deepcopy(cluster))
    validate_config(prepared)
    assert len(warnings) == 5 and all("refers to a file" in said for said in warnings)  # docs/cluster.md announces them
    assert prepared["available_node_types"]["head"]["max_workers"] == 0


def test_node_types_are_complete(cluster: dict[str, Any]) -> None:
    types = cluster["available_node_types"]
    assert cluster["head_node_type"] in types
    for name, node_type in types.items():
        assert "resources" in node_type and "InstanceType" in node_type["node_config"], name
        if name != cluster["head_node_type"]:
            assert 0 <= node_type["min_workers"] <= node_type["max_workers"] <= cluster["max_workers"], name


def test_trials_run_on_gpu_workers_that_come_and_go(cluster: dict[str, Any]) -> None:
    types = cluster["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0}
    assert types["gpu_spot"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in types["gpu_on_demand"]["node_config"]
    for name in ("gpu_spot", "gpu_on_demand"):
        assert types[name]["min_workers"] == 0
        assert types[name]["resources"]["GPU"] == 1


def test_every_node_has_the_token_and_asks_for_it(cluster: dict[str, Any]) -> None:
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert len(_starts(cluster)) == 2
    assert all(command.startswith(". ~/.study_env;") for command in _starts(cluster))
    assert "RAY_AUTH_MODE=token" in TEXT


def test_every_server_listens_on_loopback_alone(cluster: dict[str, Any]) -> None:
    head = " ".join(cluster["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in head
    assert re.search(r"mlflow server .*--host 127\.0\.0\.1 .*--allowed-hosts ", head)
    assert "-c listen_addresses=''" in head
    assert "0.0.0.0" not in TEXT


def test_commands_are_whole_shell_commands(cluster: dict[str, Any]) -> None:
    for key in COMMAND_LISTS:
        for command in cluster[key]:
            checked = subprocess.run(["bash", "-n", "-c", f"({command})"], capture_output=True, text=True)
            assert checked.returncode == 0 and not checked.stderr, f"{command}\n{checked.stderr}"


def test_the_environment_names_what_a_study_looks_for(cluster: dict[str, Any], tmp_path: Path) -> None:
    [write] = [command for command in cluster["setup_commands"] if "cat > ~/.study_env" in command]
    names = ["RAY_AUTH_MODE", "STUDY_STORAGE", "STUDY_DATA_DIR", LEDGER, TRACKING_URI]
    # Twice, as a second `ray up` does: the login file must not grow.
    script = f'({write})\n({write})\n. ~/.study_env\nfor name in {" ".join(names)}; do echo "${{!name}}"; done'
    done = subprocess.run(
        ["bash", "-c", script],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    values = dict(zip(names, done.stdout.splitlines(), strict=True))
    assert values["RAY_AUTH_MODE"] == "token"
    assert values["STUDY_LEDGER"] == f"postgresql+psycopg:///study?host={tmp_path}/.postgres"
    assert all(values.values())
    assert (tmp_path / ".bashrc").read_text() == ". ~/.study_env\n"


def test_what_is_copied_to_the_nodes_exists(cluster: dict[str, Any]) -> None:
    for remote, local in cluster["file_mounts"].items():
        assert local.startswith("~") or (ROOT / local).exists(), remote
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name for name in packages if not name.endswith(".*")} <= set(cluster["file_mounts"].values())


def test_lines_to_edit_are_four() -> None:
    assert re.findall(r"EDIT (\d)", TEXT) == ["1", "2", "3", "4"]
