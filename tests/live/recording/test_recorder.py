from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.live.driving import drive
from quantgod.live.exchange.truth import Truth
from quantgod.live.exchange.wire import depth_event, depth_snapshot
from quantgod.live.journal import Journal, read_table
from quantgod.live.recording.reading import open_recording
from quantgod.live.recording.recorder import recording_tables
from quantgod.market.book import OrderBook
from quantgod.market.book_bars import BookBars
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.level_sequence import LevelSampler, best_levels, normalised
from tests.live.recording.recorded import COLLECT, JOURNALING, Client, market, record

START_MS = 1_710_720_000_000


def book_at(mid: float, levels: int = 25) -> OrderBook:
    book = OrderBook()
    sizes = [(1 + place * 7919 % 13) / 4 for place in range(levels)]
    bids = [(mid - 0.5 - place, size) for place, size in enumerate(sizes)]
    asks = [(mid + 0.5 + place, size) for place, size in enumerate(reversed(sizes))]
    book.replace(bids, asks)
    return book


def sampler(length: int = 5) -> LevelSampler:
    return LevelSampler(20, 100, length, 5)


def test_every_message_is_recorded_as_it_came(tmp_path: Path) -> None:
    venue = market("BTCUSDT", START_MS, 60, seed=1, drift=0.0)
    client = record(tmp_path, venue, {30: "corrupt", 60: "reconnect"}, seed=3)
    rows = read_table(tmp_path, "RAW").to_pylist()
    kinds = [row["kind"] for row in rows]
    assert kinds[:2] == ["closed", "opened"]
    assert kinds.count("stream") == 120
    events = read_table(tmp_path, "EVENTS").to_pylist()
    told = [(event["kind"], event["code"]) for event in events]
    assert ("out_of_sync", "corrupt_json") in told
    assert ("out_of_sync", "disconnected") in told
    assert told.count(("synced", "")) == client.reasons.count("Synced") == 3


def test_levels_are_the_best_ones_after_the_last_message_of_each_interval(tmp_path: Path) -> None:
    """Against a book rebuilt from the recording: one state an interval, silences filled."""
    record(tmp_path, market("BTCUSDT", START_MS, 30, seed=2, drift=0.0), {}, seed=3)
    bars, states = BookBars(BinanceBookSync("BTCUSDT", 1_000), 5, 5), {}
    for arrival in open_recording(tmp_path).arrivals:
        for event in drive(bars, arrival.kind, arrival.data).events:
            if bars.book is not None:
                states[event.update.ts // 100] = best_levels(bars.book, 20).tolist()
    rows = read_table(tmp_path, "LEVELS").to_pylist()
    assert [row["ts"] for row in rows] == [100 * place for place in range(min(states), max(states))]
    state: list[float] = []
    for row in rows:
        state = states.get(row["ts"] // 100, state)
        assert row["levels"] == state


def test_a_sequence_needs_as_many_intervals_without_a_break(tmp_path: Path) -> None:
    venue = market("BTCUSDT", START_MS, 60, seed=1, drift=0.0)
    truth = Truth([venue])
    opening = truth.snapshot("BTCUSDT", 300, random.Random(1))
    with Journal(tmp_path, recording_tables(COLLECT), JOURNALING) as journal:
        client = Client("BTCUSDT", journal)
        client.take("opened")
        have = []
        for number in range(100):
            client.take("stream", depth_event(truth.advance()))
            if number == 0:
                client.take("snapshot", depth_snapshot(opening, truth.now))
            if number == 60:
                client.take("closed")
            have.append(client.recorder.get_latest_sequence("BTCUSDT"))
    assert [sequence is not None for sequence in have] == [False] * 20 + [True] * 40 + [False] * 40
    assert all(sequence.shape == (100, 20, 4) for sequence in have[20:60])


@given(st.integers(1, 4), st.floats(0.001, 1000), st.floats(0.001, 1000))
def test_no_row_depends_on_a_later_one_nor_on_scale(
    place: int, price_scale: float, size_scale: float
) -> None:
    taken = sampler()
    for number in range(6):
        taken.take(1000 + 100 * number, book_at(60_000 + number))
    sequence = taken.sequence()
    assert sequence is not None
    plain = normalised(sequence)
    later = sequence.copy()
    later[place:] *= 1.7
    assert np.array_equal(normalised(later)[:place], plain[:place])
    scaled = sequence * [price_scale, size_scale, price_scale, size_scale]
    assert np.allclose(normalised(scaled), plain, rtol=1e-9, atol=1e-6)


def test_normalised_prices_are_basis_points_from_the_first_mid() -> None:
    taken = sampler()
    for number in range(6):
        taken.take(1000 + 100 * number, book_at(50_000 + 5 * number))
    sequence = taken.sequence()
    assert sequence is not None
    plain = normalised(sequence)
    assert np.allclose(plain[:, 0, 0] + plain[:, 0, 2], [0, 2, 4, 6, 8])
    assert plain[0, :, 1::2].mean() == pytest.approx(1.0)


def test_a_silence_is_bridged_up_to_its_limit() -> None:
    taken = sampler(length=30)
    assert taken.take(1_000, book_at(100)) == []
    filled = taken.take(6_100, book_at(101))
    assert [ts for ts, _ in filled] == list(range(1_000, 6_100, 100))
    assert taken.sequence() is not None
    assert [ts for ts, _ in taken.take(11_300, book_at(102))] == [6_100]
    taken.take(11_400, book_at(102))
    assert taken.sequence() is None


def test_a_late_message_changes_the_open_interval_only() -> None:
    taken = sampler()
    taken.take(1_050, book_at(100))
    assert taken.take(950, book_at(101)) == []
    ((ts, levels),) = taken.take(1_130, book_at(102))
    assert ts == 1_000
    assert levels.tolist() == best_levels(book_at(101), 20).tolist()


def test_a_loss_takes_the_open_interval_with_it() -> None:
    taken = sampler()
    taken.take(1_050, book_at(100))
    taken.lose()
    assert taken.take(1_230, book_at(100)) == []


def test_a_book_thinner_than_the_levels_is_recorded_and_gives_no_sequence() -> None:
    taken = sampler(length=2)
    for number in range(5):
        closed = taken.take(1_000 + 100 * number, book_at(100, levels=7))
    assert np.isnan(closed[0][1].reshape(20, 4)[7:, 0]).all()
    assert closed[0][1].reshape(20, 4)[7:, 1].tolist() == [0.0] * 13
    assert taken.sequence() is None


class FullJournal:
    """A journal that has no room for a while."""

    def __init__(self) -> None:
        self.is_full = False
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def append(self, table: str, row: Mapping[str, Any]) -> bool:
        if not self.is_full:
            self.rows.append((table, dict(row)))
        return not self.is_full


def test_after_dropped_messages_a_recording_can_be_driven_on() -> None:
    """The feed asks for no snapshot, for it lost nothing: the recorder makes one of its book."""
    truth = Truth([market("BTCUSDT", START_MS, 300, seed=6, drift=0.0)])
    opening = truth.snapshot("BTCUSDT", 300, random.Random(1))
    journal = FullJournal()
    client = Client("BTCUSDT", journal)  # type: ignore[arg-type]
    client.take("opened")
    for number in range(500):
        journal.is_full = 100 <= number < 150
        client.take("stream", depth_event(truth.advance()))
        if number == 0:
            client.take("snapshot", depth_snapshot(opening, truth.now))
    raw = [(row["kind"], row["data"]) for table, row in journal.rows if table == "RAW"]
    assert [kind for kind, _ in raw].count("snapshot") == 2
    again = BookBars(BinanceBookSync("BTCUSDT", 1_000), 5, 5)
    for kind, data in raw:
        drive(again, kind, data)
    assert again.book is not None
    assert again.book.top(20) == client.bars.book.top(20)
    assert again.sync.last_update_id == client.bars.sync.last_update_id
