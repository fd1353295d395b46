"""Lion (Chen et al., 2023, algorithm 2), as a plug-in: a torch optimizer, and one object with its name and builder."""

import torch

from trainables.components.optimizers import OptimizerFactory


class Lion(torch.optim.Optimizer):
    """The sign of an interpolated momentum, with weight decay apart from the gradient."""

    def __init__(self, parameters, lr, betas, weight_decay):
        super().__init__(parameters, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        """Update all parameters that have a gradient."""
        for group in self.param_groups:
            first, second = group["betas"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                momentum = state.setdefault("momentum", torch.zeros_like(weight))
                direction = momentum.lerp(weight.grad, 1 - first).sign_()
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"])
                momentum.lerp_(weight.grad, 1 - second)


def build(parameters, training):
    """Return the optimizer of parameters, or of groups of them, with the settings of a training."""
    return Lion(parameters, training.lr, training.betas, training.weight_decay)


LION = OptimizerFactory(name="lion", build=build, settings=("betas",), paper="Chen et al., 2023, Symbolic discovery")
