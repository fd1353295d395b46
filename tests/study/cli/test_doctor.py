"""`study doctor`: what it finds of this machine, of databases, servers and clusters, and how it says to mend it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from study.cli.diagnostics import Finding, _data, _storage, token_finding
from study.cli.service_diagnostics import service_findings
from study.driver.node_report import NodeReport, _facts, _name, ask_nodes, check_nodes, differences
from tests.ray_head import running_head
from tests.servers import PostgresServer, S3Server, free_port
from trainables.core.errors import BadInput
from trainables.core.object_path import ObjectPath


@pytest.fixture(autouse=True)
def _no_services(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STUDY_LEDGER", "STUDY_LEDGER_FILE", "STUDY_TRACKING_URI", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


def _found(subject: str, storage: Path | ObjectPath, address: str | None = None) -> Finding:
    return next(found for found in service_findings(storage, None, address) if found.subject == subject)


def test_a_folder_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    found = _storage(tmp_path)
    assert found.good and "files are replaced whole, locks work" in found.text
    assert list(tmp_path.iterdir()) == []
    assert "which the first study makes" in _storage(tmp_path / "a" / "b").text
    assert not (tmp_path / "a").exists()


def test_a_file_in_the_storage_s_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = _storage(tmp_path / "file" / "runs")
    assert not found.good and "is a file" in found.text and "--storage" in found.mend


def test_object_storage_is_tried(s3: S3Server) -> None:
    assert _storage(ObjectPath.parsed("s3://runs/doctor")).good
    found = _storage(ObjectPath.parsed("s3://absent/doctor"))
    assert not found.good and "does not exist" in found.text and "docs/cluster.md" in found.mend


def test_a_data_folder_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    missing = _data(tmp_path / "none")
    assert not missing.good and str(tmp_path / "none") in missing.text and "STUDY_DATA_DIR" in missing.mend
    empty = _data(tmp_path)  # as every new machine has it
    assert empty.good and f"{tmp_path} contains no data set yet" in empty.text


def test_a_token_that_others_may_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert token_finding().good
    path = tmp_path / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text("a-token")
    path.chmod(0o644)
    assert token_finding().mend == f"chmod 600 {path}"
    path.chmod(0o600)
    assert token_finding() == Finding("cluster token", f"in {path}")
    path.write_text("aaa bbb")
    assert not token_finding().good and "aaa" not in str(token_finding())
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    assert not token_finding().good and "or unset RAY_AUTH_TOKEN_PATH" in token_finding().mend
    monkeypatch.setenv("RAY_AUTH_TOKEN", "aaa\nbbb")
    found = token_finding()
    assert not found.good and "or unset RAY_AUTH_TOKEN" in found.mend and "bbb" not in str(found)


def test_a_ledger_that_is_no_url_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_LEDGER", "host=h user=me password=hunter-32 dbname=x")
    monkeypatch.setenv("STUDY_TRACKING_URI", "me:hunter-32@host:5000")
    for subject in ("ledger", "MLflow"):
        found = _found(subject, Path("runs"), "x:hunter-32@h:1")
        assert not found.good and "hunter-32" not in str(found)
    assert "hunter-32" not in str(_found("Ray cluster", Path("runs"), "x:hunter-32@h:1"))


def test_a_ledger_that_answers_is_described(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_LEDGER", postgres.url)
    found = _found("ledger", Path("runs"))
    assert found.good and found.text.startswith("PostgreSQL ") and found.text.endswith("can be written")
    engine = create_engine(postgres.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        connection.exec_driver_sql("CREATE ROLE looker LOGIN")
        try:
            monkeypatch.setenv("STUDY_LEDGER", postgres.url.replace("study@", "looker@"))
            found = _found("ledger", Path("runs"))
        finally:
            connection.exec_driver_sql("DROP ROLE looker")
    engine.dispose()
    assert not found.good and "may only read" in found.text and "GRANT CREATE" in found.mend


def test_a_ledger_that_does_not_answer_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_LEDGER", f"postgresql+psycopg://me:hunter-31@127.0.0.1:{free_port()}/study")
    found = _found("ledger", Path("runs"))
    assert (
        not found.good and "cannot open postgresql+psycopg://me@127.0.0.1" in found.text and "PGPASSWORD" in found.mend
    )
    assert "hunter-31" not in str(found)
    monkeypatch.delenv("STUDY_LEDGER")
    assert _found("ledger", Path("runs")).good
    assert "needs a PostgreSQL database" in _found("ledger", ObjectPath.parsed("s3://runs/x")).text


@pytest.fixture
def refusing_server() -> Iterator[str]:
    """A server that answers every request as MLflow does to one without name and password."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.end_headers()
            self.wfile.write(b"You are not authenticated.")

        do_POST = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_mlflow_server_that_refuses_or_is_away_is_named(
    refusing_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_TRACKING_URI", refusing_server)
    found = _found("MLflow", tmp_path)
    assert not found.good and "refuses this user: set MLFLOW_TRACKING_USERNAME" in found.text
    monkeypatch.setenv("STUDY_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    found = _found("MLflow", tmp_path)
    assert not found.good and "nothing answers" in found.text and "STUDY_TRACKING_URI" in found.mend
    monkeypatch.delenv("STUDY_TRACKING_URI")
    assert "which the first study makes" in _found("MLflow", tmp_path).text
    assert list(tmp_path.iterdir()) == []


def test_nodes_that_differ_are_named() -> None:
    versions = {"python": "3.11.7", "ray": "2.60.0"}
    same = [NodeReport(name, versions=versions, clock=0.1) for name in ("a", "b")]
    assert differences(same) == []
    other = NodeReport("c", versions={**versions, "ray": "2.61.0"}, clock=61.0, cuda=False)
    assert differences([*same, other, NodeReport("d", failed="it is gone")]) == [
        "node d does not answer: it is gone",
        "ray differs between nodes: 2.60.0 on a, b; 2.61.0 on c",
        "the clocks of a and c are 61 s apart",
        "node c has a GPU that torch does not see",
    ]


def test_a_storage_that_a_node_does_not_see_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def ask(address: str, paths: list[str]) -> list[NodeReport]:
        assert all(Path(path).exists() for path in paths)
        asked.append(paths)
        return [NodeReport("a"), NodeReport("b", missing=(paths[-1],))]

    monkeypatch.setattr("study.driver.node_report.ask_nodes", ask)
    for storage in (tmp_path, tmp_path / "new"):
        with pytest.raises(BadInput, match=f"node b does not see the storage {storage}: mount the same folder"):
            check_nodes("auto", storage)
    assert len(asked) == 2 and list(tmp_path.iterdir()) == []
    monkeypatch.setattr("study.driver.node_report.ask_nodes", lambda *_: [NodeReport("b", missing=(str(tmp_path),))])
    with pytest.raises(BadInput, match=f"node b does not see the data folder {tmp_path}: mount the same folder"):
        check_nodes("auto", ObjectPath.parsed("s3://runs/x"), [tmp_path])
    monkeypatch.setattr("study.driver.node_report.ask_nodes", lambda *_: [NodeReport("b", missing=("s3://runs/x",))])
    with pytest.raises(BadInput, match=r"node b cannot write to the storage s3://runs/x: its credentials.*`ray start`"):
        check_nodes("auto", ObjectPath.parsed("s3://runs/x"), [tmp_path])


def test_a_node_tries_an_object_storage(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _facts(["s3://runs/x", "s3://absent/x"], (), False)["missing"] == ["s3://absent/x"]


def test_the_doctor_names_the_folders_that_a_node_does_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.driver.preflight.checked_cluster", lambda address: address)
    monkeypatch.setattr(
        "study.driver.node_report.ask_nodes",
        lambda address, paths: [NodeReport("b", missing=tuple(paths), versions={"python": "3", "torch": "2"})],
    )
    data, storage = tmp_path / "data", tmp_path / "runs"
    storage.mkdir()
    found = [one for one in service_findings(storage, data, "auto") if one.text.startswith("does not see")]
    assert {one.text for one in found} == {
        f"does not see the data folder {data}",
        f"does not see the storage {storage}",
    }
    assert list(storage.iterdir()) == []


def test_nodes_of_one_machine_are_told_apart_by_their_ports() -> None:
    node = {"NodeManagerHostname": "alpha", "NodeManagerAddress": "10.0.0.1", "NodeManagerPort": 40123, "Resources": {}}
    assert [_name(node, port=port) for port in (False, True)] == ["alpha (10.0.0.1)", "alpha (10.0.0.1:40123)"]
    assert _name(node | {"Resources": {"node:__internal_head__": 1.0}}, port=False) == "alpha (10.0.0.1, the head)"


def test_nodes_are_asked_without_the_files_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ray deletes a job's files when a driver that has them leaves, also while the job goes on
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    asked: list[dict[str, str]] = []

    def run(words: list[str], env: dict[str, str], **options: Any) -> subprocess.CompletedProcess[str]:
        asked.append(env)
        return subprocess.CompletedProcess(words, 0, "[]", "")

    monkeypatch.setattr("study.driver.node_report.subprocess.run", run)
    assert ask_nodes("auto") == []
    assert "RAY_JOB_CONFIG_JSON_ENV_VAR" not in asked[0] and "PATH" in asked[0]


def test_no_cluster_is_named(tmp_path: Path) -> None:
    found = _found("Ray cluster", tmp_path, f"127.0.0.1:{free_port()}")
    assert not found.good and "no Ray cluster answers there" in found.text and "ray start" in found.mend


def _doctor(*words: str, **environment: str) -> tuple[int, dict[str, Any]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    done = subprocess.run(
        [sys.executable, "-m", "study.cli.app", "doctor", "--json", *words],
        env={**kept, **environment},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, {found["subject"]: found for found in json.loads(done.stdout)}


def test_the_exit_code_and_the_json_say_whether_all_is_well(tmp_path: Path) -> None:
    words = ["--storage", str(tmp_path)]
    home = {"HOME": str(tmp_path), "STUDY_DATA_DIR": ""}
    code, found = _doctor(*words, **home)
    assert code == 0 and all(one["good"] for one in found.values())
    assert {"torch", "storage", "disk space", "ledger", "MLflow", "Ray cluster"} <= set(found)
    code, found = _doctor(*words, **home, STUDY_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    assert code == 1 and [one["subject"] for one in found.values() if not one["good"]] == ["MLflow"]
    assert found["MLflow"]["mend"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_cluster_is_checked_with_the_right_token_another_and_none(tmp_path: Path) -> None:
    storage = tmp_path / "shared"
    storage.mkdir()
    home = {"HOME": str(tmp_path), "STUDY_DATA_DIR": ""}
    with running_head(Path(sys.executable).parent, STUDY_DATA_DIR="") as head:
        right = {**home, "RAY_AUTH_TOKEN": head.token}
        code, found = _doctor("--address", head.address, "--storage", str(storage), **right)
        assert code == 0, found
        assert any(subject.startswith("head: node ") for subject in found)
        assert found["head: storage"]["text"].startswith(f"{storage} can be written")
        code, found = _doctor("--address", head.address, "--storage", "runs", **right)
        assert code == 1 and "must be an absolute path" in found["head: storage"]["text"]
        for mode in ({}, {"RAY_AUTH_TOKEN": "another-token"}):
            code, found = _doctor("--address", head.address, **home, **mode)
            assert code == 1 and "token" in found["job server"]["text"] and found["job server"]["mend"]

        right["RAY_AUTH_MODE"] = "token"
        words = ("--address", head.cluster, "--storage", str(storage))
        code, found = _doctor(*words, **right)
        assert code == 0 and found["Ray cluster"]["text"].startswith("1 node at")
        code, found = _doctor(*words, **{**right, "RAY_AUTH_TOKEN": "another-token"})
        assert code == 1 and "refuses this process's token" in found["Ray cluster"]["text"]
        code, found = _doctor(*words, **home, RAY_AUTH_MODE="token")
        assert code == 1 and "there is no token" in found["Ray cluster"]["text"]
    assert list(storage.iterdir()) == []


@pytest.mark.slow
def test_every_node_says_which_folders_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_head(Path(sys.executable).parent) as head:
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN", head.token)
        [node] = ask_nodes(head.cluster, [tmp_path, tmp_path / "none"])
    assert node.missing == (str(tmp_path / "none"),)
    assert node.versions["ray"] and abs(node.clock) < 5 and node.free > 0 and node.cuda is None
