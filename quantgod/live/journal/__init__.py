"""Journal rows so that every acknowledged row survives any crash."""

from quantgod.live.journal.journal import Journal, JournalState
from quantgod.live.journal.notices import JournalError, JournalLocked, JournalNotice
from quantgod.live.journal.reader import newest_batches, read_batches, read_table
from quantgod.live.journal.segments import segments, tables
from quantgod.live.journal.tables import BARS, DRIFT, EVENTS, RAW, SIGNALS, VOTES, levels_schema

__all__ = [
    "BARS",
    "DRIFT",
    "EVENTS",
    "RAW",
    "SIGNALS",
    "VOTES",
    "Journal",
    "JournalError",
    "JournalLocked",
    "JournalNotice",
    "JournalState",
    "levels_schema",
    "newest_batches",
    "read_batches",
    "read_table",
    "segments",
    "tables",
]
