"""Train a network to say the return to each horizon, in units of its spread (document 002)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from quantgod.dataset.samples import Samples
from quantgod.models.heads import Heads, Output
from quantgod.training.objectives.base import Judgement


@dataclass(frozen=True)
class ScaledReturns:
    """The return to each horizon over v√h, with v the past volatility of a step; no classes.

    The loss is Huber's with a threshold of 1, a mean over horizons where one of h steps weighs
    1/√h; returns that are not known are left out of each horizon's mean. The score is minus that.

    Attributes:
        horizons: steps, the primary one first.
    """

    horizons: tuple[int, ...]

    @property
    def class_weights(self) -> tuple[float, ...]:
        """Equal ones: there are no classes."""
        return (1.0, 1.0, 1.0)

    @property
    def heads(self) -> Heads:
        """The expected return at every horizon."""
        return Heads(horizons=len(self.horizons), expected_return=True, direction=False)

    def targets(self, samples: Samples) -> Float[Tensor, "samples horizons"]:
        """Return the scaled returns, NaN where the return or the volatility is not known."""
        return scaled_returns(samples, self.horizons)

    def loss(
        self,
        output: Output,
        target: Float[Tensor, "batch horizons"],
        whole: Float[Tensor, "whole horizons"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the weighted mean over the horizons, or a part's share of it."""
        paid = huber(output["expected_return"].float(), target)
        if whole is not None:
            paid = paid * known_share(target, whole)
        return (paid * self._weights(paid.device)).sum()

    def judge(self, output: Output, target: Float[Tensor, "batch horizons"]) -> Judgement:
        """Return minus the loss, and Huber's loss and the skill over zero at each horizon.

        The skill is 1 - MSE / MSE of always saying zero; 0 where nothing moved or is known.
        """
        said, known = output["expected_return"].float(), torch.isfinite(target)
        paid = huber(said, target)
        score = -float((paid * self._weights(paid.device)).sum())
        skills = 1 - _mean_square(said - target, known) / _mean_square(target, known)
        figures = {"minus_huber": score}
        for k, horizon in enumerate(self.horizons):
            figures[f"huber_{horizon}"] = float(paid[k])
            figures[f"mse_skill_{horizon}"] = float(skills[k].nan_to_num(0.0, 0.0, 0.0))
        return Judgement(score, figures)

    def _weights(self, device: torch.device) -> Float[Tensor, " horizons"]:
        weights = torch.tensor(self.horizons, dtype=torch.float32, device=device).rsqrt()
        return weights / weights.sum()


def scaled_returns(
    samples: Samples, horizons: tuple[int, ...]
) -> Float[Tensor, "samples horizons"]:
    """Return each sample's returns over v√h, v its volatility; NaN where either is not known."""
    steps = np.sqrt(np.array(horizons, np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = samples.returns / (samples.volatility[:, None] * steps)
    scaled[~np.isfinite(scaled)] = np.nan
    return torch.from_numpy(scaled.astype(np.float32))


def huber(
    said: Float[Tensor, "batch horizons"], came: Float[Tensor, "batch horizons"]
) -> Float[Tensor, " horizons"]:
    """Return Huber's loss, threshold 1, by horizon: a mean over what is known, 0 of nothing."""
    known = torch.isfinite(came)
    error = functional.huber_loss(said, torch.where(known, came, said.detach()), reduction="none")
    return error.sum(0) / known.sum(0).clamp(min=1)


def known_share(
    target: Float[Tensor, "batch horizons"], whole: Float[Tensor, "whole horizons"]
) -> Float[Tensor, " horizons"]:
    """Return the share of a batch's known returns that a part of it has, by horizon."""
    known, of = (torch.isfinite(one).sum(0) for one in (target, whole))
    return known / of.clamp(min=1)


def _mean_square(
    of: Float[Tensor, "batch horizons"], known: Bool[Tensor, "batch horizons"]
) -> Float[Tensor, " horizons"]:
    return torch.where(known, of, 0.0).square().sum(0) / known.sum(0)
