"""Choose where a network runs, and number formats that are fast and safe there.

On the CPU everything is float32: bfloat16 is sixty times slower there, and its LSTM fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor


def choose_device(name: str) -> torch.device:
    """Return the device of this name; `auto` is CUDA if present, else the CPU.

    Raises:
        ValueError: if CUDA is requested but absent.
    """
    present = torch.cuda.is_available()
    if name == "cuda" and not present:
        raise ValueError("train.device: cuda was asked for and this machine has none; use auto")
    return torch.device("cuda" if name in ("auto", "cuda") and present else "cpu")


def use_threads(count: int) -> None:
    """Set the number of threads of this process; 0 changes nothing."""
    if count:
        torch.set_num_threads(count)


@contextmanager
def with_threads(count: int) -> Iterator[None]:
    """Let this process compute with so many threads inside; 0 changes nothing."""
    before = torch.get_num_threads()
    use_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context of mixed precision on CUDA; it does nothing elsewhere."""
    if device.type != "cuda":
        return nullcontext()
    return torch.autocast("cuda", dtype=_half())


def gradient_scaler(device: torch.device) -> torch.amp.GradScaler:
    """Return a scaler that keeps small float16 gradients from vanishing; no effect elsewhere."""
    return torch.amp.GradScaler("cuda", enabled=device.type == "cuda" and _half() is torch.float16)


@contextmanager
def fast_matrix_products(device: torch.device) -> Iterator[None]:
    """Let CUDA multiply float32 as TF32 inside; cuDNN's convolutions and LSTMs do so by default."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the random generators inside, and restore the caller's random state afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """Return the random states that training uses on this device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_generators(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Restore the random states that `generator_states` returned."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def _half() -> torch.dtype:
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
