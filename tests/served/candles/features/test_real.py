"""Real candles: every feature of every row that has a past."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.served.candles.features import sets
from tests.later import later
from tests.served.candles.features.markets import DAY, PRICES

DATA = Path("../shared/data")
DAILY = ("BTCUSDT_1d.csv.gz", *later("ETHUSDT_1d.csv.gz", "XRPUSDT_1d.csv.gz", "LTCUSDT_1d.csv.gz"))
NO_VOLUME = "btc_usd_daily.csv"
NAMES = np.array(sets.NAMES)
FIXED = {"day_sin", "day_cos"}
"""Daily candles open at one time of the day."""


def real(name):
    """The columns of a daily file, or a skip; NaN for what it lacks."""
    if not (DATA / name).is_file():
        pytest.skip(f"{DATA / name} is not here")
    table = pd.read_csv(DATA / name)
    when = next(key for key in ("timestamp", "open_time", "date") if key in table)
    opened = pd.to_datetime(table[when], utc=True) - pd.Timestamp(0, tz="UTC")
    prices = {key: table[key].to_numpy(float) for key in PRICES}
    volume = table.get("volume", pd.Series(np.nan, table.index)).to_numpy(float)
    return prices | {"volume": volume, "time": (opened / pd.Timedelta("1ms")).to_numpy()}


@pytest.mark.parametrize("name", DAILY)
def test_every_feature_of_a_coins_days_is_finite_and_moves(name):
    market = real(name)
    found = sets.compute(market)[sets.REACH - 1 :]
    assert len(found) == len(market["close"]) - sets.REACH + 1 > 2_500
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 100
    assert set(NAMES[np.ptp(found, axis=0) == 0]) == FIXED


def test_days_without_volume_have_all_other_features():
    market = real(NO_VOLUME)
    whole = int(np.flatnonzero(np.diff(market["time"]) != DAY)[0]) + 1
    found = sets.compute({name: values[:whole] for name, values in market.items()})
    assert np.isfinite(found[sets.REACH - 1 :]).all()
    fixed = set(NAMES[np.ptp(found[sets.REACH - 1 :], axis=0) == 0])
    assert fixed == FIXED | set(sets.FAMILIES["volume"].NAMES)
