"""Submitting a study to a cluster: bad input, the job's command, and a real job on a real head."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml
from ray.job_submission import JobStatus

from study.driver.cluster_job import job_storage
from study.driver.cluster_token import token
from study.driver.job_log import follow
from study.driver.job_server import checked_address, explained
from study.driver.sent_files import sent_files, sent_name
from study.driver.submit import Sent, _again, _started, _submitted, entrypoint, submit
from study.spec.validation import load_spec
from study.spec.yaml_io import read_overrides
from tests.ray_head import Head, running_head
from tests.servers import Relay, free_port
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
echo "stored in /shared/runs"
case "$*" in *question=done*) echo "study 'sent-study' is finished: every cell has its 2 trials."; exit 0;; esac
case "$*" in *trials=66*) echo "error: no storage, this is"; exit 2;; esac
echo "joining the Ray cluster at auto"
case "$*" in *count*) for n in $(seq 1 20); do echo "line $n"; sleep 0.2; done;; esac
case "$*" in *wait*) sleep 5;; esac
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
    address = f"http://127.0.0.1:{free_port()}"
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


def test_a_study_file_of_any_name_reaches_the_head(spec_path: Path, tmp_path: Path) -> None:
    for name, command in (("study", "study submitted study.yaml"), ("-x.yaml", "study submitted ./-x.yaml")):
        path = tmp_path / name
        path.write_text(spec_path.read_text())
        with sent_files(load_spec(path), path, (), code=True) as (folder, _):
            assert (folder / sent_name(path)).read_text() == path.read_text()
        assert entrypoint(sent_name(path)) == command


def test_the_command_keeps_every_word_whole(fake_bin: Path) -> None:
    command = entrypoint("sent study.yaml", ["question=who's $HOME; exit 3"], storage="/my runs", data_dir="/d")
    assert _words(command, fake_bin) == [
        *("submitted", "sent study.yaml", "--storage", "/my runs", "--data-dir", "/d"),
        *("--set", "question=who's $HOME; exit 3"),
    ]


@pytest.mark.parametrize("resume", [False, True])
def test_an_override_with_a_password_travels_in_a_file(resume: bool, spec_path: Path) -> None:
    overrides = ["search.trials=9", "records.ledger=postgresql://me:hunter-22@host/study"]
    command = entrypoint(spec_path.name, overrides, resume=resume)
    assert command == f"study submitted 'sent study.yaml' {'--resume ' if resume else ''}--set-from overrides"
    with sent_files(load_spec(spec_path, tuple(overrides)), spec_path, overrides, code=False) as (folder, _):
        assert read_overrides(folder / "overrides") == tuple(overrides)
        assert stat.S_IMODE((folder / "overrides").stat().st_mode) == 0o600


def test_the_code_that_is_sent_runs_by_itself(spec_path: Path, tmp_path: Path) -> None:
    with sent_files(load_spec(spec_path), spec_path, (), code=True) as (folder, _):
        assert sorted(path.name for path in folder.iterdir()) == [
            *("search_spaces", "sent study.yaml", "study", "trainables")
        ]
        code = "import study, trainables, search_spaces; print(study.__file__)"
        environment = os.environ | {"PYTHONPATH": str(folder)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == str(folder / "study" / "__init__.py")


def test_plug_ins_are_sent_and_named_where_they_lie(spec_path: Path, tmp_path: Path) -> None:
    plugin = Path(__file__).parents[3] / "examples" / "confidence_penalty.py"
    own = tmp_path / "own.yaml"
    own.write_text(spec_path.read_text() + f"plugins: [{plugin}]\n")
    with sent_files(load_spec(own), own, ("search.trials=9",), code=False) as (folder, overrides):
        (said,) = (override for override in overrides if override.startswith("plugins="))
        (sent,) = yaml.safe_load(said.removeprefix("plugins="))
        assert (folder / sent).read_text() == plugin.read_text()


@pytest.mark.parametrize("given", ["runs", "./runs", "~/runs"])
def test_a_relative_folder_of_the_nodes_is_refused(given: str, spec_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--storage .*absolute path"):
        submit(spec_path, address="http://127.0.0.1:1", storage=given)
    with pytest.raises(BadInput, match=r"--data-dir .*absolute path"):
        submit(spec_path, address="http://127.0.0.1:1", data_dir=given)


def test_a_storage_that_would_be_lost_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = tmp_path / "ray" / "session_2026" / "runtime_resources" / "working_dir_files" / "_ray_pkg_1"
    job.mkdir(parents=True)
    monkeypatch.chdir(job)
    monkeypatch.delenv("STUDY_STORAGE")
    with pytest.raises(BadInput, match=r"no storage is named.*add --storage"):
        job_storage(None)
    for lost in (job / "runs", tmp_path / "ray" / "runs", job / ".." / "runs"):
        with pytest.raises(BadInput, match="below Ray's temporary folder"):
            job_storage(str(lost))
    monkeypatch.setenv("STUDY_STORAGE", "runs")
    with pytest.raises(BadInput, match="STUDY_STORAGE of the head runs: must be an absolute path"):
        job_storage(None)
    assert job_storage(str(tmp_path / "runs")) == tmp_path / "runs"
    assert str(job_storage("s3://bucket/runs")) == "s3://bucket/runs"


def test_the_token_is_found_where_ray_looks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert token() is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("from-home\n")
    assert token() == "from-home"
    (tmp_path / "named").write_text("from-named-file")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "named"))
    assert token() == "from-named-file"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "from-variable")
    assert token() == "from-variable"


def test_a_named_token_file_that_is_missing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "missing"))
    with pytest.raises(BadInput, match="RAY_AUTH_TOKEN_PATH"):
        token()


@pytest.mark.parametrize(
    "content", [b"aaa-1\nbbb-1", b"aaa-1 bbb-1", "aaa-1☃".encode(), b"aaa-1\xff\x00", b"a" * 70_000]
)
def test_a_token_that_is_none_is_refused_and_not_shown(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    file = tmp_path / "token"
    file.write_bytes(content)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    with pytest.raises(BadInput, match=f"^RAY_AUTH_TOKEN_PATH: {file}: ") as caught:
        token()
    assert "aaa" not in str(caught.value) and "bbb" not in str(caught.value)
    if b"\0" not in content:
        monkeypatch.setenv("RAY_AUTH_TOKEN", os.fsdecode(content[:1000]) + "\n☃")
        with pytest.raises(BadInput, match=r"^RAY_AUTH_TOKEN: is no cluster token") as caught:
            token()
        assert "aaa" not in str(caught.value) and "bbb" not in str(caught.value)


def test_a_token_that_is_none_is_named_before_the_cluster_is_asked(
    spec_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "aaa-1\nbbb-1")
    with pytest.raises(BadInput, match=r"^RAY_AUTH_TOKEN: is no cluster token") as caught:
        submit(spec_path, address=f"http://127.0.0.1:{free_port()}")
    assert "bbb-1" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["http://[x", "pass-word-7://x", "http://me:pass-word-7@h:1", "http://@h:1", "http://h:1/?token=pass-word-7"],
)
def test_an_address_of_no_job_server_is_refused_without_what_may_be_a_password(address: str) -> None:
    with pytest.raises(BadInput, match=r"^--address: must be a cluster's job server") as caught:
        checked_address(address)
    assert "word-7" not in str(caught.value)
    with pytest.raises(BadInput, match=r"got 'head:8265'$"):
        checked_address("head:8265")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    fake = _fake_study(tmp_path_factory.mktemp("head") / "bin")
    with running_head(fake, STUDY_LEDGER="sqlite:///ledger of the head") as running:
        yield running


@pytest.fixture
def with_token(head: Head, monkeypatch: pytest.MonkeyPatch) -> Head:
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", head.token)
    return head


def test_a_job_runs_on_the_head_with_study_and_code(
    with_token: Head, spec_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The address given must win over the one that Ray's client finds here.
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    log: list[str] = []
    sent = submit(spec_path, address=with_token.address, overrides=["search.trials=7"])
    assert (sent.job, sent.running, sent.storage) == ("study-sent-study-1", False, "/shared/runs")
    assert follow(with_token.address, sent.job, log.append) == 7
    printed = "".join(log)
    assert "<submitted>\n<sent study.yaml>\n" in printed
    assert "ledger: sqlite:///ledger of the head\n" in printed
    assert "<search.trials=7>" in printed
    assert "files: search_spaces\nsent study.yaml\nstudy\ntrainables\n" in printed
    assert os.environ["RAY_API_SERVER_ADDRESS"] == "http://127.0.0.1:1"


def test_the_head_s_refusal_is_the_error(with_token: Head, spec_path: Path) -> None:
    with pytest.raises(BadInput, match=r"the head refuses study 'sent-study': no storage, this is$"):
        submit(spec_path, address=with_token.address, overrides=["search.trials=66"])


def test_a_study_that_runs_is_not_sent_again(with_token: Head, spec_path: Path) -> None:
    first = submit(spec_path, address=with_token.address, overrides=["question=wait"])
    again = submit(spec_path, address=with_token.address, overrides=["question=wait"])
    assert (again.job, again.running) == (first.job, True)
    with pytest.raises(BadInput, match=rf"runs already, .*other settings, as job {first.job}"):
        submit(spec_path, address=with_token.address, overrides=["question=other"])
    elsewhere = submit(spec_path, address=with_token.address, overrides=["name=another-study"])
    assert elsewhere.job == "study-another-study-1"
    assert follow(with_token.address, again.job, lambda piece: None) == 0
    ended = submit(spec_path, address=with_token.address)
    assert ended.job != first.job and not ended.running


def test_a_finished_study_is_said_to_be_finished_and_how_to_see_it(with_token: Head, spec_path: Path) -> None:
    words = ["-m", "study.cli.app", "submit", str(spec_path), "--address", with_token.address, "--set", "question=done"]
    done = subprocess.run(
        [sys.executable, *words], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[1:] == [
        "study 'sent-study' is finished: every cell has its 2 trials.",
        "nothing was trained (a raised limit needs --resume, too); on a machine that sees its storage:",
        "study show sent-study --storage /shared/runs",
    ]


def test_of_two_submissions_at_once_one_is_sent(with_token: Head, spec_path: Path) -> None:
    words = ["-m", "study.cli.app", "submit", str(spec_path), "--address", with_token.address]
    words += ["--set", "name=twice", "--set", "question=wait"]
    begun = [
        subprocess.Popen([sys.executable, *words], cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = sorted(process.communicate(timeout=120)[0].splitlines()[0] for process in begun)
    assert said == [
        "submitted as study-twice-1; waiting for its checks on the head",
        "this study runs already, as study-twice-1; nothing was sent (--follow follows it)",
    ]


def test_a_lost_connection_is_made_again_and_no_line_is_lost(
    with_token: Head, spec_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.driver.job_log._FIRST_PAUSE", 0.2)
    relay = Relay(int(with_token.address.rpartition(":")[2]))
    relay.open()
    here = f"http://127.0.0.1:{relay.port}"
    sent = submit(spec_path, address=here, overrides=["name=counting", "question=count"])
    log: list[str] = []
    said: list[str] = []

    def write(piece: str) -> None:
        log.append(piece)
        if "line 5\n" in piece:
            relay.close()
            threading.Timer(2.0, relay.open).start()

    assert follow(here, sent.job, write, said.append) == 0
    lines = [line for line in "".join(log).splitlines() if line.startswith("line ")]
    assert lines == [f"line {n}" for n in range(1, 21)]
    assert [sentence.split(",")[0] for sentence in said] == [
        f"the connection to {here} is lost",
        f"connected to {here} again",
    ]
    relay.close()
    with pytest.raises(BadInput, match="nothing answers there"):
        follow(here, sent.job, write, said.append)


def test_ray_shows_no_password_of_a_job(with_token: Head, spec_path: Path) -> None:
    log: list[str] = []
    overrides = ["search.trials=7", "records.ledger=postgresql://me:hunter-77@host/study"]
    sent = submit(spec_path, address=with_token.address, overrides=overrides).job
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
@pytest.mark.timeout(900)
def test_a_study_runs_is_asked_for_again_and_resumes(
    spec_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec_path.write_text(SPEC + "model: mlp\ntraining: {epochs: 2, batch_size: 64}\nsearch: {trials: 2}\n")
    storage = tmp_path / "shared"
    log: list[str] = []
    monkeypatch.delenv("STUDY_STORAGE")
    with running_head(Path(sys.executable).parent) as running:
        monkeypatch.setenv("RAY_AUTH_TOKEN", running.token)
        with pytest.raises(BadInput, match="no storage is named"):
            submit(spec_path, address=running.address)
        for trials, more in ((2, {}), (3, {"resume": True, "overrides": ["search.trials=3"]})):
            sent = submit(spec_path, address=running.address, storage=str(storage), **more)
            assert sent.storage == str(storage)
            assert follow(running.address, sent.job, log.append) == 0, "".join(log)
            overrides = [f"search.trials={trials}"]
            again = submit(spec_path, address=running.address, storage=str(storage), overrides=overrides)
            assert again.finished.startswith(f"every cell has its {trials} trials")
        with pytest.raises(BadInput, match=r"other settings \(search.trials: 3 there, 2 here\)"):
            submit(spec_path, address=running.address, storage=str(storage))
    study = [sys.executable, "-m", "study.cli.app", "status", "sent-study", "--storage", str(storage), "--json"]
    status = json.loads(subprocess.run(study, capture_output=True, check=True).stdout)
    assert [sum(cell["states"].values()) for cell in status["cells"]] == [3]


def test_a_head_whose_agent_found_its_port_taken_is_explained() -> None:
    said = r"No available agent.*another --dashboard-agent-listen-port"
    with pytest.raises(BadInput, match=said), explained("http://127.0.0.1:8265"):
        raise RuntimeError("Request failed with status code 500: No available agent to submit job")


def test_a_head_that_has_just_started_gets_time_for_its_job_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [RuntimeError("code 500: No available agent to submit job"), "study-x-1"]

    class Client:
        def list_jobs(self) -> list[Any]:
            return []

        def submit_job(self, **given: Any) -> str:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return str(answer)

    monkeypatch.setattr("study.driver.submit.time.sleep", lambda seconds: None)
    client: Any = Client()
    asks = {"study": "x", "storage": "", "asked": ""}
    assert _submitted(client, "study run x.yaml", "/folder", asks, "study submit x.yaml").job == "study-x-1"


def test_a_job_knows_how_it_is_continued_from_where_it_was_sent() -> None:
    again = _again(Path("a b.yaml"), "http://127.0.0.1:8265", "/shared/runs", None, ["name=x"])
    assert again == "study submit 'a b.yaml' --address http://127.0.0.1:8265 --storage /shared/runs --set name=x"
    given: dict[str, Any] = {}
    client: Any = SimpleNamespace(list_jobs=list, submit_job=lambda **told: given.update(told) or "study-x-1")
    _submitted(client, "study submitted x.yaml", "/folder", {"study": "x", "storage": "", "asked": ""}, again)
    assert given["runtime_env"]["env_vars"]["STUDY_CONTINUED_BY"] == again
    secret = _again(Path("x.yaml"), "http://h:1", None, None, ["records.ledger=postgresql://u:hidden@h/d"])
    assert secret == "study submit x.yaml ... (the same command again)"


def test_a_job_that_waits_for_another_driver_is_said_to() -> None:
    states = iter(
        [
            ("RUNNING", ""),
            ("RUNNING", "waiting up to 180 s for the lock of another driver\n"),
            ("RUNNING", "waiting up to 180 s for the lock of another driver\njoining the Ray cluster at x\n"),
        ]
    )
    now: list[Any] = []

    def info(job: str) -> SimpleNamespace:
        now[:] = next(states)
        return SimpleNamespace(status=JobStatus(now[0]), message="")

    said: list[str] = []
    client: Any = SimpleNamespace(get_job_info=info, get_job_logs=lambda job: now[1])
    _started(client, Sent("study-x-1", "x"), said.append)
    assert said == ["the job is waiting up to 180 s for the lock of another driver"]
