from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from study.tracking import record_study
from study.tracking.server import allowed_hosts, serve, server_command
from tests.study.made_study import EPOCHS, MadeStudy, spec_of
from trainables.core.errors import BadInput

_SERVE = "import sys; from pathlib import Path; from study.tracking.server import serve; "
_SERVE += "serve(Path(sys.argv[1]), host='127.0.0.1', port=int(sys.argv[2]))"


def test_the_server_listens_where_it_is_told(tmp_path: Path) -> None:
    command = server_command(tmp_path, host="127.0.0.1", port=5001)
    assert command[:4] == [sys.executable, "-m", "mlflow", "server"]
    options = dict(zip(command[4::2], command[5::2], strict=True))
    hosts = ["localhost", "127.0.0.1", "[::1]"]
    assert options == {
        "--backend-store-uri": f"sqlite:///{tmp_path}/mlflow.db",
        "--allowed-hosts": ",".join(form for host in hosts for form in (host, f"{host}:*")),
        "--artifacts-destination": (tmp_path / "mlartifacts").as_uri(),
        "--uvicorn-opts": "--log-level warning --no-access-log",
        "--host": "127.0.0.1",
        "--port": "5001",
        "--workers": "1",
    }


def test_hosts_that_the_user_names_are_left_to_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SERVER_ALLOWED_HOSTS", "records.example.org")
    assert "--allowed-hosts" not in server_command(tmp_path, host="0.0.0.0", port=5001)


def test_a_server_on_every_address_answers_to_this_machine_s_names() -> None:
    hosts = allowed_hosts("0.0.0.0")
    assert {"localhost:*", "127.0.0.1:*", "[::1]", socket.gethostname().lower()} <= set(hosts)
    assert not any(host.startswith("*") for host in hosts)


def test_no_password_is_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:hunter-66@127.0.0.1:1/mlflow")
    command = server_command(tmp_path, host="127.0.0.1", port=5001)
    assert "hunter-66" not in " ".join(command) and "--backend-store-uri" not in command
    started: list[Any] = []

    def start(command: list[str], env: dict[str, str], **named: Any) -> Any:
        started.append(env["MLFLOW_BACKEND_STORE_URI"])
        raise KeyboardInterrupt

    monkeypatch.setattr("study.tracking.server.subprocess.Popen", start)
    serve(tmp_path, host="127.0.0.1", port=0, say=lambda line: None)
    assert started == ["postgresql://me:hunter-66@127.0.0.1:1/mlflow"]


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


def _commands(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> list[str]:
    """Replace the server's command; return a list for the output."""
    monkeypatch.setattr("study.tracking.server.server_command", lambda *given, **named: command)
    return []


def test_it_opens_on_the_newest_study(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = _commands(monkeypatch, ["false"])
    for name in ("first", "second"):
        made = MadeStudy(storage, spec_of(name))
        made.complete()
        record_study(made.folder)
    with pytest.raises(BadInput, match="ended by itself with code 1"):
        serve(storage, host="127.0.0.1", port=0, say=said.append)
    heading, cells, trials = said
    assert heading == "MLflow opens in some seconds; Ctrl-C stops it"
    assert "second: cells" in cells
    assert "/#/experiments/2/runs?viewStateShareKey=cells&compareRunsMode=CHART" in cells
    assert "viewStateShareKey=trials" in trials  # nothing is confirmed


def test_it_opens_on_the_named_study(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = _commands(monkeypatch, ["false"])
    for name, confirm in (("first", {"seeds": 1}), ("second", None)):
        made = MadeStudy(storage, spec_of(name, confirm=confirm))
        made.complete()
        record_study(made.folder)
    with pytest.raises(BadInput, match="ended by itself"):
        serve(storage, host="127.0.0.1", port=0, study="first", say=said.append)
    assert "/#/experiments/1/runs?viewStateShareKey=confirmed&compareRunsMode=TABLE" in said[2]
    with pytest.raises(BadInput, match="no records of study 'third'"):
        serve(storage, host="127.0.0.1", port=0, study="third", say=said.append)


def test_a_server_that_fails_shows_its_last_lines(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = _commands(monkeypatch, ["sh", "-c", "echo no such backend; exit 3"])
    with pytest.raises(BadInput, match=r"ended by itself with code 3:\nno such backend"):
        serve(storage, host="127.0.0.1", port=0, say=said.append)


def _lives(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(params=["default", "ignored"])
def interrupts(request: pytest.FixtureRequest) -> Iterator[object]:
    """SIGINT with its default action, as in a terminal, or ignored, as in a shell's background job."""
    before = signal.getsignal(signal.SIGINT)
    handler = signal.SIG_IGN if request.param == "ignored" else signal.default_int_handler
    signal.signal(signal.SIGINT, handler)
    yield handler
    signal.signal(signal.SIGINT, before)


def _interrupt() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _ends(process: int) -> None:
    end = time.monotonic() + 20
    while _lives(process):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_interrupt_ends_the_server_and_what_it_started(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupts: object
) -> None:
    place = tmp_path / "child"
    _commands(monkeypatch, ["sh", "-c", f"sleep 60 & echo $! > {place}.part; mv {place}.part {place}; wait"])

    def interrupt() -> None:
        while not place.exists():
            time.sleep(0.02)
        _interrupt()

    threading.Thread(target=interrupt).start()
    serve(storage, host="127.0.0.1", port=0, say=lambda line: None)
    assert signal.getsignal(signal.SIGINT) is interrupts
    _ends(int(place.read_text()))


def test_an_interrupt_while_the_server_starts_ends_it(
    storage: Path, monkeypatch: pytest.MonkeyPatch, interrupts: object
) -> None:
    _commands(monkeypatch, ["sleep", "60"])
    started: list[int] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            started.append(self.pid)
            _interrupt()

    monkeypatch.setattr("study.tracking.server.subprocess.Popen", Interrupted)
    serve(storage, host="127.0.0.1", port=0, say=lambda line: None)
    _ends(started[0])


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
        said = (tmp_path / "server.log").read_text()
        assert re.fullmatch(rf"MLflow opens in some seconds; Ctrl-C stops it\n(  [\w :,]+  {url}(/#\S+)?\n)+", said)
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
    with pytest.raises(URLError):  # no process that it started is still alive
        urlopen(f"{url}/health", timeout=5)


def _picture(url: str, study: str, trial: str) -> bytes:
    """Request the confusion picture as the page does."""
    with urlopen(f"{url}/api/2.0/mlflow/experiments/get-by-name?experiment_name={study}", timeout=30) as answer:
        experiment = json.load(answer)["experiment"]["experiment_id"]
    query = {"experiment_ids": [experiment], "filter": f"tags.`study.trial` = '{trial}'"}
    request = Request(
        f"{url}/api/2.0/mlflow/runs/search", json.dumps(query).encode(), {"Content-Type": "application/json"}
    )
    with urlopen(request, timeout=30) as answer:
        (run,) = json.load(answer)["runs"]
    assert run["info"]["status"] == "FINISHED"
    steps = [metric["step"] for metric in run["data"]["metrics"] if metric["key"] == "validation/loss"]
    assert steps == [EPOCHS]
    with urlopen(
        f"{url}/get-artifact?path=validation/confusion.png&run_uuid={run['info']['run_id']}", timeout=30
    ) as answer:
        assert answer.headers["Content-Type"] == "image/png"
        return bytes(answer.read())


def _status(url: str, host: str) -> int:
    try:
        with urlopen(
            Request(f"{url}/api/2.0/mlflow/experiments/get?experiment_id=0", headers={"Host": host})
        ) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


@pytest.mark.timeout(280)
def test_a_server_shows_what_was_recorded_before_it_and_through_it(storage: Path, server: str) -> None:
    assert [_status(server, host) for host in ("127.0.0.1", "localhost:5000", "127.0.0.1:1")] == [200, 200, 200]
    names = ("10.0.0.1.evil.com", "192.168.0.1", "evil.com", "127.0.0.1.evil.com", "localhost.evil.com:5000")
    assert [_status(server, host) for host in names] == [403] * 5  # another name is a web page's, not the user's
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
