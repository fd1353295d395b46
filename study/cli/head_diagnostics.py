"""Diagnostics of a cluster's head, made there by a job and shown on the machine that asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from study.cli.diagnostics import Finding, findings, package_findings, token_finding
from study.cli.service_diagnostics import service_findings
from trainables.core.errors import BadInput


def head_findings(address: str, storage: str | None, data_dir: Path | None) -> Iterator[Finding]:
    """Check this machine's packages and token, the job server, and what the head finds.

    Args:
        address: the cluster's job server.
        storage: place of all studies as the head sees it; None takes its STUDY_STORAGE.
        data_dir: folder of data sets as the nodes see it; None takes the head's STUDY_DATA_DIR.
    """
    from study.driver.job_on_head import output_of

    yield from package_findings()
    yield token_finding()
    words = ["doctor", "--on-head", *([] if storage is None else ["--storage", storage])]
    words += [] if data_dir is None else ["--data-dir", str(data_dir)]
    try:
        said = output_of(address, [*words, "--json"])
    except BadInput as error:
        mend = (
            "forward its port (`ray dashboard cluster.yaml`, `kubectl port-forward`); copy the head's token to "
            "~/.ray/auth_token"
        )
        yield Finding("job server", str(error), good=False, mend=mend)
        return
    yield Finding("job server", f"{address} answers and takes jobs; the token fits")
    try:
        found = [Finding(**finding) for finding in json.loads(said[said.index("\n[") :])]
    except (ValueError, TypeError):
        mend = "install this project there, and start Ray from its environment: `source .venv/bin/activate`"
        yield Finding("head", f"`study doctor` does not run there: {said[-300:].strip()}", good=False, mend=mend)
        return
    yield from (finding._replace(subject=f"head: {finding.subject}") for finding in found)


def own_findings(storage: str | None, data_dir: Path | None) -> Iterator[Finding]:
    """Check the head from a job on it, and the nodes of its cluster."""
    from study.driver.cluster_job import job_storage

    try:
        place = job_storage(storage)
    except BadInput as error:
        mend = "export STUDY_STORAGE where the head is started, or give --storage to `study submit`"
        yield from package_findings()
        yield Finding("storage", str(error), good=False, mend=mend)
        return
    yield from findings(place, data_dir)
    yield from service_findings(place, data_dir, "auto")
