"""Perturb bars: original bars up to a cut, and a wild market in the same minutes after it.

Times and the number of rows stay, because borders are drawn by counting minutes: the question is
whether values look ahead, not whether the calendar does.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quantgod.contracts import (
    BOOK_COLUMNS,
    BOOK_LEVELS,
    FEATURES,
    MS_PER_MINUTE,
    SECOND_FIGURES,
    Booleans,
    Floats,
    Integers,
)
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.settings import LabelSettings

WIDER: Final = 3.0
"""Spread of the perturbed features, in multiples of the data's own."""

PHASES: Final = (1.0, 0.0, -1.0)
STEEP: Final = 1.5
"""A move, in units of the distance between the two thresholds."""

SIZES: Final = 1024
"""Different factors of sizes in changed blocks."""

FAR: Final = 6.0
"""Distance of the new price from the old one, in the same units."""


def known_at(index: pd.DatetimeIndex) -> Integers:
    """Return when each minute's bar is known: at its close, epoch ms."""
    return np.asarray(index.as_unit("ms").asi8 + MS_PER_MINUTE, np.int64)


def perturb(
    bars: pd.DataFrame, cut_ms: int, settings: LabelSettings, rng: np.random.Generator
) -> pd.DataFrame:
    """Replace features and `close` of every bar that closes after `cut_ms`.

    The new price is far below the old one if that has risen, and far above it if it has fallen: a
    class read just one row too far then differs. Around this level it rises, rests and falls for a
    horizon each, so that labels of all classes occur soon. Features that are returns follow the new
    price; the others are drawn at random with other means and spreads. Values that cannot be
    negative stay at least zero. Books, if there are any, move to the new price with twice the
    distances and other sizes, and figures of seconds are drawn as features are.

    Args:
        bars: nine features and `close`, and maybe `dataset.feature_table.SOURCES`.
        cut_ms: bars known by this time stay.
        settings: thresholds and horizon that scale the walk.
        rng: draws the new market.
    """
    later = known_at(pd.DatetimeIndex(bars.index)) > cut_ms
    if not later.any():
        return bars.copy()
    changed = bars.copy()
    close, first = bars["close"].to_numpy(), int(later.argmax())
    start = close[max(first - 1, 0)]
    path = np.cumsum(_steps(int(later.sum()), settings, rng)) + _opposite(close, first, settings)
    steps = np.diff(path, prepend=0.0)
    changed.loc[later, "close"] = start * np.exp(path)
    for name in FEATURES:
        changed.loc[later, name] = _drawn(bars[name].to_numpy(), len(steps), rng)
    changed.loc[later, "log_ret_close"] = steps
    changed.loc[later, "body"] = steps * rng.uniform(0.5, 1.0, len(steps))
    if BOOK_COLUMNS[0] in bars:
        changed.loc[later, list(BOOK_COLUMNS)] = _other_books(bars, changed, first, rng)
        for name in SECOND_FIGURES:
            changed.loc[later, name] = _drawn(bars[name].to_numpy(), len(steps), rng)
    return changed


@dataclass(frozen=True, eq=False)
class OtherBlocks(BookBlocks):
    """The blocks of another market from a time on: double distances, and other sizes.

    Attributes:
        later: (blocks,) which ones are changed.
        factors: (some, levels, 2) what sizes are multiplied by, in turn.
    """

    later: Booleans
    factors: npt.NDArray[np.float32]

    def take(self, places: Integers) -> npt.NDArray[np.float32]:
        """Return the blocks at these positions among all, as a new array."""
        found, later = super().take(places), self.later[places]
        changed = found[later]
        changed[..., 0::2] *= 2
        changed[..., 1::2] *= self.factors[places[later] % len(self.factors), None]
        found[later] = changed
        return found


def other_blocks(blocks: BookBlocks, cut_ms: int, rng: np.random.Generator) -> OtherBlocks:
    """Replace every block of a minute that closes after `cut_ms`, as `perturb` does its bar."""
    later = (blocks.minutes + 1) * MS_PER_MINUTE > cut_ms
    factors = rng.uniform(0.2, 5.0, (SIZES, blocks.book[1], 2)).astype(np.float32)
    own = {field.name: getattr(blocks, field.name) for field in fields(BookBlocks)}
    own["depth"] = np.where(later, 2 * blocks.depth, blocks.depth)
    return OtherBlocks(**own, later=later, factors=factors)


def _other_books(
    bars: pd.DataFrame, changed: pd.DataFrame, first: int, rng: np.random.Generator
) -> Floats:
    """Return the books of the rows from `first` on: a price p becomes `new (p / old)^2`."""
    old, new = (of["close"].to_numpy()[first:, None, None] for of in (bars, changed))
    books = bars[list(BOOK_COLUMNS)].to_numpy()[first:].reshape(len(old), 2 * BOOK_LEVELS, 2)
    moved = np.empty_like(books)
    moved[..., :1] = new * (books[..., :1] / old) ** 2
    moved[..., 1] = books[..., 1] * rng.uniform(0.2, 5.0, books.shape[:2])
    return moved.reshape(len(old), -1)


def _steps(count: int, settings: LabelSettings, rng: np.random.Generator) -> Floats:
    """Return log returns of minutes; over a rising horizon they sum to above both thresholds."""
    horizon, apart = settings.horizon_minutes, settings.buy_above - settings.sell_below
    cycles = -(-count // (len(PHASES) * horizon))
    phases = np.concatenate([rng.permutation(PHASES) for _ in range(cycles)])
    drift = np.repeat(phases, horizon)[:count] * STEEP * apart / horizon
    return np.asarray(drift + rng.normal(0.0, apart / (2 * np.sqrt(horizon)), count))


def _opposite(close: Floats, first: int, settings: LabelSettings) -> Floats:
    """Return each new close's distance from the last one, beyond the range of two horizons.

    It lies on the side opposite to the old price's move over a horizon, both before the row itself
    and before the cut.
    """
    horizon = settings.horizon_minutes
    rows = np.arange(first, len(close))
    begins = np.maximum([rows - horizon, np.full(len(rows), first - 1 - horizon)], 0)
    moves = np.log(close[rows] / close[begins])
    sides = np.where((moves < settings.sell_below).any(axis=0), 1, 0)
    sides[(moves > settings.buy_above).any(axis=0)] = -1
    sides[0] = sides[0] or 1
    kept = np.maximum.accumulate(np.where(sides == 0, 0, np.arange(len(sides))))
    before = close[max(first - 1 - 2 * horizon, 0) : max(first, 1)]
    far = FAR * (settings.buy_above - settings.sell_below) + np.log(before.max() / before.min())
    return np.asarray(sides[kept] * far, np.float64)


def _drawn(column: Floats, count: int, rng: np.random.Generator) -> Floats:
    spread = WIDER * max(float(column.std()), 1e-9)
    drawn = rng.normal(column.mean() + rng.choice((-1.0, 1.0)) * spread, spread, count)
    return drawn if (column < 0).any() else np.abs(drawn)
