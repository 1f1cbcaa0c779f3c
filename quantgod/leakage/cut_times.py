"""Where to cut: where the very next row is the first that a stage must not have seen.

A look-ahead of one row shows at the close of a bar that something was made of, and nowhere else:
samples stand a stride apart, so that a stride less a row after it the next sample is still to come.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from quantgod.contracts import MS_PER_MINUTE, MS_PER_SECOND
from quantgod.leakage.borders import borders_of
from quantgod.settings import Settings


class CutError(ValueError):
    """A cut outside of what is audited."""


def draw_cuts(index: pd.DatetimeIndex, settings: Settings, count: int, seed: int) -> list[int]:
    """Draw cuts (epoch ms, rising) over bars with this index: `count`, or as many as are needed.

    Whatever is fitted is cut at the moment from which it may be known, which is often the same for
    several, and the first of all a stride before too, so that it is seen to change. Each stage of
    forecasts that no such cut falls on is cut at the close of one of its own minutes, and so is any
    of them until there are `count`. The last minute of a stage will not do: of the bars after it
    the stage gets none.
    """
    borders, rng = borders_of(index, settings), np.random.default_rng(seed)
    moments = set(borders.fitted.values())
    cuts = moments | {min(moments) - settings.window.stride * MS_PER_MINUTE}
    for closes in borders.forecasts.values():
        if cuts.isdisjoint(closes[:-1]):
            cuts.add(int(rng.choice(closes[:-1])))
    rest = sorted({close for closes in borders.forecasts.values() for close in closes[:-1]} - cuts)
    more = rng.permutation(rest)[: max(0, count - len(cuts))]
    return sorted(cuts | {int(cut) for cut in more})


def parse_cut(text: str) -> pd.Timestamp:
    """A cut as a person writes it: ISO 8601; without a zone it is UTC.

    Raises:
        CutError: if it is no time.
    """
    try:
        cut = pd.to_datetime(text or "nothing")
    except ValueError:
        raise CutError(f"a time such as 2024-01-05T12:30Z was expected, got {text!r}") from None
    return cut.tz_localize("UTC") if cut.tz is None else cut.tz_convert("UTC")


def cuts_within(index: pd.DatetimeIndex, cuts: list[pd.Timestamp]) -> list[int]:
    """Cuts that a person gave, as epoch ms of whole minutes.

    Raises:
        CutError: for one before the first or after the last of these bars.
    """
    first, last = index[0], index[-1]
    for cut in cuts:
        if not first < cut <= last:
            raise CutError(f"a cut between {first} and {last} was expected, got {cut}")
    return sorted({int(cut.floor("min").timestamp()) * MS_PER_SECOND for cut in cuts})
