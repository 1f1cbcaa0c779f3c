"""Types shared by the messages of all venues: valid numbers, and refusals with a reason.

A message that cannot be decoded exactly is refused with a reason, never guessed.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

LARGEST = 1e18
"""Prices and sizes above this are refused: their products could overflow a double."""

LARGEST_ID = 2**62

Price = Annotated[float, Meta(gt=0, le=LARGEST)]
Size = Annotated[float, Meta(ge=0, le=LARGEST)]
Id = Annotated[int, Meta(ge=0, le=LARGEST_ID)]

Reason = Literal["corrupt_json", "bad_type", "bad_number", "wrong_symbol", "bad_time"]
"""Why a message was refused; its changes are lost, and so is the book."""


class MessageError(ValueError):
    """A message cannot be used; `reason` is the code for counts and reports."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
