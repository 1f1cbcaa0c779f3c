"""Every number as it is written: the form of numbers, against the reference and their own text."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from quantgod.archive import kernel, reference
from quantgod.archive.compiled import NEWLINE, byte, compiled
from quantgod.archive.day_reading import DayReading
from quantgod.archive.digits import short_decimal
from quantgod.archive.kernel import read_archive
from quantgod.archive.reference import read_archive_reference
from quantgod.archive.tokens import LARGEST_DIGITS, QUOTE, decimal
from quantgod.contracts import Floats
from tests.archive.streams import MIDNIGHT, encode, etl_settings, message
from tests.archive.test_kernel import bits, read, read_slow

CASE = Path("../shared/cases/2026-07-24_APTUSDT_ob200.data.zip")
needs_case = pytest.mark.skipif(
    not CASE.exists(), reason="the real recording is not beside the project"
)
COMPILED = 15
"""Digits up to which a number must not need the readable reader."""
WIDTH = 24
"""Bytes of a text, and of what stands behind it."""

Levels = list[list[str]]


def written(length: int, decimals: int, last: int, rng: random.Random) -> str:
    """A number of so many characters: a point if it has decimals, and no needless zero in front."""
    digits = [str(rng.randrange(10)) for _ in range(length - (decimals > 0))]
    digits[-1] = str(last)
    whole = len(digits) - decimals
    if whole > 1:
        digits[0] = str(rng.randrange(1, 10))
    text = "".join(digits)
    return f"{text[:whole]}.{text[whole:]}" if decimals else text


def forms(longest: int) -> Iterator[tuple[int, int]]:
    """Length and decimals of every number up to a length; 10^18 and more is refused by both."""
    for length in range(1, longest + 1):
        for decimals in (0, *range(1, length - 1)):
            if length - decimals - (decimals > 0) <= LARGEST_DIGITS:
                yield length, decimals


def in_threes(numbers: list[str]) -> Iterator[list[str]]:
    """Each number once as the first, the second and the last of three."""
    for place in range(len(numbers)):
        yield [numbers[(place + shift) % len(numbers)] for shift in range(3)]


def feed(sides: list[Levels], is_reversed: bool) -> list[bytes]:
    """A snapshot of all these levels in threes, told as deltas: bids and asks alike."""
    lines = []
    for place, levels in enumerate(sides):
        kind = "delta" if place else "snapshot"
        value = message(MIDNIGHT + place, place + 1, levels, levels[::-1], kind=kind)
        if is_reversed:
            value["data"] = dict(reversed(value["data"].items()))
            value = dict(reversed(value.items()))
        lines.append(encode(value))
    return lines


def told(sides: list[Levels], order: int) -> list[tuple[float, float]]:
    """The book that these levels leave, read from their text; best first."""
    book = {float(price): float(size) for levels in sides for price, size in levels[::order]}
    return sorted(((price, size) for price, size in book.items() if size), reverse=order == 1)


def assert_as_written(reading: DayReading, sides: list[Levels]) -> None:
    assert reading.rejected == {}
    assert list(map(tuple, reading.carry.bids.tolist())) == told(sides, 1)
    assert list(map(tuple, reading.carry.asks.tolist())) == told(sides, -1)


@pytest.fixture
def slow_lines(monkeypatch: pytest.MonkeyPatch) -> list[bytes | None]:
    """The lines that the compiled parser handed to the readable reader."""
    lines = []

    def admit(line, *arguments):
        lines.append(line)
        return reference.admit(line, *arguments)

    monkeypatch.setattr(kernel, "admit", admit)
    return lines


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_size_of_every_form_is_read_as_it_is_written(is_reversed, slow_lines):
    rng, prices = random.Random(1), iter(range(10_003, 10**6))
    sides = [[["1.0001", "1"], ["1.0002", "1"]]]  # the tick
    for length, decimals in forms(20):
        sizes = [written(length, decimals, last, rng) for last in range(10)]
        sides += [[[f"{next(prices) / 1e4:.4f}", s] for s in three] for three in in_threes(sizes)]
    data, etl = b"\n".join(feed(sides, is_reversed)), etl_settings()
    fast = read(data, etl, None)
    assert_as_written(fast, sides)
    assert bits(fast) == bits(read_slow(data, etl, None))
    handed_on = [size for line in slow_lines[1:] for _, size in json.loads(line)["data"]["b"]]
    assert min(len(size.replace(".", "")) for size in handed_on) > COMPILED


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_price_of_every_form_is_read_as_it_is_written(is_reversed, slow_lines):
    rng, etl = random.Random(2), etl_settings()
    for length, decimals in forms(20):
        front = written(length, decimals, 0, rng)[:-1]
        prices = [f"{front}{last}" for last in range(10) if float(f"{front}{last}")]
        sizes = (f"{k}.5" for k in range(1, 999))
        sides = [[[price, next(sizes)] for price in three] for three in in_threes(prices)]
        data = b"\n".join(feed(sides, is_reversed))
        slow_lines.clear()
        fast = read(data, etl, None)
        assert_as_written(fast, sides)
        assert bits(fast) == bits(read_slow(data, etl, None))
        if length - (decimals > 0) < COMPILED:
            assert len(slow_lines) == 1  # the first, from which the topic and the tick are learnt


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_needless_zero_in_front_is_refused_at_whatever_width(is_reversed):
    """Also where it is a price that the book has room for, which `lowest` sees to."""
    etl = etl_settings()
    pairs = ("12.5", "0.1"), ("123.25", "0.01"), ("98765.4", "0.1"), ("1500000.00", "500000.00")
    for good, lowest in pairs:
        bad = f"0{good[1:]}"
        for price, size in ((bad, "1"), (good, bad), (good, f"0{good}"), (good, "00")):
            sides = [[[good, "1"], [lowest, "1"]], [[good, "2"], [price, size], [good, "3"]]]
            data = b"\n".join(feed([*sides, sides[0]], is_reversed))
            fast = read(data, etl, None)
            assert fast.rejected == {"bad_number": 1, "no_book": 1}
            assert bits(fast) == bits(read_slow(data, etl, None))


@compiled
def take(first: int, short: Floats, plain: Floats) -> None:
    """Read each text by words and by bytes: whether it is taken, its value, its decimals.

    A text that is too long for a word has no quote behind the length that is given.
    """
    for row in range(len(short)):
        at = first + row * WIDTH
        length, value, places = short_decimal(at)
        if value >= 0 and byte(at + length) == QUOTE:
            short[row, 0], short[row, 1], short[row, 2] = 1, value, max(0, places - 1)
        after, value, _, places = decimal(at)
        if after:
            plain[row, 0], plain[row, 1], plain[row, 2] = 1, value, places


@pytest.mark.parametrize("alphabet", ["0123456789.", '09.."', "".join(map(chr, range(128)))])
def test_a_word_is_taken_where_its_bytes_are_and_is_the_same_number(alphabet):
    rng = np.random.default_rng(3)
    known = np.frombuffer(alphabet.replace("\n", "").encode(), dtype=np.uint8)
    text = rng.choice(known, (200_000, WIDTH))
    text[np.arange(len(text)), rng.integers(0, 10, len(text))] = QUOTE
    text[:, -1] = NEWLINE
    short, plain = np.zeros((2, len(text), 3), dtype=np.int64)
    take(text.ctypes.data, short, plain)
    quote = (text == QUOTE).argmax(axis=1)
    assert plain[:, 0].any()
    assert (short[quote <= 8] == plain[quote <= 8]).all()
    assert not short[quote > 8].any()


@needs_case
def test_real_sizes_of_eight_characters_make_the_book_that_the_venue_had():
    arguments = CASE, "APTUSDT", dt.date(2026, 7, 24), etl_settings()
    fast, slow = read_archive(*arguments), read_archive_reference(*arguments)
    assert bits(fast) == bits(slow)
    book = json.loads(CASE.with_name("2026-07-24_APTUSDT_book.json").read_text())
    for side in ("bids", "asks"):
        levels = np.array(book[side], dtype=np.float64)
        assert getattr(fast.carry, side).tolist() == levels.tolist()
