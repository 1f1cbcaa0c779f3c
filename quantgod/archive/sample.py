"""Check a sample of an archive's lines by decoding them with the reference reader too.

This guards against a parser that misreads an accepted line: such a day is quarantined, not stored.
"""

from __future__ import annotations

from typing import Final

from quantgod.archive.levels import ASKS, BIDS, DECIMALS, IS_SNAPSHOT, STEP, TS, UPDATE_ID
from quantgod.archive.loop import Parsed
from quantgod.archive.reference import admit
from quantgod.archive.source import Quarantine
from quantgod.contracts import BookUpdate, Floats, Integers, Level
from quantgod.market.messages import MessageError

FIRST_LINES: Final = 200
EVERY: Final = 5_000


def next_line(line: int) -> int:
    """Return the number (from 1) of the sample's next line after this one."""
    return line + 1 if line < FIRST_LINES else (line // EVERY + 1) * EVERY


def compare(
    line: bytes, number: int, symbol: str, bounds: tuple[int, int], parsed: Parsed, scale: Integers
) -> None:
    """Decode a line with the reference reader, and compare with the compiled parser's result.

    Args:
        line: Without its newline.
        number: Of the line, for the error.
        symbol: The required symbol.
        bounds: Of `ts`, ms.
        parsed: The parser's result.
        scale: Converts its ticks to prices.

    Raises:
        Quarantine: `misread`, if a time, id, kind, price or size differs in any bit.
    """
    read = _update(symbol, parsed, scale)
    try:
        written = admit(line, symbol, bounds)
    except MessageError as error:
        raise Quarantine("misread", f"line {number} was read, and is {error}") from None
    if read != written:
        raise Quarantine("misread", f"line {number}, {_difference(read, written)}")


def _update(symbol: str, parsed: Parsed, scale: Integers) -> BookUpdate:
    message = parsed.message.tolist()
    bids, asks = (
        _levels(parsed.ticks[side, :count], parsed.sizes[side, :count], scale)
        for side, count in enumerate((message[BIDS], message[ASKS]))
    )
    return BookUpdate(
        symbol, message[TS], bool(message[IS_SNAPSHOT]), message[UPDATE_ID], bids, asks
    )


def _levels(ticks: Integers, sizes: Floats, scale: Integers) -> list[Level]:
    decimals, step = scale[[DECIMALS, STEP]].tolist()
    return list(zip((ticks * step / float(10**decimals)).tolist(), sizes.tolist(), strict=True))


def _difference(read: BookUpdate, written: BookUpdate) -> str:
    """Return the first field in which two messages differ, or the first level."""
    fields = BookUpdate.__struct_fields__
    pairs = ((field, getattr(read, field), getattr(written, field)) for field in fields)
    field, ours, theirs = next(pair for pair in pairs if pair[1] != pair[2])
    if isinstance(ours, list) and len(ours) == len(theirs):
        levels = zip(ours, theirs, strict=True)
        ours, theirs = next(pair for pair in levels if pair[0] != pair[1])
    return f"{field}: {ours} was read, {theirs} is written"[:300]
