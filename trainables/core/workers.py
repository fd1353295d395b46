"""The processes that train one trial together, and what they say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


@dataclass(frozen=True)
class Workers:
    """One process among those that train a trial together; by default it trains alone.

    With more than one, torch.distributed has been initialised by whoever started them, and every method here but
    `share` must be called by all of them in the same order.

    Attributes:
        rank: of this process, from 0. The one of rank 0 writes the files and reports.
        count: of processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def alone(self) -> bool:
        """True if no other process trains this trial."""
        return self.count == 1

    @property
    def leads(self) -> bool:
        """True for the process that writes and reports."""
        return self.rank == 0

    def share(self, total: int, rank: int | None = None) -> slice:
        """Return the rows among ``total`` that a process takes, this one or that of ``rank``; sizes differ by one.

        >>> [Workers(rank, 3).share(8) for rank in range(3)]
        [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
        """
        rank = self.rank if rank is None else rank
        return slice(total * rank // self.count, total * (rank + 1) // self.count)

    def gather(self, rows: Tensor, total: int) -> Tensor:
        """Return the rows (total, ...) of all processes, of which each has its `share`; without a gradient."""
        if self.alone:
            return rows
        shares = [self.share(total, rank) for rank in range(self.count)]
        sizes = [share.stop - share.start for share in shares]
        # all must send alike: the smaller shares are filled up and cut again
        own = rows.new_zeros(max(sizes), *rows.shape[1:])
        own[: len(rows)] = rows.detach()
        found = [torch.empty_like(own) for _ in sizes]
        dist.all_gather(found, own)
        return torch.cat([part[:size] for part, size in zip(found, sizes, strict=True)])

    def whole_batch(self, rows: Tensor, total: int) -> Tensor:
        """Return `gather`, with the gradient of this process's rows.

        All processes compute the same loss of the whole batch. DistributedDataParallel divides the sum of their
        gradients by their number, so the gradient is multiplied by it.
        """
        if self.alone:
            return rows
        whole: Tensor = _WholeBatch.apply(rows, self, total)
        return whole

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, with its gradient: the sum over all of them, too."""
        if self.alone:
            return values
        total: Tensor = _Sum.apply(values)
        return total

    def take_from_first(self, *modules: torch.nn.Module) -> None:
        """Overwrite parameters and buffers by those of rank 0, so that rounding on different devices never adds up."""
        if self.alone:
            return
        with torch.no_grad():
            for module in modules:
                for values in (*module.parameters(), *module.buffers()):
                    dist.broadcast(values.data, 0)

    def agreed(self, number: int) -> int:
        """Return the number that rank 0 gave."""
        if self.alone:
            return number
        value = torch.tensor(number)  # on the CPU: whoever started the processes gives them a way for it
        dist.broadcast(value, 0)
        return int(value)


ALONE = Workers()
"""A process that trains its trial alone."""


class _WholeBatch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, workers: Workers, total: int) -> Tensor:
        ctx.share, ctx.count = workers.share(total), workers.count
        return workers.gather(rows, total)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad[ctx.share] * ctx.count, None, None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        return total
