"""Take optimizer steps and check their losses."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from quantgod.contracts import Integers
from quantgod.dataset.views import Views
from quantgod.settings import TrainSettings
from quantgod.training.devices import autocast
from quantgod.training.objectives import Objective
from quantgod.training.reports import OnStep, Step
from quantgod.training.state import TrainingState

STEPS_IN_FLIGHT: Final = {"cpu": 1, "cuda": 32}
"""Number of steps after which losses are read: on CUDA every read waits for the device."""


class NonFiniteLossError(ArithmeticError):
    """A loss or gradient is not finite; names the place, so that the rows can be inspected.

    Attributes:
        epoch: counted from 0.
        batch: within the epoch, counted from 0.
        rows: (batch,) last rows of the windows of that batch.
    """

    def __init__(self, step: Step, rows: Integers, spoilt: Integers) -> None:
        self.epoch, self.batch, self.rows = step.epoch, step.batch, rows
        cause = (
            f"they hold rows that are not finite: {_listed(spoilt)}"
            if len(spoilt)
            else "all that they hold is finite: the weights have run away, lower the learning rate"
        )
        super().__init__(
            f"epoch {step.epoch}, batch {step.batch}: loss {step.loss}, gradient norm "
            f"{step.gradient_norm} on the windows ending at rows {_listed(rows)}; {cause}"
        )


class StepOutcome(NamedTuple):
    """A step's loss and gradient norm (before clipping), still on the device, and its rate."""

    loss: Tensor
    gradient_norm: Tensor
    learning_rate: float


class Stopwatch:
    """Seconds between laps."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last lap, or since the start."""
        now = time.perf_counter()
        passed, self._last = now - self._last, now
        return passed


def take_step(
    state: TrainingState,
    views: Mapping[str, Tensor],
    targets: Tensor,
    objective: Objective,
    settings: TrainSettings,
) -> StepOutcome:
    """Take one optimizer step on a batch, computed in parts, with the gradient's norm clipped."""
    state.optimizer.zero_grad()
    loss = torch.zeros((), device=state.device)
    for place in torch.arange(len(targets)).tensor_split(settings.accumulate):
        if len(place):
            begin, end = int(place[0]), int(place[-1]) + 1
            loss = loss + _backward(state, views, targets, objective, slice(begin, end))
    state.scaler.unscale_(state.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), settings.gradient_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    return StepOutcome(loss, norm.detach(), state.learning_rate)


def _backward(
    state: TrainingState,
    views: Mapping[str, Tensor],
    targets: Tensor,
    objective: Objective,
    part: slice,
) -> Tensor:
    """Add the gradient of a part of the batch, and return its share of the loss."""
    with autocast(state.device):
        output = state.model(**{name: view[part] for name, view in views.items()})
    loss = objective.loss(output, targets[part], targets)
    torch.autograd.backward(state.scaler.scale(loss))
    return loss.detach()


class Steps:
    """Adds an epoch's steps to the state's sums, reports them, and refuses non-finite ones."""

    def __init__(self, state: TrainingState, views: Views, on_step: OnStep) -> None:
        self._state, self._views, self._on_step = state, views, on_step
        self._in_flight: list[tuple[Tensor, StepOutcome]] = []
        self._watch = Stopwatch()

    def add(self, rows: Tensor, step: StepOutcome) -> None:
        """Record a step on the windows ending at `rows`, and move the state to the next batch."""
        self._in_flight.append((rows, step))
        self._state.batch += 1

    @property
    def should_settle(self) -> bool:
        """Return whether it is time to read the losses of the recorded steps."""
        return len(self._in_flight) >= STEPS_IN_FLIGHT[self._state.device.type]

    def settle(self) -> None:
        """Read and check the recorded steps in order.

        Raises:
            NonFiniteLossError: at the first step whose loss or gradient is not finite.
        """
        state = self._state
        losses = torch.stack([taken.loss for _, taken in self._in_flight]).tolist()
        norms = torch.stack([taken.gradient_norm for _, taken in self._in_flight]).tolist()
        first = state.batch - len(self._in_flight)
        for place, (rows, taken) in enumerate(self._in_flight):
            step = Step(
                state.epoch, first + place, losses[place], norms[place], taken.learning_rate
            )
            self._refuse_non_finite(step, rows)
            self._add(step, len(rows))
            self._on_step(step)
        self._in_flight.clear()
        state.sums.seconds += self._watch.lap()

    def _add(self, step: Step, windows: int) -> None:
        sums = self._state.sums
        sums.loss += step.loss * windows
        sums.gradient_norm += step.gradient_norm
        sums.steps += 1
        sums.windows += windows

    def _refuse_non_finite(self, step: Step, rows: Tensor) -> None:
        # Scaled float16 gradients overflow now and then; the scaler skips such steps by itself.
        norm_counts = not self._state.scaler.is_enabled()
        if np.isfinite(step.loss) and (np.isfinite(step.gradient_norm) or not norm_counts):
            return
        raise NonFiniteLossError(step, rows.cpu().numpy(), self._views.not_finite(rows))


def _listed(rows: Integers, most: int = 20) -> str:
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return ", ".join(map(str, rows[:most].tolist())) + more
