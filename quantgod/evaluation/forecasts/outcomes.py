"""What forecasters said of one horizon, beside what came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from quantgod.contracts import Booleans, Floats, Integers
from quantgod.contracts.candles import INTERVALS
from quantgod.served.candles.quantiles import LEVELS, NORMAL

RANDOM_WALK: Final = "random_walk"
"""The floor that says: no change, as wide as the EWMA deviation."""
DRIFT: Final = "drift"
"""The floor whose mean is the mean of the training part."""
GARCH: Final = "garch"
"""The floor that says: no change, as wide as GARCH(1,1) with Student's t."""
FLOORS: Final = (RANDOM_WALK, DRIFT, GARCH)


@dataclass(frozen=True, eq=False)
class Distribution:
    """What one forecaster said, in units of the scaled return.

    Attributes:
        mean: (n,) the expected scaled return.
        quantiles: (n, levels) at `LEVELS`, as they were issued: calibrated where anything is.
        raw: (n, levels) the same before calibration; None where nothing calibrates.
    """

    mean: Floats
    quantiles: Floats
    raw: Floats | None = None

    def take(self, index: Integers | Booleans) -> Distribution:
        """Return the forecasts at these positions."""
        raw = None if self.raw is None else self.raw[index]
        return Distribution(self.mean[index], self.quantiles[index], raw)


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Matured forecasts of one horizon, of one coin or several.

    Attributes:
        date: (n,) number of the candle at which each was issued, since the epoch: days of daily
            candles. All rows of a date are one cluster.
        coin: (n,) whose it is.
        steps: candles that the horizon looks ahead.
        y: (n,) the realised scaled return, ln(c[t+h]/c[t]) / (sigma sqrt(h)).
        sigma: (n,) deviation of one candle's return, as known at issue.
        close: (n,) price at issue.
        forecasts: what each forecaster said, by its name; floors are called as in `FLOORS`.
        step_ms: milliseconds of a candle.
    """

    date: Integers
    coin: npt.NDArray[np.str_]
    steps: int
    y: Floats
    sigma: Floats
    close: Floats
    forecasts: Mapping[str, Distribution] = field(default_factory=dict)
    step_ms: int = INTERVALS["1d"]

    def __post_init__(self) -> None:
        """Check shapes and values.

        Raises:
            ValueError: naming what came and what was expected.
        """
        rows = self.y.shape
        found = {name: getattr(self, name) for name in ("date", "coin", "sigma", "close")}
        odd = {name: one.shape for name, one in found.items() if one.shape != rows}
        if odd or len(rows) != 1:
            raise ValueError(f"rows of one length expected, got {rows} outcomes and {odd}")
        if self.coin.dtype.kind != "U":
            raise ValueError(f"names of coins as text expected, got {self.coin.dtype}")
        if not (np.isfinite(self.y).all() and (self.sigma > 0).all() and (self.close > 0).all()):
            raise ValueError(
                "matured outcomes, and deviations and prices above zero expected: leave out rows "
                "whose horizon has not passed yet"
            )
        for name, said in self.forecasts.items():
            self._check(name, said)

    def _check(self, name: str, said: Distribution) -> None:
        shape = (len(self.y), len(LEVELS))
        given = [said.quantiles] if said.raw is None else [said.quantiles, said.raw]
        shapes = [one.shape for one in given]
        if said.mean.shape != self.y.shape or shapes != [shape] * len(given):
            raise ValueError(f"{name}: quantiles {shape} and a mean each expected, got {shapes}")
        for one in (said.mean, *given):
            if not np.isfinite(one).all():
                raise ValueError(f"{name}: numbers expected, got NaN or infinity")
        if any((np.diff(one, axis=1) < 0).any() for one in given):
            raise ValueError(f"{name}: quantiles must not fall from level to level; sort them")

    def __len__(self) -> int:
        return len(self.y)

    @property
    def unit(self) -> Floats:
        """Return what turns scaled into log returns, (n,): sigma sqrt(h)."""
        return np.asarray(self.sigma * np.sqrt(self.steps))

    @property
    def coins(self) -> list[str]:
        """Return the names of the coins."""
        return [str(one) for one in np.unique(self.coin)]

    @property
    def year(self) -> Integers:
        """Return the calendar year of each issue, UTC, (n,)."""
        moment = (self.date * self.step_ms).astype("datetime64[ms]")
        return moment.astype("datetime64[Y]").astype(np.int64) + 1970

    def take(self, index: Integers | Booleans) -> Outcomes:
        """Return the rows at these positions, or where a mask is true."""
        return replace(
            self,
            **{
                name: getattr(self, name)[index] for name in ("date", "coin", "y", "sigma", "close")
            },
            forecasts={name: said.take(index) for name, said in self.forecasts.items()},
        )

    def by_coin(self) -> Iterator[tuple[str, Outcomes]]:
        """Yield each coin with its rows."""
        for coin in self.coins:
            yield coin, self.take(self.coin == coin)

    def by_year(self) -> Iterator[tuple[int, Outcomes]]:
        """Yield each calendar year with its rows, the oldest first."""
        for year in np.unique(self.year):
            yield int(year), self.take(self.year == year)


def normal_walk(rows: int) -> Distribution:
    """Return what a random walk says whose returns are normal with the EWMA deviation."""
    return Distribution(np.zeros(rows), np.tile(NORMAL, (rows, 1)))
