"""deploy/compose: every name resolves, no secret is written, ports are open on this machine alone."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "compose"
IMAGE = FOLDER.parent / "image"
Mapping = dict[str, Any]


@pytest.fixture
def compose() -> Mapping:
    loaded: Mapping = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return loaded


def test_docker_compose_accepts_the_files(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode != 0:
        pytest.skip("no `docker compose` here")
    copy = shutil.copytree(FOLDER, tmp_path / "a" / "b")
    for name in ("compose.yaml", "compose.gpu.yaml"):
        words = ["-f", "compose.yaml", *(["-f", name] if name != "compose.yaml" else [])]
        done = subprocess.run([docker, "compose", *words, "config", "-q"], cwd=copy, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_only_known_keys_are_used(compose: Mapping) -> None:
    known = {"image", "build", "restart", "command", "environment", "secrets", "volumes", "ports", "depends_on"}
    known |= {"healthcheck", "shm_size", "deploy"}
    assert {key for key in compose if not key.startswith("x-")} == {"name", "services", "volumes", "secrets"}
    for name, service in compose["services"].items():
        assert set(service) <= known, name


def test_every_secret_volume_and_service_is_declared(compose: Mapping) -> None:
    for name, service in compose["services"].items():
        assert set(service.get("secrets", [])) <= set(compose["secrets"]), name
        assert set(service.get("depends_on", [])) <= set(compose["services"]), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (FOLDER / source).exists(), f"{name}: {source}"


def test_every_secret_comes_from_a_file_that_git_ignores(compose: Mapping) -> None:
    for name, secret in compose["secrets"].items():
        assert secret == {"file": f"secrets/{name}"}
    assert (FOLDER / "secrets" / ".gitignore").read_text() == "*\n"
    for service in compose["services"].values():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN", variable):
                assert variable.endswith(("_FILE", "_PATH")), variable
                assert value.removeprefix("/run/secrets/") in service["secrets"], variable
        assert not re.search(r"://[^/\s]*:[^/\s]*@", str(service))


def test_the_entry_point_knows_every_secret_of_the_services(compose: Mapping) -> None:
    known = (IMAGE / "with-secrets").read_text()
    for service in compose["services"].values():
        if service["image"].startswith("longtail-study"):
            for variable in service["environment"]:
                assert not variable.endswith("_FILE") or variable.removesuffix("_FILE") in known


def test_images_have_versions_and_ports_are_open_here_alone(compose: Mapping) -> None:
    for service in compose["services"].values():
        assert re.search(r":\S*\d\S*$", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_mlflow_asks_for_a_password_and_keeps_users_in_a_database_of_its_own(compose: Mapping) -> None:
    mlflow = compose["services"]["mlflow"]
    assert "--app-name=basic-auth" in mlflow["command"]
    assert "MLFLOW_FLASK_SERVER_SECRET_KEY_FILE" in mlflow["environment"]
    users = configparser.ConfigParser()
    users.read(FOLDER / "basic_auth.ini")
    created = re.findall(r"CREATE DATABASE (\w+);", (FOLDER / "databases.sql").read_text())
    [store] = [word for word in mlflow["command"] if word.startswith("--backend-store-uri")]
    assert [store.rpartition("/")[2], users["mlflow"]["database_uri"].rpartition("/")[2]] == created


def test_ray_asks_for_the_token_on_every_node(compose: Mapping) -> None:
    for name in ("head", "worker"):
        environment = compose["services"][name]["environment"]
        assert environment["RAY_AUTH_MODE"] == "token"
        assert environment["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"


def test_gpus_are_added_to_the_workers(compose: Mapping) -> None:
    added = yaml.safe_load((FOLDER / "compose.gpu.yaml").read_text())["services"]
    assert set(added) == {"worker"} and set(added) <= set(compose["services"])


def test_the_entry_point_reads_secrets_from_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("two words $HOME\n")
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD_FILE": str(secret), "SSL_CERT_FILE": "as it was"}
    words = ["bash", str(IMAGE / "with-secrets"), "bash", "-c"]
    show = 'echo "$PGPASSWORD|$SSL_CERT_FILE|${PGPASSWORD_FILE-gone}"'
    done = subprocess.run([*words, show], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "two words $HOME|as it was|gone\n"
    environment["PGPASSWORD_FILE"] = str(tmp_path / "none")
    done = subprocess.run([*words, show], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "PGPASSWORD_FILE: cannot read" in done.stderr
