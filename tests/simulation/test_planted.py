"""Each kind of signal is where it should be, is strong there, and is nowhere else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from quantgod.archive.etl import run_etl
from quantgod.archive.snapshots import run_snapshots
from quantgod.archive.store import load_bars
from quantgod.contracts import FEATURES, Floats
from quantgod.dataset.book_blocks import open_all_blocks
from quantgod.settings import Planted, Settings, load_settings
from quantgod.simulation.archives import price_path, start_ms, write_archives
from quantgod.simulation.feed_kernel import DEEP_WAVE, NEAR
from quantgod.simulation.market import SimulatedMarket
from quantgod.simulation.planted import planted_path
from quantgod.simulation.price_path import Latent, PricePath, random_path
from tests.later import later

POWER = Path("conf/power.yaml")
KINDS: tuple[Planted, ...] = get_args(Planted)
STRONG = {
    "simulate.days": 1,
    "simulate.cadence_ms": 2000,
    "simulate.signal": 0.9,
    "simulate.half_life_minutes": 0.01,
    "simulate.lean_noise": 0.0,
    "simulate.lead_minutes": 0,
    "simulate.seed": 3,
    "snapshots.interval_ms": 1000,
    "snapshots.per_minute": 12,
    "snapshots.block": 12,
}
MINUTES = 100_000


def settings(kind: Planted, **changes: float) -> Settings:
    own = {f"simulate.{key}": value for key, value in changes.items()}
    return load_settings(POWER, STRONG | {"simulate.planted": kind} | own)


def path_of(kind: Planted, **changes: float) -> PricePath:
    return planted_path(settings(kind, **changes).simulate, MINUTES)


def returns_of(path: PricePath) -> Floats:
    return np.diff(np.log(np.append(path.knots[:1, 0], path.knots[:, -1])))


def correlation(one: Floats, other: Floats) -> float:
    return float(np.corrcoef(one, other)[0, 1])


FEW = 5 / MINUTES**0.5
"""No correlation of so many independent minutes goes beyond it by chance."""


def test_a_lean_is_the_path_that_it_was_before_there_were_other_kinds() -> None:
    asked = settings("lean", half_life_minutes=30.0, lead_minutes=4, lean_noise=0.3).simulate
    known = random_path(
        500, seed=3, price=asked.price, volatility=asked.volatility, signal=0.9,
        latent=Latent(30.0, 0.3, 4),
    )  # fmt: skip
    found = planted_path(asked, 500)
    assert (found.knots == known.knots).all() and (found.lean == known.lean).all()
    assert found.shape.size == found.flow.size == 0


@pytest.mark.parametrize("kind", ["shape", "flow"])
@pytest.mark.parametrize("lead", [0, 3])
def test_shape_and_flow_know_the_minute_that_a_lean_would_know_and_the_lean_nothing(
    kind: Planted, lead: int
) -> None:
    path, lean = path_of(kind, lead_minutes=lead), path_of("lean", lead_minutes=lead)
    shown = {"shape": path.shape, "flow": path.flow}
    assert (path.knots == lean.knots).all() and (shown.pop(kind) == lean.lean).all()
    assert [rest.size for rest in shown.values()] == [0]
    later = returns_of(path)[1 + lead :]
    assert correlation(getattr(path, kind)[: len(later)], later) > 0.9
    for ahead in range(-5, 8):
        moved = returns_of(path)[10 + ahead :][: MINUTES - 20]
        assert abs(correlation(path.lean[10:][: len(moved)], moved)) < FEW


def pattern_of(path: PricePath) -> Floats:
    opened, closed = path.knots[:, 0], path.knots[:, -1]
    upper = path.knots.max(1) - np.maximum(opened, closed)
    lower = np.minimum(opened, closed) - path.knots.min(1)
    return np.sign(closed - opened) * np.sign(upper - lower)


def test_colour_and_longer_wick_tell_the_next_candle_together_and_not_alone() -> None:
    path = path_of("candles", signal=0.5)
    returns = returns_of(path)
    wicks = path.knots.max(1) + path.knots.min(1) - path.knots[:, 0] - path.knots[:, -1]
    pattern = pattern_of(path)[:-1]
    has_wicks = pattern != 0
    assert has_wicks.mean() > 0.9
    found = correlation(pattern[has_wicks], returns[1:][has_wicks])
    assert found == pytest.approx(0.5**0.5, abs=0.01)
    assert returns.std() == pytest.approx(settings("candles").simulate.volatility, rel=0.02)
    assert path.shape.size == path.flow.size == 0
    for lag in range(1, 60):
        for alone in (returns, np.sign(wicks), wicks, path.lean):
            assert abs(correlation(returns[lag:], alone[:-lag])) < FEW


def test_lean_shape_and_candle_know_a_third_each_and_nothing_of_one_another() -> None:
    path = path_of("parts")
    later, pattern = returns_of(path)[1:], pattern_of(path)[:-1]
    parts = [np.arctanh(path.lean)[:-1], np.arctanh(path.shape)[:-1], pattern]
    for place, part in enumerate(parts):
        assert correlation(part, later) == pytest.approx((0.9 / 3) ** 0.5, abs=0.04)
        for other in parts[:place]:
            assert abs(correlation(part, other)) < FEW
    assert path.flow.size == 0
    assert returns_of(path).std() == pytest.approx(settings("parts").simulate.volatility, rel=0.02)
    for lag in range(1, 30):
        assert abs(correlation(later[lag:], later[:-lag])) < FEW, "the price alone tells"


def test_candles_look_like_those_of_a_plain_walk() -> None:
    """Their paths still go from close to close, and step by step as far as before."""
    told, plain = path_of("candles", signal=0.5), path_of("memory", signal=0.5)
    np.testing.assert_allclose(told.knots[1:, 0], told.knots[:-1, -1])
    steps, known = (np.diff(np.log(path.knots), axis=1) for path in (told, plain))
    np.testing.assert_allclose(steps.std(axis=0), known.std(axis=0), rtol=0.02)
    assert abs(correlation(pattern_of(told)[:-1], pattern_of(told)[1:])) < FEW


def test_a_lean_remembers_for_its_lead_what_comes_and_nothing_nearer_or_farther_does() -> None:
    lead, span = 240, 120
    path = path_of("memory", lead_minutes=lead, span_minutes=span)
    returns, state = returns_of(path), np.arctanh(path.lean)
    for ahead in (1, 60, lead, lead + span + 1, lead + 2 * span):
        assert abs(correlation(state[:-ahead], returns[ahead:])) < FEW
    for ahead in (lead + 1, lead + span // 2, lead + span):
        found = correlation(state[:-ahead], returns[ahead:])
        assert found == pytest.approx((0.9 / span) ** 0.5, abs=FEW)
    sums = np.convolve(returns, np.ones(span), "valid")[lead + 1 :]
    assert correlation(state[: len(sums)], sums) == pytest.approx(0.9**0.5, abs=0.02)
    for lag in range(1, 400):
        assert abs(correlation(returns[lag:], returns[:-lag])) < FEW, "the price alone tells"


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_signal_nothing_knows_anything(kind: Planted) -> None:
    path = path_of(kind, signal=0.0, span_minutes=2)
    returns = returns_of(path)
    shown = [one for one in (path.lean, path.shape, path.flow) if one.size]
    for sign in shown:
        for ahead in range(1, 4):
            assert abs(correlation(sign[:-ahead], returns[ahead:])) < FEW
    assert abs(correlation(pattern_of(path)[:-1], returns[1:])) < FEW


@dataclass(frozen=True, eq=False)
class Seen:
    """What a day of a market leaves: of each minute nine features, a block, and the next move."""

    features: Floats
    blocks: Floats
    ahead: Floats


@cache
def seen(kind: Planted) -> Seen:
    asked = settings(kind)
    symbol = asked.data.symbol
    with TemporaryDirectory() as folder:
        archives, bars, books = (Path(folder) / name for name in ("archives", "bars", "books"))
        write_archives(archives, symbol, asked.simulate)
        run_etl(archives, bars, asked.etl, symbol=symbol)
        etl, rules = asked.etl, asked.snapshots
        run_snapshots(archives, bars, books, symbol, "linear", etl, rules)
        table, blocks = load_bars(bars, symbol), open_all_blocks(books, symbol)
        assert len(table) == len(blocks.minutes) > 1_400
        content = np.stack(blocks.take(np.arange(len(table))))
    ahead = np.diff(np.log(table["close"].to_numpy()))
    return Seen(table[list(FEATURES)].to_numpy()[:-1], content[:-1], ahead)


def band_of(blocks: Floats) -> Floats:
    """The fourth difference of sizes by bands of deeper levels, of the last ten seconds."""
    sizes = np.log(blocks[:, 2:, NEAR : NEAR + len(DEEP_WAVE), 1::2])
    return np.einsum("mtls,l->m", sizes, DEEP_WAVE)


def turn_of(blocks: Floats) -> Floats:
    """How the imbalance of the touch turns from the first four of the last ten seconds on."""
    sizes = blocks[:, :, :NEAR, 1::2].sum(2)
    lean = (sizes[..., 0] - sizes[..., 1]) / sizes.sum(2)
    return lean[:, 2:6].mean(1) - lean[:, 6:10].mean(1)


def candle_of(features: Floats) -> Floats:
    """Colour times longer wick, as the bars have them."""
    body, upper, lower = features[:, :3].T
    return np.sign(body) * np.sign(upper - lower)


def lean_of(features: Floats) -> Floats:
    return features[:, FEATURES.index("mean_obi")]


ORACLES = {
    "shape": lambda one: band_of(one.blocks),
    "flow": lambda one: turn_of(one.blocks),
    "candles": lambda one: candle_of(one.features),
}
IN_BOOKS = ("shape", "flow")


@pytest.mark.parametrize("kind", [next(iter(ORACLES)), *later(*list(ORACLES)[1:])])
def test_the_right_look_tells_the_next_move_and_no_other_and_no_line_through_the_nine_features(
    kind: Planted,
) -> None:
    found = seen(kind)
    assert correlation(ORACLES[kind](found), found.ahead) > 0.7
    for other in ORACLES.keys() - {kind}:
        assert abs(correlation(ORACLES[other](found), found.ahead)) < 0.15
    half, rises = len(found.ahead) // 2, found.ahead > 0
    line = make_pipeline(StandardScaler(), LogisticRegression())
    line.fit(found.features[:half], rises[:half])
    assert line.score(found.features[half:], rises[half:]) < 0.5 + 3 * 0.5 / half**0.5


@pytest.mark.long
def test_of_parts_each_look_tells_its_own() -> None:
    found = seen("parts")
    looks = [band_of(found.blocks), candle_of(found.features), lean_of(found.features)]
    for look in looks:
        assert correlation(look, found.ahead) > 0.35
    assert abs(np.corrcoef(looks)[np.triu_indices(3, 1)]).max() < 0.15


@pytest.mark.parametrize("kind", IN_BOOKS)
def test_the_last_book_of_a_minute_has_no_imbalance_that_tells(kind: Planted) -> None:
    found = seen(kind)
    last = found.blocks[:, -1, :, 1::2]
    for depth in (1, 5, 10, 20):
        bids, asks = last[:, :depth].sum(1).T
        assert abs(correlation((bids - asks) / (bids + asks), found.ahead)) < 0.15


def market_of(kind: Planted) -> SimulatedMarket:
    asked = settings(kind).simulate
    return SimulatedMarket("BTCUSDT", asked, price_path(asked), start_ms(asked))


@pytest.mark.parametrize("kind", IN_BOOKS)
def test_levels_are_requoted_in_the_last_ten_seconds_beside_the_changes_of_any_market(
    kind: Planted,
) -> None:
    counts, plain = map(changes_of, (kind, "lean"))
    late = np.arange(len(counts)) % 30 >= 25
    requoted = 2 * NEAR if kind == "flow" else 2 * len(DEEP_WAVE)
    assert (counts[late] >= requoted).all()
    assert counts[late].mean() == pytest.approx(requoted + plain[late].mean(), abs=3)
    assert counts[~late][1:].mean() == pytest.approx(plain[~late][1:].mean(), abs=0.3)


def changes_of(kind: Planted) -> Floats:
    """Level changes of each message of an hour."""
    market = market_of(kind)
    return np.array([market.lines(0, at, 1).count(b'["') for at in range(30 * 60)])


DIGESTS = {"shape": "607aef19c01f3c18", "flow": "9c6517a55b961c26"}


@pytest.mark.parametrize("kind", IN_BOOKS)
def test_a_seed_is_the_same_market_in_every_version_however_it_is_asked(kind: Planted) -> None:
    whole = market_of(kind).lines(0, 0, 900)
    market = market_of(kind)
    assert whole == b"".join(map(partial(market.lines, 0), (0, 7, 500), (7, 493, 400)))
    assert hashlib.sha256(whole).hexdigest()[:16] == DIGESTS[kind]


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("scent", {}, "lean.*shape.*flow.*candles.*memory"),
        ("shape", {"cadence_ms": 2_001}, "at most 2000 expected with planted shape, got 2001"),
        ("flow", {"cadence_ms": 4_000}, "at most 2000 expected with planted flow, got 4000"),
        ("candles", {"prices": "prices.csv"}, "only lean can be planted on given prices, got can"),
        ("memory", {"span_minutes": 0}, "span_minutes"),
    ],
)
def test_what_cannot_be_planted_is_refused(kind: str, changes: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load_settings(
            POWER,
            STRONG
            | {"simulate.planted": kind}
            | {f"simulate.{key}": value for key, value in changes.items()},
        )
