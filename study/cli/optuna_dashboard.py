"""optuna-dashboard on a study's ledger: Optuna's own pages, read only."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from study.ledger.read_only import read_only
from study.ledger.storage import open_storage
from study.store.study_folder import StudyFolder, stored_names
from trainables.core.errors import BadInput
from trainables.core.storage_path import StoragePath


def serve_dashboard(
    storage: StoragePath, name: str | None, *, host: str, port: int, say: Callable[[str], None]
) -> None:
    """Run optuna-dashboard until it is interrupted.

    The ledger is the only copy of a study's trials, so the dashboard cannot change it.

    Args:
        storage: the folder of all studies.
        name: the study; None takes the one whose ledger changed last.
        host: address to listen on.
        port: port to listen on.
        say: prints a line to the user.

    Raises:
        BadInput: optuna-dashboard is not installed, there is no such study, or its ledger cannot be opened.
    """
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise BadInput("--optuna needs optuna-dashboard: pip install 'longtail-study[dashboard]'")
    folder = StudyFolder(storage, name or _newest(storage))
    spec = folder.read_spec()
    ledger = read_only(open_storage(folder.path, spec.records.ledger, writable=False))
    from optuna_dashboard import run_server

    from study.tracking.server import address

    say(f"optuna-dashboard shows the ledger of '{folder.name}' at {address(host, port)}/dashboard/   (Ctrl-C stops it)")
    try:
        run_server(ledger, host=host, port=port)
    except OSError as error:
        raise BadInput(f"cannot listen on {host}:{port}: {error.strerror or error}; see --port") from None


def _newest(storage: StoragePath) -> str:
    names = stored_names(storage)
    if not names:
        raise BadInput(f"no study in {storage} yet; see also --storage")
    return max(names, key=lambda name: _changed(storage / name))


def _changed(folder: StoragePath) -> float:
    """Return the time of the last change of a ledger; of one in a database, of the study file."""
    journal = folder / "ledger.journal"
    return (journal if journal.exists() else folder / "study.yaml").stat().st_mtime
