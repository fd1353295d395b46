"""The Ray Tune Trainable around the training loop: one step is one epoch, and actors are reused."""

from __future__ import annotations

import errno
import gc
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ray import tune

from trainables.core.device import device_name, pick_device, precision_used
from trainables.core.environment import describe_environment
from trainables.core.epoch_selection import is_better
from trainables.core.files import content_of
from trainables.core.metrics import recall_per_class
from trainables.core.object_path import StorageFault
from trainables.core.plugin_table import activate_copies
from trainables.core.step_progress import StepProgressFile
from trainables.core.trial_folder import EpochResult, StoredJson, TrialFolder
from trainables.core.trial_report import (
    NOTHING_SHARED,
    TRAINED_IN,
    EpochDone,
    Failed,
    MachineFault,
    SharedEpochDone,
    TrialReport,
    to_result,
)
from trainables.core.trial_task import HANG_NOTE, TrialTask
from trainables.core.workers import Workers
from trainables.data import load
from trainables.entry_points.hang_watch import HangWatch
from trainables.entry_points.memory_growth import MemoryGrowth, WorkerReplaced
from trainables.entry_points.worker_team import Built, WorkerTeam
from trainables.methods.registry import selectable_after
from trainables.shared_trainings.needed_trainings import SharedNeeds
from trainables.training.batch_objective import WrongLossShape
from trainables.training.checkpoints import newest_checkpoint, save_checkpoint
from trainables.training.evaluation import Evaluation
from trainables.training.final_artifacts import write_end_arrays, write_final_artifacts
from trainables.training.finite_watch import NonFiniteLoss
from trainables.training.trainer import Trainer
from trainables.training.training_state import State
from trainables.training.tuned_backbone import parameter_counts

_LOST_CAUSES = (NonFiniteLoss, WrongLossShape, torch.OutOfMemoryError)
"""Errors that a retry of the same trial would meet again: it fails alone and is not retried."""


_MACHINE_FAULTS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.ENOTDIR),
}
"""Errors of a disk or of its folders: no trial causes them, and every trial would meet them."""


class ImbalanceTrial(tune.Trainable):
    """One trial under Ray Tune.

    Its configuration is a `TrialTask` in JSON form, its results are `TrialReport`. Checkpoints go into the trial's own
    folder, not through Tune, so that any holder of the folder can continue: the same actor, another node, or a new
    driver after everything died. Shared trainings that are missing are trained first, one epoch per step.
    """

    _trainer: Trainer | None
    _needs: SharedNeeds | None
    _folder: TrialFolder
    _failure: str
    _fault: str
    _result: EpochResult | None
    _saved_at: float
    _evaluates_test: bool
    _select_by: str | None
    _selected: State | None
    _artifacts: tuple[str, ...]
    _trained_in: dict[str, str]
    _progress: StepProgressFile | None = None
    """Progress within the first epoch that this process trains, and after the last; None in a further worker."""

    _watch: HangWatch
    _hang_seconds: float | None
    _workers: Workers
    _team: WorkerTeam | None = None
    """The further workers of trials that several train together."""

    _growth: MemoryGrowth
    _growth_bytes: int | None

    def setup(self, config: dict[str, Any]) -> None:
        """Build the trial and continue from its newest checkpoint, if it has one."""
        self._watch = HangWatch(self._note_hang)
        self._growth = MemoryGrowth()
        gc.freeze()  # what was imported stays: collecting between trials would look through it every time
        if config:  # a further worker gets its trials by `build`
            self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Free one trial and build the next in the same process.

        Raises:
            WorkerReplaced: the process has grown by more than the study allows, or has lost a worker of its own.
        """
        grown = self.free()
        if self._team is not None:
            grown = max(grown, self._team.free())
            if self._team.broken:
                raise WorkerReplaced("it has lost a worker that it trained together with")
        if self._growth_bytes is not None and grown > self._growth_bytes:
            raise WorkerReplaced(f"its memory has grown by {grown / 2**30:.2f} GiB since its first trial")
        self._begin(new_config)
        return True

    def free(self) -> int:
        """Free the trial; return by how many bytes the process has grown since it first did."""
        self._free()
        return self._growth.since_first()

    def cleanup(self) -> None:
        """Free the trial."""
        self._free()

    def step(self) -> dict[str, Any]:
        """Run one epoch and report it; a lost cause is reported, not raised."""
        self._watch.begin(self._hang_seconds)
        try:
            together = self._team is not None and self._workers.leads and not self._workers.alone
            return to_result(self._team.step(self._advance) if together and self._team else self._advance())
        finally:
            self._watch.end()

    def _note_hang(self, where: str) -> None:
        (self._folder.path / HANG_NOTE).write_text(where, encoding="utf-8")

    def _on_step(self, epoch: int, step: int, steps: int, images: int) -> None:
        self._watch.step()
        if self._progress is not None:
            self._progress(epoch, step, steps, images)

    def _advance(self) -> TrialReport:
        trainer = self._trainer
        if trainer is None:
            return MachineFault(self._fault) if self._fault else Failed(self._failure)
        try:
            if not trainer.finished:
                if self._needs is not None and not self._needs.met():
                    trained = self._needs.advance(self._on_step)
                    if trained:
                        self._end_epoch()
                    return SharedEpochDone(trained)
                self._run_epoch(trainer)
                self._end_epoch()
            if trainer.finished and self._evaluates_test and self._workers.leads:
                self._evaluate_test(trainer)
                self._end_epoch()
        except _LOST_CAUSES as error:
            self._give_up(error)
            return Failed(self._failure)
        except OSError as error:
            if error.errno not in _MACHINE_FAULTS:
                raise
            return MachineFault(str(error))
        assert self._result is not None  # a trainer that is past its first epoch has one, also after a resume
        shared = self._needs.spent() if self._needs is not None else NOTHING_SHARED
        return EpochDone.of_stored(self._result, shared, trainer.finished, self._trained_in)

    def _give_up(self, error: Exception) -> None:
        self._end_epoch()
        if self._needs is not None:
            self._needs.release()
        self._failure, self._trainer, self._needs = f"{type(error).__name__}: {error}", None, None

    def _begin(self, config: dict[str, Any]) -> None:
        task = TrialTask.from_json(config)
        if task.workers == 1:
            self.build(config)
            return
        if self._team is None:
            self._team = WorkerTeam(partial(ImbalanceTrial, {}), task.workers)
        built = self._team.build(task.to_json(), partial(self.build, config))
        if built.fault or built.failure:
            self._free()
            self._fault, self._failure = built.fault, built.failure

    def build(self, config: dict[str, Any]) -> Built:
        """Build a trial in this process, one of those that train it."""
        self._trainer, self._needs, self._result, self._failure, self._fault = None, None, None, "", ""
        try:
            self._build(TrialTask.from_json(config))
        except StorageFault as error:  # raised, it would cost the trial its retries
            self._free()
            self._fault = str(error.strerror)
        except OSError as error:
            if error.errno not in _MACHINE_FAULTS:
                raise
            self._free()
            self._fault = str(error)
        return Built(0 if self._trainer is None else self._trainer.epoch, self._fault, self._failure)

    def _build(self, task: TrialTask) -> None:
        activate_copies(task.plugins)
        torch.set_num_threads(task.threads)
        self._workers, self._growth_bytes = Workers(task.rank, task.workers), task.growth_bytes
        leads = self._workers.leads
        self._select_by, self._selected = task.select_by, None
        self._saved_at, self._evaluates_test = time.monotonic(), task.evaluate_test
        self._artifacts, self._hang_seconds = task.artifacts, task.hang_seconds
        self._folder = TrialFolder(task.folder, writes=leads)
        self._progress = StepProgressFile(self._folder.path) if leads else None
        data, device = load(task.trial.data), pick_device()
        needs = SharedNeeds(
            *(task.trial, data, device, task.shared, self._folder),
            share_prefix=task.share_prefix,
            locks=task.locks,
            workers=self._workers,
        )
        try:
            trainer = Trainer(task.trial, data, device, needs.reference, self._workers)
        except _LOST_CAUSES as error:
            self._give_up(error)
            return
        self._continue(trainer)
        self._describe(trainer)
        needs.bind(trainer)
        self._trainer, self._needs = trainer, needs

    def _continue(self, trainer: Trainer) -> None:
        state = newest_checkpoint(self._folder.path)
        results = {result["epoch"]: result for result in self._folder.history()}
        epochs = trainer.config.training.epochs
        if state is not None and state["epoch"] >= epochs and epochs not in results and "result" in state:
            # it died between the last checkpoint and the last epoch's line
            results[epochs] = json.loads(state["result"])
            self._folder.append_epoch(results[epochs])
        reached = 0 if state is None else int(state["epoch"])
        lacking = next((epoch for epoch in range(1, reached + 1) if epoch not in results), None)
        if lacking is not None:
            # a result was lost or damaged: it is had again by repeating its epoch
            state = newest_checkpoint(self._folder.path, before=lacking)
        if state is not None:
            trainer.load(state)
            self._selected = state.get("selected")
            self._result = results.get(trainer.epoch)

    def _describe(self, trainer: Trainer) -> None:
        environment = describe_environment(device_name(trainer.device))
        environment["threads"] = torch.get_num_threads()
        if not self._workers.alone:
            environment["workers"] = self._workers.count
        if trainer.config.model.weights is not None:
            environment["weights_sha256"] = content_of(Path(trainer.config.model.weights))
        environment["precision"] = self._precisions(trainer)
        environment["trained_parameters"], environment["parameters"] = parameter_counts(trainer.network)
        self._trained_in = {name: str(environment[name]) for name in TRAINED_IN}
        other = trainer.data.other_test
        self._folder.write_config(
            {
                "trial": trainer.config.model_dump(mode="json"),
                "data_fingerprint": trainer.data.fingerprint,
                "environment": environment,
                **({} if other is None else {"test_images": other.recorded}),
                **({} if trainer.reference is None else {"reference_seed": trainer.reference.seed}),
            }
        )

    def _precisions(self, trainer: Trainer) -> str:
        """Return the precision; of a trial continued in another one, all of them in order, separated by commas."""
        now = precision_used(trainer.config.training.precision, trainer.device)
        before = ((self._folder.config() or {}).get("environment") or {}).get("precision") if trainer.epoch else None
        earlier = before.split(", ") if isinstance(before, str) else []
        return ", ".join(dict.fromkeys([*earlier, now]))

    def _run_epoch(self, trainer: Trainer) -> None:
        self._result = trainer.run_epoch(self._on_step)
        if not self._workers.leads:
            return
        self._select(trainer, self._result)
        # what belongs to an epoch comes before its line: a resume takes a trial with a last epoch for finished
        if self._selected is None or self._selected["epoch"] == trainer.epoch:
            self._write_evaluation(trainer)
        if trainer.finished:
            write_end_arrays(trainer, self._folder)
            self._write_artifacts(trainer)
            self._write_checkpoint(trainer)
        self._folder.append_epoch(self._result)
        due = time.monotonic() - self._saved_at >= trainer.config.training.checkpoint_seconds
        if due and not trainer.finished:
            self._write_checkpoint(trainer)
            self._saved_at = time.monotonic()

    def _write_checkpoint(self, trainer: Trainer) -> None:
        """Write a checkpoint; the last one comes before its epoch is stored, and so holds that epoch's result, too."""
        state = trainer.state()
        if self._selected is not None:
            state["selected"] = self._selected
        if trainer.finished:
            state["result"] = json.dumps(self._result)
        save_checkpoint(self._folder.path, trainer.epoch, state)

    def _select(self, trainer: Trainer, result: EpochResult) -> None:
        """Keep the weights of the best epoch so far, if the trial's result is its best epoch."""
        if self._select_by is None or trainer.epoch <= selectable_after(trainer.config):
            return
        value = float(result[self._select_by])
        if is_better(self._select_by, value, None if self._selected is None else float(self._selected["value"])):
            self._selected = {"value": value, **trainer.weights()}

    def _write_artifacts(self, trainer: Trainer) -> None:
        """Write the final artifacts with the weights of the selected epoch; the training keeps those of the last."""
        last = None
        if self._selected is not None and self._artifacts:
            last = trainer.weights()
            trainer.take_weights(self._selected)
        write_final_artifacts(
            *(trainer, self._folder, self._artifacts),
            of_test=self._evaluates_test,
            begins=lambda kind: self._say(trainer, f"making artifacts ({kind})"),
        )
        if last is not None:
            trainer.take_weights(last)

    def _say(self, trainer: Trainer, doing: str) -> None:
        if self._progress is not None:
            self._progress.say(trainer.epoch, doing)

    def _write_evaluation(self, trainer: Trainer) -> None:
        assert trainer.evaluation is not None
        self._folder.write_evaluation(_by_class(trainer, trainer.evaluation, trainer.epoch))

    def _evaluate_test(self, trainer: Trainer) -> None:
        """Evaluate the test images once, after the last epoch; a process that died before that does it here too.

        The weights are those of the selected epoch, which the checkpoint holds.
        """
        if self._folder.test() is None:
            self._say(trainer, "evaluating test images")
            epoch = trainer.epoch
            if self._selected is not None:
                trainer.take_weights(self._selected)
                epoch = int(self._selected["epoch"])
            found = trainer.evaluate(trainer.data.test())
            self._folder.write_test({"metrics": trainer.metrics(found), **_by_class(trainer, found, epoch)})

    def _end_epoch(self) -> None:
        if self._progress is not None:
            self._progress.end_epoch()

    def _free(self) -> None:
        self._end_epoch()
        if self._needs is not None:
            self._needs.release()
        self._trainer = self._needs = self._selected = self._progress = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _by_class(trainer: Trainer, found: Evaluation, epoch: int) -> StoredJson:
    """Return what an evaluation of an epoch's weights says of every class."""
    return {
        "epoch": epoch,
        "recall": recall_per_class(found.confusion.numpy()).tolist(),
        "confusion": found.confusion.tolist(),
        "class_counts": trainer.data.class_counts.tolist(),
        "class_names": list(trainer.data.class_names),
    }
