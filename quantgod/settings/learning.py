"""Settings of labels, splits, networks, search and auditor."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from quantgod.contracts import SHORTEST_WINDOW, Horizon, Target
from quantgod.settings.section import (
    Choice,
    Fraction,
    Natural,
    Positive,
    PositiveFloat,
    Section,
)


class HorizonSettings(Section):
    """A return of the minutes ahead, cut into three classes (strict inequalities, log returns)."""

    horizon_minutes: Positive
    buy_above: PositiveFloat
    sell_below: Annotated[float, Field(lt=0)]


class LabelSettings(HorizonSettings):
    """The horizon that is judged and traded, and further ones that networks learn beside it."""

    further: tuple[HorizonSettings, ...] = ()

    @model_validator(mode="after")
    def _no_two_are_equally_far(self) -> LabelSettings:
        minutes = [one.horizon_minutes for one in (self, *self.further)]
        if len(set(minutes)) < len(minutes):
            raise ValueError(f"horizons that differ expected, got {minutes}")
        return self

    @property
    def horizons(self) -> tuple[HorizonSettings, ...]:
        """All of them, nearest first."""
        return tuple(sorted((self, *self.further), key=lambda one: one.horizon_minutes))

    @property
    def longest_minutes(self) -> int:
        """The farthest horizon: no label looks further ahead."""
        return self.horizons[-1].horizon_minutes

    @property
    def target(self) -> Target:
        """What is forecast, as forecasters are compared by it."""
        every = tuple(
            Horizon(one.horizon_minutes, one.buy_above, one.sell_below) for one in self.horizons
        )
        return Target("minute", every, self.horizons.index(self))


class WindowSettings(Section):
    """A window has `length` rows; every `stride`-th labelled minute is a sample."""

    length: Annotated[int, Field(ge=SHORTEST_WINDOW)]  # with fewer rows the auditor lacks context
    stride: Positive


class SplitSettings(Section):
    """The newest part is the test part, the newest part of the rest validates, the rest trains."""

    test_fraction: Fraction
    validation_fraction: Fraction
    folds: Annotated[int, Field(ge=2)]
    embargo_minutes: Natural


class ModelSettings(Section):
    """A network by its registered name; the model's own settings parse `params`."""

    name: str
    params: dict[str, Any] = Field(default_factory=dict)


class TrainSettings(Section):
    """The training of one network. Class weights are in class order: SELL, NEUTRAL, BUY.

    A batch is computed in `accumulate` parts, whose gradients add up to that of the whole. An epoch
    sees every `every`-th sample, and the next epoch others; of the validation part every
    `every`-th, always the same, is judged after each.
    The learning rate falls with each epoch as a cosine does, or it rises to `learning_rate` in
    `warmup_steps` steps and then falls as one over the root of the step.
    A checkpoint is written after every epoch and every `checkpoint_batches` batches (0: none).
    `threads` is the number of CPU threads (0: PyTorch's default, and one for each fold); results
    depend on it to the bit.

    With `out_of_fold` a training also forecasts dev by models of its walk-forward folds, as the
    audit does; it is set for members. Folds are trained in `workers` processes (0: as many as their
    threads leave cores for; on a GPU one after the other), or on the cluster of a Dask `scheduler`.
    """

    epochs: Positive
    batch_size: Positive
    learning_rate: PositiveFloat
    schedule: Literal["cosine", "warmup"] = "cosine"
    warmup_steps: Positive = 500
    weight_decay: Annotated[float, Field(ge=0)]
    gradient_norm: PositiveFloat
    accumulate: Positive = 1
    every: Positive = 1
    objective: Literal["classes", "direction", "multi_task", "trend", "returns"] = "classes"
    class_weights: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    patience: Positive
    checkpoint_batches: Natural = 0
    threads: Natural = 0
    out_of_fold: bool = False
    workers: Natural = 0
    scheduler: str | None = None
    seed: Natural
    device: Literal["auto", "cpu", "cuda"]


class Range(Section):
    """A continuous range of a search."""

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(
                f"low < high expected, and low > 0 if log; got {self.low}, {self.high}"
            )
        return self


SearchSpace = dict[str, list[Choice] | Range]


class OptimizeSettings(Section):
    """The search. `space` adds to the model's own search space, or narrows it.

    After `hours` no further trial begins, whichever come first: these or `trials`.
    """

    trials: Positive
    hours: PositiveFloat | None = None
    epochs: Positive
    stride: Positive
    study: str
    storage: str
    startup_trials: Natural
    warmup_steps: Natural
    seed: Natural
    space: SearchSpace


class XGBoostSettings(Section):
    """Settings of the auditor's booster, under XGBoost's own names."""

    max_depth: Positive
    eta: PositiveFloat
    subsample: Annotated[float, Field(gt=0, le=1)]
    colsample_bytree: Annotated[float, Field(gt=0, le=1)]
    min_child_weight: Annotated[float, Field(ge=0)]
    reg_lambda: Annotated[float, Field(ge=0)]
    rounds: Positive
    early_stopping_rounds: Positive
    seed: Natural


class AuditSettings(Section):
    """The auditor. `decision_weights` turn calibrated probabilities into a class.

    `conformal_level` is the share of rows whose conformal set shall hold the true class.
    """

    stride: Positive
    epochs: Positive
    stopping_fraction: Fraction
    calibration_fraction: Fraction
    class_weights: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    decision_weights: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    conformal_level: Fraction
    xgboost: XGBoostSettings
