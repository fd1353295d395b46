"""Tries the place of MLflow's records: whether it answers, and takes this user's name and password."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from study.tracking.client import is_server, open_client
from trainables.core.errors import BadInput, shown

if TYPE_CHECKING:
    from trainables.core.storage_path import StoragePath

_CONNECT_SECONDS = 10.0


def try_records(uri: str, storage: StoragePath) -> str:
    """Ask MLflow for one experiment; return a sentence on what answered. Nothing is written, a database may be made.

    Args:
        uri: from `tracking_uri`.
        storage: the place of all studies.

    Raises:
        BadInput: nothing answers, the user is refused, or the database is damaged.
    """
    version = ""
    if is_server(uri):
        _reach(uri)
        version = _version(uri)
    from mlflow.exceptions import MlflowException

    try:
        open_client(uri, storage).search_experiments(max_results=1)
    except MlflowException as error:
        said = shown(" ".join(str(error).split()), 300)
        if "401" in said or "403" in said or error.error_code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
            raise BadInput(
                f"the MLflow server {uri} refuses this user: set MLFLOW_TRACKING_USERNAME and "
                f"MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN ({said})"
            ) from None
        raise BadInput(f"MLflow's store {uri} does not do as asked: {said}") from None
    return f"{uri} answers{version}"


def _reach(uri: str) -> None:
    parts = urlsplit(uri)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise BadInput(
            f"nothing answers at the MLflow server {uri} ({error.strerror or error}); start it, or forward its port. "
            "Studies run without it, and `study record` writes what it lacks"
        ) from None


def _version(uri: str) -> str:
    import mlflow
    import requests

    try:
        said = requests.get(f"{uri.rstrip('/')}/version", timeout=_CONNECT_SECONDS)
    except requests.RequestException:
        return ""
    return f", version {shown(said.text, 20)} (here {mlflow.__version__})" if said.ok else ""
