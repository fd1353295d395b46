"""``study compare``: confirmed results, else the best trials, of several studies side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console

from study.report.confirmed_results import rows_of
from study.report.confirmed_tables import number, spread
from study.store.plugin_records import method_sources
from study.store.study_folder import StudyFolder
from study.store.study_view import CellView, StudyView, open_view
from study.terminal import plain_table
from trainables.core.errors import BadInput, unknown_name
from trainables.core.metric_names import METRICS

Entry = dict[str, Any]
DECISIVE = {
    "source": "data set",
    "image_size": "image size",
    "protocol": "protocol",
    "validation_fraction": "validation fraction",
    "subset_seed": "subset seed",
    "test_fraction": "share of test images drawn",
    "test_seed": "seed of the draw of test images",
    "epochs": "epochs",
    "select": "the selected epoch",
    "model": "model",
}
"""Settings that validation results must share to be comparable -> their names in messages."""


def compared(folders: list[StudyFolder], metric: str) -> list[Entry]:
    """Return one entry per study and cell: the confirmed best on test images, else the best on validation images.

    Args:
        folders: the stored studies.
        metric: the metric to show.

    Returns:
        ``study``, ``dataset``, ``profile``, ``method``, the keys of `DECISIVE` (None where a setting has no effect
        under the protocol), ``plugin`` (digest of the source of the method's plug-in; None without one), ``on``
        (``test`` or ``validation``; None for a cell without a complete trial), ``n``, ``mean``, ``std``, ``shown``.

    Raises:
        BadInput: no such study, one named twice, an unknown metric.
    """
    if metric not in METRICS or metric == "train_loss":
        raise unknown_name("metric", metric, [name for name in METRICS if name != "train_loss"])
    entries: list[Entry] = []
    for view in views_of(folders):
        sources = method_sources(view.folder.path)
        entries += [_entry(view, cell, metric, sources.get(cell.cell.method)) for cell in view.cells]
    return entries


def views_of(folders: list[StudyFolder]) -> list[StudyView]:
    """Open the studies to compare.

    Raises:
        BadInput: no such study, or one named twice.
    """
    if len({folder.name for folder in folders}) < len(folders):
        raise BadInput("study compare: a study is named twice")
    return [open_view(folder) for folder in folders]


def _entry(view: StudyView, cell: CellView, metric: str, plugin: str | None) -> Entry:
    data, training = cell.cell.base.data, cell.cell.base.training
    about = {
        "study": view.spec.name,
        "dataset": cell.cell.dataset,
        "profile": cell.cell.profile,
        "method": cell.cell.method,
        "source": data.dataset,
        "image_size": data.image_size,
        "protocol": data.protocol,
        "validation_fraction": data.validation_fraction if data.protocol in ("holdout", "m2m") else None,
        "subset_seed": data.subset_seed if data.protocol == "holdout" else None,
        "test_fraction": data.test_fraction,
        "test_seed": data.test_seed,
        "epochs": training.epochs,
        "select": view.spec.search.select,
        "model": cell.cell.base.model.name,
        "plugin": plugin,
    }
    row = next((row for row in rows_of(view, cell) if row.setting == "best" and row.n), None)
    if row is not None:
        mean, deviation = number(row.mean(metric)), number(row.deviation(metric))
        shown = f"{spread(row, metric)} (n={row.n})"
        return {**about, "on": "test", "n": row.n, "mean": mean, "std": deviation, "shown": shown}
    best = cell.best()
    value = None if best is None else best.result().get(metric)
    if value is None:
        return {**about, "on": None, "n": 0, "mean": None, "std": None, "shown": ""}
    return {**about, "on": "validation", "n": 1, "mean": number(value), "std": None, "shown": f"{value:.4f} val"}


def print_comparison(entries: list[Entry], metric: str, console: Console) -> None:
    """Print one row per data set, profile and method, and one column per study."""
    studies = list(dict.fromkeys(entry["study"] for entry in entries))
    found = {(_line(entry), entry["study"]): entry["shown"] for entry in entries}
    table = plain_table(f"{metric} of the best")
    for column in ("data", "profile", "method"):
        table.add_column(column, no_wrap=True)
    for study in studies:
        table.add_column(study, justify="right")
    for line in dict.fromkeys(_line(entry) for entry in entries):
        table.add_row(*line, *(found.get((line, study), "") for study in studies))
    console.print(table, highlight=False)
    kinds = {entry["on"] for entry in entries}
    if "test" in kinds:
        console.print("n=...: mean and standard deviation over n seeds on test images", highlight=False)
    if "validation" in kinds:
        mixed = "; not comparable with test results" if "test" in kinds else ""
        console.print(f"val: one trial, selected on the validation images it was scored on{mixed}", highlight=False)
    apart = differences([entry for entry in entries if entry["on"] == "validation"])
    if apart:
        said = "; ".join(f"{DECISIVE[name]} ({_by_study(values)})" for name, values in apart.items())
        console.print(f"val: these studies are not comparable; they differ in {said}", highlight=False)
    drawn = differences([entry for entry in entries if entry["on"] == "test"], ("test_fraction", "test_seed"))
    if drawn:
        said = "; ".join(f"{DECISIVE[name]} ({_by_study(values)})" for name, values in drawn.items())
        console.print(f"Test images of these studies differ: {said}", highlight=False)
    if "protocol" not in apart and len({entry["protocol"] for entry in entries}) > 1:
        console.print("The studies follow different protocols, so their images differ.", highlight=False)
    for method, sources in _sources_apart(entries).items():
        said = ", ".join(f"{study}: {digest[:8]}" for study, digest in sources.items())
        console.print(
            f"Results of {method} are not comparable: the source of its plug-in differs ({said})", highlight=False
        )


def _sources_apart(entries: list[Entry]) -> dict[str, dict[str, str]]:
    """Return method -> study -> digest of its plug-in, for methods of one name with several sources."""
    found: dict[str, dict[str, str]] = {}
    for entry in entries:
        if entry["plugin"] is not None:
            found.setdefault(entry["method"], {})[entry["study"]] = entry["plugin"]
    return {method: sources for method, sources in found.items() if len(set(sources.values())) > 1}


def differences(entries: list[Entry], settings: Iterable[str] = tuple(DECISIVE)) -> dict[str, dict[str, list[Any]]]:
    """Return the settings in which studies differ on a data set and profile they share.

    Args:
        entries: as `compared` returns them.
        settings: of `DECISIVE`.

    Returns:
        Setting -> study -> its values where the studies differ.
    """
    apart: dict[str, dict[str, list[Any]]] = {}
    places = sorted({(entry["dataset"], entry["profile"]) for entry in entries})
    for name in settings:
        for place in places:
            here = [entry for entry in entries if (entry["dataset"], entry["profile"]) == place]
            # a setting without effect under a study's protocol is no difference; the protocol itself is
            found = {e["study"]: e[name] for e in here if e[name] is not None or name == "image_size"}
            if len(set(found.values())) > 1:
                for study, value in found.items():
                    values = apart.setdefault(name, {}).setdefault(study, [])
                    values += [value] if value not in values else []
    return apart


def _by_study(values: dict[str, list[Any]]) -> str:
    return ", ".join(f"{study}: {' and '.join(map(_said, found))}" for study, found in values.items())


def _said(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _line(entry: Entry) -> tuple[str, str, str]:
    return entry["dataset"], entry["profile"], entry["method"]
