"""Where records live, and the client that writes them."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from study.tracking.sqlite import check_database, follow_artifacts
from trainables.core.errors import BadInput
from trainables.core.kernel_lock import KernelLock

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # MLflow's own would hold a request to a dead server for minutes; the recorder tries again itself
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
_SCHEMES = ("http://", "https://", "sqlite://", "postgresql", "mysql", "mssql", "databricks")
_NOISY = ("alembic", "mlflow.store.db.utils")


def tracking_uri(given: str | None, storage: Path) -> str:
    """Return where a study is recorded.

    Args:
        given: what the study file says: an MLflow server, a database URL, or a SQLite file, relative to the
            storage. None means $MLFLOW_TRACKING_URI, and without it ``mlflow.db`` in the storage.
        storage: the folder of all studies.

    Raises:
        BadInput: a folder, which MLflow no longer writes to.

    >>> tracking_uri("https://mlflow.example.org", Path("/data/runs"))
    'https://mlflow.example.org'
    >>> tracking_uri("records/mine.db", Path("/data/runs"))
    'sqlite:////data/runs/records/mine.db'
    """
    uri = given or os.environ.get("MLFLOW_TRACKING_URI") or "mlflow.db"
    if "://" in uri and not uri.startswith("file:"):
        if not uri.startswith(_SCHEMES):
            raise BadInput(f"records.tracking_uri: must begin with one of {', '.join(_SCHEMES)}, got '{uri}'")
        return uri
    path = (storage.resolve() / uri.removeprefix("file:")).absolute()
    if uri.startswith("file:") or path.is_dir():
        raise BadInput(f"records.tracking_uri: {uri} is a folder; must be a server (http://...) or a SQLite file")
    return f"sqlite:///{path}"


def is_server(uri: str) -> bool:
    """Tell whether records go to a server, which then keeps the artifacts too.

    >>> is_server("http://127.0.0.1:5000"), is_server("sqlite:////data/runs/mlflow.db")
    (True, False)
    """
    return uri.startswith(("http://", "https://"))


def artifact_folder(uri: str, storage: Path) -> Path:
    """Return where artifacts of a database are kept: beside a SQLite file, else in the storage."""
    path = Path(uri.removeprefix("sqlite:///"))
    return (path.parent if uri.startswith("sqlite:///") else storage.resolve()) / "mlartifacts"


def open_client(uri: str, storage: Path) -> MlflowClient:
    """Build the client; nothing of MLflow's global state is touched, and nothing is reported to anybody.

    Raises:
        BadInput: the SQLite file is none, or only a part of one.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    if uri.startswith("sqlite:///"):
        database, artifacts = Path(uri.removeprefix("sqlite:///")), artifact_folder(uri, storage)
        _create_database(database, artifacts)
        check_database(database)
        follow_artifacts(database, artifacts)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _create_database(path: Path, artifacts: Path) -> None:
    """Build the tables in a file beside, and move it to its place when it is whole.

    That takes MLflow seconds and some sixty steps. A process killed meanwhile would leave a file that neither
    MLflow nor anybody else can ever complete.
    """
    if _begun(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.partial")
    with KernelLock(path.with_name(f".{path.name}.lock")):
        if _begun(path):  # another study was faster
            return
        for left in path.parent.glob(f"{scratch.name}*"):  # of a process that was killed: the file and SQLite's journal
            left.unlink()
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        store = SqlAlchemyStore(f"sqlite:///{scratch}", artifacts.as_uri())  # type: ignore[no-untyped-call]
        store.engine.dispose()
        os.replace(scratch, path)


def _begun(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0  # an empty file holds no records


_OWN_FAULTS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS")


def is_away(error: Exception) -> bool:
    """Tell whether the tracking store could not be reached or was busy, so that trying later may help."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    if isinstance(error, MlflowException):
        return error.error_code not in _OWN_FAULTS
    return isinstance(error, RequestException)


def is_refusal(error: Exception) -> bool:
    """Tell whether the tracking store answered that it cannot do what was asked, or is damaged."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(error, (MlflowException, SQLAlchemyError))
