"""The interface by which the live path writes to a journal."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Protocol


class RowSink(Protocol):
    """Takes rows of named tables; `live.journal.Journal` implements it."""

    def append(self, table: str, row: Mapping[str, Any]) -> object:
        """Take a row without waiting for the disk."""

    def append_now(self, table: str, row: Mapping[str, Any]) -> Future[None]:
        """Take a row; the future is done once it is on disk (on a full disk, maybe never)."""
