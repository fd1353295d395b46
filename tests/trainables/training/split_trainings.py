"""Trainings by several processes at once, for the tests: each process trains its share of every batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn

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
