"""What a stored study says of its plug-ins: their origins, their digests, and what reports need of their methods.

Reports, lists and exports never run the code of a plug-in: they read ``plugins.json``, which is written when the study
is created. A resume runs the stored copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import create_model

from search_spaces import SPACES
from search_spaces.dimension import Choices, Range, Space
from study.spec.search_tables import PRUNERS, SEARCHERS, Pruner, Searcher
from study.spec.study_plugins import FOLDER, used_sources
from study.spec.study_spec import StudySpec
from study.store.seals import sealed_json, unsealed_json
from trainables.backbones import BACKBONES
from trainables.backbones.architecture import Architecture
from trainables.components.optimizers import OPTIMIZERS, OptimizerFactory
from trainables.core.errors import BadInput, reason_of
from trainables.core.plugin_source import PluginSource, find_source
from trainables.core.storage_path import StoragePath, write_atomically
from trainables.methods.method import EpochMetric, Method, SharedPrefix
from trainables.methods.plan import Hyperparameters
from trainables.methods.registry import METHODS

FILE = "plugins.json"


class PluginRecord(NamedTuple):
    """A plug-in of a stored study.

    Attributes:
        stored: path of the copy, from the study's folder.
        digest: of its source when the study was created.
        origin: the absolute path, or the module, that it was copied from.
    """

    stored: str
    digest: str
    origin: str


def write_plugin_records(folder: StoragePath, spec: StudySpec) -> None:
    """Write ``plugins.json`` of a new study; nothing without plug-ins.

    Args:
        folder: the study's folder.
        spec: the study, whose plug-ins are active.
    """
    sources = used_sources(spec)
    if not sources:
        return
    own = [name for name in dict.fromkeys(method.name for method in spec.methods) if not METHODS.is_inside(name)]
    needed = [*own, *(n for name in own for n in _related(METHODS[name]) if not METHODS.is_inside(n))]
    optimizer = OPTIMIZERS[spec.training.optimizer]
    content = {
        "plugins": [
            {
                "stored": f"{FOLDER}/{source.name}{'' if source.is_package else '.py'}",
                "digest": source.digest,
                "origin": _origin(source),
            }
            for source in sources
        ],
        "methods": [_described(METHODS[name]) for name in reversed(dict.fromkeys(needed))],
        "backbones": [_described_network(spec.model.name)] if not BACKBONES.is_inside(spec.model.name) else [],
        "optimizers": [] if OPTIMIZERS.is_inside(optimizer.name) else [_described_optimizer(optimizer)],
        "searchers": [] if SEARCHERS.is_inside(spec.search.searcher) else [spec.search.searcher],
        "pruners": [] if PRUNERS.is_inside(spec.search.pruner.name) else [spec.search.pruner.name],
        "spaces": {name: {f: d.model_dump(mode="json") for f, d in SPACES[name].items()} for name in own},
    }
    write_atomically(folder / FILE, sealed_json(content))


def plugin_records(folder: StoragePath) -> list[PluginRecord]:
    """Return the plug-ins of a stored study; none where it has no ``plugins.json``.

    Raises:
        BadInput: the file cannot be read or was changed.
    """
    return [PluginRecord(**each) for each in _read(folder).get("plugins", [])]


def check_copies(folder: StoragePath) -> None:
    """Check that the stored copies of a study's plug-ins are those that it began with.

    Raises:
        BadInput: a copy is missing or has changed; the first one is named.
    """
    for record in plugin_records(folder):
        if (fault := changed_copy(record, folder)) is not None:
            raise BadInput(fault)


def changed_copy(record: PluginRecord, folder: StoragePath) -> str | None:
    """Return a sentence if the stored copy of a plug-in is missing or has changed; else None."""
    try:
        found = find_source(record.stored, folder).digest
    except BadInput as error:
        return f"{error}; put the study's copy of it back"
    if found == record.digest:
        return None
    return (
        f"{folder / record.stored}: this copy of the plug-in {record.origin} has changed since the study "
        "began, and trials before and after could not be compared; put the copy back, or start a new study"
    )


def changed_origins(folder: StoragePath) -> list[str]:
    """Return a sentence for every plug-in whose origin has changed since the study began: it goes on with the copy.

    Raises:
        BadInput: a copy is missing.
    """
    return [
        f"plug-in {record.origin} has changed since the study began; the study goes on with its own copy, "
        f"{folder / record.stored}. For the new code, start a new study"
        for record in plugin_records(folder)
        if _has_changed(record, folder)
    ]


def describe_plugins(folder: StoragePath) -> None:
    """Let reports read a study without the code of its plug-ins: from what was written when it was created.

    Raises:
        BadInput: ``plugins.json`` cannot be read.
    """
    content = _read(folder)
    for each in content.get("methods", []):
        METHODS.describe({each["name"]: _stand_in(each)})
    for each in content.get("backbones", []):
        BACKBONES.describe({each["name"]: Architecture(**each, build=_missing(each["name"]))})
    for each in content.get("optimizers", []):
        OPTIMIZERS.describe(
            {
                each["name"]: OptimizerFactory(
                    **{**each, "settings": tuple(each["settings"])}, build=_missing(each["name"])
                )
            }
        )
    SEARCHERS.describe({name: Searcher(name=name, build=_missing(name)) for name in content.get("searchers", [])})
    PRUNERS.describe({name: Pruner(name=name, build=_missing(name)) for name in content.get("pruners", [])})
    SPACES.describe({name: _space(fields) for name, fields in content.get("spaces", {}).items()})


def method_sources(folder: StoragePath) -> dict[str, str]:
    """Return the digest of the plug-in's source for every method of a stored study that comes from one.

    Raises:
        BadInput: ``plugins.json`` cannot be read.
    """
    content = _read(folder)
    copies = content.get("plugins", [])
    only = copies[0]["digest"] if len(copies) == 1 else None  # a study stored before methods had digests of their own
    found = {each["name"]: each.get("source", only) for each in content.get("methods", [])}
    return {name: digest for name, digest in found.items() if digest is not None}


def _origin(source: PluginSource) -> str:
    """Return a path that means the same from every folder; a module by its name."""
    if "/" not in source.given and not source.given.endswith(".py"):
        return source.given
    return str(source.path.absolute() if isinstance(source.path, Path) else source.path)


def _described_optimizer(optimizer: OptimizerFactory) -> dict[str, Any]:
    return {"name": optimizer.name, "settings": list(optimizer.settings), "paper": optimizer.paper}


def _has_changed(record: PluginRecord, folder: StoragePath) -> bool:
    try:
        now = find_source(record.origin, folder)
    except BadInput:
        return False  # moved or not here; the copy is what counts
    before = find_source(record.stored, folder)
    return now.files != before.files


def _read(folder: StoragePath) -> dict[str, Any]:
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        return unsealed_json(path)
    except BadInput as error:
        raise BadInput(f"{error}; put back a copy of it") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read ({reason_of(error)}); put back a copy of it") from None


def _related(method: Method) -> Iterable[str]:
    if method.reference is not None:
        yield method.reference
    if method.shared_prefix is not None and method.shared_prefix.method is not None:
        yield method.shared_prefix.method.name


def _described_network(name: str) -> dict[str, Any]:
    network = BACKBONES[name]
    return {"name": name, "features": network.features, "paper": network.paper, "parameters": network.parameters}


def _described(method: Method) -> dict[str, Any]:
    prefix = method.shared_prefix
    return {
        "name": method.name,
        "source": METHODS.code_of(method.name),
        "title": method.title,
        "paper": method.paper,
        "equation": method.equation,
        "given_in_part": method.given_in_part,
        "defaults": method.params().model_dump(mode="json"),
        "presets": {name: dict(values) for name, values in method.presets.items()},
        "defer_field": method.defer_field,
        "reference": method.reference,
        "shared_prefix": None
        if prefix is None
        else {"method": None if prefix.method is None else prefix.method.name, "params": prefix.params},
        "epoch_metrics": {name: asdict(metric) for name, metric in method.epoch_metrics.items()},
    }


def _missing(name: str) -> Callable[..., Any]:
    def build(*given: Any) -> Any:
        raise BadInput(f"'{name}' comes from a plug-in that is not loaded; `study resume` loads the study's own copy")

    return build


def _stand_in(said: Mapping[str, Any]) -> Method:
    """Return a method that knows its defaults and presets, and cannot be trained."""
    fields: dict[str, Any] = {name: (Any, value) for name, value in said["defaults"].items()}
    prefix = said["shared_prefix"]
    return Method(
        name=said["name"],
        title=said["title"],
        paper=said["paper"],
        equation=said["equation"],
        given_in_part=said["given_in_part"],
        params=create_model("StoredParams", __base__=Hyperparameters, **fields),
        build=_missing(said["name"]),
        presets=said["presets"],
        defer_field=said["defer_field"],
        reference=said["reference"],
        shared_prefix=None
        if prefix is None
        else SharedPrefix(None if prefix["method"] is None else METHODS[prefix["method"]], prefix["params"]),
        epoch_metrics={name: EpochMetric(**metric) for name, metric in said["epoch_metrics"].items()},
    )


def _space(fields: Mapping[str, Any]) -> Space:
    return {
        name: Choices.model_validate(each) if "choices" in each else Range.model_validate(each)
        for name, each in fields.items()
    }
