"""Versions that answer as a test wants, and minutes to ask them about."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from quantgod.contracts import FEATURES, BookShape
from quantgod.contracts.model_notices import ModelNotice
from quantgod.contracts.panel import Member
from quantgod.contracts.prediction import Prediction
from quantgod.evaluation.drift import Reference
from quantgod.market.book_bars import ClosedMinute
from quantgod.market.minute_bars import MinuteBar


def said_of(minute: int, **changes: Any) -> Prediction:
    """An answer that buys."""
    base, audited, in_set = (0.2, 0.3, 0.5), (0.1, 0.3, 0.6), (False, False, True)
    buys = Prediction(minute, base, audited, 2, "BUY", 0.5, "", in_set, "BUY", "")
    return buys._replace(**changes)


@dataclass
class Version:
    """A version of `window` rows; `spoil` may wait or raise before it answers.

    It judges the minute that lies `off` minutes from the one that it is asked about.
    """

    version: int
    window: int = 2
    name: str = "quantgod"
    spoil: Callable[[int], None] = lambda minute: None
    reference: Reference | None = None
    off: int = 0
    features: tuple[str, ...] = FEATURES
    book: BookShape | None = None
    members: tuple[Member, ...] = ()
    quorum: int = 1
    disabled: Mapping[str, str] = field(default_factory=dict)
    combiner: Any = None
    asked: list[int] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def predict(self, rows: pd.DataFrame) -> Prediction:
        assert len(rows) == self.window
        book = [] if self.book is None else ["book"]
        assert rows.columns.tolist() == ["datetime", *self.features, *book]
        minute = int(rows["datetime"].iloc[-1].timestamp()) // 60
        self.asked.append(minute)
        self.threads.add(threading.get_ident())
        self.spoil(minute)
        return said_of(minute + self.off)

    def vote(self, rows: pd.DataFrame, weights: Any = None, lacks: str = "") -> NoReturn:
        raise NotImplementedError("one network has no members")


@dataclass
class Deployed:
    """Who answers; a test may change it at any time."""

    now: Version
    shadow: Version | None = None
    times: int = 0

    def champion(self) -> Version:
        self.times += 1
        return self.now

    def challenger(self) -> Version | None:
        return self.shadow


def minute_of(minute: int, features: Iterable[float] | None = None) -> ClosedMinute:
    """A minute with a row."""
    row = np.arange(9) / 10 + minute if features is None else np.fromiter(features, float)
    bar = MinuteBar(minute, "", row, 100.5, np.arange(12) / 12 + minute)
    return ClosedMinute(bar, [(100.0, 1.0)], [(101.0, 2.0)])


def minute_without(minute: int, reason: str = "gap") -> ClosedMinute:
    return ClosedMinute(MinuteBar(minute, reason, None, float("nan")), [], [])


def codes(notices: Iterable[ModelNotice]) -> list[str]:
    return [notice.code for notice in notices]


def now() -> float:
    return time.monotonic()


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        await asyncio.sleep(0.002)
