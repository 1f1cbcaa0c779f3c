from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quantgod.archive.day_reading import Carry, Ledger, book_row, time_bounds
from quantgod.archive.source import KERNEL_VERSION, Quarantine, SourceKey
from quantgod.contracts import BOOK_COLUMNS
from quantgod.market.minute_bars import MinuteBar
from quantgod.market.minute_kernel import FLOATS, INTEGERS
from tests.archive.streams import etl_settings, stream
from tests.archive.test_kernel import DAY, read_slow

sides = arrays(np.float64, st.tuples(st.integers(0, 9), st.just(2)), elements=st.floats(0, 1e18))


@given(
    bids=sides,
    asks=sides,
    integers=arrays(np.int64, INTEGERS),
    floats=arrays(np.float64, FLOATS),
    last=st.integers(-1, 2**62),
    has_book=st.booleans(),
)
def test_a_carry_goes_through_bytes_unchanged(bids, asks, integers, floats, last, has_book):
    carry = Carry("X", has_book, last, bids, asks, integers, floats)
    packed = carry.to_bytes()
    again = Carry.from_bytes(packed)
    assert again.to_bytes() == packed
    assert (again.symbol, again.has_book, again.last_update_id) == ("X", has_book, last)
    assert again.bids.tobytes() == bids.tobytes()
    assert again.integers.flags.writeable


@pytest.mark.parametrize("packed", [b"", b"\x00", b"\x80", b"garbage"])
def test_bytes_that_are_no_carry_are_refused(packed):
    with pytest.raises(ValueError, match="carry"):
        Carry.from_bytes(packed)


def test_a_carry_cut_short_is_refused():
    packed = read_slow(b"\n".join(stream(1, 9, [])), etl_settings(), None).carry.to_bytes()
    with pytest.raises(ValueError, match="carry"):
        Carry.from_bytes(packed[:-9])


@pytest.mark.parametrize("name", ["integers", "floats"])
@pytest.mark.parametrize("length", [0, 1, -1])
def test_a_carry_whose_arrays_have_other_lengths_is_refused_each_alone(name, length):
    carry = read_slow(b"\n".join(stream(1, 9, [])), etl_settings(), None).carry
    array = getattr(carry, name)
    other = np.append(array, array[:1]) if length > 0 else array[:length]
    with pytest.raises(ValueError, match="a carry of kernel"):
        Carry.from_bytes(replace(carry, **{name: other}).to_bytes())


def test_a_carry_of_another_kernel_is_refused():
    packed = read_slow(b"\n".join(stream(1, 9, [])), etl_settings(), None).carry.to_bytes()
    version = b"\xa7version" + bytes([KERNEL_VERSION])
    assert packed.count(version) == 1
    for other in (0, KERNEL_VERSION - 1, KERNEL_VERSION + 1):
        with pytest.raises(ValueError, match=f"kernel {KERNEL_VERSION} was expected, got {other}"):
            Carry.from_bytes(packed.replace(version, version[:-1] + bytes([other])))


def test_a_source_is_known_by_what_its_directory_says():
    key = SourceKey("a", 1, 2, 3)
    assert key.digest == SourceKey("a", 1, 2, 3).digest
    assert len({SourceKey(*values).digest for values in [("b", 1, 2, 3), ("a", 2, 2, 3)]}) == 2


def test_a_book_row_has_its_columns_in_order_and_no_price_where_no_level_is():
    row = dict(zip(BOOK_COLUMNS, book_row([(9.0, 1.0), (8.0, 2.0)], [(10.0, 3.0)]), strict=True))
    assert (row["bid_0_p"], row["bid_1_s"], row["ask_0_p"], row["ask_0_s"]) == (9.0, 2.0, 10.0, 3.0)
    assert np.isnan(row["ask_1_p"])
    assert row["ask_1_s"] == row["bid_199_s"] == 0
    deep = [(float(price), 1.0) for price in range(500, 0, -1)]
    assert book_row(deep, [])[398] == 301


def test_a_day_reaches_an_hour_over_both_its_midnights():
    assert time_bounds(DAY) == (1_733_011_200_000 - 3_600_000, 1_733_097_600_000 + 3_599_999)


def test_a_file_is_judged_by_its_share_of_corrupt_lines():
    limits = etl_settings(corrupt_fraction=0.1).limits
    ledger = Ledger(lines=20)
    for reason in ("bad_number", "corrupt_json", "gap", "stale", "no_book"):
        ledger.reject(reason)
    ledger.check(limits)
    ledger.reject("bad_number")
    with pytest.raises(Quarantine) as verdict:
        ledger.check(limits)
    assert verdict.value.reason == "bad_number"
    assert str(verdict.value) == "bad_number: 3 of 20 lines are corrupt, first line 20"


def test_a_file_without_a_line_is_empty():
    with pytest.raises(Quarantine, match="empty"):
        Ledger().check(etl_settings().limits)


def test_a_file_that_is_mostly_corrupt_is_given_up_early():
    lines = b"\n".join([b"x"] * 5_000 + stream(1, 9, []))
    with pytest.raises(Quarantine, match="1000 of 1000"):
        read_slow(lines, etl_settings(), None)


@pytest.mark.parametrize(("corrupt", "lines"), [(999, 999), (1_000, 2_000), (1_000, 10**6)])
def test_a_file_of_which_half_is_sound_or_that_has_just_begun_is_not_given_up(corrupt, lines):
    ledger = Ledger(lines=lines)
    for _ in range(corrupt):
        ledger.reject("bad_number")
        ledger.give_up_early()
    ledger.lines = 1_999
    ledger.reject("bad_number")
    with pytest.raises(Quarantine, match=f"{corrupt + 1} of 1999"):
        ledger.give_up_early()


def test_only_twenty_rejected_lines_are_named():
    ledger = Ledger()
    for _ in range(50):
        ledger.lines += 1
        ledger.reject("stale")
    assert (len(ledger.rejected_lines), ledger.rejected["stale"]) == (20, 50)


def test_a_reading_stops_at_a_minute_that_closed_validly():
    ledger = Ledger()
    assert not ledger.stops_at(3)
    ledger.close(MinuteBar(2, "no_previous_close", None, np.nan), None)
    assert not ledger.stops_at(3)
    ledger.close(MinuteBar(3, "gap", None, np.nan), None)
    assert not ledger.stops_at(3)
    after_a_break = copy.deepcopy(ledger)
    after_a_break.close(MinuteBar(4, "no_previous_close", None, np.nan), None)
    assert after_a_break.stops_at(3)
    ledger.close(MinuteBar(4, "", np.zeros(9), 1.0, np.zeros(12)), np.zeros(800))
    assert ledger.stops_at(3)
    assert not ledger.stops_at(None)
    assert (ledger.first_close_minute, ledger.closed_through) == (2, 4)
