"""A network of features is audited with its features made anew from other books and seconds."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import BOOK_COLUMNS, FEATURES, SECOND_FIGURES
from quantgod.dataset.feature_table import SOURCES, features_of
from quantgod.evaluation.evidence import LeakAuditResult
from quantgod.leakage import LeakError, audit_leaks, pipeline
from quantgod.leakage.borders import borders_of
from quantgod.leakage.perturbation import known_at, perturb
from quantgod.leakage.pipeline import UnevenFeaturesError, in_small, make
from quantgod.served.features import sets
from quantgod.settings import LabelSettings, ModelSettings, Settings
from tests.dataset.test_feature_table import BRIDGE, MINUTES, stored, whole
from tests.leakage.small import leaking
from tests.leakage.small import settings as small_settings

STRIDE, HORIZON = 5, 15
STAGE = "network features"


def settings(**leak_audit: Any) -> Settings:
    how = small_settings(minutes=MINUTES, stride=STRIDE, params={}, **leak_audit)
    label = LabelSettings(horizon_minutes=HORIZON, buy_above=1e-3, sell_below=-1e-3)
    window = how.window.model_copy(update={"length": 15})
    model = ModelSettings(name="linear", params={})
    return how.model_copy(update={"label": label, "window": window, "model": model})


@cache
def bars() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Minutes of a drawn market, and their books and seconds."""
    rows, index = stored(), whole().index
    narrow = pd.DataFrame(rows.features, index, list(FEATURES)).assign(close=rows.close)
    # A market whose nine features all move, as perturbing them asks for.
    noise = np.random.default_rng(3).normal(0.5, 0.1, (MINUTES, 4))
    narrow[["volatility", "max_spread", "mean_obi", "mean_deep_obi"]] = noise
    beside = np.hstack([rows.book, rows.seconds])
    return narrow, pd.DataFrame(beside, index, list(SOURCES))


def audited(how: Settings, *cuts: pd.Timestamp) -> LeakAuditResult:
    narrow, sources = bars()
    return audit_leaks(narrow, how, cuts, sources=sources)


def test_features_of_a_frame_are_those_of_stored_days() -> None:
    narrow, sources = bars()
    found = features_of(narrow.join(sources), BRIDGE)
    pd.testing.assert_frame_equal(found, whole(), check_exact=True, check_freq=False)


@pytest.mark.long
def test_nothing_leaks_and_the_features_were_looked_at_to_the_row() -> None:
    result = audited(settings(cuts=0))
    assert result.passed, result.problems
    assert result.nearest[STAGE] == 1
    assert result.compared[STAGE] > 1_000 and result.changed[STAGE] > 1_000


def test_features_that_look_a_row_ahead_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = pipeline.features_of
    ahead = lambda *given: real(*given).shift(-1).ffill()  # noqa: E731
    monkeypatch.setattr(pipeline, "features_of", ahead)
    assert STAGE in leaking(audited(settings(), bars()[0].index[1_000]))


def test_without_books_and_seconds_the_audit_is_refused() -> None:
    narrow, sources = bars()
    for given in (None, sources.iloc[:-1]):
        with pytest.raises(LeakError, match="linear looks at features of books and seconds"):
            audit_leaks(narrow, settings(), sources=given)


def test_features_that_are_missing_anywhere_else_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = pipeline.features_of

    def holed(*given: Any) -> pd.DataFrame:
        found = real(*given)
        found.iloc[1_000, 7] = np.nan
        return found

    monkeypatch.setattr(pipeline, "features_of", holed)
    with pytest.raises(UnevenFeaturesError, match=f"{sets.NAMES[7]}: missing in minutes"):
        make(bars()[0].join(bars()[1]), in_small(settings()))


def test_the_tests_border_is_the_same_whatever_a_network_looks_at() -> None:
    how = in_small(settings())
    index = pd.DatetimeIndex(bars()[0].index)
    wide, plain = (
        borders_of(index, how.model_copy(update={"model": ModelSettings(name=name, params={})}))
        for name in ("linear", "tcn_lstm")
    )
    labelled = MINUTES - HORIZON
    border = index[labelled - round(labelled * how.split.test_fraction)].timestamp() * 1000
    assert (wide.test, plain.test) == (border, border)


@pytest.mark.parametrize("row", [0, 700, MINUTES - 1])
def test_another_market_has_other_books_that_are_still_books(row: int) -> None:
    whole_bars = bars()[0].join(bars()[1])
    cut = int(known_at(pd.DatetimeIndex(whole_bars.index))[row]) - 60_000
    changed = perturb(whole_bars, cut, settings().label, np.random.default_rng(1))
    pd.testing.assert_frame_equal(changed[:row], whole_bars[:row], check_exact=True)
    after = changed[row:]
    assert (after[list(SECOND_FIGURES)] != whole_bars[row:][list(SECOND_FIGURES)]).all(axis=None)
    books = after[list(BOOK_COLUMNS)].to_numpy().reshape(len(after), 2, -1, 2)
    assert (books != whole_bars[row:][list(BOOK_COLUMNS)].to_numpy().reshape(books.shape)).all()
    bids, asks = books[:, 0, :, 0], books[:, 1, :, 0]
    assert (np.diff(bids) < 0).all() and (np.diff(asks) > 0).all() and (bids > 0).all()
    close = after["close"].to_numpy()
    assert (bids[:, 0] < close).all() and (close < asks[:, 0]).all()
    assert (books[..., 1] > 0).all()


def test_features_of_another_market_are_all_there() -> None:
    whole_bars = bars()[0].join(bars()[1])
    cut = int(known_at(pd.DatetimeIndex(whole_bars.index))[700])
    changed = perturb(whole_bars, cut, settings().label, np.random.default_rng(2))
    found = features_of(changed, BRIDGE).to_numpy()
    assert np.isfinite(found[sets.REACH - 1 :]).all()
