"""The command ``study shared``: lists and removes shared trainings."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.cli.json_output import print_json
from study.cli.options import AsJson, Storage

if TYPE_CHECKING:
    from trainables.shared_trainings.stored_trainings import SharedEntry


def shared(
    remove: Annotated[
        str | None, typer.Option(metavar="KEY", help="Remove the entry with this key or key prefix, or 'all'.")
    ] = None,
    unused_days: Annotated[
        float | None, typer.Option(min=0, help="Remove entries that no trial has used for this many days.")
    ] = None,
    as_json: AsJson = False,
    locks: Annotated[
        str | None,
        typer.Option(
            "--locks", metavar="URL", envvar="STUDY_LEDGER", help="On object storage: the database of its studies."
        ),
    ] = None,
    storage: Storage = None,
) -> None:
    """List or remove shared trainings.

    Trials of all studies share them. Removed entries are retrained on demand.
    """
    from study.store.study_folder import SHARED, storage_root
    from trainables.core.database_lock import is_postgresql
    from trainables.core.errors import BadInput
    from trainables.core.object_path import ObjectPath
    from trainables.shared_trainings.stored_trainings import remove_entry, shared_entries

    store = storage_root(storage) / SHARED
    entries = shared_entries(store)
    if remove is None and unused_days is None:
        _show(entries, as_json)
        return
    if remove in (None, "all") and not entries:
        typer.echo("nothing is shared yet")
        return
    chosen = entries if remove in (None, "all") else [entry for entry in entries if entry.key.startswith(remove or "")]
    if remove is not None and not chosen:
        raise BadInput(f"--remove {remove}: no shared training in {store} has this key; `study shared` lists the keys")
    if unused_days is not None:
        before = datetime.now() - timedelta(days=unused_days)
        chosen = [entry for entry in chosen if entry.used < before]
    if isinstance(store, ObjectPath) and not is_postgresql(locks):
        raise BadInput(f"--locks: removing from {store} needs the PostgreSQL database that holds its locks")
    for entry in chosen:
        done = remove_entry(store, entry.key, locks)
        typer.echo(f"{'removed' if done else 'kept, it is being trained:'} {entry.key}")
    typer.echo(f"{len(chosen)} of {len(entries)} shared trainings chosen, {sum(e.bytes for e in chosen) / 1e6:.1f} MB")


def _show(entries: list[SharedEntry], as_json: bool) -> None:
    if as_json:
        print_json([_row(entry) for entry in entries])
        return
    from study.terminal import console, plain_table

    columns = ("key", "method", "data", "model", "seed", "epochs kept", "MB", "used")
    table = plain_table()
    for column in columns:
        table.add_column(column, no_wrap=column == "key")
    for entry in entries:
        row = _row(entry)
        table.add_row(*(str(row[column]) for column in columns))
    console().print(table if entries else "nothing is shared yet", markup=False, highlight=False)


def _row(entry: SharedEntry) -> dict[str, Any]:
    config = entry.config
    profile = config.data.profile if config else None
    return {
        "key": entry.key,
        "method": config.method.name if config else "unreadable",
        "data": f"{config.data.dataset} {profile.kind}-{profile.ratio:g}" if config and profile else "",
        "model": config.model.name if config else "",
        "seed": config.seed if config else "",
        "epochs kept": ", ".join(map(str, entry.pinned)) or "none yet",
        "MB": round(entry.bytes / 1e6, 2),
        "used": entry.used.isoformat(sep=" ", timespec="seconds"),
    }
