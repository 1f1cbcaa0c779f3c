"""What every venue's messages share: numbers that can be trusted, and a refusal that says why.

What cannot be read exactly is refused with a reason, never guessed at.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

LARGEST = 1e18
"""Prices and sizes above this are refused: their products would leave the range of a double."""

LARGEST_ID = 2**62

Price = Annotated[float, Meta(gt=0, le=LARGEST)]
Size = Annotated[float, Meta(ge=0, le=LARGEST)]
Id = Annotated[int, Meta(ge=0, le=LARGEST_ID)]

Reason = Literal["corrupt_json", "bad_type", "bad_number", "wrong_symbol", "bad_time"]
"""Why a message was refused; after any of these what it held is lost, and the book with it."""


class MessageError(ValueError):
    """No usable message; `reason` is the code that counts and reports carry."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
