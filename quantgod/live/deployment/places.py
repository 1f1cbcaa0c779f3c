"""The state of an alias: its active, its ready and its refused version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from quantgod.contracts.model_notices import SwapCode
from quantgod.live.deployment.loaded_model import LoadedModel
from quantgod.live.deployment.model_store import Copy, Holder

RETRY_POLLS: Final = 12
MOST_RETRY_SECONDS: Final = 900.0
"""Longest wait for a retry of a refused version; waits double from twelve polls."""

_MOST_DOUBLINGS: Final = 30
"""Far above the longest wait, and low enough that the number does not overflow."""


class ActiveVersion(NamedTuple):
    """A tested version, its files on this disk, and its right to answer, if any."""

    holder: Holder
    model: LoadedModel
    copy: Copy
    right: str = ""

    def without(self, disabled: Mapping[str, str]) -> ActiveVersion:
        """Return it with these members disabled, and no others."""
        return self._replace(model=replace(self.model, disabled=disabled))


class Refusal(NamedTuple):
    """A failed version, the reason, the number of failures, and the time of the next try."""

    holder: Holder
    reason: str
    times: int
    retry_at: float


@dataclass
class Place:
    """One alias.

    Attributes:
        alias: its name.
        loaded: the version that answers.
        ready: the version that takes over at the next candle.
        refused: the last tried version, if it failed.
        trouble: what is wrong with the alias itself, to report it once.
    """

    alias: str
    loaded: ActiveVersion | None = None
    ready: ActiveVersion | None = None
    refused: Refusal | None = None
    trouble: SwapCode | None = None

    def speaks(self, held: Holder) -> bool:
        """Return whether this version answers, or will at the next candle."""
        deployed = self.ready or self.loaded
        return deployed is not None and deployed.holder == held


def retry_seconds(poll_seconds: float, times: int) -> float:
    """Return the wait before the next try after `times` refusals in a row."""
    doubled = RETRY_POLLS * 2.0 ** min(times - 1, _MOST_DOUBLINGS)
    return min(MOST_RETRY_SECONDS, poll_seconds * doubled)
