from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantgod.live.driving import drive
from quantgod.live.journal import Journal, read_table
from quantgod.live.recording.arrivals import open_recording
from quantgod.live.recording.recorder import recording_tables
from quantgod.market.book_bars import BookBars
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.level_sequence import best_levels
from quantgod.simulation.exchange.truth import Truth
from quantgod.simulation.exchange.wire import depth_event, depth_snapshot
from tests.live.recording.recorded import COLLECT, JOURNALING, Client, market, record

START_MS = 1_710_720_000_000


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
    assert told.count(("synced", "")) == client.reasons.count("Sync") == 3


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
