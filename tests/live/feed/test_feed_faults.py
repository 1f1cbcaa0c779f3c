"""Every fault of the exchange at the socket: alone, and in mixes that a seed chooses.

Whatever happens: no published book differs from the truth within what it claims to know, and in the
end every book stands at the venue's last event.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from quantgod.simulation.exchange.faults import FAULTS
from tests.live.feed.mixes import MixResult, run_mix

AFTER = 15
"""Events after which a fault strikes: the book stands by then."""

TOGETHER = 4
"""Runs at once: more would need more of the machine than a test may count on."""

MIXES = 12


class Trace(NamedTuple):
    """What a fault must leave: the notices, and why the book was lost (empty: it never was)."""

    notices: frozenset[str] = frozenset()
    losses: tuple[str, ...] = ()


def _trace(*notices: str, loss: str = "") -> Trace:
    return Trace(frozenset(notices), (loss,) if loss else ())


TRACES = {
    "lost": _trace(loss="gap"),
    "doubled": _trace(),
    "reordered": _trace(loss="gap"),
    "delayed": _trace(),
    "burst": _trace(),
    "split": _trace(),
    "oversized": _trace("oversized_frame", loss="disconnected"),
    "bad_json": _trace("unreadable_message", loss="corrupt_json"),
    "bad_number": _trace("unreadable_message", loss="bad_number"),
    "wrong_symbol": _trace("unreadable_message", loss="wrong_symbol"),
    "sequence_reset": _trace(loss="sequence_reset"),
    "clock_plus_2s": _trace(),
    "clock_minus_2s": _trace(),
    "clock_plus_1h": _trace(),
    "clock_minus_1h": _trace(),
    "half_open": _trace("silence", loss="disconnected"),
    "eof": _trace("connection_lost", loss="disconnected"),
    "abrupt": _trace("connection_lost", loss="disconnected"),
    "closed": _trace("connection_closed", loss="disconnected"),
    "day_cut": _trace("connection_closed", loss="disconnected"),
    "missed_pings": _trace(),
    "silent": _trace("silent_stream", "stream_speaks"),
    "unavailable": _trace("handshake_failed"),
    "snapshot_stale": _trace(),
    "snapshot_failing": _trace("snapshot_failed"),
    "snapshot_slow": _trace("snapshot_failed"),
    "snapshot_cut": _trace("snapshot_failed"),
    "snapshot_half": _trace(),
    "snapshot_thin": _trace(),
    "snapshot_empty": _trace(),
    "too_many_requests": _trace("rate_limited"),
    "banned": _trace("rate_limited"),
}


@pytest.fixture(scope="module")
def alone() -> dict[str, MixResult]:
    """What became of a feed under each fault by itself."""

    results: dict[str, MixResult] = {}
    names = list(TRACES)

    async def live_through(name: str) -> None:
        fault = FAULTS[name]
        placed = fault if fault.after == 0 else fault.at(AFTER)
        results[name] = await run_mix(7, faults=[placed])

    async def run(some: list[str]) -> None:
        await asyncio.gather(*(live_through(name) for name in some))

    for first in range(0, len(names), TOGETHER):
        asyncio.run(run(names[first : first + TOGETHER]))
    return results


def test_every_fault_has_its_trace() -> None:
    assert set(TRACES) == set(FAULTS)


@pytest.mark.long
@pytest.mark.parametrize("name", TRACES)
def test_a_fault_is_lived_through(name: str, alone: dict[str, MixResult]) -> None:
    result = alone[name]
    assert result.injected == [name]
    assert result.wrong == []
    assert result.is_synced
    assert tuple(result.losses) == TRACES[name].losses
    assert len(result.resyncs) == len(result.losses)
    assert result.early == 0
    assert result.codes() - {"connected"} == TRACES[name].notices


@pytest.mark.long
def test_mixes_of_faults_are_lived_through() -> None:
    """`make soak` plays them at a venue's pace, and tells how long a book takes to come back."""

    async def run(seeds: range) -> list[MixResult]:
        return await asyncio.gather(*(run_mix(seed) for seed in seeds))

    batches = (range(first, first + TOGETHER) for first in range(0, MIXES, TOGETHER))
    results = [result for seeds in batches for result in asyncio.run(run(seeds))]
    assert [(result.seed, result.wrong) for result in results if result.wrong] == []
    assert [result.seed for result in results if not result.is_synced] == []
    assert sum(len(result.resyncs) for result in results) > MIXES
