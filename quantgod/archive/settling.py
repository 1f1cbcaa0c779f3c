"""Read an archive for the books at given moments: fast, or readable where it must be."""

from __future__ import annotations

from quantgod.archive.day_reading import Carry, time_bounds
from quantgod.archive.dense_book import Unfit
from quantgod.archive.kernel import FastReader
from quantgod.archive.plan import Candidate
from quantgod.archive.reference import ReferenceReader, admit
from quantgod.archive.zip_stream import lines, open_archive
from quantgod.contracts import BOOK_LEVELS, BookUpdate, Floats
from quantgod.market.bybit import RESTART_ID
from quantgod.market.messages import MessageError
from quantgod.market.minute_kernel import CLOCK
from quantgod.market.stops import Cuts, levels_of
from quantgod.settings import EtlSettings


def settle_moments(
    candidate: Candidate,
    settings: EtlSettings,
    carry: Carry | None,
    stop_minute: int | None,
    cuts: Cuts,
) -> Carry:
    """Read an archive and decide the moments of `cuts` that lie before its last message.

    Args:
        candidate: The archive.
        settings: The etl's rules.
        carry: The state at the end of the archive before, if it is known.
        stop_minute: As in `read_archive`.
        cuts: The moments.

    Returns:
        The state at the end.

    Raises:
        Quarantine: When the archive must not be used.
    """
    file = candidate.file
    try:
        reader = FastReader(file.symbol, file.date, settings, carry, stop_minute, cuts)
        with open_archive(file.path, settings.limits) as archive:
            reader.read(archive.chunks())
        return reader.carry()
    except Unfit:  # earlier decisions stay: both readers give the same
        return settle_slowly(candidate, settings, carry, stop_minute, cuts)


def settle_slowly(
    candidate: Candidate,
    settings: EtlSettings,
    carry: Carry | None,
    stop_minute: int | None,
    cuts: Cuts,
) -> Carry:
    """Do the same by the readable reader, for prices that do not fit into a dense book.

    Each line is decoded twice.
    """
    file = candidate.file
    reader = ReferenceReader(file.symbol, file.date, settings, carry)
    is_first = True
    with open_archive(file.path, settings.limits) as archive:
        for line in lines(archive.chunks(), settings.limits.line_bytes):
            update = _admitted(line, candidate)
            if update is not None and update.ts > cuts.next_ms:
                _cut(reader.carry(), update, cuts, is_first=is_first)
            is_first &= update is None
            reader.take(line)
            if reader.ledger.stops_at(stop_minute):
                break
        else:
            reader.finish()
    return reader.carry()


def _admitted(line: bytes | None, candidate: Candidate) -> BookUpdate | None:
    try:
        return admit(line, candidate.file.symbol, time_bounds(candidate.file.date))
    except MessageError:
        return None


def _cut(before: Carry, update: BookUpdate, cuts: Cuts, *, is_first: bool) -> None:
    """Report the book before a message, unless the message is stale and its time does not count."""
    last_id, new_id = before.last_update_id, update.update_id
    # If an old id means a restart, there is no book from then on: the next message shows it.
    if not update.is_snapshot and before.has_book and new_id <= last_id:
        return
    may_follow = (RESTART_ID, last_id, last_id + 1) if update.is_snapshot else (last_id + 1,)
    is_free = update.is_snapshot and is_first
    levels = carried_levels(before) if is_free or new_id in may_follow else None
    cuts.settle(update.ts, int(before.integers[CLOCK]), levels)


def carried_levels(carry: Carry) -> Floats | None:
    """Return the best 200 levels of a carry, [2, 200, 2]; None while its book is invalid."""
    if not carry.has_book:
        return None
    bids, asks = (side[:BOOK_LEVELS].tolist() for side in (carry.bids, carry.asks))
    return levels_of(bids, asks, BOOK_LEVELS)
