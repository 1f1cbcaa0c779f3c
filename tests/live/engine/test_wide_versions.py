"""Versions that take the 112 features answer when they are known; those of the nine as ever."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import ALL_FEATURES, FEATURES
from quantgod.contracts.model_notices import ModelNotice
from quantgod.contracts.panel import Member
from quantgod.contracts.prediction import Prediction
from quantgod.dataset.feature_table import SourceRows
from quantgod.live.engine.engine import Engine
from quantgod.live.engine.feature_rows import FeatureRows
from quantgod.live.engine.needs import missing, missing_by_member
from quantgod.live.engine.window import Window
from quantgod.market.book_bars import ClosedMinute
from quantgod.served.features import sets
from tests.live.engine.answering import Deployed, Version, now, until
from tests.live.engine.markets import BRIDGE, FIRST, closed_at, features_at, filled, stream

PAST = sets.REACH - 1


class Sink:
    """A journal in memory."""

    def __init__(self) -> None:
        self.signals: list[tuple[int, int, str]] = []

    def append(self, table: str, row: Mapping[str, Any]) -> bool:
        return True

    def append_now(self, table: str, row: Mapping[str, Any]) -> Future[None]:
        self.signals.append((row["minute"] - FIRST, row["version"], row["role"]))
        promise: Future[None] = Future()
        promise.set_result(None)
        return promise


@dataclass
class Asked(Version):
    """A version that keeps what it was asked."""

    frames: list[pd.DataFrame] = field(default_factory=list)

    def predict(self, rows: pd.DataFrame) -> Prediction:
        self.frames.append(rows)
        return super().predict(rows)


class Session:
    """An engine over a window; `play` closes minutes and waits for their answers."""

    def __init__(self, window: Window, models: Deployed) -> None:
        self.journal, self.models, self.told = Sink(), models, []
        self.notices: list[ModelNotice] = []
        self.engine = Engine(
            {"X": window}, {"X": models}, self.journal, self.notices.append, on_row=self._on_row
        )
        self.state = self.engine.symbols["X"]

    def play(self, *places: int) -> None:
        self.take(*map(closed_at, places))

    def take(self, *minutes: ClosedMinute) -> None:
        asyncio.run(self._take(minutes))

    async def _take(self, minutes: tuple[ClosedMinute, ...]) -> None:
        running = asyncio.ensure_future(self.engine.run())
        for closed in minutes:
            self.engine.closed("X", closed, now())
            await until(lambda: not self.engine._unanswered)
            await self.engine._idle()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    def _on_row(self, symbol: str, minute: int, features: Any, said: Any, model: Any) -> None:
        assert features.shape == (9,)
        self.told.append((minute - FIRST, said is not None))


def test_a_version_waits_until_its_window_has_all_features_and_gets_those_of_the_stage() -> None:
    wide = Asked(2, window=3, features=ALL_FEATURES)
    session = Session(filled(PAST - 1), Deployed(wide))
    assert (session.state.missing, session.state.warming) == (4, 1)
    session.play(*range(PAST - 1, PAST + 5))
    assert session.told == [(place, place >= PAST + 2) for place in range(PAST - 1, PAST + 5)]
    assert session.journal.signals == [
        (place, 2, "Production") for place in range(PAST + 2, PAST + 5)
    ]
    assert (session.state.missing, session.state.warming) == (0, 0)
    for place, frame in zip(range(PAST + 2, PAST + 5), wide.frames, strict=True):
        values = frame[[*ALL_FEATURES]].to_numpy()
        assert values.tobytes() == features_at(place - 2, place - 1, place).tobytes()


def test_a_version_of_the_nine_neither_sees_nor_awaits_the_others() -> None:
    plain, beside = (Asked(1, window=4) for _ in range(2))
    models = Deployed(beside, Asked(2, window=3, features=ALL_FEATURES))
    alone, both = Session(Window(BRIDGE), Deployed(plain)), Session(Window(BRIDGE), models)
    for session in (alone, both):
        session.play(*range(8))
    assert len(plain.frames) == 5
    for one, other in zip(plain.frames, beside.frames, strict=True):
        assert one.columns.tolist() == ["datetime", *FEATURES]
        pd.testing.assert_frame_equal(one, other, check_exact=True)
        places = one["datetime"].map(pd.Timestamp.timestamp).to_numpy() // 60 - FIRST
        expected = features_at(*places.astype(int))[:, :9]
        assert one[[*FEATURES]].to_numpy().tobytes() == expected.tobytes()
    assert alone.journal.signals == both.journal.signals
    assert (both.state.missing, both.state.warming) == (0, 0)
    assert (alone.state.shadow_missing, both.state.shadow_missing) == (0, PAST - 8 + 3)


def test_no_champion_of_the_nine_waits_for_features_that_a_challenger_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[tuple[str, int]] = []
    plain, wide = Asked(1, window=2), Asked(2, window=2, features=ALL_FEATURES)
    plain.spoil, wide.spoil = (
        lambda minute, name=name: order.append((name, minute - FIRST))
        for name in ("champion", "challenger")
    )
    session = Session(filled(PAST + 2), Deployed(plain, wide))
    make = FeatureRows.next

    def made(rows: FeatureRows, row: SourceRows | None) -> np.ndarray:
        assert row is not None
        order.append(("features", int(row.minutes[0]) - FIRST))
        return make(rows, row)

    monkeypatch.setattr(FeatureRows, "next", made)
    session.play(PAST + 2, PAST + 3)
    steps = ("champion", "features", "challenger")
    assert order == [(step, place) for place in (PAST + 2, PAST + 3) for step in steps]


def test_minutes_that_close_together_are_asked_about_each_with_its_own_rows() -> None:
    plain, wide = Asked(1, window=2), Asked(2, window=3, features=ALL_FEATURES)
    session = Session(filled(PAST + 3), Deployed(plain, wide))

    async def play() -> None:
        running = asyncio.ensure_future(session.engine.run())
        for place in (PAST + 3, PAST + 4):
            session.engine.closed("X", closed_at(place), now())
        await until(lambda: len(wide.frames) == 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(play())
    for place, frame in zip((PAST + 3, PAST + 4), wide.frames, strict=True):
        expected = features_at(*range(place - 2, place + 1))
        assert frame[[*ALL_FEATURES]].to_numpy().tobytes() == expected.tobytes()


def test_a_version_that_takes_over_answers_the_very_next_minute_and_in_shadow_before() -> None:
    wide = Asked(2, window=4, features=ALL_FEATURES)
    models = Deployed(Asked(1, window=2), wide)
    session = Session(filled(PAST + 2), models)

    def take_over(minute: int) -> None:
        if minute == FIRST + PAST + 4:
            models.now, models.shadow = wide, None

    models.now.spoil = take_over
    session.play(*range(PAST + 2, PAST + 7))
    assert session.journal.signals == [
        (PAST + 2, 1, "Production"),
        (PAST + 3, 1, "Production"),
        (PAST + 3, 2, "Challenger"),
        (PAST + 4, 1, "Production"),
        (PAST + 4, 2, "Challenger"),
        (PAST + 5, 2, "Production"),
        (PAST + 6, 2, "Production"),
    ]
    values = [frame[[*ALL_FEATURES]].to_numpy() for frame in wide.frames]
    for place, found in zip(range(PAST + 3, PAST + 7), values, strict=True):
        assert found.tobytes() == features_at(*range(place - 3, place + 1)).tobytes()


def test_an_ensemble_answers_when_a_quorum_is_warm_and_the_others_are_cold() -> None:
    """Members of the nine do not wait for those that take all features."""
    members = Member("near", 3, 9), Member("wide", 3, 121), Member("long", 40, 9)
    of_two, of_three = (Asked(1, window=40, members=members, quorum=count) for count in (2, 3))
    window = filled(PAST + 1)
    assert missing_by_member(window, of_two) == {"near": 0, "wide": 2, "long": 0}
    assert (missing(window, of_two), missing(window, of_three)) == (0, 2)
    short = filled(4)
    assert missing_by_member(short, of_two) == {"near": 0, "wide": PAST - 1, "long": 36}
    assert (missing(short, of_two), missing(short, of_three)) == (36, PAST - 1)
    rows = window.known(40, 121)
    assert (
        rows.features[:, :9].tobytes() == features_at(*range(PAST - 39, PAST + 1))[:, :9].tobytes()
    )
    assert np.isfinite(rows.features[:, 9:]).all(axis=1).tolist() == [False] * 39 + [True]
    assert [len(short.known(count).minutes) for count in (2, 4, 40)] == [2, 4, 4]
    stream(window, PAST + 1)
    assert np.isfinite(window.known(2, 121).features).all()
