"""What an auditor is asked about: a forecast, whoever made it, and what its booster reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from quantgod.contracts import CLASSES, Floats, Forecast, forecast_of

TILTED: Final = slice(0, len(CLASSES))
"""A forecast's tilted probabilities among the meta-features."""


class AuditorInput(NamedTuple):
    """A forecast of n moments, and their meta-features (n, 14) in the order of `META_FEATURES`."""

    forecast: Forecast
    meta: Floats


def forecast_in(meta: Floats, class_weights: Sequence[float]) -> Forecast:
    """Return the forecast that meta-features (n, 14) were made of, at the primary horizon alone."""
    return forecast_of(meta[:, None, TILTED], class_weights)
