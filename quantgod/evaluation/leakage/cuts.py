"""Where to cut: an unpurged border shows within an hour after it, a threshold tuned on test late.

So half of the cuts fall closely after borders, the others anywhere.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from quantgod.contracts import MS_PER_MINUTE, MS_PER_SECOND
from quantgod.evaluation.leakage.borders import Borders, borders_of
from quantgod.settings import Settings


class CutError(ValueError):
    """A cut outside of what is audited."""


def draw_cuts(index: pd.DatetimeIndex, settings: Settings, count: int, seed: int) -> list[int]:
    """Draw `count` cuts (epoch ms, whole minutes, rising) over bars with this index.

    The first drawn is closely after the test's border, for a later one alone compares all stages;
    the second closely after the oldest fold's, for only an early one reaches all. From then on
    every other one is closely after a border, all borders in turn, and the rest are anywhere from
    the first fold's border on.
    """
    borders, rng = borders_of(index, settings), np.random.default_rng(seed)
    turn = [borders.tested, borders.folds[0]]
    middle = [border for border in borders.first_judged if border not in turn]
    cuts: set[int] = set()
    while len(cuts) < count:
        if turn and (len(cuts) < 2 or len(cuts) % 2 == 0):
            cuts.add(_closely_after(turn.pop(0), borders, settings.window.stride, rng))
        else:
            cuts.add(_anywhere(borders, rng))
        if not turn:
            turn = [middle[place] for place in rng.permutation(len(middle))]
            middle = list(borders.first_judged)
    return sorted(cuts)


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


def _closely_after(border: int, borders: Borders, stride: int, rng: np.random.Generator) -> int:
    """After the close of the border's own minute, and before the first label that crossed it ends.

    The youngest sample that purging left out begins a stride before the border. The base model is
    read on the test part alone; what shows there that it was not purged against its validation part
    is the scaler, whose inputs end a horizon before the border.
    """
    begin = borders.inputs_known_by(border) if border == borders.validation else border
    reach = borders.horizon // MS_PER_MINUTE - stride
    return begin + MS_PER_MINUTE * (1 + int(rng.integers(max(1, reach))))


def _anywhere(borders: Borders, rng: np.random.Generator) -> int:
    first, last = borders.folds[0] // MS_PER_MINUTE, borders.last // MS_PER_MINUTE
    return MS_PER_MINUTE * int(rng.integers(first + 1, last + 1))
