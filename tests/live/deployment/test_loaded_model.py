"""What a version answers is believed only as far as it can be an answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import (
    ALL_FEATURES,
    CLASSES,
    FEATURE_SET,
    FEATURE_SETS,
    FEATURES,
    BookShape,
    Series,
)
from quantgod.contracts.minute_rows import MinuteRows, as_frame
from quantgod.contracts.panel import Panel
from quantgod.live.deployment.loaded_model import (
    Fit,
    LoadedModel,
    PredictionError,
    UnfitVersionError,
    _book,
    _check_signature,
    _prediction,
    _warm_up,
    _window,
    as_answer,
)
from quantgod.registry.chain import PackageError
from quantgod.settings import load_settings
from steps.options import values_from
from tests.live.engine.answering import said_of
from tests.test_settings import FULL

BUYS = as_answer(said_of(28_401_120)).assign(
    datetime=pd.Timestamp(28_401_120 * 60, unit="s", tz="UTC")
)
NUMBERS = [f"{kind}_{name}" for kind in ("base", "prob") for name in ("sell", "neutral", "buy")]


def asked(answer: object) -> Any:
    """What a version that answers so is taken to say."""
    model: Any = SimpleNamespace(predict=lambda rows: answer)
    loaded = LoadedModel("quantgod", 1, 2, FEATURES, Path("nowhere"), None, model)
    return loaded.predict(pd.DataFrame())


def test_a_sound_answer_is_taken_as_it_is() -> None:
    assert asked(BUYS) == said_of(28_401_120)
    waits = {"in_set_neutral": True, "action": "NEUTRAL", "abstention": "several_classes"}
    expected = said_of(28_401_120, in_set=(False, True, True), **dict(list(waits.items())[1:]))
    assert asked(BUYS.assign(**waits)) == expected


WRONG: list[dict[str, Any]] = [
    *({name: value} for name in [*NUMBERS, "uncertainty"] for value in (np.nan, np.inf, -np.inf)),
    *({name: value} for name in ("prob_buy", "uncertainty") for value in ("much", None)),
    # From the end of the list of classes -1 is BUY as well.
    *({"class": value} for value in (-1, 3, 1, np.nan, None, "BUY")),
    {"class": -3, "signal": "SELL", "in_set_sell": True, "in_set_buy": False, "action": "SELL"},
    *({"signal": value} for value in ("SELL", "HOLD", 2, None)),
    *({"datetime": value} for value in (pd.NaT, "noon", None)),
    *({f"in_set_{name}": value} for name in ("sell", "buy") for value in (np.nan, 1, "true", None)),
    *({"action": value} for value in ("SELL", "NEUTRAL", "HOLD", 2, None)),
    {"in_set_sell": True},
    {"in_set_buy": False},
    {"abstention": "several_classes"},
    {"abstention": None},
    {"in_set_sell": True, "action": "NEUTRAL"},
    {"decided_by": np.nan},
]


@pytest.mark.parametrize("changes", WRONG, ids=str)
def test_an_answer_that_can_be_none_is_refused_with_what_it_was(changes: dict[str, Any]) -> None:
    with pytest.raises(PredictionError, match=r"expected|in \{|row expected"):
        asked(BUYS.astype(object).assign(**changes))


@pytest.mark.parametrize("name", BUYS.columns)
def test_an_answer_that_lacks_a_column_is_refused(name: str) -> None:
    with pytest.raises(PredictionError, match=name):
        asked(BUYS.drop(columns=name))


@pytest.mark.parametrize("answer", [pd.concat([BUYS, BUYS]), BUYS[:0], [1.0], None, "BUY"])
def test_one_row_is_expected(answer: object) -> None:
    with pytest.raises(PredictionError, match="one row expected"):
        asked(answer)


def test_the_least_class_is_one_as_well() -> None:
    sells = {"class": 0, "signal": "SELL", "in_set_sell": True, "in_set_buy": False}
    said = asked(BUYS.assign(**sells, action="SELL"))
    assert (said.label, said.signal, said.action) == (0, "SELL", "SELL")


def test_an_answer_is_read_as_plain_values_whatever_numbers_it_came_in() -> None:
    late = BUYS["datetime"] + pd.Timedelta(seconds=59.5)
    said = asked(BUYS.assign(datetime=late, uncertainty=np.float32(0.5)))
    assert said == said_of(28_401_120)
    kinds = [type(value) for value in (said.minute, said.label, said.uncertainty, *said.in_set)]
    assert kinds == [int, int, float, bool, bool, bool]
    assert {type(value) for value in (*said.base, *said.audited)} == {float}


@pytest.mark.parametrize(
    ("direction", "trades", "acts"),
    [("BUY", True, True), ("BUY", False, False), ("SELL", True, False)],
)
def test_an_ensemble_acts_on_no_class_that_its_members_would_not_trade_on(
    direction: str, trades: bool, acts: bool
) -> None:
    panel = Panel(28_401_120, (), direction, 1.0, 1.0, trades)
    buys = BUYS.astype(object)
    waits = buys.assign(action="NEUTRAL", abstention="no_consensus")
    right, wrong = (buys, waits) if acts else (waits, buys)
    assert _prediction(right, panel).action == right["action"].item()
    with pytest.raises(PredictionError, match="an action of the decided class alone"):
        _prediction(wrong, panel)


FIT = Fit(Series("BTCUSDT", "linear"), 5, 720)
SHAPE = BookShape(snapshots=3, levels=2, interval_ms=500)
CONTRACT = {
    "feature_set": FEATURE_SET,
    "features": [*FEATURES],
    "classes": [*CLASSES],
    "max_bridge_minutes": 5,
}


@pytest.mark.parametrize("window", [1, 2, 720])
def test_a_window_that_is_kept_is_taken(window: int) -> None:
    assert _window(CONTRACT | {"window": window}, FIT) == window


@pytest.mark.parametrize("window", [0, -1, 721, 2.0, "2", None])
def test_a_window_that_is_none_or_longer_than_what_is_kept_is_refused(window: object) -> None:
    with pytest.raises(UnfitVersionError, match="window: at most 720 rows are kept, got"):
        _window(CONTRACT | {"window": window}, FIT)


def test_a_version_asks_for_the_columns_of_one_set_whole_and_in_its_order() -> None:
    (_, nine), (name, all_of_them) = FEATURE_SETS.items()
    assert (nine, all_of_them[:9], len(all_of_them)) == (FEATURES, FEATURES, 121)
    wide = CONTRACT | {"feature_set": name, "window": 2, "features": [*ALL_FEATURES]}
    assert _window(wide, FIT) == 2
    for features in (FEATURES, ALL_FEATURES[:-1], ALL_FEATURES[::-1]):
        with pytest.raises(UnfitVersionError, match=r"features: \['body', .* expected, it has"):
            _window(wide | {"features": [*features]}, FIT)


def test_a_version_of_the_book_is_taken_if_the_stream_is_sampled_as_it_was_trained() -> None:
    asked = {"book": {"snapshots": 3, "levels": 2, "interval_ms": 500}}
    assert _book(CONTRACT | asked, FIT._replace(book=SHAPE)) == SHAPE
    for contract in (CONTRACT, CONTRACT | {"book": None}):
        assert _book(contract, FIT._replace(book=SHAPE)) is None
    for taken in (None, *(SHAPE._replace(**{name: 1}) for name in SHAPE._fields)):
        came = "none" if taken is None else taken.in_words()
        with pytest.raises(UnfitVersionError) as told:
            _book(CONTRACT | asked, FIT._replace(book=taken))
        assert str(told.value) == (
            "it takes the book as 3 snapshots of 2 levels a side, 500 ms apart, and this session "
            f'takes {came} of the stream: start it with --set "snapshots.per_minute=3;'
            'snapshots.block=3;snapshots.levels=2;snapshots.interval_ms=500", or name a version of '
            "the same snapshots"
        )
    (given,) = re.findall('--set "(.*)"', str(told.value))
    assert load_settings(FULL, values_from((given,), {})).snapshots.shape == SHAPE


@pytest.mark.parametrize("book", ["deep", {"snapshots": 3, "levels": 2}, {"depth": 3}])
def test_a_version_that_takes_the_book_in_a_way_unknown_here_is_refused(book: object) -> None:
    with pytest.raises(UnfitVersionError, match="book: snapshots, levels, interval_ms expected, "):
        _book(CONTRACT | {"book": book}, FIT._replace(book=SHAPE))


@pytest.mark.parametrize("key", CONTRACT)
def test_a_contract_of_anything_else_is_refused(key: str) -> None:
    with pytest.raises(UnfitVersionError, match=f"{key}: .* expected, it has other"):
        _window(CONTRACT | {"window": 2, key: "other"}, FIT)


@pytest.mark.parametrize("came", [None, SimpleNamespace(outputs=None)])
def test_a_version_without_a_signature_lacks_every_answer(came: Any) -> None:
    with pytest.raises(UnfitVersionError, match=r"its answers lack datetime, .*, uncertainty"):
        _check_signature(came)


class Golden:
    """A version of two rows with two golden windows, and what it was asked at its warm-up."""

    def __init__(
        self, folder: Path, features: tuple[str, ...] = FEATURES, book: BookShape | None = None
    ) -> None:
        self.asked: list[pd.DataFrame] = []
        self.features, self.book = features, book
        self.said = BUYS
        self.folder = folder
        minutes = [28_401_117, 28_401_120, 28_401_130, 28_401_131]
        values = np.arange(4.0 * len(features)).reshape(4, -1)
        rows = MinuteRows(np.array(minutes), values)
        frame = as_frame(rows)
        frame["datetime"] = frame["datetime"].map(lambda time: time.isoformat())
        books = None if book is None else np.random.default_rng(1).uniform(1, 2, (*book[:2], 4))
        self.first = as_frame(MinuteRows(rows.minutes[:2], rows.features[:2]), books)
        if books is not None:
            frame["book"] = pd.Series([None, *[books.tolist()] * 3], dtype=object)
        split = {"dataframe_split": {k: frame.to_dict("split")[k] for k in ("columns", "data")}}
        (folder / "golden_input.json").write_text(json.dumps(split))
        second = BUYS.assign(prob_buy=0.0)
        outputs = pd.concat([BUYS, second]).assign(
            datetime=["2024-01-01T00:00:00", "2024-01-01T00:11:00"]
        )
        answers = {"predictions": json.loads(outputs.to_json(orient="records"))}
        (folder / "golden_output.json").write_text(json.dumps(answers))

    def predict(self, rows: pd.DataFrame) -> pd.DataFrame:
        self.asked.append(rows)
        return self.said

    def warm_up(self) -> None:
        model: Any = self
        parts = self.features, self.folder, None, model, self.book
        _warm_up(LoadedModel("quantgod", 1, 2, *parts))


@pytest.mark.parametrize("book", [None, SHAPE])
@pytest.mark.parametrize("features", FEATURE_SETS.values(), ids=len)
def test_a_warm_up_asks_for_the_first_golden_window_as_it_would_come_live(
    features: tuple[str, ...], book: BookShape | None, tmp_path: Path
) -> None:
    golden = Golden(tmp_path, features, book)
    golden.warm_up()
    (rows,) = golden.asked
    assert rows.columns.tolist() == ["datetime", *features, *(["book"] if book else [])]
    pd.testing.assert_frame_equal(rows, golden.first)


@pytest.mark.parametrize("off", [-10, -3, -1, 1, 10])
def test_a_warm_up_that_judges_another_minute_is_refused(off: int, tmp_path: Path) -> None:
    golden = Golden(tmp_path)
    golden.said = BUYS.assign(datetime=BUYS["datetime"] + pd.Timedelta(minutes=off))
    with pytest.raises(PackageError, match=rf"minute 28401120 expected, got {28_401_120 + off}"):
        golden.warm_up()


def test_a_warm_up_that_says_something_else_is_refused(tmp_path: Path) -> None:
    golden = Golden(tmp_path)
    golden.said = BUYS.assign(prob_buy=0.6001)
    with pytest.raises(PackageError, match="prob_buy is off by"):
        golden.warm_up()
