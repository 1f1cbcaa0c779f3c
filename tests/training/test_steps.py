"""Steps that are read late: in their order, added up, and refused where they are not finite."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from quantgod.dataset.inputs import BARS
from quantgod.dataset.views import Views
from quantgod.dataset.windows import Windows
from quantgod.training import steps as module
from quantgod.training.reports import Step
from quantgod.training.state import Sums, TrainingState
from quantgod.training.steps import NonFiniteLossError, StepOutcome, Steps
from tests.training.problems import train_settings


def taken(
    *outcomes: tuple[float, float], is_scaled: bool = False
) -> tuple[TrainingState, list[Step]]:
    """The state after these losses and norms, of batches of one window, of two, and so on."""
    state = TrainingState.fresh(nn.Linear(1, 1), train_settings(), torch.device("cpu"))
    state.scaler = torch.amp.GradScaler("cpu", enabled=is_scaled)
    state.epoch, state.batch = 3, 5
    told: list[Step] = []
    steps = Steps(state, Views({BARS: Windows(torch.zeros(9, 9), 1)}), told.append)
    for number, (loss, norm) in enumerate(outcomes, 1):
        rows = torch.arange(number)
        steps.add(rows, StepOutcome(torch.tensor(loss), torch.tensor(norm), 0.25 * number))
    steps.settle()
    return state, told


def test_steps_are_told_in_order_and_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    state, told = taken((1.0, 4.0), (0.5, 8.0), (2.0, 16.0))
    assert told == [
        Step(3, 5, 1.0, 4.0, 0.25),
        Step(3, 6, 0.5, 8.0, 0.5),
        Step(3, 7, 2.0, 16.0, 0.75),
    ]
    assert state.batch == 8
    assert state.sums == Sums(
        loss=1.0 + 0.5 * 2 + 2.0 * 3, gradient_norm=28.0, steps=3, windows=6, seconds=2.5
    )


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("is_scaled", [True, False])
def test_a_loss_is_finite_whatever_scales_it(loss: float, is_scaled: bool) -> None:
    with pytest.raises(NonFiniteLossError, match="epoch 3, batch 6: loss ") as error:
        taken((1.0, 1.0), (loss, 1.0), is_scaled=is_scaled)
    assert (error.value.epoch, error.value.batch, error.value.rows.tolist()) == (3, 6, [0, 1])


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_a_norm_may_overflow_where_gradients_are_scaled_and_nowhere_else(norm: float) -> None:
    assert len(taken((1.0, norm), is_scaled=True)[1]) == 1
    with pytest.raises(NonFiniteLossError, match="gradient norm "):
        taken((1.0, norm))


@pytest.mark.parametrize(
    ("count", "said"), [(0, ""), (1, "0"), (20, "0, .*, 19"), (21, "0, .*, 19 and 1 more")]
)
def test_twenty_rows_are_named_and_more_are_counted(count: int, said: str) -> None:
    step = Step(0, 0, math.nan, 1.0, 0.1)
    error = NonFiniteLossError(step, np.arange(3), np.arange(count))
    if count:
        with pytest.raises(NonFiniteLossError, match=f"rows that are not finite: {said}$"):
            raise error
    else:
        assert str(error).endswith("at rows 0, 1, 2; all that they hold is finite: the weights "
                                   "have run away, lower the learning rate")  # fmt: skip
