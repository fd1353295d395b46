"""YAML files of studies: safe reading, ``path=value`` overrides, writing."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from study.spec.limited_yaml import DEEPEST, WRITTEN, Limits, NotYaml, parse_yaml, text_fault
from trainables.core.errors import BadInput, shown
from trainables.core.storage_path import StoragePath

_LAST_INDEX_DIGITS = 6


def read_yaml(path: StoragePath, limits: Limits = WRITTEN) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    No more than the limit is read, so that a device without end is refused like a file that is too large.

    Raises:
        BadInput: if the file is missing, unreadable, not YAML, larger than the limits or not a mapping.
    """
    loaded = _read(path, limits)
    if not isinstance(loaded, dict):
        raise BadInput(f"{path}: must hold a mapping of keys to values, got {type(loaded).__name__}")
    return loaded


def _read(path: StoragePath, limits: Limits) -> Any:
    try:
        content = _beginning(path, limits.bytes + 1)
        if len(content) > limits.bytes:
            raise BadInput(f"{path}: is too large for a study file; at most {limits.bytes:,} bytes are read")
        return parse_yaml(content.decode(), limits)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{path}: cannot be read: line {line} is not text in UTF-8 ({error.reason})") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error})") from None
    except NotYaml as error:
        raise BadInput(f"{path}: not valid YAML: {error}") from None


def _beginning(path: StoragePath, size: int) -> bytes:
    if not isinstance(path, Path):
        return path.read_bytes()
    try:
        # a named pipe without a writer is empty instead of waiting for one
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:  # a NUL byte
        raise BadInput(f"{shown(path)}: cannot be a file's name: {error}") from None
    with open(handle, "rb") as file:
        os.set_blocking(handle, True)
        return file.read(size)


def write_yaml(mapping: dict[str, Any]) -> str:
    """Return a mapping as YAML text, with its keys in their order."""
    return yaml.safe_dump(mapping, sort_keys=False, allow_unicode=True)


def write_overrides(path: Path, overrides: Sequence[str]) -> None:
    """Write ``path=value`` pairs for `read_overrides`, into a file that only its owner can read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(yaml.safe_dump(list(overrides), allow_unicode=True))


def read_overrides(path: Path) -> tuple[str, ...]:
    """Read ``path=value`` pairs: a YAML list of texts, so one per line after a hyphen.

    Raises:
        BadInput: if the file cannot be read or holds something else.
    """
    listed = _read(path, WRITTEN)
    if not isinstance(listed, list) or not all(isinstance(override, str) for override in listed):
        raise BadInput(f"{path}: must hold a list of path=value, for example `- search.trials=8`")
    return tuple(listed)


def with_overrides(mapping: dict[str, Any], overrides: tuple[str, ...]) -> dict[str, Any]:
    """Return a copy of a mapping with every ``path=value`` applied; list items are addressed by index.

    Raises:
        BadInput: if an override has no ``=``, its value is not YAML or exceeds a limit, or its path has a wrong
            list index, too many steps or leads through a plain value.

    >>> with_overrides({"search": {"trials": 4}}, ("search.trials=8",))
    {'search': {'trials': 8}}
    """
    changed = copy.deepcopy(mapping)
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path:
            raise BadInput(f"--set {shown(override)}: must be path=value, for example search.trials=8")
        steps = path.split(".")
        if len(steps) > DEEPEST:
            raise BadInput(f"--set {shown(override)}: the path may have {DEEPEST} steps, got {len(steps)}")
        if (wrong := text_fault(path)) is not None:
            raise BadInput(f"--set {shown(override)}: {wrong}")
        try:
            value = parse_yaml(text)
        except NotYaml as error:
            raise BadInput(f"--set {shown(override)}: the value is not valid YAML: {error}") from None
        _assign(changed, steps, value, shown(override))
    return changed


def _assign(place: Any, steps: list[str], value: Any, override: str) -> None:
    step, rest = steps[0], steps[1:]
    if isinstance(place, list):
        if not step.isdecimal() or len(step) > _LAST_INDEX_DIGITS or int(step) >= len(place):
            raise BadInput(f"--set {override}: '{shown(step)}' must be an index from 0 to {len(place) - 1}")
        key: Any = int(step)
    elif isinstance(place, dict):
        key = step
    else:
        raise BadInput(
            f"--set {override}: '{shown(step)}' is not a key: the value above it is neither a mapping nor a list"
        )
    if not rest:
        place[key] = value
        return
    if isinstance(place, dict) and not isinstance(place.get(key), (dict, list)):
        place[key] = {}
    _assign(place[key], rest, value, override)
