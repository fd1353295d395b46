"""Measure affinity's regulariser, forward and backward, in closed form and over all pairs of prototypes.

Both sides get the same prototypes and take turns. Times are medians over the rounds, with the fastest round beside
them. Memory is the highest resident memory of a fresh process that takes one step, torch's own included (Linux). The
pairwise side is the regulariser as it was before the closed form: it runs only where its matrix of distances fits.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.machine import Neighbours, header
from trainables.components.heads.distances import squared_distances
from trainables.components.heads.prototype_diversity import diversity_regulariser

_PROTOTYPES = 5
_MOST_PAIRWISE = 6000
"""Prototypes up to which all pairs are formed: their distances and indices take some 600 MB."""


def over_pairs(prototypes: Tensor) -> Tensor:
    """Return the regulariser from the distances of all pairs of prototypes (N, d), a scalar."""
    first, second = torch.triu_indices(len(prototypes), len(prototypes), offset=1)
    distances = squared_distances(prototypes, prototypes)[first, second]
    return (distances - distances.mean()).square().mean()


SIDES: dict[str, Callable[[Tensor], Tensor]] = {"closed form": diversity_regulariser, "all pairs": over_pairs}


def prototypes_of(classes: int, dim: int) -> Tensor:
    """Return prototypes as the head draws them, (5 classes, d), in float32."""
    drawn = torch.randn(_PROTOTYPES * classes, dim, generator=torch.Generator().manual_seed(0))
    drawn *= (2 / dim) ** 0.5
    return drawn.requires_grad_()


def step(side: str, prototypes: Tensor) -> float:
    """Run one side forward and backward and return the seconds it took."""
    prototypes.grad = None
    start = time.perf_counter()
    SIDES[side](prototypes).backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - start


def peak_memory(side: str, classes: int, dim: int, threads: int) -> float:
    """Return the highest resident memory of a process that takes one step of one side, in MB."""
    torch.set_num_threads(threads)
    step(side, prototypes_of(classes, dim))
    # not getrusage: a process started by fork and exec inherits its parent's peak there
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def main() -> None:
    """Measure every size and print one row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[100, 1000, 8631])
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(header("benchmarks.affinity_regulariser", "torch"))
    neighbours, fresh = Neighbours(), multiprocessing.get_context("spawn")
    print("classes  dim  side         median ms  fastest ms   peak MB  value")
    for classes in given.classes:
        for dim in given.dims:
            prototypes = prototypes_of(classes, dim)
            sides = [side for side in SIDES if side == "closed form" or len(prototypes) <= _MOST_PAIRWISE]
            for side in sides:
                step(side, prototypes)
            times = [{side: step(side, prototypes) for side in sides} for _ in range(given.rounds)]
            for side in sides:
                ms = [1e3 * one[side] for one in times]
                with fresh.Pool(1) as pool:
                    memory = pool.apply(peak_memory, (side, classes, dim, given.threads))
                value = SIDES[side](prototypes).item()
                print(
                    f"{classes:7d} {dim:4d}  {side:11s} {statistics.median(ms):10.2f} {min(ms):11.2f} {memory:9.0f}"
                    f"  {value:.9f}",
                    flush=True,
                )
    print(f"other processes used {neighbours.share():.0%} of the machine")


if __name__ == "__main__":
    main()
