"""Choose cut times at which the very next row is the first that a stage must not use.

A look-ahead of one row shows only at the close of the last bar that a value was made from: samples
are a stride apart, so up to a stride minus one row later nothing new is used.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from quantgod.contracts import MS_PER_MINUTE, MS_PER_SECOND, Booleans
from quantgod.leakage.borders import borders_of
from quantgod.settings import Settings


class CutError(ValueError):
    """A cut lies outside the audited bars."""


def draw_cuts(
    index: pd.DatetimeIndex,
    settings: Settings,
    count: int,
    seed: int,
    seen: Booleans | None = None,
) -> list[int]:
    """Draw cuts (epoch ms, rising) for bars with this index: `count`, or more if needed.

    Each fit is cut at the moment from which it may be known (often the same for several), and the
    first one also a stride earlier, so that it is seen to change. Each forecast stage without such
    a cut is cut at the close of one of its minutes; more such cuts follow until there are `count`.
    The last minute of a stage is not used: the stage has no bars after it. `seen` as in
    `borders_of`.
    """
    borders, rng = borders_of(index, settings, seen), np.random.default_rng(seed)
    moments = set(borders.fitted.values())
    cuts = moments | {min(moments) - settings.window.stride * MS_PER_MINUTE}
    for closes in borders.forecasts.values():
        if cuts.isdisjoint(closes[:-1]):
            cuts.add(int(rng.choice(closes[:-1])))
    rest = sorted({close for closes in borders.forecasts.values() for close in closes[:-1]} - cuts)
    more = rng.permutation(rest)[: max(0, count - len(cuts))]
    return sorted(cuts | {int(cut) for cut in more})


def parse_cut(text: str) -> pd.Timestamp:
    """Parse a cut time in ISO 8601; without a time zone it is UTC.

    Raises:
        CutError: if it is not a time.
    """
    try:
        cut = pd.to_datetime(text or "nothing")
    except ValueError:
        raise CutError(f"a time such as 2024-01-05T12:30Z was expected, got {text!r}") from None
    return cut.tz_localize("UTC") if cut.tz is None else cut.tz_convert("UTC")


def cuts_within(index: pd.DatetimeIndex, cuts: list[pd.Timestamp]) -> list[int]:
    """Return given cuts as epoch ms of whole minutes.

    Raises:
        CutError: if one lies before the first or after the last bar.
    """
    first, last = index[0], index[-1]
    for cut in cuts:
        if not first < cut <= last:
            raise CutError(f"a cut between {first} and {last} was expected, got {cut}")
    return sorted({int(cut.floor("min").timestamp()) * MS_PER_SECOND for cut in cuts})
