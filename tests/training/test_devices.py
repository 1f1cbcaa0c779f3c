from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch

from quantgod.training.devices import (
    autocast,
    choose_device,
    fast_matrix_products,
    generator_states,
    gradient_scaler,
    restore_generators,
    seeded,
    use_threads,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
OF_CUDA = torch.arange(16, dtype=torch.uint8)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.Tensor, torch.device]]:
    """What is set as CUDA's state, on machines with and without it."""
    states: list[tuple[torch.Tensor, torch.device]] = []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: OF_CUDA)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda *given: states.append(given))
    return states


@pytest.mark.parametrize("taken", [CPU, CUDA])
@pytest.mark.parametrize("used", [CPU, CUDA])
def test_a_run_goes_on_where_it_was_on_whichever_device_it_was_and_is(taken, used, cuda) -> None:
    with seeded(3, CPU):
        states = generator_states(taken)
        expected = torch.rand(4)
        torch.rand(9)
        restore_generators(states, used)
        assert torch.equal(torch.rand(4), expected)
    assert cuda == ([(OF_CUDA, CUDA)] if taken == used == CUDA else [])


def test_what_is_drawn_inside_a_seed_moves_nothing_outside() -> None:
    before = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with seeded(5, CPU):
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("present", [True, False])
def test_cuda_is_taken_where_it_is_and_nobody_asked_for_the_cpu(present, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: present)
    assert choose_device("cpu") == CPU
    assert choose_device("auto") == (CUDA if present else CPU)
    if present:
        assert choose_device("cuda") == CUDA
    else:
        with pytest.raises(ValueError, match="cuda was asked for"):
            choose_device("cuda")


@pytest.mark.parametrize("has_bfloat", [True, False])
@pytest.mark.parametrize("device", [CPU, CUDA])
def test_half_numbers_are_for_cuda_and_only_float16_needs_its_gradients_scaled(
    device, has_bfloat, monkeypatch
) -> None:
    made: dict[str, Any] = {}
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bfloat)
    for owner, name, result in (
        (torch, "autocast", nullcontext()),
        (torch.amp, "GradScaler", scaler),
    ):
        fake = lambda kind, name=name, result=result, **given: made.update({name: given}) or result  # noqa: E731
        monkeypatch.setattr(owner, name, fake)
    autocast(device)
    gradient_scaler(device)
    is_cuda = device == CUDA
    assert made["GradScaler"] == {"enabled": is_cuda and not has_bfloat}
    half = torch.bfloat16 if has_bfloat else torch.float16
    assert made.get("autocast") == ({"dtype": half} if is_cuda else None)


@pytest.mark.parametrize("before", ["highest", "high", "medium"])
@pytest.mark.parametrize("device", [CPU, CUDA])
def test_products_are_fast_on_cuda_alone_and_as_before_afterwards(device, before) -> None:
    kept = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(before)
        with pytest.raises(KeyError), fast_matrix_products(device):
            assert torch.get_float32_matmul_precision() == ("high" if device == CUDA else before)
            raise KeyError
        assert torch.get_float32_matmul_precision() == before
    finally:
        torch.set_float32_matmul_precision(kept)


def test_as_many_threads_compute_as_are_asked_for_and_0_leaves_them_as_they_are() -> None:
    before = torch.get_num_threads()
    try:
        use_threads(before + 1)
        assert torch.get_num_threads() == before + 1
        use_threads(0)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
