"""Where a network runs, and the number formats that are fast there and safe.

On the CPU everything is float32: bfloat16 is sixty times slower there and its LSTM fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU.

    Raises:
        ValueError: if CUDA is asked for and absent.
    """
    present = torch.cuda.is_available()
    if name == "cuda" and not present:
        raise ValueError("train.device: cuda was asked for and this machine has none; use auto")
    return torch.device("cuda" if name in ("auto", "cuda") and present else "cpu")


def use_threads(count: int) -> None:
    """Let this process compute with `count` threads from now on; 0 leaves it as it is."""
    if count:
        torch.set_num_threads(count)


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Mixed precision on CUDA, nothing elsewhere."""
    if device.type != "cuda":
        return nullcontext()
    return torch.autocast("cuda", dtype=_half())


def gradient_scaler(device: torch.device) -> torch.amp.GradScaler:
    """Keeps float16's small gradients from vanishing; does nothing for any other format."""
    return torch.amp.GradScaler("cuda", enabled=device.type == "cuda" and _half() is torch.float16)


@contextmanager
def fast_matrix_products(device: torch.device) -> Iterator[None]:
    """Let CUDA multiply float32 as TF32 inside; cuDNN's convolutions and LSTMs do by default."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers from `seed` inside; the caller's random state is put back."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """The random states that training draws from on this device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_generators(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Go on drawing where `generator_states` was taken."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def _half() -> torch.dtype:
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
