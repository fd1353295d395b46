"""The batch script of a study's Slurm job: Ray on every node, the driver on the first, another job where one is due."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from study.slurm.job_options import JobOptions
from study.store.study_folder import StudyFolder
from trainables.core.errors import BadInput, shown

AGAIN = 75
"""Exit code of ``study slurm-next`` that asks for another job: EX_TEMPFAIL of sysexits.h."""

_BODY = r"""
# The log continues over all jobs of a study.
say() { echo "$(date '+%F %T') slurm: $*"; }
say "job $SLURM_JOB_ID, start $((${SLURM_RESTART_COUNT:-0} + 1)) of it, on $SLURM_JOB_NODELIST"

# A job that reaches its wall time is not put back in the queue. So this one stops before: it asks Slurm for its end,
# which may have been moved, and does not wait for Slurm's warning, which may come up to a minute early.
seconds() { date +%s; }
wall_end() {
    local end
    end=$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%e 2> /dev/null) && end=$(date -d "$end" +%s 2> /dev/null)
    echo "${end:-${SLURM_JOB_END_TIME:-}}"
}
time_left() { [ -n "$end" ] && echo $((end - stop_before - $(seconds))); }
clock() {
    local last left
    while left=$(time_left) && [ "$left" -gt 0 ]; do
        sleep $((left < 5 ? left : 5))
        [ "$(time_left)" -gt 0 ] || { last=$end; end=$(wall_end); end=${end:-$last}; }
    done
    [ -n "$end" ] && kill -ALRM $$
}

# A driver that does not stop in time is killed: a study survives that.
stopping='' warned='' cancelled='' driver='' killer=''
stop() {
    signalled=yes
    [ -z "$stopping" ] || return
    stopping=yes
    say "$1"
    [ -n "$driver" ] || return
    kill -USR1 "$driver" 2> /dev/null
    (sleep "$grace"; kill -KILL "$driver") 2> /dev/null &
    killer=$!
}
# Slurm warns this script alone. Where the warning is that of the wall time, the clock stops the study; a preemption,
# which Slurm may announce by the same signal, and a second signal are obeyed at once.
warn() {
    signalled=yes
    local left
    left=$(time_left)
    if [ -z "$warned" ] && [ "${left:-0}" -gt 0 ] && [ "$left" -le 70 ] &&
        ! scontrol show job "$SLURM_JOB_ID" --oneliner 2> /dev/null | grep -q ' PreemptTime=[0-9]'; then
        warned=yes
        say "warned of the end of the wall time; going on for $left s"
        return
    fi
    stop "asked to stop"
}
trap warn USR1
trap 'stop "the wall time ends in $stop_before s: stopping"' ALRM
# Slurm sends SIGTERM to everything in a job that is cancelled, the driver included.
trap 'signalled=yes; cancelled=yes' TERM
end=$(wall_end)
clock &
clock=$!

# This script, the driver and the head of Ray run on the first node. Slurm knows its address, DNS may not.
head=$SLURMD_NODENAME
address=$(scontrol show node "$head" --oneliner | grep -o 'NodeAddr=[^ ]*' | head -n 1 | cut -d = -f 2)
address=$(getent ahosts "$address" | awk 'NR == 1 { print $1 }')
# Two ports that are free now, since other jobs may run on this node.
read -r port client_port < <("$python" -c 'import socket
sockets = [socket.socket() for _ in range(2)]
for one in sockets: one.bind(("", 0))
print(*(one.getsockname()[1] for one in sockets))')

# Ray runs whatever it is sent. It listens to those who have this file, which is this user.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$place/token-$SLURM_JOB_ID RAY_USAGE_STATS_ENABLED=0
(umask 077; head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH")
unset RAY_ADDRESS
# Ray's idle workers read what every trial needs while the driver checks the study.
export RAY_preload_python_modules=torch,ray.tune,trainables.entry_points.ray_trainable
scratch=/tmp/ray-$SLURM_JOB_ID

# One task per node starts Ray with what Slurm gave the job there, and ends it when the step is told to end.
# Not `ray symmetric-run`: it ends by `ray stop`, which ends Ray of every other job of this user on the node, ends
# with exit code 0 where Ray did not start, and does not pass on signals.
node() {
    local log=$place/ray-$SLURM_JOB_ID.log
    srun --cpu-bind=none --output="$log" --open-mode=append "${@:1:3}" \
        bash -c 'exec "$@" --num-cpus="$SLURM_CPUS_ON_NODE"' ray-node \
        "$ray" start "${@:4}" --block --temp-dir="$scratch" --disable-usage-stats \
        --include-log-monitor=false 2>> "$log" &
    steps+=($!)
}
steps=()
node --nodes=1 --ntasks=1 --nodelist="$head" --head --node-ip-address="$address" --port="$port" \
    --ray-client-server-port="$client_port" --include-dashboard=false

# The driver reads its programs while Ray starts, and waits for the nodes itself.
if [ -z "$stopping$cancelled" ]; then
    "${study[@]}" slurm-job "${job[@]}" --address "$address:$port" --nodes "$SLURM_JOB_NUM_NODES" &
    driver=$!
    [ -z "$stopping" ] || { stopping=''; stop "stopping"; }
fi
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
    until (exec 3<> "/dev/tcp/$address/$port") 2> /dev/null || ! kill -0 "${steps[0]}" 2> /dev/null; do
        sleep 0.2
    done
    others=$((SLURM_JOB_NUM_NODES - 1))
    node --nodes=$others --ntasks=$others --exclude="$head" --address="$address:$port"
fi
code=130
[ -z "$driver" ] || while signalled=''; wait "$driver"; code=$?; [ -n "$signalled" ]; do :; done
kill "$clock" $killer 2> /dev/null
[ -z "$killer" ] || [ "$code" -ne 137 ] || say "the study did not stop in time and was killed; finished epochs are kept"

# Whether another job follows is found out while Ray ends. Slurm ends with this script what does not end now.
if [ -z "$cancelled" ]; then
    "${study[@]}" slurm-next "$name" --storage "$storage" --exit-code "$code" &
    next=$!
fi
for signal in TERM KILL; do
    for ((i = 0; i < 50; i++)); do
        kill -"$signal" "${steps[@]}" 2> /dev/null
        kill -0 "${steps[@]}" 2> /dev/null || break 2
        sleep 0.1
    done
done
rm -rf "$RAY_AUTH_TOKEN_PATH" "$scratch"
if [ -n "$cancelled" ]; then
    say "cancelled; to continue: sbatch $place/job.sh"
    exit 1
fi
while signalled=''; wait "$next"; verdict=$?; [ -n "$signalled" ]; do :; done
if [ "$verdict" -eq AGAIN ]; then
    # Slurm ends what is left of the job, this command too, while it answers.
    (trap '' TERM; exec scontrol requeue "$SLURM_JOB_ID") && exit 0
    say "Slurm refused to put the job back in the queue; to continue: sbatch $place/job.sh"
    exit 1
fi
exit "$verdict"
""".replace("AGAIN", str(AGAIN))


def slurm_folder(folder: StudyFolder) -> Path:
    """Return the folder of a study's script, its study file and its logs of Slurm."""
    assert isinstance(folder.path, Path)  # the command refuses object storage
    return folder.path / "slurm"


def script_path(folder: StudyFolder) -> Path:
    """Return the path of a study's script, which sbatch takes again."""
    return slurm_folder(folder) / "job.sh"


def log_path(folder: StudyFolder, job: str) -> Path:
    """Return the path of a job's log."""
    return slurm_folder(folder) / f"job-{job}.log"


def _log_pattern(folder: StudyFolder) -> str:
    """Return the path of a job's log as sbatch takes it: Slurm replaces ``%j`` by the job's number, and ``%%`` by %.

    Raises:
        BadInput: the path holds what an option of sbatch cannot.
    """
    place = str(slurm_folder(folder))
    if not place.isprintable() or '"' in place or "\\" in place:
        raise BadInput(
            f'storage {shown(place)}: a path in a script for sbatch must hold no line break and none of " and \\'
        )
    pattern = f"{place.replace('%', '%%')}/job-%j.log"
    return f'"{pattern}"' if set(pattern) & set(" #'") else pattern


def batch_script(folder: StudyFolder, options: JobOptions, overrides: Sequence[str] = ()) -> str:
    """Return the script for sbatch.

    Args:
        folder: of the study; its storage is shared by the nodes.
        options: what the job asks for.
        overrides: ``path=value`` pairs for ``study resume``, in every job.

    Raises:
        BadInput: the storage's path holds what an option of sbatch cannot.
    """
    place = slurm_folder(folder)
    directives = [
        f"--job-name=study-{folder.name}",
        *options.lines(),
        "--requeue",
        "--open-mode=append",
        f"--output={_log_pattern(folder)}",
    ]
    job = [str(place / "study.yaml"), "--storage", str(folder.storage)]
    job += [word for override in overrides for word in ("--set", override)]
    values = {
        "python": shlex.quote(sys.executable),
        "ray": shlex.quote(str(Path(sys.executable).with_name("ray"))),
        "study": f"({shlex.quote(sys.executable)} -m study.cli.app)",
        "name": shlex.quote(folder.name),
        "storage": shlex.quote(str(folder.storage)),
        "place": shlex.quote(str(place)),
        "job": f"({shlex.join(job)})",
        "stop_before": str(options.margin),
        "grace": str(options.grace),
    }
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH {directive}" for directive in directives),
            "# Written by `study slurm`. To send it again: sbatch and the path of this file.",
            *(f"{name}={value}" for name, value in values.items()),
            _BODY.lstrip("\n"),
        ]
    )
