"""What identifies an archive and the code that read it, and how one is refused.

Kept apart from the readings, so that whoever only looks for archives loads no compiled kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from quantgod.files import value_digest

KERNEL_VERSION: Final = 5
"""Raise it with every change that can affect a row, a count or a carry."""


class Quarantine(Exception):
    """An archive must not be used; `reason` is the code for counts and reports."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True)
class SourceKey:
    """Identifies an archive's content without inflating it; reading verifies the CRC."""

    member: str
    size: int
    crc: int
    compressed_size: int

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the four values, in hex."""
        return value_digest([self.member, self.size, self.crc, self.compressed_size])
