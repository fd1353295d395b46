from __future__ import annotations

import base64
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from mlflow.exceptions import MlflowException

from study.tracking.client import artifact_folder, open_client, tracking_uri
from trainables.core.errors import BadInput


def test_without_a_word_records_are_in_the_storage(tmp_path: Path) -> None:
    uri = tracking_uri(None, tmp_path)
    assert uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert artifact_folder(uri, tmp_path) == tmp_path / "mlartifacts"


def test_the_environment_counts_when_the_study_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(None, tmp_path) == "http://127.0.0.1:5000"
    assert tracking_uri("own.db", tmp_path) == f"sqlite:///{tmp_path}/own.db"


def test_artifacts_are_beside_the_database(tmp_path: Path) -> None:
    uri = tracking_uri(str(tmp_path / "elsewhere" / "x.db"), Path("/data/runs"))
    assert artifact_folder(uri, Path("/data/runs")) == tmp_path / "elsewhere" / "mlartifacts"
    assert artifact_folder("postgresql://host/db", Path("/data/runs")) == Path("/data/runs/mlartifacts")


@pytest.mark.parametrize("form", ["{}", "file://{}", "file:{}"])
def test_a_folder_is_refused(tmp_path: Path, form: str) -> None:
    with pytest.raises(BadInput, match=r"tracking_uri.*is a folder"):
        tracking_uri(form.format(tmp_path), tmp_path)


_OPEN = """
import sys
from pathlib import Path
from study.tracking.client import open_client
path = Path(sys.argv[1])
print("ready", flush=True)
open_client(f"sqlite:///{path}", path.parent)
"""


def test_killed_while_the_tables_are_built_the_next_one_builds_them(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with subprocess.Popen([sys.executable, "-c", _OPEN, str(path)], stdout=subprocess.PIPE) as process:
        end = time.monotonic() + 60
        while not any(file.stat().st_size > 20_000 for file in tmp_path.glob(".mlflow.db.partial")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.005)
        process.kill()
    assert not path.exists()
    assert open_client(f"sqlite:///{path}", tmp_path).search_experiments()[0].name == "Default"
    assert sorted(file.name for file in tmp_path.iterdir()) == [".mlflow.db.lock", "mlflow.db"]


def test_two_at_once_build_the_tables_once(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    processes = [subprocess.Popen([sys.executable, "-c", _OPEN, str(path)]) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert len(open_client(f"sqlite:///{path}", tmp_path).search_experiments()) == 1


class _Refuses(BaseHTTPRequestHandler):
    """A tracking server that refuses every login and keeps what it got."""

    seen: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.seen.append(self.headers["Authorization"])
        self.send_error(403)

    do_POST = do_GET

    def log_message(self, *args: object) -> None:
        pass


def test_a_server_s_password_is_sent_and_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")  # so that what is set here is taken back
    server = HTTPServer(("127.0.0.1", 0), _Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        uri = tracking_uri(f"http://me:pass%20word-88@127.0.0.1:{server.server_port}", tmp_path)
        assert uri == f"http://me@127.0.0.1:{server.server_port}"
        client = open_client(uri, tmp_path)
        assert client.tracking_uri == f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(MlflowException) as caught:
            client.search_experiments()
        assert "word-88" not in str(caught.value)
        assert _Refuses.seen[-1] == "Basic " + base64.b64encode(b"me:pass word-88").decode()
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("uri", ["http://me:hun@ter-99@host", "http://me:hunter-99", "mysterious://me:hunter-99@host"])
def test_a_malformed_uri_is_refused_without_its_password(uri: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"records\.tracking_uri") as caught:
        tracking_uri(uri, tmp_path)
    assert "ter-99" not in str(caught.value)


_TWO_THREADS = """
import sys, threading

from study.tracking.client import import_mlflow

def record():
    while "mlflow" not in sys.modules:  # until the main thread is in the middle of it
        pass
    import_mlflow()
    import mlflow.store.tracking.sqlalchemy_store

thread = threading.Thread(target=record)
thread.start()
import_mlflow()
import ray.air.integrations.mlflow
thread.join()
print("both have it")
"""


def test_two_threads_import_mlflow_without_waiting_for_each_other() -> None:
    done = subprocess.run([sys.executable, "-c", _TWO_THREADS], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("both have it\n", "")
