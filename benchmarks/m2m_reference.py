"""Compare M2m with a reference g of f's own seed and with one of a derived seed.

f's first stage is a training by ERM. With f's own seed, g is the same training, some epochs further. The script prints
for both: the distance of g's weights from f's at the end of the first stage, ||w_g - w_f|| / ||w_f||; the share of
images on which both predict the same class; and what the deferred stage reports of itself, among it the share of
accepted translations that f classifies as their label before it trains on them. Only g differs between the two.
"""

from __future__ import annotations

import argparse
import copy
from functools import partial

import torch

from benchmarks.machine import header
from trainables.components.lr_schedule import stage_start
from trainables.components.network import Network
from trainables.core.config import TrialConfig
from trainables.data import Split, StudyData, load, prepare
from trainables.data.pipeline.streaming_pipeline import open_pipeline
from trainables.methods.registry import reference_of, shared_prefix_of
from trainables.training.trainer import Trainer
from trainables.training.training_state import State


def weight_distance(network: Network, other: Network) -> float:
    """Return ||w - w'|| / ||w'|| over all parameters of two networks of the same build."""
    first, second = (torch.cat([p.detach().flatten() for p in n.parameters()]) for n in (network, other))
    return float((first - second).norm() / second.norm())


@torch.no_grad()
def agreement(trainer: Trainer, other: Trainer, split: Split) -> float:
    """Return the share of images of a split on which two networks predict the same class."""
    same = images = 0
    pipeline = open_pipeline(split, trainer.data.mean, trainer.data.std, device=trainer.device)
    for batch, labels in pipeline.in_order(512):
        first, second = (t.network.eval()(batch).logits.argmax(1) for t in (trainer, other))
        same, images = same + int((first == second).sum()), images + len(labels)
    return same / images


def trained(config: TrialConfig, data: StudyData, until: int) -> tuple[Trainer, State]:
    """Train a configuration to its end; return it and its state after ``until`` epochs."""
    trainer, state = Trainer(config, data), None
    while not trainer.finished:
        trainer.run_epoch()
        if trainer.epoch == until:
            state = copy.deepcopy(trainer.state())
    assert state is not None
    return trainer, state


def compare(config: TrialConfig, data: StudyData) -> None:
    """Train f's first stage and both references, then the deferred stage with each; print the measures."""
    prefix, derived = shared_prefix_of(config), reference_of(config)
    assert prefix is not None and derived is not None
    erm, switch = prefix
    own, state = trained(erm, data, switch)
    first_stage = Trainer(erm, data)
    first_stage.load(copy.deepcopy(state))
    other, _ = trained(derived, data, switch)
    for name, reference in (("g of f's own seed", own), ("g of a derived seed", other)):
        scored = reference.evaluate(data.test())
        print(f"\n{name}: balanced accuracy {reference.metrics(scored)['balanced_accuracy']:.3f} on test images")
        print(f"  ||w_g - w_f|| / ||w_f||     {weight_distance(reference.network, first_stage.network):.2f}")
        print(f"  same prediction, test       {agreement(reference, first_stage, data.test()):.1%}")
        print(f"  same prediction, train      {agreement(reference, first_stage, data.train):.1%}", flush=True)
    for name, reference in (("g of f's own seed", own), ("g of a derived seed", other)):
        print(f"\ndeferred stage, {name}")
        frozen = copy.deepcopy(reference.network).requires_grad_(False).eval()
        trainer = Trainer(config, data, find_reference=partial(_given, frozen))
        trainer.adopt(copy.deepcopy(state))
        while not trainer.finished:
            result = trainer.run_epoch()
            shares = "  ".join(f"{key} {share:6.1%}" for key, share in result["method_metrics"].items())
            print(f"  epoch {trainer.epoch}: {shares}", flush=True)
        found = trainer.metrics(trainer.evaluate(data.test()))
        print(f"  balanced accuracy {found['balanced_accuracy']:.3f} on test images", flush=True)


def _given(network: Network, _: TrialConfig) -> Network:
    return network


def main() -> None:
    """Parse the options and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--network", default="conv-tiny")
    parser.add_argument("--ratio", type=float, default=100)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--defer-until", type=float, default=0.8)
    given = parser.parse_args()
    print(header("benchmarks.m2m_reference", "torch"))
    config = TrialConfig.model_validate(
        {
            "data": {"dataset": given.dataset, "profile": {"ratio": given.ratio}},
            "model": {"name": given.network},
            "method": {"name": "m2m", "params": {"defer_until": given.defer_until}},
            "training": {"epochs": given.epochs, "lr": given.lr},
            "seed": given.seed,
        }
    )
    prepare(config.data)
    data, switch = load(config.data), stage_start(given.defer_until, given.epochs)
    print(
        f"\n{given.network}, {given.dataset}, ratio {given.ratio:g}, {len(data.train.labels)} training images, "
        f"{given.epochs} epochs, deferred from epoch {switch + 1}, {torch.get_num_threads()} threads",
        flush=True,
    )
    compare(config, data)


if __name__ == "__main__":
    main()
