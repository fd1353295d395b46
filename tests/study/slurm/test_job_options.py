from __future__ import annotations

import pytest

from study.slurm.job_options import JobOptions, seconds_of
from trainables.core.errors import BadInput


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("1", 60), ("90", 5400), ("1:30", 90), ("4:00:00", 14400), ("2-0", 172800), ("1-12:30", 131400), ("0-0:0:7", 7)],
)
def test_wall_times_are_read_as_sbatch_reads_them(time: str, seconds: int) -> None:
    assert seconds_of(time) == seconds


@pytest.mark.parametrize(
    "time", ["", "0", "0:00", "four", "1h", "-5", "1-", "1:2:3:4", "UNLIMITED", "\u0663\u0660", "9" * 5000]
)
def test_what_is_no_wall_time_is_refused(time: str) -> None:
    with pytest.raises(BadInput, match="--time"):
        seconds_of(time)


def test_options_become_lines_of_sbatch() -> None:
    options = JobOptions(
        nodes=4,
        time="4:00:00",
        partition="gpu",
        account="lab",
        cpus_per_task=8,
        gpus_per_node="a100:4",
        sbatch=("--mem=0", "-C ib", "--comment='two words'"),
    )
    assert options.lines() == [
        "--nodes=4",
        "--ntasks-per-node=1",
        "--time=4:00:00",
        "--signal=B:USR1@120",
        "--partition=gpu",
        "--account=lab",
        "--cpus-per-task=8",
        "--gpus-per-node=a100:4",
        "--mem=0",
        "-C ib",
        "--comment='two words'",
    ]


def test_without_a_number_of_processors_a_job_takes_whole_nodes() -> None:
    assert JobOptions(nodes=1, time="30").lines()[-1] == "--exclusive"


@pytest.mark.parametrize(
    ("time", "given", "margin", "grace"),
    [("4:00:00", None, 120, 90), ("1", None, 20, 10), ("3", None, 60, 45), ("4:00:00", 600, 600, 450)],
)
def test_a_short_wall_time_has_a_short_margin(time: str, given: int | None, margin: int, grace: int) -> None:
    options = JobOptions(nodes=1, time=time, stop_before=given)
    assert (options.margin, options.grace) == (margin, grace)
    assert f"--signal=B:USR1@{margin}" in options.lines()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nodes": 0}, "--nodes 0: must be at least 1"),
        ({"cpus_per_task": 0}, "--cpus-per-task 0"),
        ({"stop_before": 5}, "--stop-before 5: must be at least 20"),
        ({"stop_before": 901}, "at most half of the wall time, which is 1800 seconds"),
        ({"time": "0:30"}, "--time 0:30: must be at least 40 seconds, got 30"),
        ({"partition": "a b"}, "--partition 'a b'"),
        ({"partition": "gpu\n#SBATCH --uid=0"}, "--partition"),
        ({"sbatch": ("mem=0",)}, "must be one option of sbatch"),
        ({"sbatch": ("--mem=0\nrm -rf /",)}, "must be one option of sbatch"),
        ({"sbatch": ("--output=x",)}, "the script sets output itself: the log lies in the study's folder"),
        ({"sbatch": ("--outp=x",)}, "the script sets output itself"),  # sbatch takes it for --output
        ({"sbatch": ("--mem=0 --output=x",)}, "must be one option of sbatch"),
        ({"sbatch": ("--comment='a",)}, "must be one option of sbatch"),
        ({"sbatch": ("--export=ALL,STUDY_LEDGER=postgresql://me:word@h/x",)}, "the script sets export itself"),
        ({"gpus_per_node": "-1"}, "--gpus-per-node '-1'"),
        ({"sbatch": ("-a 1-4",)}, "array would run the same study"),
        ({"sbatch": ("--no-requeue",)}, "the script sets no-requeue itself"),
    ],
)
def test_a_bad_option_is_named(changes: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=r".*") as raised:
        JobOptions(**{"nodes": 2, "time": "30", **changes})
    assert said in str(raised.value)
