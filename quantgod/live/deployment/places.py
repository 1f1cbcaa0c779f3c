"""What an alias stands for: the version that answers, the one that will, the one that failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from quantgod.contracts.model_notices import SwapCode
from quantgod.live.deployment.loaded_model import LoadedModel
from quantgod.live.deployment.model_store import Copy, Holder

RETRY_POLLS: Final = 12
MOST_RETRY_SECONDS: Final = 900.0
"""A refused version is tried again after twelve polls, then twice as many, and so on to this."""

_MOST_DOUBLINGS: Final = 30
"""Far over the longest wait; a number that went on doubling would leave the range of floats."""


class ActiveVersion(NamedTuple):
    """A version that passed, its files on this disk, and by which right it answers, if any."""

    holder: Holder
    model: LoadedModel
    copy: Copy
    right: str = ""


class Refusal(NamedTuple):
    """A version that failed, why, how often by now, and when it may be tried again."""

    holder: Holder
    reason: str
    times: int
    retry_at: float


@dataclass
class Place:
    """One alias.

    Attributes:
        alias: its name.
        loaded: what answers.
        ready: what takes over at the next candle.
        refused: the version that was tried last, if it failed.
        trouble: what is wrong with the alias itself, so that it is told once.
    """

    alias: str
    loaded: ActiveVersion | None = None
    ready: ActiveVersion | None = None
    refused: Refusal | None = None
    trouble: SwapCode | None = None

    def speaks(self, held: Holder) -> bool:
        """Whether this version answers, or will from the next candle on."""
        deployed = self.ready or self.loaded
        return deployed is not None and deployed.holder == held


def retry_seconds(poll_seconds: float, times: int) -> float:
    """How long a version waits that was refused `times` times in a row."""
    doubled = RETRY_POLLS * 2.0 ** min(times - 1, _MOST_DOUBLINGS)
    return min(MOST_RETRY_SECONDS, poll_seconds * doubled)
