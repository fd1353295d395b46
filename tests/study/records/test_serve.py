from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from study.records import record_study
from study.records.serve import serve, server_command
from tests.study.records.made_study import EPOCHS, MadeStudy, spec_of
from trainables.errors import BadInput

_SERVE = "import sys; from pathlib import Path; from study.records.serve import serve; "
_SERVE += "serve(Path(sys.argv[1]), host='127.0.0.1', port=int(sys.argv[2]))"


def test_the_server_listens_where_it_is_told(tmp_path: Path) -> None:
    command = server_command(tmp_path, host="127.0.0.1", port=5001)
    assert command[:4] == [sys.executable, "-m", "mlflow", "server"]
    options = dict(zip(command[4::2], command[5::2], strict=True))
    assert options == {
        "--backend-store-uri": f"sqlite:///{tmp_path}/mlflow.db",
        "--artifacts-destination": (tmp_path / "mlartifacts").as_uri(),
        "--host": "127.0.0.1",
        "--port": "5001",
        "--workers": "1",
    }


def test_without_records_nothing_is_served(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no records in"):
        serve(tmp_path, host="127.0.0.1", port=5001)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_said_before_the_server_starts(storage: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BadInput, match="--port"):
            serve(storage, host="127.0.0.1", port=taken.getsockname()[1])


def test_records_on_a_server_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.org")
    said: list[str] = []
    serve(tmp_path, host="127.0.0.1", port=5001, say=said.append)
    assert said == ["the records are on the server http://mlflow.example.org"]


@pytest.fixture
def server(storage: Path, tmp_path: Path) -> Iterator[str]:
    """A real server on the storage, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", _SERVE, str(storage), str(port)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + 200
    try:
        while True:
            try:
                urlopen(f"{url}/health", timeout=5)
                break
            except (URLError, OSError):
                assert process.poll() is None, (tmp_path / "server.log").read_text()
                assert time.monotonic() < end
                time.sleep(0.3)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _picture(url: str, study: str, trial: str) -> bytes:
    """Ask for the confusion picture as the page does."""
    with urlopen(f"{url}/api/2.0/mlflow/experiments/get-by-name?experiment_name={study}", timeout=30) as answer:
        experiment = json.load(answer)["experiment"]["experiment_id"]
    query = {"experiment_ids": [experiment], "filter": f"tags.`study.trial` = '{trial}'"}
    request = Request(
        f"{url}/api/2.0/mlflow/runs/search", json.dumps(query).encode(), {"Content-Type": "application/json"}
    )
    with urlopen(request, timeout=30) as answer:
        (run,) = json.load(answer)["runs"]
    assert run["info"]["status"] == "FINISHED"
    assert sum(metric["key"] == "loss" and metric["step"] == EPOCHS for metric in run["data"]["metrics"]) == 1
    with urlopen(f"{url}/get-artifact?path=confusion.png&run_uuid={run['info']['run_id']}", timeout=30) as answer:
        assert answer.headers["Content-Type"] == "image/png"
        return bytes(answer.read())


@pytest.mark.timeout(280)
def test_a_server_shows_what_was_recorded_before_it_and_through_it(storage: Path, server: str) -> None:
    direct = MadeStudy(storage, spec_of("direct"))
    trial = direct.complete()
    record_study(direct.folder)
    through = MadeStudy(storage, spec_of("through", records={"tracking_uri": server}))
    through.complete()
    assert record_study(through.folder).written == 1
    assert record_study(through.folder).there == 1

    pictures = [_picture(server, study, trial.key) for study in ("direct", "through")]

    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert pictures[0] == pictures[1]
    assert len(list((storage / "mlartifacts").rglob("confusion.png"))) == 2
