"""Notices and errors of the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

NoticeCode = Literal[
    "disk_full",
    "disk_failed",
    "disk_resumed",
    "log_quarantined",
    "log_recovered",
    "row_refused",
    "rows_dropped",
    "rows_lost",
    "seal_failed",
    "tail_cut",
    "temp_discarded",
]


class JournalNotice(NamedTuple):
    """An event that people may need to know; `text` names the table or file."""

    level: Literal["info", "warning", "error"]
    code: NoticeCode
    text: str


Report = Callable[[JournalNotice], None]
"""Called from the journal's threads: it must be fast and thread-safe."""


class JournalError(RuntimeError):
    """A journal cannot be used; names it and what was expected."""


class JournalLocked(JournalError):
    """Another process writes to this folder."""


class UnreadableLog(JournalError):
    """A log without a valid Arrow schema: none of its rows can be read."""
