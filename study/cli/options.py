"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.spec.ready_studies import study_file
from trainables.core.errors import BadInput

if TYPE_CHECKING:
    from study.spec.study_spec import StudySpec

SpecPath = Annotated[
    Path,
    typer.Argument(
        metavar="SPEC", parser=study_file, help="Study file (YAML), or the name of a ready study, such as quickstart."
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="DIR",
        help="Folder of studies, or s3://bucket/folder or gs://bucket/folder [default: $STUDY_STORAGE or ./runs].",
    ),
]
ReadLedger = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="URL",
        help="Where this machine reaches the ledger's database, if not under the address in the study file.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a value of the study file; may be repeated."),
]
OverridesFile = Annotated[
    Path | None,
    typer.Option("--set-from", metavar="FILE", help="File with a YAML list of PATH=VALUE, applied before --set."),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="FILE|MODULE", help="Code of your own (docs/plugins.md); may be repeated."),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of data sets [default: $STUDY_DATA_DIR]."),
]
MovedDataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of data sets, if they were moved [default: as when the study began]."),
]
Address = Annotated[
    str | None,
    typer.Option(help="Address of a running Ray cluster, or auto for that of this machine; else Ray starts here."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a stored study.")]
NameOrNone = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Name of a stored study.")]


def use_plugins(given: list[str] | None) -> None:
    """Make the plug-ins of ``--plugin`` active; paths count from the current folder.

    Raises:
        BadInput: one is missing, cannot be imported, has nothing useful, or shares a name with something else.
    """
    if given:
        from study.spec.study_plugins import activate_plugins

        activate_plugins([f"./{each}" if each.endswith(".py") and "/" not in each else each for each in given], Path())


def overrides_of(file: Path | None, given: list[str] | None) -> tuple[str, ...]:
    """Return the overrides of ``--set-from``, then those of ``--set``.

    Raises:
        BadInput: the file cannot be read or holds something else.
    """
    from study.spec.yaml_io import read_overrides

    return (*(() if file is None else read_overrides(file)), *(given or ()))


def read_ledger(given: str | None) -> str | None:
    """Return the URL of ``--ledger`` without its password; a database that does not answer is given ten seconds.

    Raises:
        BadInput: the URL has no form from which its password can be told.
    """
    from trainables.core.url_secrets import hidden_ledger

    os.environ.setdefault("PGCONNECT_TIMEOUT", "10")
    try:
        return None if given is None else hidden_ledger(given)
    except ValueError as error:
        raise BadInput(f"--ledger: the URL {error}") from None


def with_data_folder(spec: StudySpec, data_dir: Path | None) -> StudySpec:
    """Return a study with the data folder of ``--data-dir``, else of STUDY_DATA_DIR.

    Raises:
        BadInput: the folder is needed and does not exist.
    """
    if data_dir is not None:
        return spec.with_data_dir(data_dir, origin="--data-dir")
    return spec.with_data_dir(os.environ.get("STUDY_DATA_DIR") or None, origin="STUDY_DATA_DIR")
