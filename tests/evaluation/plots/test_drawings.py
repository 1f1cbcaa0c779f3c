"""Figures draw, number by number, what they drew when they were last looked at.

Who changes a figure looks at it, and then writes `drawings.json` anew:
`python -m tests.evaluation.plots.test_drawings`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from msgspec.structs import replace

from quantgod.backtest import figures
from quantgod.contracts import CLASSES
from quantgod.evaluation import plots
from quantgod.evaluation.drift import Shift
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.plots.features import feature_spreads
from quantgod.evaluation.wording import verdict
from quantgod.gates import Gate
from quantgod.gates.figure import gate_figure
from quantgod.gates.power_curve_figure import curve_figure
from quantgod.gates.power_figure import verdicts
from quantgod.settings import LabelSettings
from tests.evaluation.plots.drawings import drawn
from tests.evaluation.plots.forecast_figures import FORECAST_FIGURES
from tests.evaluation.plots.test_evaluation_figures import BOTH, curve, part, sliced, time
from tests.gates import records
from tests.gates.test_figure import GATES
from tests.gates.test_power import power
from tests.gates.test_power_curve import curve as power_curve

Drawings = dict[str, dict[str, list[Any]]]
KEPT = Path(__file__).with_name("drawings.json")
LABEL = LabelSettings(horizon_minutes=60, buy_above=0.008, sell_below=-0.004)
GAINS = records.backtest(
    gross_pnl=1_000.0, slippage=1_300.0, fees=200.0, funding=-900.0, outcome="total_loss",
    target_at="2024-01-01T00:02:00+00:00", ended_at="2024-01-01T00:04:00+00:00",
)  # fmt: skip
SCORES = {
    "base": {"mcc": Interval(0.1, 0.05, 0.2), "log_loss": Interval(0.9, 0.8, 1.0)},
    "auditor": {"mcc": Interval(-0.3, -0.4, -0.2), "log_loss": Interval(0.5, 0.0, 9.0, False)},
    "a_tree": {"mcc": Interval(0.0, -0.1, 0.1), "log_loss": Interval(0.7, 0.6, 0.8)},
}
APART = {
    "base": {"macro_f1": Interval(0.1, 0.05, 0.2), "log_loss": Interval(-0.2, -0.3, -0.1)},
    "the_past": {"macro_f1": Interval(0.1, -1.0, 1.0, False), "log_loss": Interval(0.2, 0.1, 0.4)},
}


def forecasts(rows: int) -> np.ndarray:
    """Probabilities of three classes that go up and down, some of them exactly on an edge."""
    sell = np.arange(rows) % 9 / 10
    buy = (1 - sell) * (np.arange(rows) % 5) / 5
    return np.stack([sell, 1 - sell - buy, buy], axis=1)


def labelled(returns: np.ndarray) -> pd.DataFrame:
    target = np.select([returns < LABEL.sell_below, returns > LABEL.buy_above], [0, 2], 1)
    frame = pd.DataFrame({"target": target, "forward_return": returns})
    return pd.concat([frame, pd.DataFrame({"target": [-1], "forward_return": [np.nan]})])


def holed(minutes: int) -> pd.Series:
    """Minutes of which a tenth is missing."""
    kept = time(minutes)
    return kept.drop(range(minutes // 2, minutes * 6 // 10)).reset_index(drop=True)


def course(minutes: int) -> pd.DataFrame:
    """An account that goes up and down; equity and balance differ."""
    equity = 10_000 + 500 * np.sin(np.arange(minutes) / 7)
    columns = {"equity": equity, "balance": equity - 20, "drawdown": np.arange(minutes) % 11 / 100}
    return pd.DataFrame(columns, index=pd.DatetimeIndex(time(minutes)))


def contributions(rows: int, most: int) -> Figure:
    values = np.sin(np.arange(rows * 12) * 1.7).reshape(rows, 3, 4) * [3, 1, 2, 100]
    features = np.cos(np.arange(rows * 3) * 0.7).reshape(rows, 3)
    return plots.contributions(values, features, ["one", "two", "three"], most)


def two_models(number: int) -> dict[str, np.ndarray]:
    return {"auditor": forecasts(number), "another": forecasts(number + 7)[::2]}


FIGURES: dict[str, Callable[[], Figure]] = {
    "advantages": lambda: plots.advantages(APART, verdict),
    "comparison": lambda: plots.comparison(SCORES, ["mcc", "log_loss"]),
    "confusion matrices": lambda: plots.confusion_matrices(
        {"base": np.array([[60, 40, 0], [0, 0, 0], [61, 0, 39]]), "auditor": np.diag([9, 1234, 1])}
    ),
    "confusion matrix": lambda: plots.confusion_matrix(np.arange(9).reshape(3, 3)),
    "reliability": lambda: plots.reliability(
        np.arange(70) % 3, {"auditor": forecasts(70), "another": forecasts(70) ** 2}
    ),
    "reliability of one": lambda: plots.reliability(np.arange(90) % 3, forecasts(90), bins=4),
    "class balance": lambda: plots.class_balance(
        {"train": np.array([0, 1, 1, 2] * 300), "test": np.array([1]), "none": np.empty(0, int)}
    ),
    "labels": lambda: plots.label_distribution(labelled(np.linspace(-0.03, 0.02, 500)), LABEL),
    "labels of a few": lambda: plots.label_distribution(labelled(np.array([0.0, 0.01])), LABEL),
    "no label": lambda: plots.label_distribution(labelled(np.empty(0)), LABEL),
    "learning curves": lambda: plots.curves(
        [1, 2, 3], {"loss": {"train": [3, 2, 1], "val": [2, 1]}, "F1": {"": [0.1, 0.2]}}
    ),
    "sets": lambda: plots.conformal(
        0.9,
        {"all": Interval(0.92, 0.8, 0.95), "SELL": None, "BUY": Interval(0.5, 0.4, 0.6)},
        (5, 60, 30, 6),
    ),
    "no sets": lambda: plots.conformal(0.9, {"all": None}, (0, 0, 0, 0)),
    "shifts": lambda: plots.shifts(
        {"mean_obi": Shift(0.6, 0.2), "body": Shift(0.5, 0.46), "a": Shift(0.1, 0)}, 0.5, 0.45
    ),
    "shifts without limits": lambda: plots.shifts({"body": Shift(0.0, 0.0)}, None, None),
    "forecast shift": lambda: plots.forecast_shift(
        two_models(40), two_models(60),
        {f"{model}_{name.lower()}": Shift(0.3, 0.2 + place / 10)
         for model in ("auditor", "another") for place, name in enumerate(CLASSES)},
    ),
    "slices": lambda: plots.slices(
        {"session": sliced(), "day": {"Mon": part(0.3, 20.0), "Tue": None}},
        {"accuracy": "accuracy", "hit_rate": "hits"}, {"all": part(0.5), "none": None},
    ),
    "tiers": lambda: plots.tiers(
        {model: {"below 0.5": part(0.45), "0.5 to 0.8": None, "0.8 or more": part(0.9, 3.0)}
         for model in BOTH}, (0.5, 0.8),
    ),
    "tiers of one": lambda: plots.tiers({"another": {"all": part(0.7, models=("another",))}}, ()),
    "selective accuracy": lambda: plots.risk_coverage(
        {"all": {"auditor": curve(), "base": replace(curve(), area=Interval(0.6, 0, 1, False))},
         "moves": {"auditor": curve(0)}}
    ),
    "importance": lambda: plots.importance(
        {f"f{place}": place * 7 % 5 for place in range(30)}, "gain", "of the booster"
    ),
    "contributions": lambda: contributions(90, 40),
    "contributions of a row": lambda: contributions(1, 40),
    "group importance": lambda: plots.group_importance(
        {title: {model: {"volume": Interval(0.1 + place, 0.0, 0.2),
                         "spread": Interval(-0.1, -0.2, 0.5, place == 0)}
                 for place, model in enumerate(("auditor", "base", "another"))}
         for title in ("rise", "fall")}
    ),
    "feature spreads": lambda: feature_spreads(
        ("body", "spread", "still"), np.array([0.0, 0.5, 1.0]),
        np.array([[-2.0, -1, 1, 2, 6], [0, 1, 2, 3, 4], [7, 7, 7, 7, 7]]),
    ),
    "timeline": lambda: plots.timeline(
        time(300), np.linspace(1, 2, 300), forecasts(300),
        {"came": np.arange(300) % 3, "decided": np.arange(300) % 4 % 3},
    ),
    "long timeline": lambda: plots.timeline(
        holed(5_000), np.sin(np.arange(4_500)), forecasts(4_500), {"came": np.ones(4_500, int)}
    ),
    "timeline of a minute": lambda: plots.timeline(
        time(1), np.ones(1), forecasts(1), {"came": np.zeros(1, int)}
    ),
    "members": lambda: plots.members(
        holed(400), {"near": np.linspace(0.3, 0.9, 360), "so_far": np.linspace(0.7, 0.1, 360)},
        np.arange(360) % 3 / 2, 0.5,
    ),
    "advantages of an ensemble": lambda: plots.advantages(APART, verdict, whose="ensemble"),
    "equity": lambda: figures.equity_figure(course(300), GAINS),
    "long equity": lambda: figures.equity_figure(
        course(10_001), records.backtest(initial_balance=9_000.0)
    ),
    "latencies": lambda: figures.latency_figure(
        {"0": 10.0, "250": 0.0, "1000": 0.3, "59999": -0.3, "60000": -99.0, "90000": 1e6}, "minutes"
    ),
    "latencies of archives": lambda: figures.latency_figure({"999": 1.0}, "archive"),
    "sessions": lambda: figures.session_figure({"Tokyo": 1.0, "London": -2.0, "New York": 0.0}),
    "costs": lambda: figures.costs_figure(GAINS),
    "gates": lambda: gate_figure(
        [*GATES, Gate("net", "1", "> 0", None, "", unjudged=True)], "quantgod 5: " + "failed " * 30
    ),
    "power": lambda: verdicts(power(1, 3)),
    "power curve": lambda: curve_figure(power_curve()),
} | FORECAST_FIGURES  # fmt: skip


@pytest.fixture(scope="module")
def kept() -> Drawings:
    return json.loads(KEPT.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_draws_what_it_drew_when_it_was_looked_at(name: str, kept: Drawings) -> None:
    found = drawn(FIGURES[name]())
    assert found.keys() == kept[name].keys()
    for place, shown in found.items():
        expected = kept[name][place]
        if not place.endswith("words"):
            expected = pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert shown == expected, place


def test_no_drawing_is_kept_that_nothing_draws(
    kept: Drawings,
) -> None:
    assert kept.keys() == FIGURES.keys()


if __name__ == "__main__":
    found = {name: drawn(make()) for name, make in FIGURES.items()}
    lines = [f'"{name}": {json.dumps(shown, ensure_ascii=False)}' for name, shown in found.items()]
    KEPT.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
