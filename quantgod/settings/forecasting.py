"""Settings of how forecasts on candles are made and judged."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from quantgod.settings.section import Fraction, Positive, Section


class ForecastGateSettings(Section):
    """The bounds that a version that forecasts returns must meet; a bound of null is not checked.

    Attributes:
        horizons: candles ahead that are judged; others are recorded.
        pinball_skill_above: what the low end of the pinball skill over the random walk with EWMA
            width is above.
        coverage_of: central intervals whose coverage is judged, by what they promise.
        coverage_within: how far the coverage may be from the promise.
        worse_at_most: how much worse than the random walk the mean may be, in MSE, at the low end
            of the interval of its skill.
    """

    horizons: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 7)
    pinball_skill_above: Annotated[float, Field(ge=0, lt=1)] | None = 0.0
    coverage_of: tuple[Fraction, ...] = (0.8, 0.95)
    coverage_within: Fraction | None = 0.03
    worse_at_most: Annotated[float, Field(ge=0)] | None = 0.05

    @model_validator(mode="after")
    def _horizons_rise(self) -> ForecastGateSettings:
        if list(self.horizons) != sorted(set(self.horizons)):
            raise ValueError(f"horizons must rise, got {self.horizons}")
        return self
