"""The fields of a line of the ledger's journal, and the kinds of their values: what an editor has spoilt is named.

Lines with a checksum are what was written and need no such look; those of an earlier version, or mended by hand, do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from study.search.trial_params import ENDED_WITH, PARAM_SOURCE, PARAMS, SELECTED_EPOCH
from study.spec.confirmed_settings import CONFIRM
from trainables.core.errors import shown
from trainables.core.trial_folder import METHOD_METRICS


class _Kind(NamedTuple):
    """What a value must be, in words, and the classes of such values."""

    words: str
    classes: tuple[type, ...]

    def holds(self, value: object) -> bool:
        return isinstance(value, self.classes) and (type(value) is not bool or bool in self.classes)


_NOTHING = type(None)
_WHOLE = _Kind("a whole number", (int,))
_NUMBER = _Kind("a number", (int, float))
_TEXT = _Kind("a text", (str,))
_TIME = _Kind("a time", (str,))
_LIST = _Kind("a list", (list,))
_NUMBERS = _Kind("a list of numbers or null", (list, _NOTHING))
_MAPPING = _Kind("a mapping", (dict,))

_NEEDED: dict[int, dict[str, _Kind]] = {
    0: {"study_name": _TEXT, "directions": _LIST},
    1: {"study_id": _WHOLE},
    2: {"study_id": _WHOLE, "user_attr": _MAPPING},
    3: {"study_id": _WHOLE, "system_attr": _MAPPING},
    4: {"study_id": _WHOLE, "datetime_start": _Kind("a time or null", (str, _NOTHING))},
    5: {"trial_id": _WHOLE, "param_name": _TEXT, "param_value_internal": _NUMBER, "distribution": _TEXT},
    6: {"trial_id": _WHOLE, "state": _WHOLE, "values": _NUMBERS},
    7: {"trial_id": _WHOLE, "step": _WHOLE, "intermediate_value": _NUMBER},
    8: {"trial_id": _WHOLE, "user_attr": _MAPPING},
    9: {"trial_id": _WHOLE, "system_attr": _MAPPING},
}
"""Operation of Optuna's journal -> the fields that its line must have. Operation 10 is of another program."""

_OPTIONAL: dict[str, _Kind] = {
    "state": _WHOLE,
    "values": _NUMBERS,
    "datetime_complete": _TIME,
    "distributions": _MAPPING,
    "params": _MAPPING,
    "user_attrs": _MAPPING,
    "system_attrs": _MAPPING,
    "intermediate_values": _MAPPING,
}
"""Fields that a line may have, and their kinds where it has them."""

_ATTRIBUTES: dict[str, _Kind] = {
    PARAMS: _MAPPING,
    PARAM_SOURCE: _TEXT,
    "phase": _TEXT,
    "seed": _WHOLE,
    "reason": _TEXT,
    "shared_epochs": _MAPPING,
    SELECTED_EPOCH: _WHOLE,
    METHOD_METRICS: _MAPPING,
    ENDED_WITH: _MAPPING,
}
"""This program's own attributes of a trial."""

_LAST_OPERATION, _CREATES_TRIAL, _SETS_TRIAL_ATTRIBUTE, _SETS_ONE = 10, 4, 8, (2, 3, 8, 9)


def line_fault(log: object) -> str | None:
    """Return what is wrong with a line of the journal, with the field; None if every field is of its kind.

    >>> line_fault({"op_code": 8, "worker_id": "w", "trial_id": 3, "user_attr": {"seed": "x"}})
    "`user_attr.seed` must be a whole number, got 'x'"
    >>> line_fault({"op_code": 8, "worker_id": "w", "trial_id": 3, "user_attr": {}})
    '`user_attr` must be a mapping with one name, got {}'
    """
    if not isinstance(log, dict):
        return f"must be a mapping, got {_said(log)}"
    operation = log.get("op_code")
    if type(operation) is not int or not 0 <= operation <= _LAST_OPERATION:
        return f"`op_code` must be a whole number from 0 to {_LAST_OPERATION}, got {_said(operation)}"
    needed = _NEEDED.get(operation, {})
    lacking = next((name for name in ("worker_id", *needed) if name not in log), None)
    if lacking is not None and operation in _NEEDED:
        return f"lacks the field `{lacking}`"
    kinds = {**{name: kind for name, kind in _OPTIONAL.items() if name in log}, **needed}
    found = _wrong(log, kinds)
    if found is None and not all(map(_NUMBER.holds, log.get("values") or ())):
        return f"`values` must be {_NUMBERS.words}, got {_said(log['values'])}"
    if found is None and operation in _SETS_ONE:
        field = "user_attr" if "user_attr" in log else "system_attr"
        if len(log[field]) != 1:
            return f"`{field}` must be a mapping with one name, got {_said(log[field])}"
    if found is None and operation in (_CREATES_TRIAL, _SETS_TRIAL_ATTRIBUTE):
        field = "user_attrs" if operation == _CREATES_TRIAL else "user_attr"
        found = _wrong_attribute(field, log.get(field, {}))
    return found


def _wrong_attribute(field: str, attributes: Mapping[str, Any]) -> str | None:
    if (found := _wrong(attributes, _ATTRIBUTES, f"{field}.")) is not None:
        return found
    if (found := _wrong_end(f"{field}.{ENDED_WITH}", attributes.get(ENDED_WITH, {}))) is not None:
        return found
    if attributes.get("phase", CONFIRM) != CONFIRM:
        return f"`{field}.phase` must be '{CONFIRM}', got {_said(attributes['phase'])}"
    return f"`{field}` lacks `seed`" if "phase" in attributes and "seed" not in attributes else None


def _wrong_end(place: str, ended: Mapping[str, Any]) -> str | None:
    """Look at the metrics with which a trial ended, on validation and on test images."""
    for part in ("metrics", "test"):
        found = ended.get(part, {})
        if not isinstance(found, dict):
            return f"`{place}.{part}` must be {_MAPPING.words}, got {_said(found)}"
        if (bad := next((name for name, value in found.items() if not _NUMBER.holds(value)), None)) is not None:
            return f"`{place}.{part}.{bad}` must be {_NUMBER.words}, got {_said(found[bad])}"
    return None


def _wrong(values: Mapping[str, Any], kinds: Mapping[str, _Kind], place: str = "") -> str | None:
    for name, kind in kinds.items():
        if name in values and not kind.holds(values[name]):
            return f"`{place}{name}` must be {kind.words}, got {_said(values[name])}"
    return None


def _said(value: object) -> str:
    return shown(repr(value) if isinstance(value, str) else json.dumps(value))
