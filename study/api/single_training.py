"""One training from Python, without Ray, Optuna or MLflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.api.array_data import training_settings
from study.spec.single_trial import single_trial
from study.spec.study_plugins import activate_plugins

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from trainables.training.trainer import Trainer


@dataclass(frozen=True)
class Training:
    """A finished training.

    Attributes:
        epochs: one row per epoch with its metrics on validation images.
        test: metrics on the test images; None unless asked for.
        model: the trained network as `load_model` returns it, from stored images to logits.
    """

    epochs: pd.DataFrame
    test: dict[str, float] | None
    model: nn.Module


def train(
    method: str,
    *,
    params: Mapping[str, Any] | None = None,
    test: bool = False,
    output: str | Path | None = None,
    quiet: bool = False,
    plugins: Sequence[str] = (),
    **settings: Any,
) -> Training:
    """Train once.

    Args:
        method: a name of ``study methods``.
        params: hyperparameters that override the preset.
        test: evaluate on the test images at the end.
        output: folder of epochs and checkpoints, from which a later call goes on; None keeps nothing.
        quiet: print nothing.
        plugins: code of your own, as under ``plugins`` of a study file; paths count from the current folder. It stays
            active in this process.
        settings: those of `study.spec.single_trial.single_trial`: ``dataset``, ``ratio``, ``model``, ``epochs``,
            ``lr``, ``seed`` and so on, with the defaults of ``study train``. ``dataset`` may also be what `from_arrays`
            returns.

    Raises:
        BadInput: an unknown name, a value that is not allowed, or data that cannot be had.
    """
    import pandas as pd

    if plugins:
        activate_plugins(plugins, Path())
    from trainables.entry_points.standalone import Ending, train_once
    from trainables.training.exported_network import classifier_of

    trained: list[Trainer] = []
    rows: list[dict[str, Any]] = []

    def keep(trainer: Trainer) -> Ending:
        trained.append(trainer)
        return lambda _: {}

    say: Callable[[str], None] = (lambda _: None) if quiet else print
    found = train_once(
        single_trial(method, params=params, say=say, **training_settings(settings)),
        output=None if output is None else Path(output),
        with_test=test,
        say=say,
        extras=(keep,),
        on_epoch=rows.append,
    )
    tested = {name.removeprefix("test_"): value for name, value in found.items() if name.startswith("test_")}
    return Training(pd.DataFrame(rows), tested if test else None, classifier_of(trained[0]))
