from __future__ import annotations

import pytest
import torch

from quantgod.training.devices import generator_states, restore_generators, seeded, use_threads

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


def test_as_many_threads_compute_as_are_asked_for_and_0_leaves_them_as_they_are() -> None:
    before = torch.get_num_threads()
    try:
        use_threads(before + 1)
        assert torch.get_num_threads() == before + 1
        use_threads(0)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
