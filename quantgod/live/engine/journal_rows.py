"""Make the journal's rows of bars and signals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from quantgod.contracts import BOOK_LEVELS, CLASSES, FEATURES, SECOND_FIGURES, Floats, Level
from quantgod.contracts.panel import Panel
from quantgod.contracts.prediction import Prediction
from quantgod.market.book_bars import ClosedMinute

_ABSENT: Level = (math.nan, 0.0)


class VersionName(Protocol):
    """A version's registered model and number."""

    @property
    def name(self) -> str:
        """Return the registered model's name."""

    @property
    def version(self) -> int:
        """Return the version's number."""


def bar_row(symbol: str, closed: ClosedMinute) -> dict[str, Any]:
    """Return a row of BARS: a closed minute with figures and book, or the reason for none."""
    bar = closed.bar
    return {
        "minute": bar.minute,
        "symbol": symbol,
        **_named(FEATURES, bar.features),
        "close": None if bar.features is None else bar.close,
        **_named(SECOND_FIGURES, bar.seconds),
        "book": None if bar.features is None else [*_side(closed.bids), *_side(closed.asks)],
        "reason": bar.reason,
    }


def signal_row(
    symbol: str, role: str, model: VersionName, said: Prediction, latency_ms: float
) -> dict[str, Any]:
    """Return a row of SIGNALS: a version's prediction of a minute, in its role."""
    names = [name.lower() for name in CLASSES]
    return {
        "minute": said.minute,
        "symbol": symbol,
        "role": role,
        "model": model.name,
        "version": model.version,
        **{f"base_{name}": value for name, value in zip(names, said.base, strict=True)},
        **{f"prob_{name}": value for name, value in zip(names, said.audited, strict=True)},
        "class": said.label,
        "signal": said.signal,
        "decided_by": said.decided_by,
        **{f"in_set_{name}": holds for name, holds in zip(names, said.in_set, strict=True)},
        "action": said.action,
        "abstention": said.abstention,
        "uncertainty": said.uncertainty,
        "base_confidence": said.confidence,
        "latency_ms": latency_ms,
    }


def votes_row(
    symbol: str, role: str, model: VersionName, panel: Panel, state: str | None
) -> dict[str, Any]:
    """Return a row of VOTES: what the members of a version say of a minute, in its role."""
    votes = panel.votes
    return {
        "minute": panel.minute,
        "symbol": symbol,
        "role": role,
        "model": model.name,
        "version": model.version,
        "members": [vote.member for vote in votes],
        "absent": [vote.absent for vote in votes],
        **{
            name.lower(): [vote.probabilities[place] for vote in votes]
            for place, name in enumerate(CLASSES)
        },
        "confidence": [vote.confidence for vote in votes],
        "expected_return": [vote.expected_return for vote in votes],
        "weight": [vote.weight for vote in votes],
        "contribution": [vote.contribution for vote in votes],
        "vote": panel.direction,
        "agreement": panel.agreement,
        "meta_confidence": panel.meta_confidence,
        "should_trade": panel.should_trade,
        "state": state,
    }


def _named(names: Sequence[str], values: Floats | None) -> dict[str, float | None]:
    """Return values by their names, `None` for each where there are none."""
    return (
        dict.fromkeys(names) if values is None else dict(zip(names, values.tolist(), strict=True))
    )


def _side(levels: list[Level]) -> list[float]:
    absent = [_ABSENT] * (BOOK_LEVELS - len(levels))
    return [number for level in (*levels, *absent) for number in level]
