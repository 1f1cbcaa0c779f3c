from __future__ import annotations

import datetime as dt
import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quantgod.archive import reference, snapshots
from quantgod.archive.day_reading import DayReading
from quantgod.archive.kernel import read_archive
from quantgod.archive.reference import ReferenceReader, read_archive_reference
from quantgod.archive.zip_stream import lines, open_archive
from quantgod.contracts import BookUpdate
from quantgod.leakage import messages, raw_days
from quantgod.leakage.messages import MESSAGE_STAGE, SNAPSHOT_STAGE, RawDays, bars_of
from quantgod.leakage.trace import Difference, compare
from quantgod.market.bybit import decode
from quantgod.market.messages import MessageError
from quantgod.settings import SnapshotSettings
from tests.archive.feeds import DAYS, MIDNIGHT_MS, etl_settings, feed, pack
from tests.archive.streams import FAULTS, stream
from tests.archive.streams import MIDNIGHT as STREAM_MIDNIGHT
from tests.archive.streams import SYMBOL as STREAM_SYMBOL
from tests.archive.streams import etl_settings as stream_settings
from tests.later import later

MINUTES = 12
DAY = DAYS[1]
SETTINGS = etl_settings()
CUTS = [MIDNIGHT_MS + 60_000 * minute for minute in range(2, MINUTES)]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A short day with a message every second and a snapshot in its middle."""
    made = feed(MIDNIGHT_MS, 60 * MINUTES, step_seconds=1, snapshots=[300])
    return pack(tmp_path / "archives", DAY, made)


def days_of(archive: Path) -> RawDays:
    return RawDays(archive.parent, "linear", "BTCUSDT", SETTINGS)


def perturbed(archive: Path, cut: int, seed: int = 1) -> Path:
    path = archive.parent.parent / f"perturbed-{cut}" / archive.name
    file = days_of(archive)._days[DAY][0].file
    messages.write_perturbed(file, path, cut, SETTINGS, np.random.default_rng(seed))
    return path


def read(path: Path) -> DayReading:
    return read_archive(path, "BTCUSDT", DAY, SETTINGS)


def lines_of(path: Path) -> list[bytes]:
    with open_archive(path, SETTINGS.limits) as opened:
        return [line for line in lines(opened.chunks(), 10**6) if line is not None]


@pytest.mark.parametrize(
    "cut", [*CUTS[::4], *later(*(cut for cut in CUTS if cut not in CUTS[::4]))]
)
def test_no_bar_knows_of_a_message_after_it(archive: Path, cut: int) -> None:
    found = days_of(archive).compare(cut, np.random.default_rng(cut))[MESSAGE_STAGE]
    assert found.leaked == 0
    # The first minute of the day has no previous close and no row.
    assert found.compared == (cut - MIDNIGHT_MS) // 60_000 - 1
    assert found.changed == MINUTES - 1 - found.compared, "each later bar is another"


def test_the_book_of_each_later_minute_is_another_too(archive: Path) -> None:
    before, after = read(archive), read(perturbed(archive, CUTS[3]))
    assert np.array_equal(before.minutes, after.minutes)
    later = (before.minutes + 1) * 60_000 > CUTS[3]
    for name in ("book", "features", "close"):
        one, other = getattr(before, name)[later], getattr(after, name)[later]
        same = (one == other) | (np.isnan(one) & np.isnan(other))
        assert not same.reshape(later.sum(), -1).all(axis=1).any(), name
    widest = [np.abs(np.diff(reading.close[later])).max() for reading in (before, after)]
    assert widest[1] > 1.5 * widest[0], "moves double"


@pytest.mark.parametrize("cut", CUTS[::3])
def test_times_and_ids_stay_and_the_lines_up_to_the_cut_as_well(archive: Path, cut: int) -> None:
    before, after = lines_of(archive), lines_of(perturbed(archive, cut))
    assert len(before) == len(after)
    for old, new in zip(map(json.loads, before), map(json.loads, after), strict=True):
        assert (old["ts"], old["data"]["u"]) == (new["ts"], new["data"]["u"])
        assert (old == new) == (old["ts"] < cut)


def test_the_book_at_the_cut_is_replaced_once_by_its_image(archive: Path) -> None:
    before, after = (
        [json.loads(line)["type"] for line in lines_of(path)]
        for path in (archive, perturbed(archive, CUTS[3] + 2_500))
    )
    added = [
        place for place, (old, new) in enumerate(zip(before, after, strict=True)) if old != new
    ]
    assert len(added) == 1
    assert json.loads(lines_of(archive)[added[0]])["ts"] >= CUTS[3] + 2_500
    reading = read(perturbed(archive, CUTS[3] + 2_500))
    assert reading.rejected == {}
    assert [reason for _, reason in reading.dropped] == ["no_previous_close"], "it is never crossed"


def test_the_other_market_begins_one_to_three_percent_off_on_either_side() -> None:
    ratios = []
    for seed in range(200):
        market = messages.OtherMarket(None, np.random.default_rng(seed))
        ratios.append(float(market._image_of("1000.00")) / 1000 - 1)
    away = np.abs(ratios)
    assert 0.01 <= away.min() < 0.011
    assert 0.029 < away.max() <= 0.03
    assert 60 < sum(ratio > 0 for ratio in ratios) < 140


def test_its_sizes_are_others_and_do_not_repeat_soon() -> None:
    market = messages.OtherMarket(None, np.random.default_rng(1))
    levels = [[f"{price}.5", "1.000"] for price in range(1, 400)]
    sizes = [size for _, size in market._levels(levels)]
    assert len(set(sizes)) > 390
    assert len({size for _, size in market._levels(levels)} - set(sizes)) > 300


def message(ts: int, update_id: int, bids: Any, asks: Any, kind: str = "delta") -> bytes:
    data = {"s": "X", "b": bids, "a": asks, "u": update_id, "seq": 1}
    told = {"topic": "orderbook.500.X", "type": kind, "ts": ts, "data": data, "cts": ts - 1}
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


class Other:
    """Another market after update 10, and what its words and draws make of numbers."""

    def __init__(self, has_book: bool = True, seed: int = 0) -> None:
        book = np.array([[100.0, 1.0], [99.5, 2.0]]), np.array([[100.5, 3.0], [1e-5, 4.0]])
        state: Any = SimpleNamespace(
            has_book=has_book, last_update_id=10, bids=book[0], asks=book[1]
        )
        self.market = messages.OtherMarket(state, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        self.sizes = [f"{size:.3f}" for size in rng.uniform(0.001, 50.0, 1_024)]
        self.away = rng.choice((-1, 1)) * rng.uniform(0.01, 0.03)
        self.next = 0

    def size(self) -> str:
        self.next += 1
        return self.sizes[self.next % 1_024]

    def images(self, *given: bytes, cut: int = 0) -> list[Any]:
        return [json.loads(line) for line in self.market.lines(iter(given), cut)]


def test_from_the_cut_on_every_line_is_another_in_order_of_arrival() -> None:
    given = [message(ts, 1, [["100.0", "1"]], []) for ts in (5, 9, 10, 7, 11)]
    given.insert(2, b"no message\n")
    given.insert(4, b"no message\n")
    out = list(Other(has_book=False).market.lines(iter(given), 10))
    changed = [old != new for old, new in zip(given, out, strict=True)]
    assert changed == [False, False, False, True, False, True, True]
    assert all(line.endswith(b"}\n") or line == b"no message\n" for line in out)


def test_the_first_message_that_applies_brings_the_image_of_the_book() -> None:
    for update_id in (9, 10):  # stale: it does not apply
        other = Other()
        stale, first = other.images(
            message(1, update_id, [["7.0", "1"]], []),
            message(2, 11, [["99.5", "0"], ["99.0", "5"]], [["100.5", "6"]]),
        )
        assert stale == json.loads(message(1, update_id, [["7.0", "1"]], []))
        shift = round(100 * (1 - other.away), 0)
        assert first["type"] == "snapshot"
        assert first["data"]["u"] == 11
        prices = [f"{200 - shift:.0f}", f"{198 - shift:.1f}", f"{201 - shift:.1f}", "0.00001"]
        sizes = [other.size() for _ in prices]
        bids, asks = first["data"]["b"], first["data"]["a"]
        assert [size for _, size in bids + asks] == sizes
        assert [price for price, _ in bids + asks] == prices


@pytest.mark.parametrize(
    ("first", "kind"), [((12, "delta"), "delta"), ((11, "snapshot"), "snapshot")]
)
def test_after_a_gap_or_a_snapshot_no_book_is_brought(first: tuple[int, str], kind: str) -> None:
    other = Other()
    levels = [["50.00", "1"], ["49.99", "0"], ["50.00", "2"]]
    told = other.images(message(1, first[0], levels, [], first[1]), message(2, 11, [], levels))
    assert [one["type"] for one in told] == [kind, "delta"]
    shift = round(50 * (1 - other.away), 2)
    images = [f"{2 * price - shift:.2f}" for price in (50.0, 49.99, 50.0)]
    for one, side in zip(told, "ba", strict=True):
        sizes = [other.size(), other.size(), other.size()]
        assert one["data"][side] == [
            [images[0], sizes[0]], [images[1], "0"], [images[2], sizes[2]],
        ]  # fmt: skip


def test_without_a_book_the_first_message_stays_what_it_is() -> None:
    (told,) = Other(has_book=False).images(message(1, 11, [["100.0", "1"]], []))
    assert told["type"] == "delta"
    assert len(told["data"]["b"]) == 1


def test_prices_stay_on_their_tick_and_above_nothing() -> None:
    for seed in range(6):
        other = Other(seed=seed)
        shift = round(2 * (1 - other.away), 3)
        told = [other.market._image_of(text) for text in ("2.000", "0.5", "1.25", "3.0001", "9")]
        assert told[0] == f"{4 - shift:.3f}"
        assert told[1] == "0.001", "one tick at least"
        assert told[2] == f"{2.5 - shift:.3f}"
        assert told[3] == f"{6.0002 - shift:.4f}"
        assert told[4] == f"{18 - shift:.3f}"


def test_lines_are_joined_in_chunks_that_lose_none() -> None:
    for count in (0, 1, 4_095, 4_096, 4_097, 8_192):
        given = [b"%d\n" % number for number in range(count)]
        chunks = list(messages._in_chunks(iter(given)))
        assert b"".join(chunks) == b"".join(given)
        assert [chunk.count(b"\n") for chunk in chunks[:-1]] == [4_096] * ((count - 1) // 4_096)
        assert all(chunks)


def test_a_kernel_that_looks_one_message_ahead_is_caught(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message is applied before the seconds up to it are sampled."""
    real = ReferenceReader._take_update

    def hasty(self: ReferenceReader, update: BookUpdate) -> None:
        if self._follows(update) and self._has_book:
            self._book.apply(update)
        real(self, update)

    monkeypatch.setattr(messages, "read_archive", read_archive_reference)
    for cut in CUTS[:3]:
        assert days_of(archive).compare(cut, np.random.default_rng(cut))[MESSAGE_STAGE].leaked == 0
    monkeypatch.setattr(reference.ReferenceReader, "_take_update", hasty)
    for cut in CUTS[:3]:
        found = days_of(archive).compare(cut, np.random.default_rng(cut))[MESSAGE_STAGE]
        assert found.leaked == 1, "the minute that ends at the cut"
        assert found.first == cut


def test_a_bar_that_knows_the_whole_day_is_caught(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def centred(*given: Any) -> DayReading:
        reading = read_archive(*given)
        reading.features[:] -= reading.features.mean(axis=0)
        return reading

    monkeypatch.setattr(messages, "read_archive", centred)
    found = days_of(archive).compare(CUTS[4], np.random.default_rng(0))[MESSAGE_STAGE]
    assert found.leaked == found.compared > 0


@pytest.mark.parametrize("seed", range(6))
def test_a_faulty_stream_is_cut_anywhere_and_nothing_before_it_moves(
    seed: int, tmp_path: Path
) -> None:
    """With gaps, corrupt lines, silences, jumps of the clock and crossed books around the cut."""
    rng = random.Random(seed)
    settings = stream_settings()
    made = stream(seed, 1_500, [rng.choice(list(FAULTS)) for _ in range(12)], stride_ms=200)
    date = dt.datetime.fromtimestamp(STREAM_MIDNIGHT / 1000, dt.UTC).date()
    path = pack_as(tmp_path, date, made)
    days = RawDays(path.parent, "linear", STREAM_SYMBOL, settings)
    for _ in range(3):
        cut = STREAM_MIDNIGHT + rng.randrange(60_000, 200_000)
        found = days.compare(cut, np.random.default_rng(seed))[MESSAGE_STAGE]
        assert found.leaked == 0
    market = messages.OtherMarket(None, np.random.default_rng(0))
    whole = [line + b"\n" for line in lines_of(path)]
    for line, image in zip(whole, market.lines(iter(whole), -1), strict=True):
        assert_refused_alike(line, image)


def assert_refused_alike(line: bytes, image: bytes) -> None:
    """What the kernel refuses is left as it is: made sound it would mend the minute before it."""
    try:
        was = decode(line)
    except MessageError:
        assert image == line
    else:
        now = decode(image)
        assert (now.ts, now.update_id, now.is_snapshot) == (was.ts, was.update_id, was.is_snapshot)
        assert [size > 0 for _, size in now.bids] == [size > 0 for _, size in was.bids]


def pack_as(folder: Path, date: dt.date, made: list[bytes]) -> Path:
    path = pack(folder / "plain", date, [line + b"\n" for line in made])
    target = folder / "archives" / path.name.replace("BTCUSDT", STREAM_SYMBOL)
    target.parent.mkdir()
    return path.rename(target)


def with_snapshots(archive: Path) -> RawDays:
    rules = SnapshotSettings(levels=2, interval_ms=1_000, per_minute=3, block=3)
    return RawDays(archive.parent, "linear", "BTCUSDT", SETTINGS, rules)


@pytest.mark.parametrize("cut", CUTS[::3])
def test_no_snapshot_knows_of_a_message_after_its_minute(archive: Path, cut: int) -> None:
    found = with_snapshots(archive).compare(cut, np.random.default_rng(cut))
    assert (
        found[MESSAGE_STAGE]
        == days_of(archive).compare(cut, np.random.default_rng(cut))[MESSAGE_STAGE]
    )
    snapshots = found[SNAPSHOT_STAGE]
    assert (snapshots.leaked, snapshots.newest) == (0, cut)
    assert (snapshots.compared, snapshots.changed) == (
        (cut - MIDNIGHT_MS) // 60_000 - 1, MINUTES - (cut - MIDNIGHT_MS) // 60_000,
    )  # fmt: skip


def test_a_snapshot_that_is_taken_after_the_close_is_caught(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = snapshots.interval_ends
    late = lambda minutes, count, apart: real(minutes, count, apart) + apart  # noqa: E731
    monkeypatch.setattr(snapshots, "interval_ends", late)
    found = with_snapshots(archive).compare(CUTS[4], np.random.default_rng(0))
    assert found[MESSAGE_STAGE].leaked == 0
    assert (found[SNAPSHOT_STAGE].leaked, found[SNAPSHOT_STAGE].first) == (1, CUTS[4])


def test_a_day_without_an_archive_is_told(archive: Path) -> None:
    days = days_of(archive)
    assert days.complete
    found = days.compare(MIDNIGHT_MS + 5 * 86_400_000, np.random.default_rng(0))[MESSAGE_STAGE]
    assert found == Difference(0, 0, None, 0)
    assert not days.complete


def test_an_archive_that_must_not_be_read_is_none(archive: Path) -> None:
    pack(archive.parent, DAY, [b"{\n"] * 900)
    days = days_of(archive)
    assert days.compare(CUTS[3], np.random.default_rng(0))[MESSAGE_STAGE].compared == 0
    assert not days.complete
    pack(archive.parent, DAY, feed(MIDNIGHT_MS, 60 * MINUTES), depth=200)
    days = days_of(archive)
    found = days.compare(CUTS[3], np.random.default_rng(0))[MESSAGE_STAGE]
    assert found.compared > 0, "another of that day can"
    assert days.complete


def test_without_archives_of_the_symbol_there_are_no_raw_days(archive: Path) -> None:
    assert raw_days(archive.parent, "linear", "ETHUSDT", SETTINGS) is None
    assert raw_days(archive.parent / "nowhere", "linear", "BTCUSDT", SETTINGS) is None
    assert raw_days(archive.parent, "linear", "BTCUSDT", SETTINGS) is not None


def test_an_overlong_line_stays_corrupt(archive: Path, tmp_path: Path) -> None:
    made = [line + b"\n" for line in lines_of(archive)]
    made.insert(200, b"[" * 5_000_000 + b"\n")
    path = pack(tmp_path / "other", DAY, made)
    limits = SETTINGS.limits.model_copy(update={"corrupt_fraction": 0.5})
    lenient = etl_settings(limits=limits)
    days = RawDays(path.parent, "linear", "BTCUSDT", lenient)
    found = days.compare(CUTS[5], np.random.default_rng(0))[MESSAGE_STAGE]
    assert found.leaked == 0
    reading = read_archive(path, "BTCUSDT", DAY, lenient)
    assert reading.rejected.get("corrupt_json") == 1
    assert compare(bars_of(reading), bars_of(read(archive)), CUTS[-1]).leaked > 0
