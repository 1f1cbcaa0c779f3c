"""Sides of messages, read by words and by bytes, against a reader of their text in plain Python."""

from __future__ import annotations

import random
import re
from fractions import Fraction

import numpy as np
import pytest

from quantgod.archive import levels
from quantgod.archive.levels import (
    ASKS,
    BIDS,
    DIGITS,
    HIGH,
    LARGEST_PRICE,
    LEVEL_REACH,
    LOW,
    MESSAGE_LENGTH,
    NO_HIGH,
    NO_LOW,
    PLACES,
    side,
)
from quantgod.archive.parser import parse
from quantgod.archive.tokens import LARGEST_DIGITS, LARGEST_MANTISSA, decimal, integer
from tests.archive.streams import SYMBOL, encode, message

ROOM = 8
"""Levels that a side may have here."""
PLAIN = re.compile(r"(0|[1-9]\d*)(?:\.(\d+))?", re.ASCII)
WHITE = r"[ \t\r]*"
LEVEL = rf'{WHITE}\[{WHITE}"([^"]*)"{WHITE},{WHITE}"([^"]*)"{WHITE}\]{WHITE}'
SIDE = re.compile(rf"{WHITE}\[(?:{WHITE}|{LEVEL}(?:,{LEVEL})*)\]")


class Parsed:
    """What the compiled parser leaves of a text, which begins anywhere in the memory."""

    def __init__(self, text: str, scale: tuple[int, int], guess: tuple[int, int] = (0, 0)) -> None:
        self.data = np.frombuffer(text.encode() + b"\n" + b"7" * 80, dtype=np.uint8)
        self.begin = self.data.ctypes.data
        self.scale = np.array(scale, dtype=np.int64)
        self.message = np.zeros(MESSAGE_LENGTH, dtype=np.int64)
        self.message[[LOW, HIGH, DIGITS, PLACES]] = NO_LOW, NO_HIGH, *guess
        self.ticks, self.sizes = np.zeros(ROOM, dtype=np.int64), np.zeros(ROOM)

    def side(self, reach: int) -> tuple[int, int]:
        """The place after the side, 0 if it is refused, and the number of its levels."""
        last = self.begin + reach
        at, count = side(self.begin, last, self.scale, self.message, self.ticks, self.sizes)
        return at and at - self.begin, count

    def alike(self, last: int, first: int = 0) -> tuple[int, int, bool]:
        """Of levels whose form is guessed: the place after them, their number, is it the end."""
        places = self.begin + first, self.begin + last, 0
        at, count, is_end = levels._levels_alike(
            *places, self.scale, self.message, self.ticks, self.sizes
        )
        return at - self.begin, count, is_end


def number(text: str) -> tuple[int, int] | None:
    """Mantissa and decimals of a number that the compiled code may take."""
    found = PLAIN.fullmatch(text)
    if found is None or len(text.replace(".", "")) > LARGEST_DIGITS:
        return None
    mantissa = int(text.replace(".", ""))
    return (mantissa, len(found[2] or "")) if mantissa < LARGEST_MANTISSA else None


def tick_of(price: str, scale: tuple[int, int]) -> int | None:
    """The tick of a price; none if it has none."""
    if number(price) is None:
        return None
    units = Fraction(price) * 10 ** scale[0]
    ticks = units / max(1, scale[1])
    return int(ticks) if 0 < units < LARGEST_PRICE and ticks.denominator == 1 else None


def written(text: str, scale: tuple[int, int]) -> tuple[int, list[tuple[int, float]]] | None:
    """The side that a text begins with: where it ends, and ticks and sizes; none if refused."""
    found = SIDE.match(text)
    if found is None:
        return None
    pairs = re.findall(LEVEL, found[0].strip(" \t\r")[1:-1])
    ticks = [tick_of(price, scale) for price, _ in pairs]
    if None in ticks or any(number(size) is None for _, size in pairs) or len(pairs) > ROOM:
        return None
    sizes = [float(size) for _, size in pairs]
    return found.end(), list(zip(ticks, sizes, strict=True))


FORMS = ["0", "7", "0.5", "1.9001", "1.9002", "1.90010", "12.5", "12.75", "99999.5", "100000.5",
         "1234567", "12345678", "123456789", "1234.5678", "12345678.1234567", "1234567.1234567",
         "0.0001", "0.00000000000000001", "9007199254740991", "9007199254740992", "00.5", "01",
         "1.", ".5", "", "-1", "1e3", "1.5.2", "999999999999999", "1000000000000000",
         "99999999999.9999", "100000000000.0", "123456789012345678", "1234567890123456789",
         "\N{ARABIC-INDIC DIGIT ONE}"]  # fmt: skip
SCALES = [(0, 0), (4, 1), (4, 5), (4, 25), (1, 1), (1, 5), (0, 1), (2, 50), (7, 1), (17, 1), (9, 3)]


def drawn(rng: random.Random) -> str:
    """A side: alike levels or any, white space or none, and now and then a byte that is wrong."""
    some = [*rng.choices(FORMS[:16], k=2), rng.choice(FORMS)]
    pairs = [(rng.choice(some), rng.choice(FORMS[:16])) for _ in range(rng.randrange(ROOM + 2))]
    gaps = rng.choice(["", "", "", " \t\r"])

    def gap() -> str:
        return rng.choice(gaps) * rng.randrange(2) if gaps else ""

    texts = [
        f'{gap()}[{gap()}"{price}"{gap()},{gap()}"{size}"{gap()}]{gap()}' for price, size in pairs
    ]
    text = f"{gap()}[{','.join(texts)}]"
    if rng.random() < 0.3:
        place = rng.randrange(len(text))
        text = text[:place] + rng.choice('0123456789.,"[]x \t') + text[place + 1 :]
    return text


@pytest.mark.parametrize("seed", range(4))
def test_a_side_is_taken_where_its_text_is_sound_and_is_what_it_says(seed):
    rng, taken = random.Random(seed), 0
    for _ in range(4_000):
        text, scale = drawn(rng), rng.choice(SCALES)
        guess = rng.choice([(0, 0), (1, 4), (2, 1), (5, 1), (12, 1), (8, 7), (1, 0), (1, 17)])
        parsed = Parsed(text, scale, guess)
        end, count = parsed.side(rng.choice([len(text) + 1, len(parsed.data)]))
        expected = written(text, scale)
        assert (end > 0) == (expected is not None), (text, scale)
        if expected is not None:
            place, pairs = expected
            found = list(zip(parsed.ticks[:count].tolist(), parsed.sizes[:count], strict=True))
            assert (end, found) == (place, pairs), (text, scale)
            ticks = [tick for tick, _ in pairs]
            assert parsed.message[LOW] == min(ticks, default=NO_LOW)
            assert parsed.message[HIGH] == max(ticks, default=NO_HIGH)
            taken += bool(pairs)
    assert taken > 300


def alike(digits: int, decimals: int) -> list[str]:
    """The least, the greatest and another number of a form, and for one digit a zero in front."""
    first = 0 if digits == 1 else 10 ** (digits - 1)
    least = first * 10**decimals + (digits == 1)
    greatest = 10 ** (digits + decimals) - 1
    texts = [
        f"{value:0{digits + decimals}d}" for value in (least, greatest, (least + greatest) // 2)
    ]
    return [f"{text[:digits]}.{text[digits:]}".removesuffix(".") for text in texts]


@pytest.mark.parametrize("more", [0, 2])
@pytest.mark.parametrize("decimals", range(10))
@pytest.mark.parametrize("digits", range(1, 15))
def test_levels_that_are_written_alike_are_read_by_words_up_to_fifteen_bytes(
    digits, decimals, more
):
    """All at once; `more`: the scale has decimals that these prices have not."""
    prices = alike(digits, decimals)
    sizes = ["0", "12.5", "1234567"]
    pairs = ",".join(f'["{price}","{size}"]' for price, size in zip(prices, sizes, strict=True))
    scale = decimals + more, 1
    parsed = Parsed(f"[{pairs}]", scale, (digits, decimals))
    is_short = 1 <= decimals <= 7 and digits + 1 + decimals <= 15
    has_ticks = all(tick_of(price, scale) for price in prices)
    found = parsed.alike(len(parsed.data), 1)
    if not is_short:
        assert found == (1, 0, False)
    elif has_ticks:
        assert found == (len(pairs) + 2, 3, True)
        assert parsed.ticks[:3].tolist() == [tick_of(price, scale) for price in prices]
        assert parsed.sizes[:3].tolist() == [float(size) for size in sizes]
        assert parsed.message[LOW] == parsed.ticks[:3].min()
        assert parsed.message[HIGH] == parsed.ticks[:3].max()
    else:
        assert not found[2]


@pytest.mark.parametrize(("scale", "prices"), [
    ((4, 1), ["1.9001", "1.9002"]), ((4, 5), ["1.9005", "1.9010"]), ((2, 25), ["1.2500", "1.7500"]),
    ((2, 1), ["1.2500", "1.2600"]), ((6, 3), ["1.2000", "1.5000"]), ((4, 1), ["9.9999", "0.0001"]),
])  # fmt: skip
def test_ticks_of_any_step_are_read_by_words(scale, prices):
    pairs = ",".join(f'["{price}","2"]' for price in prices)
    parsed = Parsed(f"[{pairs}]", scale, (1, 4))
    assert parsed.alike(len(parsed.data), 1) == (len(pairs) + 2, 2, True)
    assert parsed.ticks[:2].tolist() == [tick_of(price, scale) for price in prices]


def test_a_level_is_read_by_words_only_where_all_that_is_looked_at_may_be():
    """And what follows is left to the next call, with the place and the number so far."""
    level = '["1.9001","2"]'
    parsed = Parsed(f"{level},{level}]", (4, 1), (1, 4))
    second = len(level) + 1
    assert parsed.alike(LEVEL_REACH - 1) == (0, 0, False)
    assert parsed.alike(LEVEL_REACH) == (second, 1, False)
    assert parsed.alike(second + LEVEL_REACH - 1) == (second, 1, False)
    assert parsed.alike(second + LEVEL_REACH) == (2 * second, 2, True)


@pytest.mark.parametrize("price", ["1.9001", "1.9"])
@pytest.mark.parametrize(("count", "is_taken"), [(ROOM, True), (ROOM + 1, False)])
def test_a_side_has_as_many_levels_as_there_is_room_for(count, is_taken, price):
    text = "[" + ",".join([f'["{price}","2"]'] * count) + "]" + " " * LEVEL_REACH
    parsed = Parsed(text, (4, 1))
    room = np.full(2 * ROOM, -5)
    parsed.ticks = room[:ROOM]
    end, found = parsed.side(len(parsed.data))
    assert (end > 0) == is_taken
    assert not is_taken or found == count
    assert (room[ROOM:] == -5).all()


@pytest.mark.parametrize("text", [
    "0", "5", "10", "0.5", "12.50", "9007199254740991", "0.9007199254740991", "9.007199254740991",
    "0.00000000000000001", "0.00000000000000000", "12345678901.234",
])  # fmt: skip
def test_a_plain_number_is_taken_with_its_form(text):
    data = np.frombuffer(f'{text}"'.encode() + b"\n", dtype=np.uint8)
    at, mantissa, digits, decimals = decimal(data.ctypes.data)
    whole, _, fraction = text.partition(".")
    assert at - data.ctypes.data == len(text) + 1
    assert (mantissa, digits, decimals) == (int(whole + fraction), len(whole), len(fraction))


@pytest.mark.parametrize("text", [
    "", ".", ".5", "5.", "05", "00", "00.5", "9007199254740992", "0.9007199254740992",
    "90071992547409.92", "0.000000000000000001", "1234567890123456789", "9223372036854775809",
    "18446744073709551617", "0.18446744073709551617", "18446744073709551616.5", "1,5", "1.5 ", " 1",
    "-1", "+1", "1e5", "1.5.5", "1_0", "1:", "1/",
])  # fmt: skip
def test_what_is_no_plain_number_is_refused(text):
    data = np.frombuffer(f'{text}"'.encode() + b"\n", dtype=np.uint8)
    assert decimal(data.ctypes.data) == (0, 0, 0, 0)


@pytest.mark.parametrize("front", ["", " ", "\t\r  "])
@pytest.mark.parametrize(("text", "value"), [
    ("0", 0), ("7", 7), ("10", 10), ("9" * LARGEST_DIGITS, 10**LARGEST_DIGITS - 1), ("1.5", 1),
    ("", None), ("00", None), ("01", None), ("9" * (LARGEST_DIGITS + 1), None), ("-1", None),
    ("x", None), (":", None), ("/", None),
])  # fmt: skip
def test_a_whole_number_is_taken_up_to_eighteen_digits(front, text, value):
    data = np.frombuffer(f"{front}{text}\n".encode(), dtype=np.uint8)
    at, found = integer(data.ctypes.data)
    if value is None:
        assert (at, found) == (0, 0)
    else:
        digits = len(text.partition(".")[0])
        assert (at - data.ctypes.data, found) == (len(front) + digits, value)


KEYS = ("topic", "type", "ts", "data", "cts"), ("s", "b", "a", "u", "seq")


def parsed_line(line: bytes) -> int:
    """Where a line's newline is found; 0 if it is refused."""
    data = np.frombuffer(line + b"\n" + b" " * LEVEL_REACH, dtype=np.uint8)
    texts = (np.frombuffer(text, dtype=np.uint8) for text in (b'"orderbook.500.XRPUSDT"', QUOTED))
    ticks, sizes = np.zeros((2, ROOM), dtype=np.int64), np.zeros((2, ROOM))
    kept = np.zeros(MESSAGE_LENGTH, dtype=np.int64)
    first = data.ctypes.data
    at = parse(first, first + len(data), *texts, np.array([4, 1]), kept, ticks, sizes)
    if at:
        assert kept[:BIDS].tolist() == [9, 5, 0]
        assert kept[[BIDS, ASKS, LOW, HIGH]].tolist() == [1, 2, 19_000, 19_002]
        assert ticks[:, :2].tolist() == [[19_000, 0], [19_001, 19_002]]
        assert sizes[:, :2].tolist() == [[3.0, 0.0], [4.0, 0.5]]
    return at and at - first


QUOTED = f'"{SYMBOL}"'.encode()


def a_message():
    value = message(9, 5, [["1.9000", "3"]], [["1.9001", "4"], ["1.9002", "0.5"]])
    return value | {"cts": 6}


def test_a_line_is_taken_with_each_needed_key_and_each_once():
    line = encode(a_message())
    assert parsed_line(line) == len(line)
    for keys, optional, inside in zip(KEYS, ("cts", "seq"), (False, True), strict=True):
        for key in keys:
            value = a_message()
            owner = value["data"] if inside else value
            text = encode({key: owner[key]})[1:-1]
            del owner[key]
            without = encode(value)
            assert parsed_line(without) == (len(without) if key == optional else 0), key
            assert parsed_line(line.replace(text, text + b"," + text)) == 0, key
            name = text.partition(b":")[0]
            for wrong in (b'"', b'"x"', name[:-1] + b'x"', name[:-2] + b'"', b'"x' + name[1:]):
                assert parsed_line(line.replace(text, wrong + text[len(name) :])) == 0, wrong
            assert parsed_line(line.replace(text, name + b":" + text)) == 0, key
            other = KEYS[not inside][0].encode()
            assert parsed_line(line.replace(text, b'"' + other + b'":' + text)) == 0, key


@pytest.mark.parametrize("odd", ["x", "}", ",", "{}", "\0", "0"])
def test_nothing_but_white_space_may_stand_behind_a_line(odd):
    line = encode(a_message())
    assert parsed_line(line + b" \t\r") == len(line) + 3
    assert parsed_line(line + odd.encode()) == 0
    assert parsed_line(line + b" " + odd.encode()) == 0
    assert parsed_line(line[:-1] + b" }") == len(line) + 1
    assert parsed_line(line.replace(b"}", b" }")) == len(line) + 2
