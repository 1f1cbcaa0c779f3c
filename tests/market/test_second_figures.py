"""Twelve figures of the seconds inside a minute: the formulas again in numpy, and their borders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from quantgod.contracts import FEATURES, SECOND_FIGURES
from quantgod.market.book import Quote
from quantgod.market.minute_bars import MinuteBar, MinuteBars
from quantgod.market.minute_kernel import GAP
from quantgod.served.features import book, candle, indicator
from tests.market.test_minute_bars import MINUTE, START, bars_from, every, random_market

FLOWS = ("ofi_1", "ofi_ac1")


class Quoted:
    """A book that knows its quote."""

    def __init__(self, quote: Quote) -> None:
        self.quote = lambda: quote


def minute(before: Quote | None, quotes: list[Quote]) -> MinuteBar:
    """Let a minute of one quote a second close; `before`: of the second before it, if any."""
    bars = MinuteBars(5, 5)
    bars.resume(MINUTE - 2, 100.0)
    if before is not None:
        bars.advance(START - 1_000, None)
        bars.advance(START, Quoted(before))
    return play(bars, quotes)


def play(bars: MinuteBars, quotes: list[Quote]) -> MinuteBar:
    """Let the minute go by; its first second is the open one, or the next."""
    bars.advance(START, None)
    closed = []
    for place, quote in enumerate(quotes, start=1):
        closed += bars.advance(START + 1_000 * place, Quoted(quote))
    (bar,) = closed
    return bar


def written(before: Quote | None, quotes: list[Quote]) -> dict[str, float]:
    """The figures as `docs/data.md` has them."""
    bid, bid_size, ask, ask_size, bid_depth, ask_depth = np.array(quotes).T
    micro = (bid * ask_size + ask * bid_size) / (bid_size + ask_size)
    spread, mid = (ask - bid) / ((ask + bid) / 2), (ask + bid) / 2
    obi = (bid_size - ask_size) / (bid_size + ask_size)
    deep = (bid_depth - ask_depth) / (bid_depth + ask_depth)
    pairs = list(zip([before, *quotes], quotes, strict=False))
    flow = np.array([0.0 if old is None else event(old, new) for old, new in pairs])
    touch = (bid_size + ask_size).mean()
    return {
        "second_deviation": np.log(micro).std(ddof=1),
        "spread_mean": spread.mean(),
        "spread_max": spread.max(),
        "obi_mean": obi.mean(),
        "obi_std": obi.std(ddof=1),
        "obi_trend": obi[-10:].mean() - obi[:10].mean(),
        "obi_flips": (np.diff(np.sign(obi)) != 0).mean(),
        "deep_mean": deep.mean(),
        "deep_trend": deep[-10:].mean() - deep[:10].mean(),
        "obi_corr": correlation(obi[:-1], np.diff(np.log(mid))),
        "ofi_1": flow.sum() / touch,
        "ofi_ac1": autocorrelation(flow / touch),
    }


def event(old: Quote, new: Quote) -> float:
    """What came to the best quotes less what left (Cont, Kukanov and Stoikov, 2014)."""
    (bid, bid_size, ask, ask_size), last = new[:4], old[:4]
    return (
        (bid >= last[0]) * bid_size
        - (bid <= last[0]) * last[1]
        - (ask <= last[2]) * ask_size
        + (ask >= last[2]) * last[3]
    )


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    if min(one.std(), other.std()) < 1e-12:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def autocorrelation(values: np.ndarray) -> float:
    away = values - values.mean()
    if values.std() < 1e-12:
        return 0.0
    return float((away[1:] * away[:-1]).sum() / np.square(away).sum())


sizes = st.sampled_from([0.001, 0.1, 0.2, 0.3, 1.0, 2.5, 7.125, 4_000.0, 12_345_678.0])
quotes = st.builds(
    lambda bid, width, *of: (bid / 10, of[0], (bid + width) / 10, of[1], of[2], of[3]),
    st.integers(996, 1004), st.integers(1, 3), sizes, sizes, sizes, sizes,
)  # fmt: skip
minutes = st.lists(
    st.tuples(quotes, st.integers(1, 30)), min_size=1, max_size=60
).map(lambda runs: [quote for quote, seconds in runs for _ in range(seconds)])  # fmt: skip
"""Quotes that stand for some seconds each."""

Q: Quote = (100.0, 2.0, 100.1, 3.0, 9.0, 8.0)


@settings(max_examples=60, deadline=None)
@given(st.none() | quotes, minutes, quotes)
@example(None, [], Q)
@example(Q, [], Q)
def test_the_figures_equal_the_formulas_written_in_numpy(before, some, rest):
    within = [*some, *[rest] * 60][:60]
    bar = minute(before, within)
    assert bar.reason == ""
    expected = written(before, within)
    assert tuple(expected) == SECOND_FIGURES
    np.testing.assert_allclose(bar.seconds, [*expected.values()], rtol=1e-7, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.none() | quotes, minutes, quotes)
def test_a_market_seen_in_a_mirror_has_the_imbalances_and_flows_of_the_other_sign(
    before, some, rest
):
    def mirrored(quote: Quote) -> Quote:
        bid, bid_size, ask, ask_size, bid_depth, ask_depth = quote
        return 200.0 - ask, ask_size, 200.0 - bid, bid_size, ask_depth, bid_depth

    within = [*some, *[rest] * 60][:60]
    one = named(minute(before, within))
    other = named(minute(before and mirrored(before), [mirrored(quote) for quote in within]))
    for name in ("obi_mean", "obi_trend", "deep_mean", "deep_trend", "ofi_1"):
        assert other[name] == -one[name]
    for name in ("obi_std", "obi_flips", "ofi_ac1"):
        assert other[name] == one[name]


@settings(max_examples=50, deadline=None)
@given(st.none() | quotes, minutes, quotes, st.sampled_from([2.0**-60, 2.0**20]))
def test_sizes_have_no_unit(before, some, rest, lot):
    def in_lots(quote: Quote) -> Quote:
        bid, bid_size, ask, ask_size, *depths = quote
        return bid, lot * bid_size, ask, lot * ask_size, *(lot * depth for depth in depths)

    within = [*some, *[rest] * 60][:60]
    other = minute(before and in_lots(before), [in_lots(quote) for quote in within])
    assert other.seconds.tobytes() == minute(before, within).seconds.tobytes()


def named(bar: MinuteBar) -> dict[str, float]:
    return dict(zip(SECOND_FIGURES, bar.seconds.tolist(), strict=True))


def test_feature_sets_need_the_twelve_by_these_names():
    needs = {*book.NEEDS, *candle.NEEDS, *indicator.NEEDS}
    assert len(SECOND_FIGURES) == 12
    assert set(SECOND_FIGURES) < needs


def test_four_of_them_are_the_bar_s_own_to_the_bit():
    for bar in bars_from(random_market(3, 5))[1:]:
        figures, features = named(bar), dict(zip(FEATURES, bar.features.tolist(), strict=True))
        for name, feature in {
            "second_deviation": "volatility",
            "spread_max": "max_spread",
            "obi_mean": "mean_obi",
            "deep_mean": "mean_deep_obi",
        }.items():
            assert figures[name] == features[feature]


def test_a_minute_without_a_row_has_no_figures():
    assert [bar.seconds is None for bar in bars_from(every(1, 0, 121))] == [True, False]


@pytest.mark.parametrize(
    "size", [pytest.param(0.3, id="a size that rounds"), pytest.param(2.0, id="a plain one")]
)
def test_what_is_flat_has_no_correlation_flips_or_flow(size):
    quote = (100.1, size, 100.4, 3 * size, size, size)
    figures = named(minute(quote, [quote] * 60))
    for name in ("obi_trend", "obi_flips", "deep_trend", "obi_corr", "ofi_1", "ofi_ac1"):
        assert figures[name] == 0.0
    assert figures["obi_std"] < 1e-15


def test_a_mid_that_stands_still_while_the_spread_breathes_is_flat():
    """0.1 + 0.7 and 0.2 + 0.6 differ in the last bit."""
    narrow, wide = (0.2, 1.0, 0.6, 3.0, 1.0, 1.0), (0.1, 2.0, 0.7, 1.0, 1.0, 1.0)
    assert named(minute(None, [narrow, wide] * 30))["obi_corr"] == 0.0


def test_a_balanced_second_counts_as_a_sign_of_its_own():
    up, level, down = ((100.0, bid_size, 100.1, 2.0, 1.0, 1.0) for bid_size in (3.0, 2.0, 1.0))
    assert named(minute(None, [*[up] * 20, *[level] * 20, *[down] * 20]))["obi_flips"] == 2 / 59


@pytest.mark.parametrize("silent", range(1, 6))
def test_a_second_without_a_message_has_the_book_before_it_and_no_flow(silent):
    """Also the seconds over the minute's border."""
    for last in (30, 57):
        messages = [u for u in every(1, 0, 190) if not last < u.ts // 1000 % 60 <= last + silent]
        for bar in bars_from(messages)[1:]:
            assert named(bar) == named(bars_from(every(1, 0, 121))[1])


def came(first: Quote) -> float:
    """The flow of a first second with quote `first` after a second with quote `Q`."""
    return event(Q, first) / (first[1] + first[3])


UNKNOWN = {
    "no second before": lambda bars: None,
    "one without a book": lambda bars: bars.advance(START, None),
    "a crossed one": lambda bars: bars.advance(START, Quoted((100.1, 1.0, 100.1, 2.0, 1.0, 1.0))),
    "a longer silence": lambda bars: (
        bars.advance(START - 7_000, Quoted(Q)),
        bars.advance(START, Quoted(Q)),
    ),
    "a second of an earlier run": lambda bars: (bars.advance(START, Quoted(Q)), bars.restart()),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_nothing_flows_in_a_first_second_whose_second_before_has_no_sample(case):
    bars = MinuteBars(5, 5)
    if case != "no second before":
        bars.advance(START - (8_000 if case == "a longer silence" else 1_000), None)
    UNKNOWN[case](bars)
    bars.resume(MINUTE - 2, 100.0)
    first: Quote = (100.1, 5.0, 100.2, 1.0, 9.0, 8.0)
    bar = play(bars, [first] * 60)
    assert bar.reason == ""
    assert named(bar)["ofi_1"] == 0.0
    known = named(minute(Q, [first] * 60))
    assert known["ofi_1"] == pytest.approx(came(first)) != 0.0


def test_a_first_second_flows_from_a_minute_that_has_no_row_if_its_last_second_has_a_sample():
    bars = MinuteBars(5, 5)
    bars.resume(MINUTE - 2, 100.0)
    bars.advance(START - 1_000, None)
    bars.mark(GAP)
    bars.advance(START, Quoted(Q))
    first: Quote = (100.1, 5.0, 100.2, 1.0, 9.0, 8.0)
    assert named(play(bars, [first] * 60))["ofi_1"] == pytest.approx(came(first))


@pytest.mark.parametrize("seed", range(4))
def test_nothing_outside_a_minute_matters_but_the_second_before_and_that_for_its_flow(seed):
    """Every message holds the whole book, so the minute before ends as the test wants it."""

    def between(begin: float, end: float, seed: int) -> list:
        """Messages of a market from one minute to another, the first of what stood then."""
        market = random_market(seed, 6)
        begin_ms, end_ms = (START + round(60_000 * edge) for edge in (begin, end))
        stood = [update for update in market if update.ts <= begin_ms + 5][-1]
        later = [update for update in market if begin_ms < update.ts < end_ms]
        return [replace(stood, ts=begin_ms), *later]

    border = 2 - 1 / 60
    inside = between(2, 3, seed)

    def third(before: int, last: int, after: int) -> MinuteBar:
        parts = between(0, border, before), between(border, 2, last), between(3, 5, after)
        return bars_from([*parts[0], *parts[1], *inside, *parts[2]])[2]

    one = third(90, seed, 91)
    assert third(92, seed, 93).seconds.tobytes() == one.seconds.tobytes()
    other = third(90, seed + 50, 91)
    for name in SECOND_FIGURES:
        assert (named(other)[name] == named(one)[name]) == (name not in FLOWS)
