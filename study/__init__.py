"""Studies: what a study file says, how it runs, and what is found in it. Imports search_spaces and trainables.

From Python:

    from study import Study, from_arrays, load_model, train
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.api.array_data import ArrayData, from_arrays
    from study.api.single_training import Training, train
    from study.api.study_handle import Study
    from study.api.trained_trial import Trial, load_model
    from trainables.core.errors import BadInput

__all__ = ["ArrayData", "BadInput", "Study", "Training", "Trial", "from_arrays", "load_model", "train"]

_PLACES = {
    "ArrayData": "study.api.array_data",
    "BadInput": "trainables.core.errors",
    "Study": "study.api.study_handle",
    "Training": "study.api.single_training",
    "Trial": "study.api.trained_trial",
    "from_arrays": "study.api.array_data",
    "load_model": "study.api.trained_trial",
    "train": "study.api.single_training",
}


def __getattr__(name: str) -> Any:
    """Import a name of the Python interface when it is first used: the command must start without pandas."""
    if name not in _PLACES:
        raise AttributeError(f"module 'study' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """Return the names of the Python interface."""
    return sorted([*globals(), *__all__])
