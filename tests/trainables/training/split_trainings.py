"""Trainings by several processes at once, for the tests: each process trains its share of every batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from trainables.backbones import build_backbone
from trainables.components.whole_batch_norm import norms_over_workers
from trainables.core.config import TrialConfig
from trainables.core.workers import Workers
from trainables.data import load
from trainables.training.trainer import Trainer

Found = dict[str, Any]
"""``records``: of every epoch; ``state``: of the trainer at the end."""


def train_alone(config: TrialConfig) -> Found:
    """Train to the end in this process."""
    return _train(config, Workers())


def train_split(configs: list[TrialConfig], count: int, folder: Path) -> list[list[Found]]:
    """Train each configuration to the end in ``count`` processes; return what each found, per configuration."""
    given = [config.model_dump(mode="json") for config in configs]
    spawn(_worker, (count, given, str(folder)), nprocs=count)
    found = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]
    return [list(of_all) for of_all in zip(*found, strict=True)]


def _worker(rank: int, count: int, given: list[dict[str, Any]], folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=count)
    found = [_train(TrialConfig.model_validate(config), Workers(rank, count)) for config in given]
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def _train(config: TrialConfig, workers: Workers) -> Found:
    trainer = Trainer(config, load(config.data), torch.device("cpu"), workers=workers)
    records = []
    while not trainer.finished:
        records.append(trainer.run_epoch())
    return {"records": records, "state": trainer.state()}


def norm_alone(network: str) -> dict[str, Tensor]:
    """Return gradients and statistics of a network with BatchNorm after one batch, in double precision."""
    return _norm(Workers(), network)


def norm_split(count: int, folder: Path, network: str) -> list[dict[str, Tensor]]:
    """Return the same of every one of ``count`` processes that share the batch."""
    spawn(_norm_worker, (count, str(folder), network), nprocs=count)
    return [torch.load(folder / f"norm-{rank}.pt") for rank in range(count)]


def _norm_worker(rank: int, count: int, folder: str, network: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/norm-meeting", rank=rank, world_size=count)
    torch.save(_norm(Workers(rank, count), network), f"{folder}/norm-{rank}.pt")
    dist.destroy_process_group()


def _norm(workers: Workers, network: str) -> dict[str, Tensor]:
    torch.manual_seed(0)
    backbone = build_backbone(network, 1, 8).double()
    norms_over_workers(backbone, workers, torch.device("cpu"))
    images, weights = torch.randn(65, 1, 8, 8).double(), torch.randn(65, backbone.feature_dim).double()
    backbone.train()
    run: torch.nn.Module = backbone if workers.alone else DistributedDataParallel(backbone)
    features = workers.whole_batch(run(images[workers.share(65)]), 65)  # `Network` would return single precision
    (features * weights).sum().backward()
    gradients = {name: p.grad for name, p in backbone.named_parameters() if p.grad is not None}
    return {**gradients, **dict(backbone.named_buffers())}
