"""What a version was trained to take and to say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contract:
    """Whose a version is, and what it was trained to take and to say (`labels.json`).

    It may answer no other symbol, market (linear, spot, inverse) or source (book, candles).
    `silent` features never moved in training: they are asked for, and the network is not shown
    them. Weights are in class order. A version of the book takes `snapshots` of so many `levels` a
    side, `interval_ms` apart; `book` of all others is None.

    The auditor's own class weights and the decision weights stand in `calibrator.json`.
    """

    symbol: str
    market: str
    source: str
    feature_set: str
    features: list[str]
    silent: list[str]
    classes: list[str]
    window: int
    max_bridge_minutes: int
    base_class_weights: list[float]
    book: dict[str, int] | None = None

    @property
    def block(self) -> tuple[int, ...]:
        """Shape of a minute's book: snapshots, levels, 4."""
        asked = self.book or {}
        return asked.get("snapshots", 0), asked.get("levels", 0), 4
