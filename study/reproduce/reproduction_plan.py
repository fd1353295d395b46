"""The studies that train a published table: whole, or shortened, restricted or replaced, and labelled so."""

from __future__ import annotations

import copy
import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.reproduce.published import PAPERS, STUDIES, Entry, Place, PublishedTable
from study.spec.cell import profile_name
from study.spec.study_spec import ProfileSpec, StudySpec
from study.spec.validation import checked_spec
from study.spec.yaml_io import read_yaml
from trainables.core.config import DataConfig
from trainables.core.errors import BadInput, unknown_name

Mapping = dict[str, Any]

WHOLE = "table"
"""Word of ``--only`` that keeps every figure of the table and drops what else its study files train."""

_LONGEST_NAME = 64
_OF_LARGE_IMAGES = ("crop_size", "test_crop_size", "crop_padding", "brightness", "input_scaling")


@dataclass(frozen=True)
class Changes:
    """How a reproduction departs from the paper's table.

    Attributes:
        scale: fraction of the epochs, searched trials and seeds, in (0, 1].
        only: headings of rows or columns, methods, data sets, profiles or networks to keep; or `WHOLE`.
        model: a network in place of the table's.
        dataset: a data set in place of the table's first one.
        ratio: its imbalance ratio, long-tailed.
    """

    scale: float = 1.0
    only: tuple[str, ...] = ()
    model: str | None = None
    dataset: str | None = None
    ratio: float = 100.0

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1:
            raise BadInput(f"--scale {self.scale:g}: must be above 0 and at most 1")
        if not 1 <= self.ratio < math.inf:
            raise BadInput(f"--ratio {self.ratio:g}: must be at least 1")

    @property
    def comparable(self) -> bool:
        """True if the figures can be held against the paper's: the same length, network and data."""
        return self.scale == 1 and self.model is None and self.dataset is None

    @property
    def suffix(self) -> str:
        """What a study's name ends in, so that its folder differs from that of the whole table's."""
        parts = [
            f"scale-{self.scale:g}" if self.scale < 1 else "",
            f"with-{self.model}" if self.model else "",
            f"on-{self.dataset}-{self.ratio:g}" if self.dataset else "",
            "only-" + "-".join(self.only) if self.only else "",
        ]
        said = "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", part).strip("-") for part in parts if part)
        return f"-{said}" if said else ""


@dataclass(frozen=True)
class PlannedStudy:
    """A study of a table: its file, the network it takes from the table, and the study to run."""

    file: Path
    model: str | None
    spec: StudySpec


@dataclass(frozen=True)
class Plan:
    """A table, the changes, the figures that are kept, and the studies that train them.

    Attributes:
        table: the published table.
        changes: how the reproduction departs from it.
        entries: the figures that are kept; with another data set, with the place there.
        studies: (study file, network of the table or None) -> study.
        labels: every departure in words; empty for a whole reproduction.
    """

    table: PublishedTable
    changes: Changes
    entries: tuple[Entry, ...]
    studies: dict[tuple[str, str | None], PlannedStudy]
    labels: tuple[str, ...]

    def study_of(self, place: Place) -> PlannedStudy | None:
        """Return the study that trains a figure, or None."""
        return None if place.study is None or place.not_run else self.studies.get((place.study, place.model))


def plan(table: PublishedTable, changes: Changes | None = None, folder: Path | None = None) -> Plan:
    """Plan the reproduction of a table.

    Args:
        table: the table.
        changes: how to depart from it; None reproduces it whole.
        folder: folder of the study files; None means `STUDIES`.

    Raises:
        BadInput: nothing is left to keep, or a study file or a change is invalid.
    """
    wanted, place = changes or Changes(), STUDIES if folder is None else folder
    kept = _kept(table, wanted.only)
    labels = []
    if wanted.model is not None:
        labels.append(f"network {wanted.model} in place of the paper's")
    if wanted.dataset is not None:
        kept, replaced = _stand_in(kept, wanted)
        labels.append(f"{wanted.dataset} at ratio {_ratio(wanted, replaced)} in place of {replaced}")
    if wanted.only:
        labels.append(f"only {', '.join(wanted.only)}")
    trained = [entry.place for entry in kept if entry.place.study is not None and not entry.place.not_run]
    studies: dict[tuple[str, str | None], PlannedStudy] = {}
    shortened = []
    # the order of the table, each study once
    for stem, model in dict.fromkeys((one.study or "", one.model) for one in trained):
        file = place / f"{stem}.yaml"
        mapping = read_yaml(file)
        network = model if model != _model_name(mapping) else None
        places = [one for one in trained if (one.study, one.model) == (stem, model)]
        changed = _changed(mapping, places, network, wanted)
        changed["name"] = _name(stem, network, wanted)
        said = [*_shortened(mapping, changed, wanted.scale), *labels]
        if said:
            changed["question"] = f"[{'; '.join(said)}] {mapping.get('question', '')}"
        shortened += _shortened(mapping, changed, wanted.scale)
        studies[stem, model] = PlannedStudy(file, network, checked_spec(changed, (), source=str(file)))
    return Plan(table, wanted, tuple(kept), studies, tuple(dict.fromkeys([*shortened, *labels])))


def _kept(table: PublishedTable, only: tuple[str, ...]) -> list[Entry]:
    """Return the figures that ``--only`` keeps: of each kind of name that it has, one must match."""
    entries = list(table.entries())
    names: dict[str, set[str]] = {
        "row": {entry.row for entry in entries},
        "column": {entry.column for entry in entries},
    }
    for field in ("method", "dataset", "profile", "model"):
        names[field] = {value for entry in entries if (value := getattr(entry.place, field)) is not None}
    chosen: dict[str, set[str]] = {}
    for word in only:
        if word == WHOLE:
            continue
        parts = [word] if any(word in known for known in names.values()) else word.split("/")
        for part in parts:
            kind = next((kind for kind, known in names.items() if part in known), None)
            if kind is None:
                raise unknown_name("row, column or part under --only:", part, set().union(*names.values(), {WHOLE}))
            chosen.setdefault(kind, set()).add(part)
    kept = [
        entry
        for entry in entries
        if (entry.figure is not None or not entry.place.not_run)
        and all((getattr(entry, k) if k in ("row", "column") else getattr(entry.place, k)) in chosen[k] for k in chosen)
    ]
    if not kept:
        raise BadInput(f"--only {' --only '.join(only)}: no figure of {table.name} is all of these")
    return kept


def _ratio(changes: Changes, replaced: str) -> str:
    """Return the ratio of the data set that stands in, and the option that chooses it where the table has another."""
    same = replaced.endswith(f" long_tail-{changes.ratio:g}")
    return f"{changes.ratio:g}" + ("" if same else " (--ratio chooses another)")


def _stand_in(entries: list[Entry], changes: Changes) -> tuple[list[Entry], str]:
    """Keep the figures of the first data set and profile, and place ours on the data set that stands in."""
    first = next((one.place for one in entries if one.place.dataset is not None and not one.place.not_run), None)
    if first is None:
        raise BadInput(f"--dataset {changes.dataset}: no study trains a figure of this table")
    chosen = {"dataset": changes.dataset, "profile": f"long_tail-{changes.ratio:g}"}
    kept = [
        Entry(entry.row, entry.column, entry.figure, entry.place.model_copy(update=chosen))
        for entry in entries
        if (entry.place.dataset, entry.place.profile) == (first.dataset, first.profile)
    ]
    return kept, f"{first.dataset} {first.profile}"


def _changed(mapping: Mapping, places: list[Place], network: str | None, changes: Changes) -> Mapping:
    """Return the content of a study file under the changes; its name is not changed yet."""
    changed = copy.deepcopy(mapping)
    if changes.dataset is not None:
        _replace_data(changed, changes)
    if changes.only:
        _restrict(changed, places)
    if network is not None:
        changed["model"] = network
    if changes.model is not None:
        changed["model"] = changes.model
    if changes.scale < 1:
        _shorten(changed, changes.scale, grid=any(one.params for one in places))
    return changed


def _model_name(mapping: Mapping) -> str:
    model = mapping.get("model", "resnet32")
    return str(model["name"] if isinstance(model, dict) else model)


def _name(stem: str, network: str | None, changes: Changes) -> str:
    name = f"{stem}{f'-{network}' if network else ''}{changes.suffix}"
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9].rstrip('-._')}-{digest}"


def _shorten(mapping: Mapping, scale: float, *, grid: bool) -> None:
    """Scale epochs, seeds and, unless every trial is a figure of the table, trials; at least one of each."""
    training, search = mapping["training"], mapping["search"]
    training["epochs"] = _scaled(training["epochs"], scale)
    if not grid:
        search["trials"] = _scaled(search["trials"], scale)
    if "confirm" in mapping:
        mapping["confirm"]["seeds"] = _scaled(mapping["confirm"]["seeds"], scale)
    mapping["artifacts"] = dict.fromkeys(("offsets", "embedding", "mistakes"), "none")


def _shortened(whole: Mapping, short: Mapping, scale: float) -> list[str]:
    """Say what a scaled study has less of; nothing at full length."""
    if scale == 1:
        return []
    said = []
    for section, key in (("training", "epochs"), ("search", "trials"), ("confirm", "seeds")):
        if key in whole.get(section, {}):
            before, now = whole[section][key], short[section][key]
            said.append(f"{now} of {before} {key}" if now != before else f"{now} {key}")
    return [f"scale {scale:g}: {', '.join(said)}"]


def _scaled(count: int, scale: float) -> int:
    return max(1, round(count * scale))


def _replace_data(mapping: Mapping, changes: Changes) -> None:
    """Replace the data by one long-tailed profile of another data set, with images of their own size."""
    profile = {"kind": "long_tail", "ratio": changes.ratio}
    mapping["data"] = [{"dataset": changes.dataset, "protocol": "holdout", "profiles": [profile]}]
    training = mapping.setdefault("training", {})
    for key in _OF_LARGE_IMAGES:
        training.pop(key, None)
    training["augmentation"] = "auto"
    mapping["model"] = _model_name(mapping)  # without weights, which are trained on large images
    if "confirm" not in mapping and not any("search" in method for method in mapping["methods"]):
        mapping["confirm"] = {"seeds": 1}


def _restrict(mapping: Mapping, places: Iterable[Place]) -> None:
    """Drop the methods, profiles and points of a grid that no kept figure needs."""
    wanted = list(places)
    methods = {place.method for place in wanted}
    where = {(place.dataset, place.profile) for place in wanted}
    mapping["methods"] = [_with_points(one, wanted) for one in mapping["methods"] if _label(one) in methods]
    points = {(place.method, repr(place.params)) for place in wanted if place.params}
    if points:
        mapping["search"]["trials"] = max(Counter(method for method, _ in points).values())
    data = []
    for entry in mapping["data"]:
        profiles = [one for one in _single_profiles(entry) if (_data_label(entry), _profile_name(entry, one)) in where]
        if profiles:
            data.append({**entry, "profiles": profiles})
    mapping["data"] = data


def _label(method: Any) -> str:
    return str(method if isinstance(method, str) else method.get("label") or method["name"])


def _with_points(method: Any, places: list[Place]) -> Any:
    """Return a method whose searched choices are those of the kept figures, where figures are points of a grid."""
    points = [place.params for place in places if place.method == _label(method) and place.params]
    if not points or isinstance(method, str):
        return method
    search, fixed = dict(method["search"]), dict(method.get("params", {}))
    for name in list(search):
        kept = list(dict.fromkeys(point[name] for point in points if name in point))
        if len(kept) == 1:
            fixed[name] = kept[0]  # a choice has two values at least
            del search[name]
        elif kept:
            search[name] = {"choices": kept}
    return {**method, "params": fixed, "search": search}


def _data_label(entry: Mapping) -> str:
    noise = entry.get("label_noise")
    return str(entry.get("label") or f"{entry['dataset']}{f'-noise{noise:g}' if noise else ''}")


def _single_profiles(entry: Mapping) -> list[Mapping]:
    """Return the profiles of a data set, each with one ratio."""
    found = []
    for profile in entry["profiles"]:
        ratios = profile.get("ratio")
        found += [{**profile, "ratio": one} for one in ratios] if isinstance(ratios, list) else [profile]
    return found


def _profile_name(entry: Mapping, profile: Mapping) -> str:
    (config,) = ProfileSpec.model_validate(profile).profiles()
    return profile_name(DataConfig(dataset=entry["dataset"], profile=config))


__all__ = ["PAPERS", "WHOLE", "Changes", "Plan", "PlannedStudy", "plan"]
