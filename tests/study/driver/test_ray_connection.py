from __future__ import annotations

import inspect
from typing import Any

import psutil
import pytest
import ray
from ray._private import utils, worker

from study.driver.ray_connection import init_ray


def test_ray_is_given_a_command_line_without_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql+psycopg://me:pass-word-9@host/study"
    monkeypatch.setattr(psutil.Process, "cmdline", lambda self: ["study", "run", "--set", f"records.ledger={url}"])
    original, seen = utils.get_entrypoint_name, []

    def init(**options: Any) -> None:
        seen.append(utils.get_entrypoint_name())

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(worker, "_worker_logs_enabled", True)
    init_ray("127.0.0.1:1")
    assert seen == ["study run --set records.ledger=postgresql+psycopg://me:***@host/study"]
    assert utils.get_entrypoint_name is original


def test_ray_reads_the_command_line_where_it_is_masked() -> None:
    assert "entrypoint=ray._private.utils.get_entrypoint_name()" in inspect.getsource(inspect.unwrap(worker.init)), (
        f"ray {ray.__version__} reads the command line of a driver elsewhere: look for it in ray._private.worker, and "
        "mask it there in study/driver/ray_connection.py"
    )
