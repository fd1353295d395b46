"""YAML files of studies: safe reading, ``path=value`` overrides, writing."""

from __future__ import annotations

import copy
from collections.abc import Hashable
from typing import Any

import yaml

from trainables.core.errors import BadInput
from trainables.core.storage_path import StoragePath


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that rejects duplicate keys, of which PyYAML would keep the last one."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue  # `<<: *other` is exempt: an explicit key may replace a merged one
        key, line = loader.construct_object(key_node, deep=True), key_node.start_mark.line + 1
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, f"a key must be a plain value (line {line})")
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key '{key}' (line {line})")
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: StoragePath) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        BadInput: if the file is missing, unreadable, not YAML or not a mapping.
    """
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({error})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # an impossible date; brackets nested too deep
        raise BadInput(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(loaded, dict):
        raise BadInput(f"{path}: must hold a mapping of keys to values, got {type(loaded).__name__}")
    return loaded


def write_yaml(mapping: dict[str, Any]) -> str:
    """Return a mapping as YAML text, with its keys in their order."""
    return yaml.safe_dump(mapping, sort_keys=False, allow_unicode=True)


def with_overrides(mapping: dict[str, Any], overrides: tuple[str, ...]) -> dict[str, Any]:
    """Return a copy of a mapping with every ``path=value`` applied; list items are addressed by index.

    Raises:
        BadInput: if an override has no ``=``, its value is not YAML, or its path has a wrong
            list index or leads through a plain value.

    >>> with_overrides({"search": {"trials": 4}}, ("search.trials=8",))
    {'search': {'trials': 8}}
    """
    changed = copy.deepcopy(mapping)
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path:
            raise BadInput(f"--set {override}: must be path=value, for example search.trials=8")
        try:
            value = yaml.load(text, Loader=_StrictLoader)
        except (yaml.YAMLError, ValueError, RecursionError):
            raise BadInput(f"--set {override}: the value is not valid YAML") from None
        _assign(changed, path.split("."), value, override)
    return changed


def _assign(place: Any, steps: list[str], value: Any, override: str) -> None:
    step, rest = steps[0], steps[1:]
    if isinstance(place, list):
        if not step.isdecimal() or int(step) >= len(place):
            raise BadInput(f"--set {override}: '{step}' must be an index from 0 to {len(place) - 1}")
        key: Any = int(step)
    elif isinstance(place, dict):
        key = step
    else:
        raise BadInput(f"--set {override}: '{step}' is not a key: the value above it is neither a mapping nor a list")
    if not rest:
        place[key] = value
        return
    if isinstance(place, dict) and not isinstance(place.get(key), (dict, list)):
        place[key] = {}
    _assign(place[key], rest, value, override)
