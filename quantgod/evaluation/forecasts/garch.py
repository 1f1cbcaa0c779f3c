"""The width that GARCH(1,1) with Student's t gives: a floor for forecasts of the width.

Fitted once, on the training part, and then filtered forward with fixed parameters: the variance of
a candle depends on the returns before it, and on nothing that comes later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import t as student

from quantgod.contracts import Booleans, Floats
from quantgod.served.candles.quantiles import LEVELS

FEWEST_RETURNS: Final = 250
_DEVIATION: Final = 3.0
"""Returns are scaled to this deviation, at which the fit is stable."""
_PATHS: Final = 20_000


class Garch(NamedTuple):
    """A fitted model of returns: var = omega + alpha r² + beta var, Student's t with nu."""

    omega: float
    alpha: float
    beta: float
    nu: float
    first: float
    """Variance of the first candle."""

    @property
    def persistence(self) -> float:
        """Return how much of a variance is left after a candle."""
        return self.alpha + self.beta


def garch_floor(
    returns: Floats, is_train: Booleans, horizons: Sequence[int], seed: int = 0
) -> Floats:
    """Return quantiles of the log return of the next h candles, (n, H, levels), known at each one.

    For one candle they are those of Student's t at the filtered deviation. For more, the variance
    is the sum of the expected ones, and the shape is that of simulated sums (seeded, from the usual
    variance of the training part, the same for every date).

    Args:
        returns: (n,) log returns of one coin, oldest first; NaN after a hole, where the variance is
            the expected one.
        is_train: (n,) the rows to fit on, which come first.
        horizons: candles ahead.
        seed: of the simulated shapes.

    Raises:
        ValueError: if training rows do not come first, or are too few.
    """
    count = int(is_train.sum())
    known = returns[:count][np.isfinite(returns[:count])]
    if not is_train[:count].all() or len(known) < FEWEST_RETURNS or not np.ptp(known) > 0:
        raise ValueError(
            f"training rows that come first, with {FEWEST_RETURNS} returns or more that differ "
            f"expected, got {len(known)} returns and rows from {_first_true(is_train)} on"
        )
    scale = _DEVIATION / float(known.std())
    model = fit(known * scale)
    ahead = filtered(returns * scale, model)
    usual = float(np.median(ahead[:count]))
    each = [
        np.sqrt(summed(ahead, steps, model))[:, None] * _shape(model, usual, steps, seed)
        for steps in horizons
    ]
    return np.stack(each, axis=1) / scale


def fit(returns: Floats) -> Garch:
    """Return the model that fits returns (n,) of a deviation of about 3 best, with mean zero."""
    from arch import arch_model  # noqa: PLC0415  # takes a second

    model = arch_model(returns, mean="Zero", vol="GARCH", p=1, q=1, dist="t")
    found = model.fit(disp="off", show_warning=False)
    omega, alpha, beta, nu = (float(found.params[name]) for name in _NAMES)
    return Garch(omega, alpha, beta, nu, float(found.conditional_volatility[0]) ** 2)


_NAMES: Final = ("omega", "alpha[1]", "beta[1]", "nu")


def filtered(returns: Floats, model: Garch) -> Floats:
    """Return the variance of the candle after each return (n,), in the units of the model."""
    ahead, variance = np.empty(len(returns)), model.first
    for place, value in enumerate(returns.tolist()):
        square = variance if np.isnan(value) else value * value
        variance = model.omega + model.alpha * square + model.beta * variance
        ahead[place] = variance
    return ahead


def summed(ahead: Floats, steps: int, model: Garch) -> Floats:
    """Return the expected sum of the next variances (n,), from those of the next candle."""
    powers = model.persistence ** np.arange(steps)
    # Candle k's expected variance: omega (1 + ... + p^(k-1)) + p^k times the next candle's.
    return np.asarray(ahead * powers.sum() + model.omega * np.cumsum(powers)[: steps - 1].sum())


def _student(model: Garch) -> Floats:
    """Return the quantiles of Student's t with variance 1."""
    return np.asarray(student.ppf(LEVELS, model.nu) * np.sqrt((model.nu - 2) / model.nu))


def _shape(model: Garch, start: float, steps: int, seed: int) -> Floats:
    """Return quantiles of the sum of returns over its expected deviation, symmetric around 0.

    Simulated from the `start` variance on, for more than one candle.
    """
    if steps == 1:
        return _student(model)
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(model.nu, (steps, _PATHS)) * np.sqrt((model.nu - 2) / model.nu)
    variance, total = np.full(_PATHS, start), np.zeros(_PATHS)
    for shock in shocks:
        value = np.sqrt(variance) * shock
        total += value
        variance = model.omega + model.alpha * value**2 + model.beta * variance
    wide = np.quantile(np.concatenate([total, -total]), LEVELS)
    return np.asarray(wide / np.sqrt(summed(np.array([start]), steps, model)))


def _first_true(mask: Booleans) -> int:
    return int(mask.argmax())
