from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from study.slurm.job_options import JobOptions
from study.slurm.submission import job_script, send
from study.spec.study_spec import StudySpec
from study.spec.validation import load_spec
from study.store.study_folder import StudyFolder
from trainables.core.errors import BadInput

MakeSpec = Callable[..., StudySpec]
OPTIONS = JobOptions(nodes=2, time="1:00:00")


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a program in sbatch's place that runs these lines of shell."""

    def put(lines: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "sbatch").write_text(f"#!/bin/sh\n{lines}\n")
        (folder / "sbatch").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return put


def test_a_sent_study_lies_in_its_folder(tmp_path: Path, make_spec: MakeSpec, sbatch: Callable[[str], None]) -> None:
    sbatch('echo "$@" > "$(dirname "$2")/arguments"; echo "71;cluster"')
    spec = make_spec()
    script = job_script(spec, tmp_path, OPTIONS, resume=False)
    sent = send(spec, tmp_path, script)
    place = tmp_path / "tiny" / "slurm"
    assert (sent.job, sent.log) == ("71", place / "job-71.log")
    assert (place / "arguments").read_text().split() == ["--parsable", str(place / "job.sh")]
    assert (place / "job.sh").read_text() == script
    assert load_spec(place / "study.yaml") == spec
    StudyFolder(tmp_path, "tiny").refuse_taken()  # the job itself starts the study


def test_what_sbatch_says_is_passed_on(tmp_path: Path, make_spec: MakeSpec, sbatch: Callable[[str], None]) -> None:
    sbatch("echo 'sbatch: error: invalid partition specified: gpus' >&2; exit 1")
    spec = make_spec()
    with pytest.raises(BadInput, match=r"refused the job: .*invalid partition specified: gpus; the script: .*job.sh"):
        send(spec, tmp_path, job_script(spec, tmp_path, OPTIONS, resume=False))


def test_a_study_with_a_job_in_the_queue_is_not_sent_again(
    tmp_path: Path, make_spec: MakeSpec, sbatch: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sbatch("echo 71")
    spec = make_spec()
    script = job_script(spec, tmp_path, OPTIONS, resume=False)
    path = send(spec, tmp_path, script).log.with_name("job.sh")
    queue = Path(str(shutil.which("sbatch"))).with_name("squeue")

    def put(answer: str) -> None:
        queue.write_text(f"#!/bin/sh\necho '{answer}'\n")
        queue.chmod(0o755)

    put(f"70 PENDING /elsewhere/job.sh\n71 PENDING {path}")
    with pytest.raises(BadInput, match=r"'tiny' has job 71 in the queue \(pending\).*first: scancel 71"):
        send(spec, tmp_path, "another script")
    assert path.read_text() == script
    put(f"71 COMPLETING {path}")
    send(spec, tmp_path, "another script")
    assert path.read_text() == "another script"


def test_without_sbatch_nothing_is_written(
    tmp_path: Path, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    spec = make_spec()
    with pytest.raises(BadInput, match="sbatch is not on the path"):
        send(spec, tmp_path, job_script(spec, tmp_path, OPTIONS, resume=False))
    assert not list(tmp_path.iterdir())


def test_a_stored_study_needs_resume_and_an_unknown_one_refuses_it(tmp_path: Path, make_spec: MakeSpec) -> None:
    spec = make_spec()
    with pytest.raises(BadInput, match="no study 'tiny'"):
        job_script(spec, tmp_path, OPTIONS, resume=True)
    folder = StudyFolder(tmp_path, "tiny")
    with folder.driver_lock():
        folder.create(spec, {})
    with pytest.raises(BadInput, match=r"exists already.* --resume"):
        job_script(spec, tmp_path, OPTIONS, resume=False)
    script = job_script(spec, tmp_path, OPTIONS, ("search.trials=9",), resume=True)
    assert "--set search.trials=9" in script


def test_a_study_that_runs_now_is_not_sent(tmp_path: Path, make_spec: MakeSpec) -> None:
    folder = StudyFolder(tmp_path, "tiny")
    with folder.driver_lock(), pytest.raises(BadInput, match="run by another process"):
        folder.create(make_spec(), {})
        job_script(make_spec(), tmp_path, OPTIONS, resume=True)


@pytest.mark.parametrize(
    ("key", "url"),
    [("ledger", "postgresql+psycopg://me:hunter2@db/study"), ("tracking_uri", "https://me:hunter2@mlflow.example")],
)
def test_a_password_in_the_study_file_is_refused_unseen(
    tmp_path: Path, make_spec: MakeSpec, key: str, url: str
) -> None:
    with pytest.raises(BadInput, match=f"records.{key}.*environment") as raised:
        job_script(make_spec(records={key: url}), tmp_path, OPTIONS, resume=False)
    assert "hunter2" not in str(raised.value)


def test_a_ledger_of_the_environment_that_is_no_url_is_refused_before_the_job_waits(
    tmp_path: Path, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_LEDGER", "host=h password=pass-word-57")
    with pytest.raises(BadInput, match=r"^STUDY_LEDGER: the URL must be postgresql") as caught:
        job_script(make_spec(), tmp_path, OPTIONS, resume=False)
    assert "word-57" not in str(caught.value)
