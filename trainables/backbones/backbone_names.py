"""Names of all backbones, separate from their builders so that a study is validated without importing torch."""

from __future__ import annotations

CIFAR_RESNETS = ("resnet20", "resnet32", "resnet44", "resnet56")
PERCEPTRONS = ("mlp", "mlp-2-layer")
SMALL_NETWORKS = ("affinity-conv", "affinity-conv-2d", "conv-tiny", "transformer-tiny", *PERCEPTRONS)
RESNETS = ("resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "preact-resnet18")
SE_RESNETS = ("se-resnet50",)
RESNEXTS = ("resnext50_32x4d", "resnext101_32x8d", "resnext152_32x4d")
DENSENETS = ("densenet121", "densenet169")
SQUEEZENETS = ("squeezenet1_0", "squeezenet1_1")
EFFICIENTNETS = tuple(f"efficientnet_b{size}" for size in range(8))

MODELS: tuple[str, ...] = (
    *CIFAR_RESNETS,
    *SMALL_NETWORKS,
    *RESNETS,
    *SE_RESNETS,
    *RESNEXTS,
    *DENSENETS,
    *SQUEEZENETS,
    *EFFICIENTNETS,
)
