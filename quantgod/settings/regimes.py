"""Settings of the regimes that a market is in."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from quantgod.served.candles.regime_rules import Rules
from quantgod.settings.section import Natural, Positive, Section

Share = Annotated[float, Field(ge=0, le=1)]
AtLeastZero = Annotated[float, Field(ge=0)]


class RegimeSettings(Section):
    """How regimes are told: `rules` by thresholds, or `jump` by a model fitted in training.

    The thresholds are those of `served.candles.regime_rules.Rules`. `penalty` is what a change of
    regime costs a jump model, in squared standard deviations of its measures; it is fitted from
    `starts` draws, by `seed`.
    """

    kind: Literal["rules", "jump"] = "rules"
    volatile_from: Share = Rules.volatile_from
    volatile_until: Share = Rules.volatile_until
    trending_from: Share = Rules.trending_from
    trending_until: Share = Rules.trending_until
    reverting_from: AtLeastZero = Rules.reverting_from
    reverting_until: AtLeastZero = Rules.reverting_until
    penalty: AtLeastZero = 10.0
    starts: Positive = 8
    seed: Natural = 7

    @property
    def rules(self) -> Rules:
        """Return the thresholds."""
        return Rules(**self.model_dump(exclude={"kind", "penalty", "starts", "seed"}))

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        _ = self.rules
        return self
