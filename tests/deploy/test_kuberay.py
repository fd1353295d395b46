"""deploy/kuberay: accepted by KubeRay's schemas, complete, closed to strangers, and of the lock file's versions.

The schemas are those with which a cluster checks the manifests, kept from KubeRay 1.7.0. With KUBERAY_CRDS naming the
folder ray-operator/config/crd/bases of a copy of github.com/ray-project/kuberay, its schemas are used instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy import kuberay_schema

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kuberay"
Mapping = dict[str, Any]


def _manifests(name: str) -> list[Mapping]:
    return [manifest for manifest in yaml.safe_load_all((FOLDER / name).read_text()) if manifest]


def _of_kind(kind: str) -> Mapping:
    return next(m for path in ("raycluster.yaml", "rayjob.yaml") for m in _manifests(path) if m["kind"] == kind)


def _clusters() -> Iterator[Mapping]:
    yield _of_kind("RayCluster")["spec"]
    yield _of_kind("RayJob")["spec"]["rayClusterSpec"]


def _pods(cluster: Mapping) -> list[Mapping]:
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def _closed(schema: Any) -> Any:
    """Refuse keys that a schema does not know, as a server's strict validation does."""
    if isinstance(schema, list):
        return [_closed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(inner) for key, inner in schema.items()}
    known = isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema
    if known and schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed["additionalProperties"] = False
    return closed


@pytest.mark.parametrize("kind", kuberay_schema.PLURALS)
def test_the_schema_of_the_custom_resource_accepts_it(kind: str) -> None:
    folder = os.environ.get("KUBERAY_CRDS")
    schema = _closed(kuberay_schema.of_definitions(Path(folder))[kind] if folder else kuberay_schema.kept()[kind])
    schema["properties"]["metadata"] = {"type": "object"}
    manifest, validator = _of_kind(kind), jsonschema.Draft7Validator(schema)
    validator.check_schema(schema)
    validator.validate(manifest)
    cluster = manifest["spec"].get("rayClusterSpec", manifest["spec"])
    for part in (manifest["spec"], cluster["headGroupSpec"]["template"]["spec"]["containers"][0]):
        part["worker_count"] = 3
        with pytest.raises(jsonschema.ValidationError, match="worker_count"):
            validator.validate(manifest)
        del part["worker_count"]


def test_ray_has_the_version_of_the_lock_file() -> None:
    [locked] = re.findall(r"^ray==(\S+)$", (ROOT / "requirements.lock").read_text(), flags=re.M)
    assert [cluster["rayVersion"] for cluster in _clusters()] == [locked, locked]


def test_the_image_has_the_version_of_the_project_everywhere() -> None:
    [version] = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), flags=re.M)
    images = {
        container["image"] for cluster in _clusters() for pod in _pods(cluster) for container in pod["containers"]
    }
    assert images == {f"registry.example/longtail-study:{version}"}


def test_every_cluster_asks_for_a_token_from_a_secret() -> None:
    for cluster in _clusters():
        assert cluster["authOptions"] == {"mode": "token", "secretName": "longtail-study-ray"}


def test_no_secret_is_written_here() -> None:
    for path in FOLDER.glob("*.yaml"):
        text = path.read_text()
        assert "kind: Secret" not in text
        assert not re.search(r"://[^/\s]*:[^/\s]*@", text)
    environment = _of_kind("ConfigMap")["data"]
    assert not [name for name in environment if "PASSWORD" in name or "TOKEN" in name]


def test_every_command_of_the_readme_finds_its_files_from_the_root() -> None:
    text = (FOLDER / "README.md").read_text()
    assert "Run all commands in the project's root" in text
    commands = " ".join(block for block in text.split("```")[1::2])
    named = [path.rpartition("=")[2] for path in re.findall(r"[\w./=-]+\.yaml", commands)]
    assert len(named) >= 4 and [path for path in named if not (ROOT / path).is_file()] == []


def test_every_mount_has_its_volume_and_trials_run_on_workers_alone() -> None:
    for cluster in _clusters():
        assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        for pod in _pods(cluster):
            volumes = {volume["name"] for volume in pod["volumes"]}
            [container] = pod["containers"]
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert {"storage", "shm"} <= volumes
        for group in cluster["workerGroupSpecs"]:
            assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_the_head_makes_the_folders_that_the_settings_name() -> None:
    """A new volume is empty, and a study is refused where its data folder is missing."""
    settings = _of_kind("ConfigMap")["data"]
    for cluster in _clusters():
        [folders] = cluster["headGroupSpec"]["template"]["spec"]["initContainers"]
        assert folders["command"] == ["mkdir", "-p", settings["STUDY_STORAGE"], settings["STUDY_DATA_DIR"]]
        assert folders["volumeMounts"] == [{"name": "storage", "mountPath": "/storage"}]


def test_many_nodes_mount_the_storage_at_once() -> None:
    assert _of_kind("PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteMany"]


def test_a_job_that_is_run_again_resumes_its_study() -> None:
    job = _of_kind("RayJob")
    assert job["spec"]["entrypoint"] == "study submitted /study/study.yaml"
    assert job["spec"]["backoffLimit"] > 0
    # what it needs to know of the cluster
    assert {"STUDY_STORAGE", "STUDY_DATA_DIR"} <= _of_kind("ConfigMap")["data"].keys()
    [head] = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert "/study" in [mount["mountPath"] for mount in head["volumeMounts"]]
