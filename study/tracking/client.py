"""The tracking store: its URI, its artifact folder, and the MLflow client."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from study.tracking.sqlite import check_database, create_database, follow_artifacts
from trainables.core.errors import BadInput, shown
from trainables.core.object_path import ObjectPath
from trainables.core.storage_path import StoragePath
from trainables.core.url_secrets import hidden_tracking, revealed

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # MLflow's defaults block for minutes on a dead server; the recorder retries by itself
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
_SCHEMES = ("http://", "https://", "sqlite://", "postgresql", "mysql", "mssql", "databricks")
_NOISY = ("alembic", "mlflow.store.db.utils", "mlflow.pyfunc", "mlflow.models")


_IMPORT = threading.Lock()


def import_mlflow() -> None:
    """Import MLflow with this project's settings unless that is done, one thread at a time.

    The recorder's thread needs it, and Ray imports it on the main thread. Two threads that import a package and a
    module in it at once wait for each other, which Python ends by an error in one of them.
    """
    with _IMPORT:
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        import mlflow  # noqa: F401


def tracking_uri(given: str | None, storage: StoragePath) -> str:
    """Return the tracking URI of a study.

    Args:
        given: the study file's setting: an MLflow server, a database URL, or a SQLite file relative to the
            storage. None means $MLFLOW_TRACKING_URI, else ``mlflow.db`` in the storage.
        storage: the folder of all studies.

    Returns:
        The URI without its password, which `open_client` adds.

    Raises:
        BadInput: an unknown scheme, an address without a scheme, or a folder, which MLflow no longer supports.

    >>> tracking_uri("https://mlflow.example.org", Path("/data/runs"))
    'https://mlflow.example.org'
    >>> tracking_uri("records/mine.db", Path("/data/runs"))
    'sqlite:////data/runs/records/mine.db'
    """
    uri = given or os.environ.get("MLFLOW_TRACKING_URI") or "mlflow.db"
    try:
        bare = hidden_tracking(uri)
    except ValueError as error:
        raise BadInput(f"records.tracking_uri: the URL {error}") from None
    if "://" in uri and not uri.startswith("file:"):
        if not uri.startswith(_SCHEMES):
            allowed = ", ".join(_SCHEMES)
            raise BadInput(f"records.tracking_uri: must begin with one of {allowed}, got '{shown(uri)}'")
        return bare
    if isinstance(storage, ObjectPath):
        if not Path(uri).is_absolute():
            raise BadInput(
                f"records.tracking_uri: studies on object storage ({storage}) need an MLflow server, a database, or "
                "the absolute path of a SQLite file; add --set records.tracking_uri=... or set MLFLOW_TRACKING_URI"
            )
        return f"sqlite:///{uri}"
    path = (storage.resolve() / uri.removeprefix("file:")).absolute()
    if uri.startswith("file:") or path.is_dir():
        raise BadInput(f"records.tracking_uri: {uri} is a folder; must be a server (http://...) or a SQLite file")
    return f"sqlite:///{path}"


def is_server(uri: str) -> bool:
    """Return whether a tracking URI is a server, which also stores the artifacts.

    >>> is_server("http://127.0.0.1:5000"), is_server("sqlite:////data/runs/mlflow.db")
    (True, False)
    """
    return uri.startswith(("http://", "https://"))


def artifact_folder(uri: str, storage: StoragePath) -> StoragePath:
    """Return the artifact folder of a database: beside a SQLite file, else in the storage."""
    return sqlite_artifacts(uri) if uri.startswith("sqlite:///") else storage.resolve() / "mlartifacts"


def sqlite_artifacts(uri: str) -> Path:
    """Return the artifact folder of a SQLite file."""
    return Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts"


def open_client(uri: str, storage: StoragePath) -> MlflowClient:
    """Return a client. MLflow's global state stays untouched, and telemetry is off.

    Raises:
        BadInput: the SQLite file is damaged, or is no SQLite file.
    """
    import_mlflow()
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # it prints a traceback for a database that is full; whoever calls MLflow here says so in a line
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    if uri.startswith("sqlite:///"):
        database, artifacts = Path(uri.removeprefix("sqlite:///")), sqlite_artifacts(uri)
        create_database(database, artifacts)
        check_database(database)
        follow_artifacts(database, artifacts)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=_logged_in(uri))


def with_password(uri: str) -> str:
    """Return a tracking URI with the password that was taken out of it or that the environment holds for it."""
    try:
        return revealed(uri, "MLFLOW_TRACKING_URI", "STUDY_TRACKING_URI")
    except ValueError as error:
        raise BadInput(str(error)) from None


def _logged_in(uri: str) -> str:
    """Return the URI for MLflow, with a server's user and password in the variables from which MLflow reads them.

    MLflow shows its URI in errors and stores it in places.
    """
    full = with_password(uri)
    parts = urlsplit(full) if is_server(full) and full != uri else None
    if parts is None or not parts.username or parts.password is None:
        return full
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


_OWN_FAULTS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS")


def is_away(error: Exception) -> bool:
    """Return whether the tracking store was unreachable or busy, so that a retry may succeed."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    if isinstance(error, MlflowException):
        return error.error_code not in _OWN_FAULTS
    return isinstance(error, RequestException)


def is_refusal(error: Exception) -> bool:
    """Return whether the tracking store refused a request or is damaged."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(error, (MlflowException, SQLAlchemyError))
