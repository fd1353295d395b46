"""The script in a real Slurm, with stand-ins for Ray and the driver: signals, the queue, exit codes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.study.slurm.slurm_lab import SlurmLab

pytestmark = pytest.mark.slurm

RAY = """\
#!/bin/bash
echo "$SLURMD_NODENAME: $*" >> {place}/ray-calls
for word in "$@"; do
    case $word in --port=*) exec {python} -m http.server --bind 127.0.0.1 "${{word#--port=}}";; esac
done
exec sleep 600
"""

# `slurm-job` runs {driver}; `slurm-next` asks for another job once per line of the file `again`.
STUDY = """\
#!/bin/bash
echo "study $*"
if [ "$1" = slurm-job ]; then
    touch {place}/driving-${{SLURM_RESTART_COUNT:-0}}
    {driver}
fi
if [ -s {place}/again ]; then sed -i 1d {place}/again; exit 75; fi
exit ${{!#}}
"""


class Job:
    """A job whose driver is a few lines of shell."""

    def __init__(self, slurm: SlurmLab, script: str, place: Path, driver: str, again: int) -> None:
        self._slurm, self._place = slurm, place
        place.mkdir(parents=True)
        (place / "again").write_text("x\n" * again)
        values = {"place": place, "python": sys.executable, "driver": driver}
        for name, text in (("ray", RAY), ("study", STUDY)):
            (place / name).write_text(text.format(**values))
            (place / name).chmod(0o755)
        instead = {"ray=": f"ray={place}/ray", "study=": f"study=({place}/study)"}
        lines = [instead.get(line[: line.find("=") + 1], line) for line in script.splitlines()]
        (place / "job.sh").write_text("\n".join(lines) + "\n")
        sent = subprocess.run(
            ["sbatch", "--parsable", str(place / "job.sh")],
            env=slurm.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        self.number = sent.stdout.strip()

    def wait_for_driver(self, start: int = 0) -> None:
        self._wait((self._place / f"driving-{start}").exists, f"start {start} of the driver")

    def warn(self) -> None:
        """Send what Slurm sends before the wall time."""
        self._slurm.said("scancel", "--batch", "--signal=USR1", self.number)

    def end(self) -> dict[str, str]:
        """Wait until the job has left the queue, and return what Slurm knows of it."""
        self._wait(lambda: not self._slurm.said("squeue", "-h", "-j", self.number).strip(), "the end")
        shown = self._slurm.said("scontrol", "show", "job", self.number, "--oneliner")
        return dict(word.split("=", 1) for word in shown.split() if "=" in word)

    def log(self) -> str:
        path = self._place / f"job-{self.number}.log"
        return path.read_text() if path.exists() else ""

    def _wait(self, happened: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + 90
        while not happened():
            assert time.monotonic() < end, f"{what}\n{self.log()}\n{self._slurm.logs()}"
            time.sleep(0.1)


@pytest.fixture
def send(slurm: SlurmLab, make_script: Callable[..., str], tmp_path: Path) -> Callable[..., Job]:
    def make(driver: str, *, again: int = 0, nodes: int = 2, time: str = "1:00:00") -> Job:
        script = make_script(nodes=nodes, time=time, stop_before=20, cpus_per_task=1)
        return Job(slurm, script, tmp_path / "runs" / "tiny" / "slurm", driver, again)

    return make


WAITS_FOR_USR1 = "trap 'echo told to stop; exit 130' USR1; while :; do sleep 0.1; done"


def test_ray_starts_on_every_node_and_a_driver_that_ends_ends_the_job(send: Callable[..., Job], tmp_path: Path) -> None:
    job = send("sleep 2; exit 0")
    ended = job.end()
    place = tmp_path / "runs" / "tiny" / "slurm"
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "0"), job.log()
    head, worker = sorted((place / "ray-calls").read_text().splitlines())
    assert head.startswith("n1: start --head --node-ip-address=127.0.0.1 --port=") and head.endswith("--num-cpus=1")
    assert worker.startswith("n2: start --address=127.0.0.1:") and worker.endswith("--num-cpus=1")
    assert "--nodes 2" in job.log()
    assert not list(place.glob("token-*"))


def test_a_warned_driver_stops_and_its_job_goes_back_in_the_queue(send: Callable[..., Job]) -> None:
    job = send(WAITS_FOR_USR1, again=2)
    for start in range(3):
        job.wait_for_driver(start)
        time.sleep(0.5)
        job.warn()
    ended = job.end()
    assert ended["Restarts"] == "2", job.log()
    assert job.log().count("told to stop") == 3
    assert [f"start {start} of it" in job.log() for start in (1, 2, 3, 4)] == [True, True, True, False]
    assert ended["JobState"] == "FAILED"  # the last `slurm-next` gave the driver's own code back


def test_an_early_warning_is_not_obeyed_but_the_job_s_own_clock_is(send: Callable[..., Job]) -> None:
    job = send(WAITS_FOR_USR1, again=1, nodes=1, time="1")  # of which Slurm warns at any moment of its first 40 s
    job.wait_for_driver()
    begun = time.monotonic()
    job.wait_for_driver(1)
    assert time.monotonic() - begun > 35
    first, _, _ = job.log().partition("start 2 of it")
    assert "the wall time ends in 20 s: stopping" in first and first.count("told to stop") == 1
    time.sleep(0.5)
    job.warn()
    time.sleep(0.5)
    job.warn()  # Slurm warns once: who signals again means it
    begun = time.monotonic()
    assert job.end()["Restarts"] == "1"
    assert time.monotonic() - begun < 30
    assert "asked to stop" in job.log().partition("start 2 of it")[2]


def test_a_driver_that_does_not_stop_is_killed_before_the_wall_time(send: Callable[..., Job]) -> None:
    job = send("trap '' USR1; sleep 300", again=1, nodes=1)
    job.wait_for_driver()
    time.sleep(0.5)
    job.warn()
    job.wait_for_driver(1)
    assert "did not stop in time and was killed" in job.log()
    job.warn()
    assert "--exit-code 137" in (job.end() and job.log())


def test_a_driver_that_fails_ends_the_job_with_its_code(send: Callable[..., Job]) -> None:
    job = send("echo the disk is full; exit 3", nodes=1)
    ended = job.end()
    assert (ended["JobState"], ended["ExitCode"], ended["Restarts"]) == ("FAILED", "3:0", "0")
    assert "the disk is full" in job.log()


def test_a_cancelled_job_stays_cancelled(send: Callable[..., Job], slurm: SlurmLab, tmp_path: Path) -> None:
    job = send("trap 'echo told to end; exit 130' TERM; while :; do sleep 0.1; done", again=1, nodes=1)
    job.wait_for_driver()
    time.sleep(0.5)
    slurm.said("scancel", job.number)
    ended = job.end()
    assert (ended["JobState"], ended["Restarts"]) == ("CANCELLED", "0")
    assert "told to end" in job.log() and "to continue: sbatch" in job.log()
    assert not list((tmp_path / "runs" / "tiny" / "slurm").glob("token-*"))


def test_the_token_is_its_owner_s_alone(send: Callable[..., Job], tmp_path: Path) -> None:
    job = send("stat -c %a $RAY_AUTH_TOKEN_PATH; wc -c < $RAY_AUTH_TOKEN_PATH; exit 0", nodes=1)
    job.end()
    assert "\n600\n64\n" in job.log()
