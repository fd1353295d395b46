"""Artifacts of a finished training: offsets, an embedding, a gallery of mistakes, logits, an exported model."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from trainables.core.logit_file import has_logits, write_logits
from trainables.core.trial_folder import StoredJson, TrialFolder
from trainables.core.trial_task import MODEL
from trainables.data import Split
from trainables.training.class_offsets import class_offsets
from trainables.training.embedding import embedding
from trainables.training.logits import logits
from trainables.training.mistakes import mistakes
from trainables.training.trainer import Trainer

ERRORS = "artifact-errors"
"""Name of the record of the artifacts that could not be made."""


def write_final_artifacts(
    trainer: Trainer,
    folder: TrialFolder,
    kinds: Collection[str],
    *,
    of_test: bool,
    begins: Callable[[str], object] = lambda kind: None,
) -> None:
    """Store the artifacts that the folder lacks; an attempt cut off before continues here.

    A kind that does not apply writes no file: offsets of a head that is not linear, a gallery of feature vectors. An
    error costs the artifact, not the trial; ``artifact-errors.json`` names it.

    Args:
        trainer: a finished training.
        folder: the trial's folder.
        kinds: kinds of `trial_task.ARTIFACTS`.
        of_test: embed and show test images; otherwise those that validate. Logits are of both, or of the latter.
        begins: called with each kind before it is made.

    Raises:
        OSError: a file cannot be written.
    """
    errors: StoredJson = {}
    for kind in sorted(kinds):
        begins(kind)
        try:
            _WRITERS[kind](trainer, folder, of_test)
        except OSError:
            raise
        except Exception as error:
            errors[kind] = f"{type(error).__name__}: {error}"
    if errors:
        folder.write_record(ERRORS, errors)


def write_end_arrays(trainer: Trainer, folder: TrialFolder) -> None:
    """Store what the method keeps of the end of its training, before the last epoch: a trial that has ended has it.

    Raises:
        OSError: a file cannot be written.
    """
    for name, arrays in trainer.end_arrays().items():
        folder.write_arrays(name, arrays)


def _write_offsets(trainer: Trainer, folder: TrialFolder, of_test: bool) -> None:
    if folder.record("offsets") is None and (found := class_offsets(trainer)) is not None:
        folder.write_record("offsets", found)


def _write_embedding(trainer: Trainer, folder: TrialFolder, of_test: bool) -> None:
    if folder.arrays("embedding") is None and (found := embedding(trainer, _split(trainer, of_test))) is not None:
        folder.write_arrays("embedding", {**found, "of_test": np.array(of_test)})


def _write_mistakes(trainer: Trainer, folder: TrialFolder, of_test: bool) -> None:
    if folder.arrays("mistakes") is None and (found := mistakes(trainer, _split(trainer, of_test))) is not None:
        folder.write_arrays("mistakes", {**found, "of_test": np.array(of_test)})


def _write_model(trainer: Trainer, folder: TrialFolder, of_test: bool) -> None:
    if folder.arrays(MODEL) is None or not folder.program_path.exists():
        from trainables.training.exported_network import exported_network  # torch.export takes half a second

        program, example = exported_network(trainer, _split(trainer, of_test))
        folder.write_program(program)
        folder.write_arrays(MODEL, {**example, "of_test": np.array(of_test)})


def _write_logits(trainer: Trainer, folder: TrialFolder, of_test: bool) -> None:
    if not has_logits(folder.path):
        write_logits(folder.path, logits(trainer, of_test=of_test))


def _split(trainer: Trainer, of_test: bool) -> Split:
    return trainer.data.test() if of_test else trainer.data.validation


_WRITERS: dict[str, Callable[[Trainer, TrialFolder, bool], None]] = {
    "offsets": _write_offsets,
    "embedding": _write_embedding,
    "mistakes": _write_mistakes,
    "logits": _write_logits,
    MODEL: _write_model,
}
