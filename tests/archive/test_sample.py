from __future__ import annotations

import msgspec
import pytest

from quantgod.archive import reference, sample
from quantgod.archive.etl import run_etl
from quantgod.archive.source import Quarantine
from quantgod.contracts import BookUpdate
from quantgod.market.messages import MessageError
from tests.archive import feeds
from tests.archive.streams import etl_settings, stream
from tests.archive.test_kernel import read_fast

LAST = 5_001


def one_bit_more(size: float) -> float:
    return size + 2**-50 * size


def refuse(update: BookUpdate) -> BookUpdate:
    raise MessageError("bad_number", str(update.ts))


def change_size(update: BookUpdate) -> BookUpdate:
    *others, (price, size) = update.asks
    return msgspec.structs.replace(update, asks=[*others, (price, one_bit_more(size))])


def change_price(update: BookUpdate) -> BookUpdate:
    *others, (price, size) = update.bids
    return msgspec.structs.replace(update, bids=[*others, (one_bit_more(price), size)])


CHANGES = {
    "a size": change_size,
    "a price": change_price,
    "a level lost": lambda update: msgspec.structs.replace(update, bids=update.bids[1:]),
    "the time": lambda update: msgspec.structs.replace(update, ts=update.ts + 1),
    "the id": lambda update: msgspec.structs.replace(update, update_id=update.update_id + 1),
    "the kind": lambda update: msgspec.structs.replace(update, is_snapshot=True),
    "refused": refuse,
}


@pytest.fixture
def spoil(monkeypatch):
    """Let the readable reader read something else in a line, counted from 1."""

    def spoil(lines, number, change):
        def admit(line, *arguments):
            update = reference.admit(line, *arguments)
            return change(update) if line == lines[number - 1].rstrip() else update

        monkeypatch.setattr(sample, "admit", admit)

    return spoil


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_read_otherwise_than_it_is_written_is_misread(change, spoil):
    lines = stream(1, 9, [])
    spoil(lines, 7, CHANGES[change])
    with pytest.raises(Quarantine, match="line 7") as verdict:
        read_fast(b"\n".join(lines), etl_settings(), None)
    assert verdict.value.reason == "misread"


def test_the_first_lines_and_one_of_every_so_many_are_read_twice(spoil):
    lines = stream(1, LAST, [], stride_ms=1)
    for number in (2, 3, 199, 200, 5_000):
        spoil(lines, number, change_size)
        with pytest.raises(Quarantine, match=f"line {number}, asks"):
            read_fast(b"\n".join(lines), etl_settings(), None)
    for number in (1, 201, 4_999, 5_001):  # the first is the readable reader's anyway
        spoil(lines, number, change_size)
        assert read_fast(b"\n".join(lines), etl_settings(), None).applied == LAST


def test_a_misread_day_is_named_and_not_stored(spoil, tmp_path):
    lines = feeds.feed(feeds.MIDNIGHT_MS, 600)
    feeds.pack(tmp_path / "archives", feeds.DAYS[1], lines)
    spoil(lines, 60, change_size)
    report = run_etl(tmp_path / "archives", tmp_path / "bars", feeds.etl_settings())
    assert [(one.outcome, one.reason) for one in report.archives] == [("quarantined", "misread")]
    assert "misread" in report.headline()
    assert not list((tmp_path / "bars").rglob("*.parquet"))
