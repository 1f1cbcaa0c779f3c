"""One description of what a network sees holds wherever it is cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quantgod.contracts import FEATURE_SET, FEATURES
from quantgod.dataset.inputs import AUX, BARS, BOOK, VIEWS, WIDE, Inputs, cut
from quantgod.dataset.windows import Windows
from quantgod.models import zoo
from quantgod.models.base import ARCHITECTURES
from quantgod.served.features import sets
from quantgod.settings import SettingsError

WINDOW = 7
EVERY = (BARS, WIDE, AUX)


def matrix(rows: int, width: int) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.manual_seed(1))


def test_a_network_of_bars_needs_nothing_else() -> None:
    of = Inputs(WINDOW)
    assert (of.columns, of.feature_set, of.has_features) == (FEATURES, FEATURE_SET, False)
    assert of.memory == 1
    assert of.shapes == {BARS: (WINDOW, 9)}


@pytest.mark.parametrize("views", [(WIDE,), (AUX,), (BARS, AUX), EVERY])
def test_whatever_looks_at_the_112_gets_the_nine_first(views: tuple[str, ...]) -> None:
    of = Inputs(WINDOW, views)
    assert of.columns == (*FEATURES, *sets.NAMES)
    assert of.feature_set == "minute_bars/1+book_candle_indicator/1"
    assert of.memory == sets.REACH
    shapes = {BARS: (WINDOW, 9), WIDE: (WINDOW, 112), AUX: (112,)}
    assert of.shapes == {name: shapes[name] for name in views}


@pytest.mark.parametrize("views", [(BARS,), (WIDE,), (AUX, BARS), EVERY])
def test_a_view_is_the_same_cut_from_a_table_or_from_windows(views: tuple[str, ...]) -> None:
    of = Inputs(WINDOW, views)
    table, rows = matrix(40, len(of.columns)), torch.tensor([WINDOW - 1, 20, 39])
    given, over = cut(Windows(table, WINDOW)(rows), views), of.over(table)
    assert over.shapes == of.shapes
    assert list(given) == list(views)
    for name, view in over(rows).items():
        assert torch.equal(view, given[name])
        assert view.shape == (3, *of.shapes[name])


def test_the_views_hold_what_their_columns_hold() -> None:
    table = torch.arange(10.0)[:, None] * 1000 + torch.arange(121.0)
    seen = Inputs(WINDOW, EVERY).over(table)(torch.tensor([8]))
    assert seen[BARS][0, :, 0].tolist() == [2000 + 1000 * row for row in range(WINDOW)]
    assert seen[WIDE][0, -1].tolist() == [8009 + place for place in range(112)]
    assert torch.equal(seen[AUX][0], seen[WIDE][0, -1])


def test_the_newest_row_alone_is_what_aux_finds_not_finite() -> None:
    table = matrix(40, 121)
    table[5, 100] = torch.nan
    over = Inputs(WINDOW, (AUX,)).over(table)
    assert over.not_finite(torch.tensor([4, 6, 11])).tolist() == []
    assert over.not_finite(torch.tensor([4, 5, 5])).tolist() == [5]
    assert Inputs(WINDOW, EVERY).over(table).not_finite(torch.tensor([11])).tolist() == [5]


@pytest.mark.parametrize("views", [(), ("books",), (BARS, "trades")])
def test_unknown_views_are_refused(views: tuple[str, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"views of bars, features, aux, book expected, got (none|.*s)"
    ):
        Inputs(WINDOW, views)


def test_a_network_of_the_book_gets_the_nine_and_blocks_of_the_stored_shape() -> None:
    of = Inputs(WINDOW, (BOOK,), (10, 5))
    assert (of.columns, of.has_features, of.has_book, of.memory) == (FEATURES, False, True, 1)
    assert of.shapes == {BOOK: (10, 5, 4)}
    both = Inputs(WINDOW, (BOOK, AUX))
    assert both.shapes == {BOOK: (100, 20, 4), AUX: (112,)}
    assert (both.has_features, len(both.columns)) == (True, 121)
    assert not Inputs(WINDOW, EVERY).has_book


def test_every_architecture_can_learn_and_one_of_the_book_asks_for_an_hour_of_minutes() -> None:
    for name in zoo.names():
        views = ARCHITECTURES[name].views
        assert set(views) <= set(VIEWS)
        if BOOK in views:
            with pytest.raises(SettingsError, match=rf"{name} looks at .* 60 minutes.* got 59"):
                zoo.inputs(name, 59)
            assert zoo.inputs(name, 60) == Inputs(60, views)
            assert zoo.inputs(name, 60, (10, 5)) == Inputs(60, views, (10, 5))
        else:
            assert zoo.inputs(name, WINDOW) == zoo.inputs(name, WINDOW, (10, 5))
            assert zoo.inputs(name, WINDOW) == Inputs(WINDOW, views)


def test_the_names_of_both_sets_are_apart() -> None:
    assert not set(FEATURES) & set(sets.NAMES)
    assert len(np.unique(Inputs(WINDOW, EVERY).columns)) == 121
