"""The driver in a Slurm job: waits for the nodes, then runs or resumes the study."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from study.slurm.batch_script import script_path
from study.spec.validation import load_spec
from study.store.study_folder import StudyFolder

if TYPE_CHECKING:
    from study.driver.outcome import Outcome


def drive(
    spec_path: Path, storage: Path, overrides: Sequence[str], *, address: str, nodes: int, console: Console
) -> Outcome:
    """Run a study on the job's Ray cluster, or resume it if it is stored.

    Args:
        spec_path: the study file that `submission.send` wrote.
        storage: folder of all studies.
        overrides: ``path=value`` pairs for a resume.
        address: ``host:port`` of the job's Ray cluster.
        nodes: number of nodes that join it.
        console: where progress is shown.

    Raises:
        BadInput: Ray did not start, or the study, its data or its storage is invalid.
    """
    from study.driver import driver
    from study.driver.cluster_nodes import wait_for_nodes
    from study.driver.driver_before import wait_for_lock
    from study.driver.last_signals import take_signals_back

    _read_programs()
    spec = load_spec(spec_path)
    folder = StudyFolder(storage, spec.name)
    joined = wait_for_nodes(address, nodes)
    if joined < nodes:
        console.print(f"  going on with {joined} of {nodes} nodes: the others did not join Ray", style="yellow")
    take_signals_back()  # Ray has installed a handler of its own
    wait_for_lock(folder)
    again = shlex.join(["sbatch", str(script_path(folder))])
    if folder.spec_path.exists():
        changes = tuple(overrides)
        return driver.resume(spec.name, storage, changes, address=address, console=console, continued_by=again)
    source = str(spec_path)
    return driver.run(spec, storage, address=address, console=console, source=source, continued_by=again)


def _read_programs() -> None:
    """Import what takes seconds, while Ray starts on the nodes."""
    from study.driver import preflight, ray_tune  # noqa: F401
    from study.tracking import record_study  # noqa: F401
