"""The training loop. It knows stages, losses, heads and samplers; no method, no Ray, no Optuna, no MLflow."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainables.class_weights import weighted_mean
from trainables.composition import Outputs, Problem, Stage
from trainables.config import TrialConfig
from trainables.data import Augmentation, Split, StudyData, default_augmentation
from trainables.data.augment import BatchPipeline
from trainables.device import autocast_dtype, keep_freed_memory, pick_device
from trainables.finite import FiniteWatch, NonFiniteLoss
from trainables.lr_schedule import learning_rate
from trainables.methods import build_plan
from trainables.metrics import confusion_matrix, from_confusion
from trainables.models import build_backbone
from trainables.randomness import derive_seed, epoch_generator
from trainables.sampling import batches_of, epoch_indices

_EVALUATION_BATCH = 512
State = dict[str, Any]


class Evaluation(NamedTuple):
    """What one pass over a split found: mean loss in nats, int64 counts (K, K) with true classes as rows."""

    loss: float
    confusion: Tensor


class Trainer:
    """One training: builds everything a `TrialConfig` names, then runs epoch after epoch."""

    def __init__(self, config: TrialConfig, data: StudyData, device: torch.device | None = None) -> None:
        """Build network, optimizer and batches; weights are drawn from the configuration's seed."""
        self.config, self.data = config, data
        self.device = device or pick_device()
        self.epoch = 0
        self.evaluation: Evaluation | None = None
        if self.device.type == "cpu":
            keep_freed_memory()
        torch.manual_seed(derive_seed(config.seed, 0, "weights"))
        channels, size = data.train.images.shape[1:3]
        backbone = build_backbone(config.model.name, int(channels), int(size))
        problem = Problem(data.class_counts.to(self.device), backbone.feature_dim)
        self.plan = build_plan(config.method, problem)
        layout = torch.channels_last if config.training.channels_last else torch.contiguous_format
        self.backbone = backbone.to(self.device).to(memory_format=layout)
        self.head = self.plan.head.to(self.device)
        self._features: Callable[[Tensor], Tensor] = self.backbone
        if config.training.compile:
            self._features = torch.compile(self.backbone)
        self.autocast = autocast_dtype(config.training.precision, self.device)
        self.batches = self._pipeline(data.train, self._augmentation(int(channels)))
        self.validation = self._pipeline(data.validation)
        self.optimizer = torch.optim.SGD(
            [*self.backbone.parameters(), *self.head.parameters()],
            lr=config.training.lr,
            momentum=config.training.momentum,
            weight_decay=config.training.weight_decay,
            nesterov=config.training.nesterov,
            fused=True,  # one kernel for all parameters: a twentieth of a small network's step on a CPU
        )

    def _augmentation(self, channels: int) -> Augmentation:
        chosen = self.config.training.augmentation
        return default_augmentation(self.config.data.dataset, channels) if chosen == "auto" else chosen

    def _pipeline(self, split: Split, augmentation: Augmentation = "none") -> BatchPipeline:
        return BatchPipeline(
            split,
            self.data.mean,
            self.data.std,
            augmentation=augmentation,
            device=self.device,
            channels_last=self.config.training.channels_last,
        )

    @property
    def finished(self) -> bool:
        """Whether the budget of epochs is spent."""
        return self.epoch >= self.config.training.epochs

    def forward(self, images: Tensor, *, calibrate_with: Tensor | None = None) -> Outputs:
        """Return features (B, d) and float32 logits (B, K) of normalised images (B, C, H, W).

        Given labels (B,), the head first fits what depends on the scale of these features.
        """
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            features = self._features(images)
        features = features.float()
        if calibrate_with is not None:
            self.head.calibrate(features.detach(), calibrate_with)
        return Outputs(features, self.head(features))

    def run_epoch(self) -> dict[str, Any]:
        """Train one epoch, validate, and return the epoch's flat record.

        Raises:
            NonFiniteLoss: a loss, of training or validation, was infinite or not a number; nothing is recorded
                for the epoch.
        """
        training, epoch = self.config.training, self.epoch
        stage = self.plan.stage_at(epoch, training.epochs)
        rate = learning_rate(training.schedule, training.lr, epoch, training.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        began = time.perf_counter()
        train_loss = self._train(stage, rate)
        seconds = time.perf_counter() - began
        self.evaluation = self._evaluate(self.validation, stage)
        if not math.isfinite(self.evaluation.loss):  # the epoch's last step: no training loss saw its weights
            raise NonFiniteLoss(
                f"validation loss {self.evaluation.loss} at epoch {epoch + 1}, after its last step "
                f"(training loss {train_loss:.4g}, learning rate {rate:.4g})"
            )
        self.epoch = epoch + 1
        counts = self.data.class_counts.numpy()
        return {
            "epoch": self.epoch,
            "stage": stage.name,
            "train_loss": train_loss,
            "loss": self.evaluation.loss,
            **from_confusion(self.evaluation.confusion.numpy(), counts),
            "learning_rate": rate,
            "images_per_second": len(self.data.train.labels) / seconds,
        }

    def _train(self, stage: Stage, rate: float) -> float:
        seed, epoch, size = self.config.seed, self.epoch, self.config.training.batch_size
        # dropout and the like draw from the global generator: it restarts every epoch, so that a resumed
        # trial continues bit for bit
        torch.manual_seed(derive_seed(seed, epoch, "network"))
        order = epoch_indices(stage.sampler, self.data.train.labels, epoch_generator(seed, epoch, "order"))
        draws = self.batches.draw(len(order), epoch_generator(seed, epoch, "augmentation"))
        order, draws = order.to(self.device), draws.to(self.device)
        self.backbone.train()
        self.head.train()
        watch = FiniteWatch()
        for step, part in enumerate(batches_of(len(order), size)):
            images = self.batches.batch(order[part], draws.offsets[part], draws.flips[part])
            labels = self.batches.labels[order[part]]
            first = epoch == 0 and step == 0
            outputs = self.forward(images, calibrate_with=labels if first else None)
            loss = self._batch_loss(stage, outputs, labels)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            watch.see(loss, outputs.logits, len(labels))
        return watch.mean_loss(epoch=epoch + 1, learning_rate=rate)

    def _batch_loss(self, stage: Stage, outputs: Outputs, labels: Tensor) -> Tensor:
        losses, weights = stage.loss(outputs, labels), stage.class_weights
        mean = losses.mean() if weights is None else weighted_mean(losses, weights[labels], stage.weighted_over)
        penalty = self.head.penalty()
        return mean if penalty is None else mean + penalty

    def evaluate(self, split: Split) -> Evaluation:
        """Return loss and confusion counts of a split, with the last stage's loss, in evaluation mode."""
        return self._evaluate(self._pipeline(split), self.plan.stages[-1])

    @torch.no_grad()
    def _evaluate(self, images_of: BatchPipeline, stage: Stage) -> Evaluation:
        classes = len(self.data.class_counts)
        self.backbone.eval()
        self.head.eval()
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        confusion = torch.zeros(classes, classes, dtype=torch.int64, device=self.device)
        for images, labels in images_of.in_order(_EVALUATION_BATCH):
            outputs = self.forward(images)
            total += stage.loss(outputs, labels).double().sum()
            confusion += confusion_matrix(outputs.logits.argmax(dim=1), labels, classes)
        return Evaluation(float(total) / max(1, len(images_of)), confusion.cpu())

    def state(self) -> State:
        """Return all that `load` needs to continue: tensors and plain containers only."""
        return {
            "fingerprint": self.config.fingerprint(),
            "epoch": self.epoch,
            "backbone": self.backbone.state_dict(),
            "head": self.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: State) -> None:
        """Continue from a state of the same configuration.

        Raises:
            ValueError: the state belongs to another configuration.
        """
        if state["fingerprint"] != self.config.fingerprint():
            raise ValueError("the checkpoint was written by another configuration")
        self.backbone.load_state_dict(state["backbone"])
        self.head.load_state_dict(state["head"])
        # torch would keep the state's own momentum tensors and write into them
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.epoch = int(state["epoch"])
