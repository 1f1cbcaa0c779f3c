"""What the live path asks of a journal."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Protocol


class RowSink(Protocol):
    """Takes rows of named tables; `live.journal.Journal` is one."""

    def append(self, table: str, row: Mapping[str, Any]) -> object:
        """Take a row; never waits for the disk."""

    def append_now(self, table: str, row: Mapping[str, Any]) -> Future[None]:
        """Take a row; done once it would survive this process. On a full disk that may be never."""
