"""What the journal says of itself, and its errors."""

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
    """Something that a person may have to know; `text` names the table or file."""

    level: Literal["info", "warning", "error"]
    code: NoticeCode
    text: str


Report = Callable[[JournalNotice], None]
"""Called from the journal's own threads: it must be quick and safe there."""


class JournalError(RuntimeError):
    """A journal that cannot be used as asked: says which, and what was expected."""


class JournalLocked(JournalError):
    """Another process writes to this folder."""


class UnreadableLog(JournalError):
    """A log whose head is no Arrow schema: none of its rows can be told."""
