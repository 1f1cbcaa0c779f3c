"""The names that rooms share are those of the documents, in their order."""

from __future__ import annotations

from msgspec.structs import replace

from quantgod.contracts import (
    BAR_COLUMNS,
    BOOK_COLUMNS,
    CLASSES,
    FEATURES,
    META_FEATURES,
    BookUpdate,
    silent,
)


def test_a_bar_has_810_columns_in_the_documents_order() -> None:
    assert len(BAR_COLUMNS) == len(set(BAR_COLUMNS)) == 810
    assert BAR_COLUMNS[:10] == (
        "body", "upper_wick", "lower_wick", "log_ret_close", "volatility", "max_spread",
        "mean_obi", "mean_deep_obi", "log_volume", "close",
    )  # fmt: skip
    assert BAR_COLUMNS[10:14] == ("bid_0_p", "bid_0_s", "bid_1_p", "bid_1_s")
    assert BAR_COLUMNS[408:412] == ("bid_199_p", "bid_199_s", "ask_0_p", "ask_0_s")
    assert BAR_COLUMNS[-2:] == ("ask_199_p", "ask_199_s")


def test_a_levels_place_follows_from_its_number() -> None:
    for level in (0, 7, 199):
        for side, offset in (("bid", 0), ("ask", 400)):
            assert BOOK_COLUMNS[offset + 2 * level] == f"{side}_{level}_p"
            assert BOOK_COLUMNS[offset + 2 * level + 1] == f"{side}_{level}_s"


def test_classes_are_numbered_as_labels_are() -> None:
    assert dict(enumerate(CLASSES)) == {0: "SELL", 1: "NEUTRAL", 2: "BUY"}


def test_the_auditors_fourteen_features_are_in_their_order() -> None:
    assert META_FEATURES == (
        "prob_sell", "prob_neutral", "prob_buy", "entropy", "body", "upper_wick", "lower_wick",
        "log_ret_close", "volatility", "mean_obi", "mean_deep_obi", "rsi_14", "ema_9_dist",
        "ema_50_dist",
    )  # fmt: skip
    assert META_FEATURES[:3] == tuple(f"prob_{name.lower()}" for name in CLASSES)
    assert set(META_FEATURES[4:11]) < set(FEATURES)


def test_a_book_update_compares_by_its_value() -> None:
    update = BookUpdate("BTCUSDT", 1, True, 7, [(1.0, 2.0)], [])
    assert update == BookUpdate("BTCUSDT", 1, True, 7, [(1.0, 2.0)], [])
    assert replace(update, update_id=8) != update


def test_silence_says_nothing(capsys) -> None:
    silent(1, 2, "three")
    assert capsys.readouterr() == ("", "")
