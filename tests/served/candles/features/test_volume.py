"""What holds of features of volume where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.served.candles.features import sets, volume
from tests.served.candles.features.markets import holed, smooth

ROWS = 460


def test_a_source_without_volume_gives_zeros_in_every_row():
    market = smooth(ROWS) | {"volume": np.full(ROWS, np.nan)}
    found = volume.compute(market)
    assert np.isnan(found[: volume.REACH - 1]).all()
    assert (found[volume.REACH - 1 :] == 0).all()


def test_rows_near_a_missing_volume_have_no_such_feature_and_all_others():
    market = holed(ROWS)
    places = [name in volume.NAMES for name in sets.NAMES]
    found = sets.compute(market)
    missing = np.isnan(market["volume"])
    for row in range(sets.REACH - 1, ROWS):
        absent = missing[row - volume.REACH + 1 : row + 1]
        expected = not absent.all() and absent.any()
        assert np.isnan(found[row, places]).tolist() == [expected] * 10, row
        assert np.isfinite(np.delete(found[row], np.flatnonzero(places))).all()
        assert not absent.all() or not found[row, places].any()


@pytest.mark.parametrize("times", [1.9, 2.1])
def test_a_breakout_is_twice_the_usual_volume_of_the_rows_before(times):
    market = smooth(volume.REACH)
    market["volume"] = np.append(np.full(volume.REACH - 1, 50.0), 50 * times)
    place = volume.NAMES.index("volume_breakout")
    assert volume.compute(market)[-1, place] == (times > 2)
