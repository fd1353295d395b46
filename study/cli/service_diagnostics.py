"""Diagnostics of what a study needs beyond this machine: the ledger's database, MLflow's server, the Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from study.cli.diagnostics import FREE_BYTES_NEEDED, Finding
from trainables.core.errors import BadInput, counted
from trainables.core.storage_path import StoragePath
from trainables.core.url_secrets import from_environment

_MOST_SECONDS_AHEAD = 30.0


def service_findings(storage: StoragePath, data_dir: Path | None, address: str | None) -> Iterator[Finding]:
    """Check ledger, MLflow and, with an address, the Ray cluster, in this order."""
    yield from _ledger(storage)
    yield _records(storage)
    if address is None:
        yield Finding("Ray cluster", "none given with --address; studies start Ray on this machine")
    else:
        yield from _cluster(address, storage, data_dir)


def _ledger(storage: StoragePath) -> Iterator[Finding]:
    from study.ledger.database_check import try_database
    from study.store.study_folder import check_ledger

    mend = "set STUDY_LEDGER (docs/study-file.md), its password in PGPASSWORD or ~/.pgpass; is the server started?"
    try:
        url = from_environment("STUDY_LEDGER")
        check_ledger(storage, url)
        if url is None:
            yield Finding("ledger", "a file in each study's folder; STUDY_LEDGER names no database")
            return
        found = try_database(url)
    except (BadInput, ValueError) as error:
        yield Finding("ledger", str(error), good=False, mend=mend)
        return
    may = "can be written" if found.writable else "this user may only read, which is enough for `study status`"
    mend = "GRANT CREATE ON SCHEMA public TO this user, or make it the database's owner"
    yield Finding("ledger", f"{found.version} at {url}; {may}", found.writable, mend)
    if abs(found.clock) > _MOST_SECONDS_AHEAD:
        text = f"the database's clock is {found.clock:+.0f} s off this machine's"
        yield Finding("clock", text, good=False, mend="let both keep their time by NTP, for example with chrony")


def _records(storage: StoragePath) -> Finding:
    from study.tracking.client import is_server, tracking_uri
    from study.tracking.records_check import try_records

    try:
        uri = tracking_uri(from_environment("STUDY_TRACKING_URI"), storage)
        if not is_server(uri) and uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
            return Finding("MLflow", f"{uri}, which the first study makes")
        return Finding("MLflow", try_records(uri, storage))
    except (BadInput, ValueError) as error:
        mend = (
            "set STUDY_TRACKING_URI to the server or database, its user in MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD"
        )
        return Finding("MLflow", str(error), good=False, mend=mend)


def _cluster(address: str, storage: StoragePath, data_dir: Path | None) -> Iterator[Finding]:
    from study.driver.node_report import ask_of_folders, complaints, differences
    from study.driver.preflight import checked_cluster

    data = data_dir or os.environ.get("STUDY_DATA_DIR") or None
    # a folder that is not there was said above
    asked = not isinstance(storage, Path) or (storage.is_dir() and os.access(storage, os.W_OK))
    try:
        address = checked_cluster(address) or address
        nodes = ask_of_folders(address, storage if asked else None, [data] if data else [])
    except BadInput as error:
        mend = (
            "`ray start` on the head, its port open to this machine, RAY_AUTH_MODE and the token as there; --address "
            "host:port names one of several"
        )
        yield Finding("Ray cluster", str(error), good=False, mend=mend)
        return
    answer = "answers" if len(nodes) == 1 else "answer"
    yield Finding("Ray cluster", f"{counted(len(nodes), 'node')} at {address} {answer}; the token fits")
    mend = "install the same versions on all nodes (`make venv`, the same image), keep clocks by NTP, restart Ray there"
    yield from (Finding("nodes", text, good=False, mend=mend) for text in differences(nodes))
    for node in nodes:
        if node.failed:
            continue
        subject = f"node {node.name}"
        yield from (Finding(subject, what, good=False, mend=how) for what, how in complaints(node, storage))
        has = [f"Python {node.versions['python']}", f"torch {node.versions['torch']}"]
        has += [f"{node.gpus:g} GPUs"] if node.gpus else []
        has += [f"{node.free / 2**30:.0f} GiB free"]
        has += [f"sees {storage}"] if asked and not node.missing else []
        yield Finding(
            subject,
            ", ".join(has),
            node.free > FREE_BYTES_NEEDED,
            mend="free 2 GiB in its temporary folder, or start Ray there with another --temp-dir",
        )
