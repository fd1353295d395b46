"""A Slurm cluster on loopback: munged, slurmctld and several slurmd, all of this user, in a folder of their own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
INSTALL = "apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"
_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_PATIENCE = 30.0

_CONF = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
# A job that is put back in the queue waits until its old credential has expired.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2
SchedulerType=sched/backfill
KillWait=10
InactiveLimit=0
{nodes}
PartitionName=lab Nodes=ALL Default=YES MaxTime=60 State=UP OverSubscribe=NO
"""


def missing_programs() -> list[str]:
    """Return the programs of Slurm that this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]


class SlurmLab:
    """A running Slurm whose nodes are all this machine.

    Attributes:
        environment: variables with which sbatch and the others find it.
    """

    def __init__(self, folder: Path, *, nodes: int, cpus: int) -> None:
        """Start the cluster.

        Args:
            folder: an empty folder with a short path, as the paths of sockets are limited.
            nodes: number of nodes, named n1, n2 ...
            cpus: processors that each node claims to have.
        """
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": _PATH}
        controller, *ports = _free_ports(nodes + 1)
        (folder / "state").mkdir()
        lines = [
            f"NodeName=n{i} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} CPUs={cpus}"
            for i, port in enumerate(ports, 1)
        ]
        for i in range(1, nodes + 1):
            (folder / f"spool-n{i}").mkdir()
        conf = _CONF.format(
            host=socket.gethostname(),
            controller=controller,
            user=getpass.getuser(),
            folder=folder,
            nodes="\n".join(lines),
        )
        (folder / "slurm.conf").write_text(conf)
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        try:
            self._munged(key)
            self._start("slurmctld", "-D", "-c")
            self._wait(lambda: self.said("scontrol", "ping").count("UP") > 0, "slurmctld answers")
            for i in range(1, nodes + 1):
                self._start("slurmd", "-D", "-N", f"n{i}")
            self._wait(lambda: self.said("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == str(nodes), "idle nodes")
        except BaseException:
            self.stop()
            raise

    def _munged(self, key: Path) -> None:
        names = {
            "socket": "munge.socket",
            "log-file": "munged.log",
            "pid-file": "munged.pid",
            "seed-file": "munge.seed",
        }
        places = [f"--{option}={self._folder / name}" for option, name in names.items()]
        self._start("munged", "--foreground", "--force", "--num-threads=2", f"--key-file={key}", *places)
        self._wait((self._folder / "munge.socket").exists, "munged's socket")

    def _start(self, *words: str) -> None:
        with (self._folder / f"{words[0]}.out").open("a") as log:
            self._started.append(
                subprocess.Popen(words, env=self.environment, stdout=log, stderr=log, start_new_session=True)
            )

    def _wait(self, happened: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + _PATIENCE
        while not happened():
            if time.monotonic() > end:
                raise RuntimeError(f"not within {_PATIENCE:.0f} s: {what}\n{self.logs()}")
            time.sleep(0.2)

    def said(self, *words: str) -> str:
        """Return the output of one of Slurm's programs, whatever its exit code."""
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60).stdout

    def logs(self) -> str:
        """Return the ends of the daemons' logs."""
        files = sorted([*self._folder.glob("*.log"), *self._folder.glob("*.out")])
        return "\n".join(f"{file.name}:\n{file.read_text()[-2000:]}" for file in files)

    def stop(self) -> None:
        """Cancel all jobs and stop the daemons that were started here."""
        if len(self._started) > 1:
            self.said("scancel", "--state=PENDING", "--user", getpass.getuser())
            self.said("scancel", "--user", getpass.getuser())
            end = time.monotonic() + _PATIENCE
            while self.said("squeue", "-h").strip() and time.monotonic() < end:
                time.sleep(0.3)
        for process in reversed(self._started):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_ports(number: int) -> list[int]:
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
