"""Score forecasts of prices, always beside the price that stays.

R² of price levels measures that tomorrow's price is near today's: "the price stays" has 0.97 at one
day on real Bitcoin. So no function here returns it alone, and no gate reads it.
"""

from __future__ import annotations

import msgspec
import numpy as np

from quantgod.contracts import Floats
from quantgod.evaluation.forecasts.outcomes import Outcomes
from quantgod.served.candles.quantiles import MEDIAN, prices


class PriceErrors(msgspec.Struct, frozen=True, kw_only=True):
    """Errors of prices, in the quote currency, and R² of price levels."""

    mae: float
    rmse: float
    r2: float


class PriceScores(msgspec.Struct, frozen=True, kw_only=True):
    """Errors of a forecaster's median price, and of the price at issue said to stay."""

    forecast: PriceErrors
    naive: PriceErrors


def median_price(outcomes: Outcomes, name: str) -> Floats:
    """Return the median price that a forecaster said, (n,): quantiles map, means do not."""
    median = outcomes.forecasts[name].quantiles[:, MEDIAN, None]
    return prices(outcomes.close, outcomes.sigma, outcomes.steps, median)[:, 0]


def realised_price(outcomes: Outcomes) -> Floats:
    """Return the price that came, (n,)."""
    return np.asarray(outcomes.close * np.exp(outcomes.y * outcomes.unit))


def price_scores(outcomes: Outcomes, name: str) -> PriceScores:
    """Return the errors of prices of one coin.

    Raises:
        ValueError: for several coins, whose prices have no common scale.
    """
    if len(outcomes.coins) != 1:
        raise ValueError(f"prices of one coin expected, got {', '.join(outcomes.coins) or 'none'}")
    came = realised_price(outcomes)
    return PriceScores(
        forecast=_errors(came, median_price(outcomes, name)), naive=_errors(came, outcomes.close)
    )


def _errors(came: Floats, said: Floats) -> PriceErrors:
    error, spread = came - said, np.square(came - came.mean()).sum()
    r2 = 1 - np.square(error).sum() / spread if spread > 0 else 0.0
    return PriceErrors(
        mae=float(np.abs(error).mean()), rmse=float(np.sqrt(np.square(error).mean())), r2=float(r2)
    )
