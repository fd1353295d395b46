"""`study status` on a laptop: reads a cluster's object storage and PostgreSQL, and says which cannot be reached."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from study.store.study_folder import storage_root
from tests.servers import PostgresServer, Relay, S3Server, free_port
from tests.study.made_study import MadeStudy, spec_of


def _study(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "study.cli.app", *words],
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=120,
    )


@contextmanager
def _reader(postgres: PostgresServer) -> Iterator[str]:
    """A user of the ledger's database who may only read."""
    engine = create_engine(postgres.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE ROLE reader LOGIN")
        connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        try:
            yield postgres.url.replace("study@", "reader@")
        finally:
            connection.exec_driver_sql("DROP OWNED BY reader")
            connection.exec_driver_sql("DROP ROLE reader")
    engine.dispose()


@pytest.mark.slow
def test_a_reader_sees_a_study_through_a_forwarded_port(s3: S3Server, postgres: PostgresServer, tmp_path: Path) -> None:
    storage = f"s3://runs/{tmp_path.name}"
    relay = Relay(int(postgres.url.rpartition(":")[2].partition("/")[0]))
    relay.open()
    made = MadeStudy(storage_root(storage), spec_of("far", records={"ledger": postgres.url}))
    made.complete()
    with _reader(postgres) as url:
        here = url.replace(url.rpartition("@")[2], f"127.0.0.1:{relay.port}/study")
        for words in (["status", "far", "--json"], ["status", "far", "--json", "--ledger", here]):
            found = _study(*words, "--storage", storage)
            assert found.returncode == 0, found.stderr
            status = json.loads(found.stdout)
            assert status["state"] == "interrupted"
            assert sum(cell["states"]["COMPLETE"] for cell in status["cells"]) == 1
        with made.folder.driver_lock():
            listed = _study("status", "--storage", storage, "--ledger", here, "--json")
            assert [(one["study"], one["state"]) for one in json.loads(listed.stdout)] == [("far", "running")]
        shown = _study("show", "far", "--storage", storage, "--ledger", here)
        assert shown.returncode == 0 and "far" not in shown.stderr
    relay.close()


def test_a_ledger_that_does_not_answer_is_named(s3: S3Server, tmp_path: Path, postgres: PostgresServer) -> None:
    storage = f"s3://runs/{tmp_path.name}"
    MadeStudy(storage_root(storage), spec_of("far", records={"ledger": postgres.url}))
    nowhere = f"postgresql+psycopg://study:hunter-12@127.0.0.1:{free_port()}/study"
    found = _study("status", "far", "--storage", storage, "--ledger", nowhere)
    assert found.returncode == 2
    assert "cannot open postgresql+psycopg://study@127.0.0.1" in found.stderr
    assert "--ledger" in found.stderr and "hunter-12" not in found.stderr
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        begin = time.monotonic()
        found = _study(
            *("status", "far", "--storage", storage, "--ledger", f"postgresql+psycopg://me@127.0.0.1:{port}/study"),
            PGCONNECT_TIMEOUT="2",
        )
        assert found.returncode == 2 and time.monotonic() - begin < 60
    assert "timeout" in found.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "cannot be used"),
        ({}, "the bucket 'absent' does not exist"),
    ],
)
def test_a_storage_that_cannot_be_read_is_named(s3: S3Server, environment: dict[str, str], said: str) -> None:
    found = _study("status", "--storage", "s3://absent/runs", **environment)
    assert found.returncode == 2
    assert "storage 's3://absent/runs'" in found.stderr and said in found.stderr
