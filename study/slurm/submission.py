"""Sends a study to Slurm: checks it, writes script and study file into the study's folder, and runs sbatch."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from study.driver.places import with_places
from study.slurm.batch_script import batch_script, log_path, script_path, slurm_folder
from study.slurm.job_options import JobOptions
from study.spec.study_plugins import store_plugins
from study.spec.study_spec import StudySpec
from study.spec.yaml_io import write_yaml
from study.store.study_folder import StudyFolder
from trainables.core.errors import BadInput
from trainables.core.storage_path import write_atomically
from trainables.core.url_secrets import from_environment, holds_secret

_PATIENCE = 60.0


class Sent(NamedTuple):
    """A job that Slurm has accepted.

    Attributes:
        job: its number.
        log: the path of its log.
    """

    job: str
    log: Path


def job_script(
    spec: StudySpec, storage: Path, options: JobOptions, overrides: Sequence[str] = (), *, resume: bool
) -> str:
    """Return the batch script of a study, after all checks that need no Slurm.

    Args:
        spec: the checked study, with absolute paths of data.
        storage: folder of all studies.
        options: what the job asks for.
        overrides: ``path=value`` pairs of a resume.
        resume: continue the stored study of this name instead of starting a new one.

    Raises:
        BadInput: the study is stored already, or with ``resume`` is not, a password stands in the study file,
            or the environment names a ledger or tracking server that is none.
    """
    folder = StudyFolder(storage, spec.name)
    _refuse_passwords(spec)
    with_places(spec)  # the job has this environment: what is no URL there is named now, not after the wait
    if resume:
        folder.read_mapping() if folder.spec_path.exists() else folder.read_spec()
        if folder.is_driven():
            raise BadInput(f"study '{spec.name}' is being run by another process now")
    elif folder.spec_path.exists():
        raise BadInput(
            f"study '{spec.name}' exists already in {storage}: continue it with --resume, "
            "or give this one another name with --set name=..."
        )
    return batch_script(folder, options, overrides if resume else ())


def send(spec: StudySpec, storage: Path, script: str) -> Sent:
    """Write a study's script and run sbatch.

    Raises:
        BadInput: there is no sbatch here, it refuses the job, a job of this study is in the queue, or the storage
            cannot be written.
    """
    if shutil.which("sbatch") is None:
        raise BadInput(
            "sbatch is not on the path: run `study slurm` on a machine from which jobs are sent, or --dry-run"
        )
    folder = StudyFolder(storage, spec.name)
    place = slurm_folder(folder)
    path = script_path(folder)
    _refuse_second_job(spec.name, path)
    try:
        place.mkdir(parents=True, exist_ok=True)
        stored = store_plugins(spec, place)
        write_atomically(place / "study.yaml", write_yaml(stored.model_dump(mode="json")).encode())
        write_atomically(path, script.encode())
        (place / "progress.json").unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"cannot write to the storage folder {storage}: {error.strerror}") from None
    try:
        done = subprocess.run(
            ["sbatch", "--parsable", str(path)], capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise BadInput(
            f"sbatch did not answer within {_PATIENCE:.0f} s; `squeue --me` says whether the job waits"
        ) from None
    if done.returncode != 0:
        raise BadInput(f"sbatch refused the job: {done.stderr.strip() or done.returncode}; the script: {path}")
    job = done.stdout.strip().partition(";")[0]  # `number;cluster` where there are several clusters
    return Sent(job, log_path(folder, job))


def _refuse_second_job(name: str, script: Path) -> None:
    """Refuse a study that has a job in the queue: a waiting job reads the files that a further one would replace.

    Raises:
        BadInput: there is one.
    """
    command = ["squeue", "--me", "--noheader", f"--name=study-{name}", "--format=%i %T %o"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return
    for line in done.stdout.splitlines():
        job, state, command_of_job = [*line.split(None, 2), "", "", ""][:3]
        if command_of_job == str(script) and state != "COMPLETING":
            raise BadInput(
                f"study '{name}' has job {job} in the queue ({state.lower()}), which goes on by itself; "
                f"to send another in its place, first: scancel {job}"
            )


def _refuse_passwords(spec: StudySpec) -> None:
    for key, variable in (("ledger", "STUDY_LEDGER"), ("tracking_uri", "STUDY_TRACKING_URI")):
        value = getattr(spec.records, key)
        if value is not None and holds_secret(value) and from_environment(variable) != value:
            raise BadInput(
                f"records.{key} {value}: the password in this URL does not reach the job, whose files hold none; "
                f"leave it out of the study file and set {variable} in the environment"
            )
