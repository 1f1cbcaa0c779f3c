"""Issue what a version says from where it was registered to the newest closed candle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quantgod.contracts import Candles
from quantgod.registry.daily.posting import rows_to_post


def catch_up(chain: Any, coins: Sequence[Candles]) -> list[Any]:
    """Return a version's forecasts of each date since it was registered, oldest first.

    They follow from its files and the candles alone: asked again it says the same bits. The first
    are those of the last date of its training, which wait for their outcomes as all others do. A
    coin without newer candles holds up none of the others.

    Args:
        chain: of the version, with code of its own (`quantgod/registry/daily/chain.py`).
        coins: closed candles of coins that it knows.

    Returns:
        A `served.candles.live.Dated` for each date.

    Raises:
        InputError: if candles do not reach back to what the first date needs, naming the coin.
    """
    step, timeline = chain.contract.step_ms, chain.registered
    last = chain.live_module.last_date(timeline)
    known = [_since(one, (last - chain.contract.back + 1) * step) for one in coins]
    found = _of_registration(chain, known, last)
    for newest in sorted({int(one.time_ms[-1]) for one in known}):
        if newest > last * step:
            there = [_until(one, newest) for one in known if one.time_ms[-1] >= newest]
            issued, timeline = chain.issue_from(timeline, rows_to_post(there))
            found += issued
    return found


def _of_registration(chain: Any, coins: Sequence[Candles], last: int) -> list[Any]:
    """Return the forecasts of a timeline's last date, which it has issued itself."""
    until = [_until(one, last * chain.contract.step_ms) for one in coins]
    there = [one for one in until if len(one)]
    if not there:
        return []
    pasts = chain.requests.read_candles(rows_to_post(there), chain.contract)
    return [one for one in chain.live.newest(chain.registered, pasts) if one.date == last]


def _since(candles: Candles, time_ms: int) -> Candles:
    """Return candles from the newest one that is not after a time on."""
    first = int(np.searchsorted(candles.time_ms, time_ms, side="right")) - 1
    return candles.take(slice(max(0, first), None))


def _until(candles: Candles, time_ms: int) -> Candles:
    return candles.take(candles.time_ms <= time_ms)
