"""Catalogs of methods, search spaces and data sets, derived from the tables that the code uses."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces import SPACES, Choices, Dimension, Space
from trainables.core.config import DataConfig, MethodConfig
from trainables.core.errors import BadInput
from trainables.core.paths import data_folder_named
from trainables.methods.axes import axes_of
from trainables.methods.method import Method
from trainables.methods.registry import METHODS, build_params, file_of

if TYPE_CHECKING:
    from trainables.backbones.timm_names import Listed
    from trainables.data.sources.source_lookup import FolderKind

_BUILT_IN = {"scikit-learn": "built in", "torchvision": "downloaded when first used"}
_FOLDERS: dict[FolderKind, str] = {
    "parquet": "Parquet images",
    "lists": "list files",
    "celeba": "CelebA-5",
    "folders": "class folders",
    "unsplit parquet": "Parquet images without a test split (test images are drawn)",
    "flat folders": "class folders without a test split (test images are drawn)",
}


def method_entries() -> list[dict[str, Any]]:
    """Return all methods: name, file, title, paper, stages, differs_in, params, presets, searched params."""
    return [method_entry(name, method) for name, method in METHODS.items()]


def method_entry(name: str, method: Method) -> dict[str, Any]:
    """Return one method, as `method_entries` does."""
    defaults = build_params(MethodConfig(name=name)).model_dump(mode="json")
    switch = 0.0 if method.defer_field is None else defaults[method.defer_field]  # 0 where a second stage is an option
    return {
        "name": name,
        "file": file_of(name),
        "title": method.title,
        "paper": method.paper,
        "equation": method.equation,
        "given_in_part": method.given_in_part,
        "stages": [{"from": start} for start in sorted({0.0, switch})],
        "differs_in": list(axes_of(method)),
        "params": defaults,
        "presets": {preset: dict(values) for preset, values in method.presets.items()},
        "searched": list(SPACES[name]),
    }


def searched(dimension: Dimension) -> str:
    """Return the range or the choices of a searched param as one line."""
    if isinstance(dimension, Choices):
        return "one of " + ", ".join(str(choice) for choice in dimension.choices)
    kind = "whole, " if dimension.integer else ""
    return f"{kind}{dimension.low:g} to {dimension.high:g}, {dimension.scale}"


def space_entries() -> list[dict[str, Any]]:
    """Return all searched params: method, param, range, and the first trial's setting."""
    return [
        {
            "method": name,
            "param": param,
            "searched": searched(dimension),
            "dimension": dimension.model_dump(mode="json"),
            "first trial": getattr(build_params(MethodConfig(name=name)), param),
        }
        for name, space in _spaces()
        for param, dimension in space.items()
    ]


def unsearched_methods() -> list[str]:
    """Return the methods with an empty search space."""
    return [name for name, space in _spaces() if not space]


def _spaces() -> list[tuple[str, Space]]:
    return [(name, SPACES[name]) for name in METHODS]


_MOST_BUILT = 30
"""Networks of timm that a list builds, without numbers, to count their parameters."""


def model_entries(pattern: str | None = None) -> list[dict[str, Any]]:
    """Return networks: name, parameters without the head, features, input, paper.

    Those of timm have the tags of their ``weights`` in place of a paper. Of many, parameters and features are
    None.

    Args:
        pattern: the names to return, with ``*`` and ``?``; ``timm/*`` are those of timm. None means all of this project
            and of plug-ins.

    Raises:
        BadInput: no network fits the pattern, or timm is asked for and not installed.
    """
    from trainables.backbones import BACKBONES
    from trainables.backbones.timm_lookup import names_of_timm
    from trainables.backbones.timm_names import is_timm

    if pattern is not None and is_timm(pattern):
        names = names_of_timm(pattern)
        found = [_timm_entry(name, each, built=len(names) <= _MOST_BUILT) for name, each in names.items()]
    else:
        found = [
            {
                "name": name,
                "parameters": entry.parameters,
                "features": entry.features,
                "input": entry.input,
                "paper": entry.paper,
            }
            for name, entry in BACKBONES.items()
            if pattern is None or fnmatchcase(name, pattern)
        ]
    if not found:
        raise BadInput(f"no network is called '{pattern}'; `study models` lists all, `study models 'timm/*'` timm's")
    return found


def _timm_entry(name: str, listed: Listed, *, built: bool) -> dict[str, Any]:
    from trainables.backbones import BACKBONES

    known = BACKBONES[name] if built else None
    return {
        "name": name,
        "parameters": None if known is None else known.parameters,
        "features": None if known is None else known.features,
        "input": f"{'square images' if listed.one_size else 'images'}, made for {listed.size} px",
        "weights": listed.weights,
    }


def dataset_entries(data_dir: Path | None = None) -> list[dict[str, Any]]:
    """Return all data sets: name, title, number of classes, source of the images.

    Args:
        data_dir: folder of data sets that ``--data-dir`` named; None means STUDY_DATA_DIR.

    Raises:
        BadInput: the folder does not exist.
    """
    from trainables.data import DATASETS
    from trainables.data.sources.hf_folder import converted_sets
    from trainables.data.sources.own_dataset import plugged_datasets
    from trainables.data.sources.source_lookup import data_dir as data_folder
    from trainables.data.sources.source_lookup import folder_datasets

    root = data_folder(DataConfig(dataset="digits")) if data_dir is None else data_folder_named(data_dir, "--data-dir")
    folders = folder_datasets(root)
    plugged = {own.name: own for own in plugged_datasets()}
    names = list(dict.fromkeys(name for name in [*DATASETS, *folders] if name not in plugged))
    own = [{"name": n, "title": each.title, "classes": None, "source": "plug-in"} for n, each in plugged.items()]
    known = [
        {
            "name": name,
            "title": DATASETS[name].title if name in DATASETS else "",
            "classes": DATASETS[name].classes if name in DATASETS else None,
            "source": _folder_source(root / name, folders[name])
            if root is not None and name in folders
            else _BUILT_IN[DATASETS[name].source],
        }
        for name in names
    ]
    hub = [
        {"name": name, "title": "", "classes": None, "source": f"of Hugging Face, converted, in {folder}"}
        for name, folder in converted_sets(root).items()
    ]
    return known + hub + own


def _folder_source(folder: Path, kind: FolderKind) -> str:
    from trainables.data.sources.parquet_folder import UNSPLIT, holds_vectors, schema_of

    said = _FOLDERS[kind]
    if kind in ("parquet", "unsplit parquet"):
        file = folder / (UNSPLIT if kind == "unsplit parquet" else "train.parquet")
        try:
            said = said.replace("images", "vectors") if holds_vectors(schema_of(file)) else said
        except BadInput:
            said = "Parquet, damaged"
    return f"{said} in {folder}"


def title_of(entry: dict[str, Any]) -> str:
    """Return a method's title, marked if the method is implemented in part."""
    return str(entry["title"]) + (" (in part)" if entry["given_in_part"] else "")


def methods_markdown() -> str:
    """Return the README's table of methods as Markdown."""
    head = ["| name | method | source | differs from ERM in | searched |", "|---|---|---|---|---|"]
    return "\n".join([*head, *map(_markdown_row, method_entries())])


def _markdown_row(entry: dict[str, Any]) -> str:
    axes = ", ".join(entry["differs_in"]) or "nothing"
    searched = ", ".join(f"`{name}`" for name in entry["searched"]) or "training only"
    return f"| [`{entry['name']}`]({entry['file']}) | {title_of(entry)} | {entry['paper']} | {axes} | {searched} |"
