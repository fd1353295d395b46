"""Training loop over stages, losses, heads and samplers; independent of methods, Ray, Optuna and MLflow."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainables.backbones import build_backbone, check_image_shape
from trainables.backbones.layer_order import layer_order
from trainables.backbones.pretrained_weights import load_weights
from trainables.backbones.timm_lookup import weights_statistics
from trainables.components.batch import Batch, EpochOrder, TransformContext
from trainables.components.lr_schedule import learning_rate, over_a_stage
from trainables.components.network import Network, Outputs
from trainables.components.optimizers import build_optimizer, layer_groups, set_learning_rate
from trainables.components.posthoc.posthoc_change import PostHoc
from trainables.components.sampling import batches_of, epoch_indices
from trainables.components.updates import Step
from trainables.components.whole_batch_norm import norms_over_workers
from trainables.core.config import TrialConfig, input_scaling
from trainables.core.derived_seeds import derive_seed
from trainables.core.device import autocast_dtype, keep_freed_memory, pick_device
from trainables.core.metrics import from_confusion, recall_per_class
from trainables.core.randomness import epoch_generator
from trainables.core.step_progress import OnStep
from trainables.core.trial_folder import CLASS_RECALL, METHOD_METRICS, ArrayFile
from trainables.core.workers import ALONE, Workers
from trainables.data import Split, StudyData, resolve_augmentation
from trainables.data.pipeline.batch_pipeline import BatchPipeline
from trainables.data.pipeline.streaming_pipeline import open_pipeline
from trainables.data.pipeline.strong_augmentation import strong_augmentation
from trainables.methods.plan import EVERYTHING, MethodContext, Stage, StageStart
from trainables.methods.registry import build_plan, reference_of
from trainables.training.averaged_weights import AveragedWeights
from trainables.training.batch_objective import batch_objective
from trainables.training.evaluation import Evaluation, adjusted_outputs, class_means, evaluate, features_of
from trainables.training.finite_watch import FiniteWatch, NonFiniteLoss
from trainables.training.network_input import network_input
from trainables.training.resolved_values import changed_value, resolved_values
from trainables.training.split_network import SplitNetwork, SplitPasses, shares_of
from trainables.training.training_state import (
    State,
    kept_of_backbone,
    load_backbone,
    load_prefix,
    load_state_dict,
    state_dict,
)
from trainables.training.tuned_backbone import frozen_digest, tune

if TYPE_CHECKING:
    from trainables.components.optimizers import Parameters

FindReference = Callable[[TrialConfig], Network]
"""Finds or trains the frozen network of a configuration, as `reference_of` returns it."""

_log = logging.getLogger(__name__)
_STORED_RECALLS = 200
"""Largest number of classes whose recalls are stored with every epoch: a kilobyte and a half."""


def train_reference(data: StudyData, device: torch.device, config: TrialConfig) -> Network:
    """Train a network to the end without writing files; return it frozen, in evaluation mode."""
    with torch.random.fork_rng():
        trainer = Trainer(config, data, device)
        while not trainer.finished:
            trainer.run_epoch()
    return trainer.evaluated.requires_grad_(False).eval()


class Trainer:
    """One training: builds all components from a `TrialConfig`, then runs it epoch by epoch.

    Args:
        config: configuration of the training; its seed determines the initial weights.
        data: the data of ``config.data``.
        device: training device; None picks the first GPU, or the CPU.
        find_reference: returns the frozen network required by `Method.reference`; None trains one for this training
            only. `trainables.shared_trainings.shared_training` provides a cached one.
        workers: the processes that train together; each builds a trainer of the same arguments, and `run_epoch` runs in
            all of them at once. Every other method, evaluation among them, is this process's own.

    Attributes:
        epoch: number of finished epochs.
        evaluation: validation results of the last epoch, or None before the first.
        reference: configuration of the network required by `Method.reference`, or None.

    Raises:
        BadInput: if the backbone does not fit the images, or the method's params or weights file are invalid.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: StudyData,
        device: torch.device | None = None,
        find_reference: FindReference | None = None,
        workers: Workers = ALONE,
    ) -> None:
        self.config, self.data, self.workers = config, data, workers
        self.device = device or pick_device()
        self._find_reference = find_reference or partial(train_reference, data, self.device)
        self.reference = reference_of(config)
        self.epoch = 0
        self.evaluation: Evaluation | None = None
        self._posthoc_value: float | None = None
        self._transforming: Stage | None = None
        self._frozen: str | None = None
        if self.device.type == "cpu":
            keep_freed_memory()
        torch.manual_seed(derive_seed(config.seed, 0, "weights"))
        stored_channels, stored_height, stored_width = (int(size) for size in data.train.images.shape[1:])
        stored = (stored_channels, stored_height, stored_width)
        shape = network_input(config.model, config.training, config.data.dataset, stored)
        check_image_shape(config.model.name, shape, config.model.options)
        channels, height, _ = shape
        backbone = build_backbone(config.model.name, channels, height, config.model.options)
        if config.model.weights is not None:
            load_weights(backbone, Path(config.model.weights))
        norms_over_workers(backbone, workers, self.device)
        self.plan = build_plan(config.method, MethodContext(data.class_counts.to(self.device), backbone.feature_dim))
        tuned = tune(backbone, config.model, self.plan, config.method.name)
        layout = torch.channels_last if config.training.channels_last else torch.contiguous_format
        self.network = Network(
            backbone.to(self.device).to(memory_format=layout),
            self.plan.head.to(self.device),
            autocast_dtype(config.training.precision, self.device),
            config.training.compile,
            tuned,
        )
        self.memory = self.plan.memory.to(self.device) if self.plan.memory is not None else torch.nn.Module()
        self._split = None if workers.alone else SplitNetwork(self.network, self.memory, workers)
        self.batches = self._training_pipeline(data.train, stored)
        self.validation = self._pipeline(data.validation)
        ema = config.training.ema
        self._averaged = None if ema is None else AveragedWeights(self.network, ema, compiled=config.training.compile)
        self.optimizer = build_optimizer(self._parameters(), config.training)
        for stage in self.plan.stages:
            stage.update.prepare(self._parameters(), config.training)

    def _parameters(self) -> Parameters:
        """Return the parameters that some stage trains, in new groups by layer if the learning rate depends on it."""
        decay, model, trained = (
            self.config.training.layer_decay,
            self.config.model.name,
            self.network.trainable_parameters(),
        )
        if decay == 1:
            return [parameter for _, parameter in trained]
        return layer_groups(trained, layer_order(model, self.network.backbone), decay)

    @property
    def evaluated(self) -> Network:
        """The network that is evaluated and exported: with averaged weights, if the training averages them."""
        return self.network if self._averaged is None else self._averaged.network

    def _training_pipeline(self, split: Split, stored: tuple[int, int, int]) -> BatchPipeline:
        training = self.config.training
        return self._open(
            split,
            augmentation=resolve_augmentation(training.augmentation, self.config.data.dataset, stored),
            padding=training.crop_padding,
            crop_size=training.crop_size,
            brightness=training.brightness,
            strong=strong_augmentation(training, self.input_scaling()[0]),
        )

    def _pipeline(self, split: Split) -> BatchPipeline:
        """Return the pipeline of a split for evaluation: centre crops without augmentation."""
        training = self.config.training
        return self._open(split, crop_size=training.test_crop_size or training.crop_size)

    def _open(self, split: Split, **options: Any) -> BatchPipeline:
        mean, std = self.input_scaling()
        layout = self.config.training.channels_last
        return open_pipeline(split, mean, std, device=self.device, channels_last=layout, **options)

    def input_scaling(self) -> tuple[Sequence[float], Sequence[float]]:
        """Return mean and standard deviation per channel, by which images in [0, 1] or features are normalised."""
        mean, std = self.data.mean, self.data.std
        scaling = input_scaling(self.config.model, self.config.training)
        if scaling == "pretrained":
            return weights_statistics(self.config.model.name, len(mean))
        if scaling == "symmetric":
            return (0.5,) * len(mean), (0.5,) * len(std)  # (x - 0.5) / 0.5 maps [0, 1] to [-1, 1]
        return mean, std

    @property
    def finished(self) -> bool:
        """Return True once all epochs of the budget are trained."""
        return self.epoch >= self.config.training.epochs

    def run_epoch(self, on_step: OnStep | None = None) -> dict[str, Any]:
        """Train one epoch, validate, and return the epoch result: a dict of stage, losses, metrics and speed.

        The method's own metrics, if it has any, stand under `METHOD_METRICS`, and the classes' recalls
        under `CLASS_RECALL`.

        Args:
            on_step: called after every step with numbers of the host; the device may still be at work on it.

        Raises:
            NonFiniteLoss: if a training or validation loss is infinite or NaN; the epoch then has no result.
            WrongLossShape: if the method's loss does not give one value per image.
        """
        stage = self.plan.stage_at(self.epoch, self.config.training.epochs)
        rate = self._enter(stage)
        began = time.perf_counter()
        train_loss = self._train(stage, rate, on_step)
        seconds = time.perf_counter() - began
        self.evaluation = found = self._evaluate(self.validation, stage, workers=self.workers)
        self._posthoc_value = found.posthoc_value
        if not math.isfinite(found.loss):  # the last step can diverge without a training loss showing it
            raise NonFiniteLoss(
                f"validation loss {found.loss} at epoch {self.epoch + 1}, after its last step "
                f"(training loss {train_loss:.4g}, learning rate {rate:.4g})"
            )
        self.epoch += 1
        own = {} if stage.epoch_metrics is None else _finite(stage.epoch_metrics())
        return {
            "epoch": self.epoch,
            "stage": stage.name,
            "train_loss": train_loss,
            **self.metrics(found),
            "learning_rate": rate,
            "images_per_second": len(self.data.train.labels) / seconds,
            **({METHOD_METRICS: own} if own else {}),
            **self._class_recall(found),
        }

    def _class_recall(self, found: Evaluation) -> dict[str, list[float]]:
        """Return the recall of every class, rounded; with many classes nothing, since every epoch stores it."""
        if len(found.confusion) > _STORED_RECALLS:
            return {}
        return {CLASS_RECALL: [round(value, 5) for value in recall_per_class(found.confusion.numpy()).tolist()]}

    def end_arrays(self) -> Mapping[str, ArrayFile]:
        """Return what the last stage stores after the last epoch; no random state and no weight changes."""
        stage = self.plan.stages[-1]
        return {} if stage.end_arrays is None or self._transforming is not stage else stage.end_arrays()

    def metrics(self, found: Evaluation) -> dict[str, float]:
        """Return the metrics of an evaluation by their names in `METRICS`, and the post-hoc value if there is one."""
        extra = {} if found.posthoc_value is None else {"posthoc_value": found.posthoc_value}
        top = {f"top_{k}": share for k, share in found.top.items()}
        counts = self.data.class_counts.numpy()
        return {"loss": found.loss, **from_confusion(found.confusion.numpy(), counts), **top, **extra}

    def _enter(self, stage: Stage) -> float:
        """Start the stage on its first epoch and after a resume; set and return the epoch's learning rate."""
        training, seed = self.config.training, self.config.seed
        span = self.plan.span(stage, training.epochs)
        if self.epoch == span.start and self._averaged is not None and _starts_from_average(stage):
            self._averaged.give()
        if self.epoch == span.start and stage.begin is not None:
            with torch.no_grad():
                stage.begin(
                    StageStart(self.plan.head, self.class_means, epoch_generator(seed, self.epoch, "stage begin"))
                )
        if self.epoch == span.start and stage.restarts_schedule:
            self.optimizer.state.clear()
        if stage.transform is not None and self._transforming is not stage:
            counts = self.data.class_counts.to(self.device)
            stage.transform.begin_stage(
                TransformContext(self.network, self.batches, counts, self._reference_network, self.workers)
            )
            self._transforming = stage
        schedule, within = training.schedule, (self.epoch, training.epochs)
        if stage.restarts_schedule:
            schedule, within = over_a_stage(schedule, training.epochs), (self.epoch - span.start, len(span))
        rate = learning_rate(schedule, training.lr, *within)
        decay = training.weight_decay if stage.weight_decay is None else stage.weight_decay
        set_learning_rate(self.optimizer, rate)
        for group in self.optimizer.param_groups:
            group["weight_decay"] = decay
        return rate

    def _reference_network(self) -> Network:
        assert self.reference is not None, f"{self.config.method.name} has no reference"
        return self._find_reference(self.reference)

    def class_means(self) -> Tensor:
        """Return the mean evaluation-mode feature of every class's training images, float32 (K, d)."""
        return class_means(self.evaluated, self._pipeline(self.data.train), len(self.data.class_counts))

    def _train(self, stage: Stage, rate: float, on_step: OnStep | None = None) -> float:
        seed, epoch, size = self.config.seed, self.epoch, self.config.training.batch_size
        # layers such as dropout sample from the global generator; reseeding it every epoch makes a resumed trial
        # bit-exact
        torch.manual_seed(derive_seed(seed, epoch, "network"))
        rows = epoch_indices(stage.sampler, self.data.train.labels, epoch_generator(seed, epoch, "order"))
        draws = self.batches.draw(len(rows), epoch_generator(seed, epoch, "augmentation"))
        parts = tuple(batches_of(len(rows), size))
        if stage.transform is not None:
            generator = epoch_generator(seed, epoch, "transform")
            stage.transform.begin_epoch(EpochOrder(rows, self.data.train.labels[rows], parts, generator))
        rows, draws = rows.to(self.device), draws.to(self.device)
        # a transform changes whole batches, so every worker reads them and takes its share of the result
        shares = shares_of(parts, self.workers)
        read = parts if stage.transform is not None else shares
        self.batches.prefetch(rows, read)
        self.network.train_only(stage.trainable_prefixes)
        if self._split is not None:
            self._split.begin_epoch()
            if self._averaged is not None:
                self.workers.take_from_first(self._averaged.network)
        trained = [p for p in self.network.parameters() if p.requires_grad]
        watch = FiniteWatch()
        for step, part in enumerate(parts):
            pixels = self.batches.pixels(rows[read[step]], draws[read[step]])
            batch = Batch(pixels, self.batches.labels[rows[part]])
            if stage.transform is not None:
                batch = stage.transform(batch, step)
            network = self.network if self._split is None else self._split.of(part.stop - part.start)
            own = batch.pixels
            if stage.transform is not None and not self.workers.alone:
                own = own[self.workers.share(len(own))]
            images = self.batches.normalise(own)
            if epoch == 0 and step == 0 and self.plan.head.calibrates:
                self._calibrate(network, images, batch.labels)
            outputs, loss = stage.update(
                Step(
                    forward=partial(network, images),
                    objective=partial(batch_objective, stage, self.plan.head, batch, method=self.config.method.name),
                    labels=batch.labels,
                    optimizer=self.optimizer,
                    parameters=trained,
                    learning_rate=rate,
                    forward_frozen_stats=partial(network.forward_frozen_stats, images),
                )
            )
            if stage.after_step is not None:
                with torch.no_grad():
                    stage.after_step(outputs, batch.labels)
            if self._averaged is not None:
                self._averaged.update()
            watch.update(loss, outputs.logits, len(batch.labels))
            if on_step is not None:
                on_step(epoch + 1, step + 1, len(parts), part.stop)
        return watch.mean_loss(epoch=epoch + 1, learning_rate=rate)

    def _calibrate(self, network: Network | SplitPasses, images: Tensor, labels: Tensor) -> None:
        """Calibrate the head on the features of the first training batch."""
        with torch.no_grad():
            self.plan.head.calibrate(network.features(images), labels)

    def evaluate(self, split: Split) -> Evaluation:
        """Evaluate a split with the loss of the last stage.

        A post-hoc adjustment uses the value last selected on validation images, or its first candidate before that.
        """
        return self._evaluate(self._pipeline(split), self.plan.stages[-1], only=self.posthoc_value)

    @property
    def posthoc_value(self) -> float | None:
        """The value of the post-hoc adjustment in an evaluation or in outputs; None for methods without one."""
        if self._posthoc_value is None and self.plan.posthoc is not None:
            return self.plan.posthoc.values[0]
        return self._posthoc_value

    def posthoc(self) -> tuple[PostHoc | None, float | None, Tensor | None]:
        """Return the post-hoc adjustment, its value as in `evaluate`, and the class means that it needs."""
        posthoc = self.plan.posthoc
        return posthoc, self.posthoc_value, self._means_for(posthoc)

    def outputs(self, split: Split) -> Outputs:
        """Return features and logits of a split, on the CPU; the logits are adjusted as those of `evaluate` are."""
        images, posthoc = self._pipeline(split), self.plan.posthoc
        return adjusted_outputs(self.evaluated, images, posthoc, self._means_for(posthoc), self.posthoc_value)

    def _means_for(self, posthoc: PostHoc | None, workers: Workers = ALONE) -> Tensor | None:
        if posthoc is None or not posthoc.needs_class_means:
            return None
        return class_means(self.evaluated, self._pipeline(self.data.train), len(self.data.class_counts), workers)

    def features(self, split: Split) -> Tensor:
        """Return the evaluation-mode features of a split, float32 (N, d) on the CPU."""
        return features_of(self.evaluated, self._pipeline(split))

    def _evaluate(
        self, images: BatchPipeline, stage: Stage, only: float | None = None, workers: Workers = ALONE
    ) -> Evaluation:
        posthoc = self.plan.posthoc
        means = self._means_for(posthoc, workers)
        return evaluate(
            self.evaluated, images, stage.loss, posthoc=posthoc, class_means=means, only=only, workers=workers
        )

    def state(self) -> State:
        """Return the state for `load`, as tensors and plain containers only."""
        return {
            "fingerprint": self.config.fingerprint(),
            "resolved": resolved_values(self.config, self.device),
            "epoch": self.epoch,
            "posthoc_value": self._posthoc_value,
            **({} if self.reference is None else {"reference_seed": self.reference.seed}),
            **({} if self._averaged is None else {"averaged": self._averaged.state()}),
            **({} if self.frozen_digest is None else {"frozen": self.frozen_digest}),
            **state_dict(self.network, self.memory, self.optimizer, self.plan.stages),
        }

    def load(self, state: State) -> None:
        """Resume from a state of the same configuration.

        Raises:
            ValueError: if the state belongs to another configuration.
        """
        if state["fingerprint"] != self.config.fingerprint():
            raise ValueError("the checkpoint was written by another configuration")
        # a fingerprint does not tell all names apart, and holds names of presets instead of their values
        now = resolved_values(self.config, self.device)
        if (changed := changed_value(state.get("resolved", {}), now)) is not None:
            raise ValueError(f"the checkpoint was written by another configuration: with {changed}")
        self._check_frozen(state)
        load_state_dict(state, self.network, self.memory, self.optimizer, self.plan.stages)
        if self._averaged is not None:
            self._averaged.load(state["averaged"])
        self._posthoc_value = state["posthoc_value"]
        self.epoch = int(state["epoch"])
        self._keep_reference(state)

    @property
    def frozen_digest(self) -> str | None:
        """A digest of the parameters that are never trained, which no state holds; None if all are."""
        if self._frozen is None:
            self._frozen = frozen_digest(self.network)
        return self._frozen

    def _check_frozen(self, state: State) -> None:
        if state.get("frozen") != self.frozen_digest:
            raise ValueError(
                "the checkpoint does not hold the frozen weights, and those of this training are others: they come "
                "from its weights file, or from its seed under another version of torch"
            )

    def _keep_reference(self, state: State) -> None:
        """Keep the reference that has already acted on a resumed training.

        Until references had a seed of their own, states did not name it: it was the trial's.
        """
        seed = int(state.get("reference_seed", self.config.seed))
        acted = self.epoch > self.plan.span(self.plan.stages[-1], self.config.training.epochs).start
        if self.reference is None or not acted or seed == self.reference.seed:
            return
        _log.warning(
            "this training of %s goes on with the reference network it began with, of seed %d; today it would be %d",
            *(self.config.method.name, seed, self.reference.seed),
        )
        self.reference = reference_of(self.config, seed)

    def weights(self) -> State:
        """Return a copy of what an evaluation depends on: network, memory and post-hoc value, for `take_weights`."""
        parts = {
            "backbone": kept_of_backbone(self.evaluated),
            "head": self.evaluated.head.state_dict(),
            "memory": self.memory.state_dict(),
        }
        copied = {name: {k: v.clone() for k, v in part.items()} for name, part in parts.items()}
        return {"epoch": self.epoch, "posthoc_value": self._posthoc_value, **copied}

    def take_weights(self, weights: State) -> None:
        """Load what `weights` returned, to evaluate it. The training cannot go on from it: it has no optimizer."""
        load_backbone(self.evaluated, weights["backbone"])
        self.evaluated.head.load_state_dict(weights["head"])
        self.memory.load_state_dict(weights["memory"])
        self._posthoc_value = weights["posthoc_value"]

    def adopt(self, state: State) -> None:
        """Start from the final state of the shared prefix, a training of `Method.shared_prefix`.

        Raises:
            ValueError: if the state has a parameter that this network lacks.
        """
        self._check_frozen(state)
        load_prefix(state, self.network, self.memory, self.optimizer, self.plan.stages)
        if self._averaged is not None:
            self._averaged.load(state["averaged"], strict=False)
        self.epoch = int(state["epoch"])


def _starts_from_average(stage: Stage) -> bool:
    """Return True for a later stage that takes the network so far as given: it trains a part of it, or begins anew.

    What it trains is then trained on the backbone that is evaluated.
    """
    return stage.start > 0 and (
        stage.begin is not None or stage.restarts_schedule or stage.trainable_prefixes != EVERYTHING
    )


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Leave out shares of nothing, such as accepted translations in an epoch without a site."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
