"""Batch normalisation by the statistics of the whole batch when several processes share it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.core.workers import Workers


class WholeBatchNorm(_BatchNorm):
    """Batch normalisation whose mean and variance are those of all processes' images together.

    PyTorch's SyncBatchNorm does the same on GPUs alone. Running statistics are equal in all processes, and parameters
    and buffers have the names of BatchNorm's. In evaluation mode it is BatchNorm. What a layer of timm does after the
    normalisation, dropout and activation, it does, too.

    Args:
        replaced: the layer whose parameters and statistics it takes over.
        workers: the processes.
    """

    def __init__(self, replaced: _BatchNorm, workers: Workers) -> None:
        super().__init__(
            replaced.num_features, replaced.eps, replaced.momentum, replaced.affine, replaced.track_running_stats
        )
        for name, parameter in replaced.named_parameters(recurse=False):
            setattr(self, name, parameter)
        for name, buffer in replaced.named_buffers(recurse=False):
            setattr(self, name, buffer)
        for name, child in replaced.named_children():
            self.add_module(name, child)
        self._workers = workers

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept the shapes of all kinds of BatchNorm."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, ...) over all dimensions but the second, and over the processes."""
        if not self.training:
            normal: Tensor = super().forward(input)
            return _followed(self, normal)
        values = input if input.dtype == torch.float64 else input.float()
        others = [dim for dim in range(values.dim()) if dim != 1]
        per_channel = [-1 if dim == 1 else 1 for dim in range(values.dim())]
        count = values.new_tensor([values.numel() // max(1, self.num_features)])
        sums = self._workers.sum(torch.cat([values.sum(others), count]))
        number = sums[-1].detach()
        mean = sums[:-1] / number
        centred = values - mean.view(per_channel)
        # the deviations in a second pass: E[x^2] - E[x]^2 would cancel
        variance = self._workers.sum(centred.square().sum(others)) / number
        if self.track_running_stats:
            self._follow(mean.detach(), variance.detach() * (number / (number - 1).clamp_min(1)))
        scaled = centred * torch.rsqrt(variance + self.eps).view(per_channel)
        if self.affine:
            scaled = scaled * self.weight.view(per_channel) + self.bias.view(per_channel)
        return _followed(self, scaled.to(input.dtype))

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        rate = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        for kept, found in ((self.running_mean, mean), (self.running_var, variance)):
            assert kept is not None
            kept.mul_(1 - rate).add_(rate * found)


_AFTER = ("drop", "act")
"""Children of timm's BatchNorm, in the order in which they follow the normalisation."""


def _followed(norm: nn.Module, normalised: Tensor) -> Tensor:
    for name in _AFTER:
        after = getattr(norm, name, None)
        normalised = normalised if after is None else after(normalised)
    return normalised


def _follow_hook(norm: nn.Module, given: tuple[Tensor, ...], normalised: Tensor) -> Tensor:
    return _followed(norm, normalised)


def norms_over_workers(backbone: nn.Module, workers: Workers, device: torch.device) -> None:
    """Replace every BatchNorm in a backbone by one over all processes: SyncBatchNorm on a GPU, else the one here."""
    if workers.alone:
        return
    if device.type == "cuda":
        converted = nn.SyncBatchNorm.convert_sync_batchnorm(backbone)  # type: ignore[no-untyped-call]
        assert converted is backbone, "a backbone is no BatchNorm itself"
        for module in backbone.modules():
            if isinstance(module, nn.SyncBatchNorm) and any(module.children()):
                module.register_forward_hook(_follow_hook)  # torch keeps the children and does not call them
        return
    for module in list(backbone.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(module, name, WholeBatchNorm(child, workers))
