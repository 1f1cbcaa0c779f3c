"""Streams of book messages for the readers' tests: sound ones, and with every kind of fault."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from quantgod.settings import ArchiveLimits, EtlSettings

SYMBOL = "XRPUSDT"
MIDNIGHT = 1_733_011_200_000  # 2024-12-01
TICK = 10_000  # prices in ten-thousandths

Line = bytes


def etl_settings(silence: int = 5, bridge: int = 5, **limits: Any) -> EtlSettings:
    """Settings that never quarantine for a share of corrupt lines, unless told otherwise."""
    caps = {
        "member_bytes": 10**9,
        "ratio": 200.0,
        "members": 1,
        "line_bytes": 60_000,
        "corrupt_fraction": 0.999,
    }
    return EtlSettings(
        max_silence_seconds=silence,
        max_bridge_minutes=bridge,
        frozen_minutes=10,
        least_coverage=0.8,
        compression="snappy",
        workers=1,
        allow_quarantine=False,
        allow_thin=False,
        limits=ArchiveLimits(**(caps | limits)),
    )


def message(
    ts: int,
    update_id: int,
    bids: list[Any],
    asks: list[Any],
    *,
    kind: str = "delta",
    symbol: str = SYMBOL,
    depth: int = 500,
) -> dict[str, Any]:
    """A message as the venue would send it; levels are pairs of strings."""
    return {
        "topic": f"orderbook.{depth}.{symbol}",
        "type": kind,
        "ts": ts,
        "data": {"s": symbol, "b": bids, "a": asks, "u": update_id, "seq": update_id * 7},
        "cts": ts - 3,
    }


def encode(value: dict[str, Any]) -> Line:
    """Compact JSON, as in the archives."""
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass
class Market:
    """A small random book that writes its own messages, and lets faults happen to them."""

    seed: int
    stride_ms: int = 400
    decimals: int = 4
    ts: int = MIDNIGHT + 137
    update_id: int = 100
    middle: int = 19_000
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def price(self, ticks: int) -> str:
        return f"{ticks / TICK:.{self.decimals}f}"

    def size(self) -> str:
        """A size that removes, or one of any form: 1 to 12 digits, a point anywhere or nowhere."""
        digits = str(self.random.randrange(10 ** self.random.randint(0, 12)))
        point = self.random.randint(1, len(digits))
        written = f"{digits[:point]}.{digits[point:]}".removesuffix(".")
        return self.random.choice(["0", "0.000", written, written])

    def levels(self, sign: int, count: int, *, reach: int = 40) -> list[list[str]]:
        places = [self.middle + sign * self.random.randint(1, reach) for _ in range(count)]
        return [[self.price(place), self.size()] for place in places]

    def snapshot(self) -> dict[str, Any]:
        bids = [[self.price(self.middle - k), str(k)] for k in range(1, 9)]
        asks = [[self.price(self.middle + k), str(k + 0.5)] for k in range(1, 9)]
        return message(self.ts, self.update_id, bids, asks, kind="snapshot")

    def delta(self) -> dict[str, Any]:
        bids, asks = (self.levels(sign, self.random.randint(0, 6)) for sign in (-1, 1))
        # The touch stays, so that most books have both sides and are not crossed.
        bids.append([self.price(self.middle - 1), "5.25"])
        asks.append([self.price(self.middle + 1), "4.75"])
        return message(self.ts, self.update_id, bids, asks)

    def step(self) -> None:
        self.ts += self.random.randint(0, 2 * self.stride_ms)
        self.update_id += 1


Fault = Callable[[Market], list[Line]]


def _changed(**changes: Any) -> Fault:
    return lambda market: [encode(market.delta() | changes)]


def _changed_data(**changes: Any) -> Fault:
    def fault(market: Market) -> list[Line]:
        value = market.delta()
        return [encode(value | {"data": value["data"] | changes})]

    return fault


def _level(price: Any, size: Any) -> Fault:
    return _changed_data(b=[[price, size]])


def _snapshot(step: int) -> Fault:
    def fault(market: Market) -> list[Line]:
        market.update_id += step
        return [encode(market.snapshot())]

    return fault


def _restart(market: Market) -> list[Line]:
    market.update_id = 1
    return [encode(market.snapshot())]


def _echo_of_restart(market: Market) -> list[Line]:
    market.update_id = 1
    return [encode(market.snapshot()), encode(market.delta())]


def _gap(market: Market) -> list[Line]:
    market.update_id += 3
    return [encode(market.delta())]


def _stale(market: Market) -> list[Line]:
    market.update_id -= 1
    return [encode(market.delta() | {"ts": market.ts - 70_000})]


def _counting_anew(first: int, later_ms: int = 0) -> Fault:
    def fault(market: Market) -> list[Line]:
        market.update_id = first
        market.ts += later_ms
        return [encode(market.delta())]

    return fault


def _silence(market: Market) -> list[Line]:
    market.ts += market.random.choice([6_000, 9_000, 70_000, 400_000])
    return [encode(market.delta())]


def _out_of_order(market: Market) -> list[Line]:
    return [encode(market.delta() | {"ts": market.ts - market.random.randint(1_000, 90_000)})]


def _crossed(market: Market) -> list[Line]:
    return _changed_data(b=[[market.price(market.middle + 3), "1"]])(market)


def _uncrossed(market: Market) -> list[Line]:
    return _changed_data(b=[[market.price(market.middle + 3), "0"]])(market)


def _one_sided(market: Market) -> list[Line]:
    asks = [[market.price(market.middle + k), "0"] for k in range(-60, 60)]
    return _changed_data(a=asks)(market)


def _drift(market: Market) -> list[Line]:
    market.middle += market.random.choice([-9_000, 9_000, 400_000])
    return [encode(market.snapshot())]


def _spaced(market: Market) -> list[Line]:
    text = json.dumps(market.delta(), separators=(" , ", "\t: "))
    return [b"  " + text.encode() + b" \r"]


def _reordered(market: Market) -> list[Line]:
    value = market.delta()
    value["data"] = dict(reversed(value["data"].items()))
    return [encode(dict(reversed(value.items())))]


def _raw(*lines: Line) -> Fault:
    return lambda market: [*lines, encode(market.delta())]


def _cut_off(market: Market) -> list[Line]:
    line = encode(market.delta())
    return [line[: market.random.randint(1, len(line) - 1)]]


def _byte_changed(market: Market) -> list[Line]:
    line = bytearray(encode(market.delta()))
    where = market.random.randrange(len(line))
    others = set(b'0123456789.",[]{}: -+eE\t\r\0\x1e') - {line[where]}
    line[where] = market.random.choice(sorted(others))
    return [bytes(line)]


def _replaced(old: bytes, new: bytes) -> Fault:
    return lambda market: [encode(market.delta()).replace(old, new)]


def _appended(end: bytes) -> Fault:
    return lambda market: [encode(market.delta()) + end]


def _without(key: str) -> Fault:
    def fault(market: Market) -> list[Line]:
        value = market.delta()
        del (value if key in value else value["data"])[key]
        return [encode(value)]

    return fault


def _padded(market: Market) -> list[Line]:
    return [encode(market.delta())[:-1] + b" " * 60_000 + b"}"]


def _many_levels(market: Market) -> list[Line]:
    bids = [[market.price(market.middle - 1 - k), "2"] for k in range(5_000)]
    return [encode(message(market.ts, market.update_id, bids, [], kind="delta"))]


def _empty_snapshot(market: Market) -> list[Line]:
    return [encode(message(market.ts, market.update_id, [], [], kind="snapshot"))]


FAULTS: dict[str, Fault] = {
    "snapshot that follows": _snapshot(0),
    "snapshot of the same id": _snapshot(-1),
    "snapshot after a jump": _snapshot(5),
    "snapshot from the past": _snapshot(-9),
    "restart": _restart,
    "empty snapshot": _empty_snapshot,
    "gap": _gap,
    "stale": _stale,
    "echo of a restart": _echo_of_restart,
    "restart by delta": _counting_anew(1),
    "restart unheard": _counting_anew(7),
    "restart after a silence": _counting_anew(7, later_ms=3_000),
    "silence": _silence,
    "out of order": _out_of_order,
    "crossed": _crossed,
    "uncrossed": _uncrossed,
    "one-sided": _one_sided,
    "drift": _drift,
    "white space": _spaced,
    "key order": _reordered,
    "blank lines": _raw(b"", b" \t ", b"\r"),
    "overlong": _raw(b"[" * 70_000),
    "overlong and blank": _raw(b" " * 70_000),
    "no JSON": _raw(b"{"),
    "bytes": _raw(b"\x00\xff\n\xfe"),
    "cut off": _cut_off,
    "a byte changed": _byte_changed,
    "a comma behind the last level": _replaced(b'"]],', b'"],],'),
    "trailing": _appended(b" x"),
    "trailing brace": _appended(b"}"),
    "two in a line": _appended(b"{}"),
    "overlong though sound": _padded,
    **{
        f"without {key}": _without(key)
        for key in ("topic", "type", "ts", "cts", "data", "s", "b", "a", "u", "seq")
    },
    "many levels": _many_levels,
    "wrong symbol": _changed_data(s="BTCUSDT"),
    "wrong topic": _changed(topic="orderbook.50.XRPUSDT"),
    "no topic": _replaced(b'"topic"', b'"tropic"'),
    "extra key": _changed(id={"deep": [1, None, "x"]}),
    "extra data key": _changed_data(pu=5),
    "doubled key": _replaced(b'"ts"', b'"ts":5,"ts"'),
    "escaped key": _replaced(b'"ts"', b'"t\\u0073"'),
    "bad type": _changed(type="delt"),
    "type of another kind": _changed(type=7),
    "tomorrow": _changed(ts=MIDNIGHT + 90_100_000),
    "yesterday": _changed(ts=MIDNIGHT - 3_600_001),
    "ts in quotes": lambda market: [encode(market.delta() | {"ts": str(market.ts)})],
    "ts as a float": lambda market: [encode(market.delta() | {"ts": float(market.ts)})],
    "ts null": _changed(ts=None),
    "ts with a leading zero": _replaced(b'"ts":1', b'"ts":01'),
    "cts odd": _changed(cts="soon"),
    "u negative": _changed_data(u=-4),
    "u huge": _changed_data(u=10**30),
    "no bids key": _replaced(b'"b"', b'"bb"'),
    "bids null": _changed_data(b=None),
    "a level of three": _changed_data(b=[["1.9", "2", "3"]]),
    "a level of one": _changed_data(b=[["1.9"]]),
    "size nan": _level("1.8990", "nan"),
    "size inf": _level("1.8990", "inf"),
    "size negative": _level("1.8990", "-2"),
    "size minus zero": _level("1.8990", "-0"),
    "size words": _level("1.8990", "many"),
    "size empty": _level("1.8990", ""),
    "size exponent": _level("1.8990", "1.5e2"),
    "size a number": _level("1.8990", 12.25),
    "size plus": _level("1.8990", "+2"),
    "size point first": _level("1.8990", ".5"),
    "size point last": _level("1.8990", "5."),
    "size leading zeros": _level("1.8990", "007"),
    "size two points": _level("1.8990", "1.2.3"),
    "size leading zero and point": _level("1.8990", "00.5"),
    "size of seven bytes": _level("1.8990", "1234.56"),
    "size of seven digits": _level("1.8990", "1234567"),
    "size of eight bytes": _level("1.8990", "1234.568"),
    "size of eight digits": _level("1.8990", "12345678"),
    "size of nine bytes": _level("1.8990", "1234.5679"),
    "size long": _level("1.8990", "0.12345678901234567890123"),
    "size at 2^53": _level("1.8990", "9007199254740993"),
    "size of 18 digits": _level("1.8990", "123456789.123456789"),
    "size large": _level("1.8990", "1e19"),
    "price zero": _level("0", "2"),
    "price zeros": _level("0.0000", "2"),
    "price nan": _level("nan", "2"),
    "price finer": _level("1.89905", "2"),
    "price with zeros": _level("1.899000000000", "2"),
    "price shorter": _level("1.8", "2"),
    "price whole": _level("1", "2"),
    "price far": _level("77777.7777", "2"),
    "price very far": _level("99999999", "2"),
    "price very fine": _level("1.8990000000000001", "2"),
    "price tiny": _level("0.00000000000000000001", "2"),
    "price exponent": _level("18990e-4", "2"),
    "price twice": _changed_data(b=[["1.8990", "2"], ["1.899", "0"], ["1.89900", "8"]]),
    "no levels": _changed_data(b=[], a=[]),
}


def stream(
    seed: int, length: int, faults: list[str], *, stride_ms: int = 400, decimals: int = 4
) -> list[Line]:
    """A snapshot and deltas, with each of `faults` at a random place."""
    market = Market(seed, stride_ms, decimals)
    places: dict[int, list[str]] = {}
    for fault in faults:
        places.setdefault(market.random.randrange(length), []).append(fault)
    lines = []
    for place in range(length):
        for fault in places.get(place, []):
            sound = encode(copy.deepcopy(market).delta())
            faulty = FAULTS[fault](market)
            assert faulty != [sound], f"{fault!r} changed nothing"
            lines += faulty
            market.step()
        lines.append(encode(market.delta() if place else market.snapshot()))
        market.step()
    return lines
