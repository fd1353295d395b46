"""Submitting a study to a cluster: bad input, the job's command, and a real job on a real head."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest

from study.driver.submit import _submitted, checked_address, entrypoint, follow, submit, token
from study.spec.validation import load_spec
from study.spec.yaml_io import read_overrides, write_overrides
from trainables.core.errors import BadInput

SPEC = """\
name: sent-study
data:
  - dataset: digits
    profiles: [{ratio: 10}]
methods: [erm]
"""

# Replaces the command on the head and shows how the job was started.
FAKE_STUDY = """\
#!/bin/sh
echo "arguments:"; for word in "$@"; do echo "<$word>"; done
echo "files: $(ls)"
echo "ledger: $STUDY_LEDGER"
[ ! -e overrides ] || { echo "overrides:"; cat overrides; ls -l overrides; }
case "$*" in *trials=7*) exit 7;; esac
"""


@pytest.fixture
def spec_path(tmp_path: Path) -> Path:
    path = tmp_path / "sent study.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def fake_bin(tmp_path: Path) -> Path:
    return _fake_study(tmp_path / "bin")


def _fake_study(folder: Path) -> Path:
    folder.mkdir()
    script = folder / "study"
    script.write_text(FAKE_STUDY)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return folder


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "auto",
        "127.0.0.1:8265",
        "ray://head:10001",
        "http://",
        "http://head",
        "http://head:99999",
        "ftp://head:1",
    ],
)
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match="--address"):
        checked_address(address)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265/jobs", "http://me:secret@head:8265", "http://head:1?a=b"])
def test_an_address_with_more_than_host_and_port_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match="--address"):
        checked_address(address)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "https://head.example", "http://[::1]:8265"])
def test_a_good_address_is_kept(address: str) -> None:
    assert checked_address(address + "/") == address


def test_the_study_file_is_checked_before_anything_is_sent(tmp_path: Path, spec_path: Path) -> None:
    nowhere = "http://127.0.0.1:1"
    with pytest.raises(BadInput, match="no such file"):
        submit(tmp_path / "missing.yaml", address=nowhere)
    with pytest.raises(BadInput, match="path=value"):
        submit(spec_path, address=nowhere, overrides=["search.trials"])
    with pytest.raises(BadInput, match=r"search\.trials"):
        submit(spec_path, address=nowhere, overrides=["search.trials=0"])


def test_an_address_where_nothing_answers_is_named(spec_path: Path) -> None:
    address = f"http://127.0.0.1:{_free_ports(1)[0]}"
    with pytest.raises(BadInput, match=f"{address}: nothing answers there"):
        submit(spec_path, address=address)


def test_a_server_that_is_no_cluster_is_named(spec_path: Path) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>some other page</html>")

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(BadInput, match="did not do as asked"):
            submit(spec_path, address=f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()


def _words(command: str, fake_bin: Path, **environment: str) -> list[str]:
    """Return the arguments that `study` receives from the job's shell."""
    path = f"{fake_bin}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command], env={"PATH": path, **environment}, capture_output=True, text=True, check=True
    )
    return [line[1:-1] for line in done.stdout.splitlines() if line.startswith("<")]


def test_the_command_keeps_every_word_whole(spec_path: Path, fake_bin: Path) -> None:
    command = entrypoint(load_spec(spec_path), spec_path.name, ["question=who's $HOME; exit 3"])
    assert _words(command, fake_bin) == [
        *("run", "sent study.yaml", "--address", "auto"),
        *("--set", "question=who's $HOME; exit 3"),
    ]


@pytest.mark.parametrize("resume", [False, True])
def test_an_override_with_a_password_travels_in_a_file(resume: bool, spec_path: Path) -> None:
    overrides = ["search.trials=9", "records.ledger=postgresql://me:hunter-22@host/study"]
    command = entrypoint(load_spec(spec_path, tuple(overrides)), spec_path.name, overrides, resume=resume)
    what = "resume sent-study" if resume else "run 'sent study.yaml'"
    assert command == f"study {what} --address auto --set-from overrides"
    write_overrides(spec_path.with_name("overrides"), overrides)
    assert read_overrides(spec_path.with_name("overrides")) == tuple(overrides)
    assert stat.S_IMODE(spec_path.with_name("overrides").stat().st_mode) == 0o600


def test_a_resume_names_the_study_and_leaves_its_places_alone(spec_path: Path) -> None:
    command = entrypoint(load_spec(spec_path), spec_path.name, ["search.trials=9"], resume=True)
    assert command == "study resume sent-study --address auto --set search.trials=9"


def test_the_token_is_found_where_ray_looks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert token() is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("from home\n")
    assert token() == "from home"
    (tmp_path / "named").write_text("from named file")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "named"))
    assert token() == "from named file"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "from variable")
    assert token() == "from variable"


def test_a_named_token_file_that_is_missing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "missing"))
    with pytest.raises(BadInput, match="RAY_AUTH_TOKEN_PATH"):
        token()


@dataclass(frozen=True)
class Head:
    """A running head of a cluster, its job server and its token."""

    address: str
    token: str


@contextmanager
def _running_head(bin_folder: Path, **environment: str) -> Iterator[Head]:
    """Start a one-node cluster that shares no port, folder or process with any other on this machine."""
    # Ray puts sockets in there, and the path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="study-ray-", dir="/tmp"))
    secret = "a-token-for-this-test-alone-0123456789"
    (folder / "token").write_text(secret)
    gcs, dashboard, *others = _free_ports(9)
    options = ["metrics-export-port", "ray-client-server-port", "dashboard-agent-listen-port"]
    options += [
        "dashboard-agent-grpc-port",
        "runtime-env-agent-port",
        "node-manager-port",
        "object-manager-port",
    ]
    command = [
        *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"),
        *("--node-ip-address=127.0.0.1", f"--port={gcs}", "--num-cpus=1", f"--temp-dir={folder / 'ray'}"),
        *("--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"),
        *(f"--{option}={port}" for option, port in zip(options, others, strict=True)),
    ]
    own = {
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with (folder / "log").open("w") as log:
        started = subprocess.Popen(
            command, env=inherited | own | environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_for(dashboard, started, folder / "log")
        yield Head(f"http://127.0.0.1:{dashboard}", secret)
    finally:
        _end(started, folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    fake = _fake_study(tmp_path_factory.mktemp("head") / "bin")
    with _running_head(fake, STUDY_LEDGER="sqlite:///ledger of the head") as running:
        yield running


def _wait_for(port: int, started: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while started.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the head did not start:\n{log.read_text()}")


def _end(started: subprocess.Popen[bytes], folder: Path) -> None:
    """Stop the head and its descendants, and nothing else on this machine."""
    own = psutil.Process(started.pid).children(recursive=True) if started.poll() is None else []
    started.terminate()
    try:
        started.wait(timeout=20)
    except subprocess.TimeoutExpired:
        started.kill()
    for process in [*own, *psutil.process_iter()]:
        try:
            if process in own or str(folder) in " ".join(process.cmdline()):
                process.kill()
        except psutil.NoSuchProcess:
            pass


@pytest.fixture
def with_token(head: Head, monkeypatch: pytest.MonkeyPatch) -> Head:
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", head.token)
    return head


def test_a_job_runs_on_the_head_with_the_study_file_alone(
    with_token: Head, spec_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The address given must win over the one that Ray's client finds here.
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    log: list[str] = []
    sent = submit(spec_path, address=with_token.address, overrides=["search.trials=7"])
    assert follow(with_token.address, sent, log.append) == 7
    printed = "".join(log)
    assert "<run>\n<sent study.yaml>\n<--address>\n<auto>\n" in printed
    assert "ledger: sqlite:///ledger of the head\n" in printed
    assert "<search.trials=7>" in printed
    assert "files: sent study.yaml\n" in printed
    assert os.environ["RAY_API_SERVER_ADDRESS"] == "http://127.0.0.1:1"


def test_ray_shows_no_password_of_a_job(with_token: Head, spec_path: Path) -> None:
    log: list[str] = []
    overrides = ["search.trials=7", "records.ledger=postgresql://me:hunter-77@host/study"]
    sent = submit(spec_path, address=with_token.address, overrides=overrides)
    assert follow(with_token.address, sent, log.append) == 0  # the trials are in the file, too
    assert "- records.ledger=postgresql://me:hunter-77@host/study" in "".join(log)
    for path in ("/api/jobs/", f"/api/jobs/{sent}", "/api/v0/jobs", "/nodes?view=summary"):
        request = Request(with_token.address + path, headers={"Authorization": f"Bearer {with_token.token}"})
        with urlopen(request, timeout=60) as answer:
            shown = answer.read().decode()
        assert "hunter-77" not in shown
        assert sent in shown or "jobs" not in path


def test_another_token_is_refused(head: Head, spec_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another-token")
    with pytest.raises(BadInput, match="refuses this machine's token"):
        submit(spec_path, address=head.address)


def test_no_token_is_refused(head: Head, spec_path: Path, tmp_path: Path) -> None:
    # in a process of its own: one that has used Ray's tokens keeps the first
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    words = ["-m", "study.cli.app", "submit", str(spec_path), "--address", head.address]
    found = subprocess.run(
        [sys.executable, *words],
        env=environment | {"HOME": str(tmp_path)},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 2
    assert "asks for a token" in found.stderr


def test_a_job_that_does_not_exist_is_named(with_token: Head) -> None:
    with pytest.raises(BadInput, match="raysubmit_none"):
        follow(with_token.address, "raysubmit_none")


@pytest.mark.slow
def test_a_study_runs_and_resumes_as_a_job(spec_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec_path.write_text(SPEC + "model: mlp\ntraining: {epochs: 2, batch_size: 64}\nsearch: {trials: 2}\n")
    storage = tmp_path / "shared"
    log: list[str] = []
    with _running_head(Path(sys.executable).parent, STUDY_STORAGE=str(storage)) as running:
        monkeypatch.setenv("RAY_AUTH_TOKEN", running.token)
        for resume, overrides in ((False, ()), (True, ("search.trials=3",))):
            sent = submit(spec_path, address=running.address, overrides=overrides, resume=resume)
            assert follow(running.address, sent, log.append) == 0, "".join(log)
    study = [
        str(Path(sys.executable).with_name("study")),
        "status",
        "sent-study",
        "--storage",
        str(storage),
        "--json",
    ]
    status = json.loads(subprocess.run(study, capture_output=True, check=True).stdout)
    assert [sum(cell["states"].values()) for cell in status["cells"]] == [3]


def test_a_head_that_has_just_started_gets_time_for_its_job_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [RuntimeError("code 500: No available agent to submit job"), "raysubmit_1"]

    class Client:
        def submit_job(self, **given: Any) -> str:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return str(answer)

    monkeypatch.setattr("study.driver.submit.time.sleep", lambda seconds: None)
    client: Any = Client()
    assert _submitted(client, "study run x.yaml", "/folder", "x") == "raysubmit_1"
    for error, patience in (("No available agent", -1.0), ("no such folder", 60.0)):
        answers[:] = [RuntimeError(error)]
        with pytest.raises(RuntimeError, match=error):
            _submitted(client, "study run x.yaml", "/folder", "x", patience)
