"""How anything that forecasts speaks: networks, baselines, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from quantgod.contracts.arrays import Booleans, Floats, Integers
from quantgod.contracts.columns import CLASSES
from quantgod.served.calibration import untilt

PRIMARY: Final = 0
"""Position of the horizon that is judged and traded, in a forecast as in samples and networks."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a forecaster says of n moments at H horizons, the primary one first.

    Attributes:
        probabilities: (n, H, 3) in class order, as the forecaster believes them: without the class
            weights of its loss.
        tilted: (n, H, 3) the same with these weights, by which it decides; `probabilities` where it
            has none. The auditor's booster reads them, as that of every registered version does.
        confidence: (n, H) probability that the decided class is right: from a head of its own, else
            the decided class's probability.
        expected_return: (n, H) log return over v√h, with v the volatility of past minutes and h the
            horizon; NaN from a forecaster that says none.
        quantiles: (n, H, levels) of the same scaled return, where it says any.
    """

    probabilities: Floats
    tilted: Floats
    confidence: Floats
    expected_return: Floats
    quantiles: Floats | None = None

    def __post_init__(self) -> None:
        """Check that all parts are of the same moments and horizons.

        Raises:
            ValueError: naming the shapes.
        """
        each = self.probabilities.shape[:2]
        found = [one.shape for one in (self.probabilities, self.tilted)]
        found += [one.shape for one in (self.confidence, self.expected_return)]
        if found != [(*each, len(CLASSES))] * 2 + [each] * 2:
            raise ValueError(
                f"probabilities, tilted (n, H, {len(CLASSES)}), confidence and expected_return "
                f"(n, H) expected, got {found}"
            )

    def __len__(self) -> int:
        return len(self.probabilities)

    def at(self, moments: Integers | Booleans) -> Forecast:
        """Return the forecast of these moments alone."""
        return Forecast(
            self.probabilities[moments],
            self.tilted[moments],
            self.confidence[moments],
            self.expected_return[moments],
            None if self.quantiles is None else self.quantiles[moments],
        )

    @property
    def decided(self) -> Integers:
        """Return the class that it decides on, (n, H)."""
        return np.asarray(self.tilted.argmax(axis=-1), np.int64)


def forecast_of(
    tilted: Floats,
    class_weights: Sequence[float] | None = None,
    *,
    confidence: Floats | None = None,
    expected_return: Floats | None = None,
) -> Forecast:
    """Return the forecast of probabilities (n, H, 3) that a loss's class weights tilt.

    Args:
        tilted: as they came out of training.
        class_weights: of the loss; None where it had none.
        confidence: (n, H), of a forecaster with a head for it.
        expected_return: the same.
    """
    said, flat = tilted, tilted.reshape(-1, tilted.shape[-1])
    if class_weights is not None:
        said = untilt(flat, class_weights).reshape(tilted.shape)
    if confidence is None:
        chosen = tilted.argmax(axis=-1)[..., None]
        confidence = np.take_along_axis(said, chosen, axis=-1)[..., 0]
    if expected_return is None:
        expected_return = np.full(tilted.shape[:2], np.nan)
    return Forecast(said, tilted, confidence, expected_return)
