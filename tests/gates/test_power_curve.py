"""The curve: which places it has, what its shares mean, and when it speaks against the gates."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from pydantic import ValidationError

from quantgod.gates import Gate
from quantgod.gates.power import Cell, Market, Power, Rehearsal, rehearsal_line
from quantgod.gates.power_curve import (
    curve_markets,
    curve_problem,
    grid,
    null_gate_rows,
    null_rows,
    place_rows,
    share_at_most,
    share_interval,
)
from quantgod.gates.power_curve_figure import curve_figure
from quantgod.settings import CurveSettings, load_settings
from tests.evaluation.plots.overlaps import overlapping

CONFIG = Path("conf/power_curve.yaml")
SETTINGS = load_settings(CONFIG)
CURVE = SETTINGS.power.curve
assert CURVE is not None
STRONGEST = Cell(CURVE.signals[-1], CURVE.days[-1])


def rehearsal(cell: Cell, seed: int, *, passed: bool) -> Rehearsal:
    gates = (Gate("mcc", "1", "> 0", True, ""), Gate("net_pnl", "1", "> 0", passed, ""))
    figures = {"macro_f1": 0.4, "trades": 10.0 * seed, "net_pnl": -5.0, "effective_rows": 460.4}
    return Rehearsal(
        kind="planted" if cell.signal else "null", seed=seed, gates=gates, figures=figures,
        seconds=3.0, cell=cell,
    )  # fmt: skip


def curve(null: int = 0, of: int = 200, strongest: int = 9) -> Power:
    """So many of the null models and of the ten of the strongest signal pass."""
    asked = [one.cell or STRONGEST for one in curve_markets(SETTINGS.power, CURVE)[:of]]
    made = [rehearsal(cell, seed, passed=seed < null) for seed, cell in enumerate(asked)]
    made += [rehearsal(STRONGEST, seed, passed=seed < strongest) for seed in range(10)]
    return Power(rehearsals=tuple(made), planted_passes=9)


def test_every_place_has_as_many_markets_and_half_of_the_null_ones_trade() -> None:
    made = curve_markets(SETTINGS.power, CURVE)
    planted = Counter(one.cell for one in made if one.kind == "planted")
    assert set(planted.values()) == {SETTINGS.power.planted_markets}
    assert {cell.signal for cell in planted if cell} == set(CURVE.signals)
    null = Counter(one.cell.trades for one in made if one.kind == "null" and one.cell)
    assert null == {False: 100, True: 100}
    assert len({one.seed for one in made}) == len({one.name for one in made}) == len(made)
    days = Counter(one.cell.days for one in made if one.kind == "null" and one.cell)
    assert max(days.values()) - min(days.values()) <= 2


def test_who_asks_for_more_gets_the_same_markets_and_others() -> None:
    fewer = SETTINGS.power.model_copy(update={"null_markets": 7, "planted_markets": 2})
    assert set(curve_markets(fewer, CURVE)) < set(curve_markets(SETTINGS.power, CURVE))


def test_a_market_has_the_settings_of_its_place_and_no_others() -> None:
    other = Market("null", 5, Cell(0.0, CURVE.days[0], trades=True)).settings(SETTINGS)
    plain = Market("null", 5, Cell(0.0, CURVE.days[0])).settings(SETTINGS)
    assert (plain.simulate.signal, plain.simulate.days) == (0.0, CURVE.days[0])
    assert plain.backtest == SETTINGS.backtest and plain.audit == SETTINGS.audit
    assert other.backtest.taker_fee == 0 < plain.backtest.taker_fee
    assert other.audit.conformal_level < plain.audit.conformal_level
    assert other.gates == plain.gates, "what is asked is the same"
    strong = Market("planted", 5, STRONGEST).settings(SETTINGS).simulate
    assert (strong.signal, strong.days, strong.seed) == (1.0, CURVE.days[-1], 5)


def test_the_curve_leaves_out_two_gates_and_moves_no_bound() -> None:
    full = load_settings(Path("conf/full.yaml"))
    left_out = {"leak_audit": False, "inference_p99_ms": None}
    assert SETTINGS.gates == full.gates.model_copy(update=left_out)
    assert SETTINGS.backtest.account == full.backtest.account
    strongest = load_settings(Path("conf/power.yaml")).simulate.signal
    assert CURVE.signals[-1] == strongest, "the curve ends where the experiment of one point is"


@pytest.mark.parametrize(
    ("passed", "of", "low", "high"),
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (5, 10, 0.1871, 0.8129), (1, 20, 0.0013, 0.2487)],
)
def test_intervals_of_shares_are_those_of_the_published_tables(
    passed: int, of: int, low: float, high: float
) -> None:
    assert share_interval(passed, of) == pytest.approx((low, high), abs=6e-5)


def test_two_hundred_null_models_are_as_few_as_prove_the_bound() -> None:
    assert share_at_most(0, 200) < CURVE.false_passes < share_at_most(0, 198)
    assert share_at_most(1, 200) > CURVE.false_passes
    assert share_at_most(3, 3) == 1.0


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (curve(), []),
        (curve(null=1), ["1 of 200 models of null markets passed: at most 2.35%"]),
        (curve(of=60), ["0 of 60 models of null markets passed: at most 4.87%"]),
        (curve(strongest=8), ["8 of 10 models of the strongest signal"]),
        (curve(null=2, strongest=0), ["2 of 200", "0 of 10"]),
    ],
)
def test_luck_that_passes_too_few_markets_and_skill_that_does_not_pass_are_problems(
    found: Power, words: list[str]
) -> None:
    problem = curve_problem(found, CURVE)
    assert bool(problem) == bool(words)
    assert all(word in problem for word in words)


def test_the_tables_count_by_place_and_tell_null_models_that_trade_apart() -> None:
    found = curve(null=1, of=8)
    first, last = CURVE.days[0], CURVE.days[-1]
    head, rows = grid(found)
    assert head == ["signal", *(f"{days} days" for days in CURVE.days)]
    assert rows == [["0", "1 of 2", "0 of 1", "0 of 1"], ["1", "-", "-", "9 of 10"]]
    assert place_rows(found)[0] == [
        "0", str(first), "460", "1 of 2", "1% to 99%", "0.40", "30", "-5", "net_pnl 1"
    ]  # fmt: skip
    assert place_rows(found)[-1][:5] == ["1", str(last), "460", "9 of 10", "55% to 100%"]
    plain, trading, together = null_rows(found)
    assert plain[:4] == ["null", "1 of 4", "75.14%", "30 (0 to 60)"]
    assert trading[:4] == ["null that trade", "0 of 4", "52.71%", "40 (10 to 70)"]
    assert together[:2] == ["all null", "1 of 8"]
    assert null_gate_rows(found) == [["mcc", "4/4", "4/4"], ["net_pnl", "1/4", "0/4"]]


def test_the_figure_has_a_line_for_each_number_of_days() -> None:
    figure = curve_figure(curve())
    assert overlapping(figure) == []
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        f"{days} days" for days in CURVE.days
    ]


def test_a_result_names_its_place_and_is_read_back() -> None:
    one = rehearsal(Cell(0.25, 8), 12_003, passed=False)
    assert rehearsal_line(one).startswith("planted 12003 0.25 8d: not passed, 1 of 2 gates")
    assert msgspec.json.decode(msgspec.json.encode(one), type=Rehearsal) == one
    assert Market("null", 2, Cell(0.0, 4, trades=True)).name == "null-2-0-4d-trading"


@pytest.mark.parametrize("wrong", [{"signals": (0.5, 0.5)}, {"days": (8, 4)}])
def test_places_that_do_not_rise_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=f"{next(iter(wrong))} must rise"):
        CurveSettings.model_validate(CURVE.model_dump() | wrong)
