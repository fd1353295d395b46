from __future__ import annotations

import pytest
import torch

from trainables.core.device import (
    autocast_dtype,
    device_name,
    keep_freed_memory,
    multiplies_bfloat16,
    pick_device,
    precision_used,
)

CPU = torch.device("cpu")


def test_the_first_visible_device_is_picked() -> None:
    expected = torch.device("cuda", 0) if torch.cuda.is_available() else CPU
    assert pick_device() == expected


def test_without_cuda_it_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert pick_device() == CPU
    assert device_name(pick_device()) == "cpu"


@pytest.mark.parametrize("native", [True, False])
def test_only_native_precision_follows_the_processor(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.core.device.multiplies_bfloat16", lambda device: native)
    assert autocast_dtype("auto", CPU) is None
    assert autocast_dtype("native", CPU) == (torch.bfloat16 if native else None)
    assert autocast_dtype("bfloat16", CPU) == torch.bfloat16
    assert autocast_dtype("float32", CPU) is None
    assert precision_used("native", CPU) == ("bfloat16" if native else "float32")


@pytest.mark.parametrize("native", [True, False])
def test_on_a_gpu_automatic_precision_is_native(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.core.device.multiplies_bfloat16", lambda device: native)
    for precision in ("auto", "native"):
        assert autocast_dtype(precision, torch.device("cuda", 0)) == (torch.bfloat16 if native else None)


@pytest.mark.parametrize(
    ("avx512_bf16", "amx", "native"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_which_processors_multiply_bfloat16(
    avx512_bf16: bool, amx: bool, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those on which the library merely emulates it."""
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: amx)
    assert multiplies_bfloat16(CPU) is native


@pytest.mark.parametrize(("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_which_gpus_do(capability: tuple[int, int], native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    assert multiplies_bfloat16(torch.device("cuda", 0)) is native


def test_keeping_memory_can_be_asked_for_anywhere() -> None:
    keep_freed_memory()
    keep_freed_memory()
