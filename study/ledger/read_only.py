"""A ledger that refuses every change, for programs of others that only show it."""

from __future__ import annotations

from typing import NoReturn

from optuna.storages import BaseStorage

_CHANGES = (
    "create_new_study",
    "delete_study",
    "set_study_user_attr",
    "set_study_system_attr",
    "create_new_trial",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
)
"""The methods of Optuna's `BaseStorage` that change a storage."""


class LedgerIsReadOnly(RuntimeError):
    """Something tried to change a ledger that was opened to be shown."""


def read_only(storage: BaseStorage) -> BaseStorage:
    """Make an open storage refuse every change; return the same object."""
    for name in _CHANGES:
        setattr(storage, name, _refuse)
    return storage


def _refuse(*given: object, **named: object) -> NoReturn:
    raise LedgerIsReadOnly("the ledger is shown read only; `study resume` continues a study")
