"""The interface of what can be fitted and asked: networks, baselines, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import pandas as pd

from quantgod.contracts import Forecast, Integers, Source, Target
from quantgod.dataset.book_blocks import BookBlocks


@dataclass(frozen=True)
class Card:
    """What a forecaster is, so that others can be combined with it or refuse it.

    Attributes:
        source: of the rows that it takes.
        views: what it looks at.
        target: what it forecasts; None of one that was saved before cards said so.
        trained_until: the last label end that it learned from, ISO 8601.
        digests: of what was fitted, by name.
    """

    source: Source
    views: tuple[str, ...]
    target: Target | None
    trained_until: str
    digests: Mapping[str, str]


@runtime_checkable
class Forecaster(Protocol):
    """A fitted forecaster. An auditor takes its forecasts and cannot tell what made them."""

    @property
    def card(self) -> Card:
        """Return what it is."""

    def forecast(
        self, table: pd.DataFrame, rows: Integers, blocks: BookBlocks | None = None
    ) -> Forecast:
        """Return what it says of moments, from rows up to them alone.

        Args:
            table: with the columns that it takes.
            rows: (n,) positions of the moments' last rows.
            blocks: of the book, where it looks at it.
        """

    def save(self, folder: Path) -> None:
        """Write all that it is into a folder, in files that run no code when they are read."""
