"""Show what was forecast: lines of tables, fans, figures and sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from quantgod.contracts import Candles
from quantgod.evaluation.plots.forecasts import Fan
from quantgod.evaluation.wording import ahead_text
from quantgod.live.forecasts.ledger import INSIDE, PRICES
from quantgod.live.forecasts.predicting import Predicted
from quantgod.live.forecasts.watch import Watched
from quantgod.report.findings import spoken
from quantgod.report.forecasts.tables import number
from quantgod.report.tables import Table
from quantgod.served.candles.quantiles import COVERAGES, MEDIAN

PAST: Final = 120
"""Candles before the newest forecasts that a fan chart shows."""

NOW: Final = ("coin", "closed", "price", "regime", "late")
NEWEST: Final = ("coin", "ahead", "due", "median", "80 % between", "up")
WEIGHTS: Final = ("coin", "ahead", "experts, the heaviest first")
WATCHED: Final = ("ahead", "forecasts", "dates apart", "in 80 % (band)", "in 95 % (band)",
                  "pinball loss", "skill")  # fmt: skip
SCORED: Final = ("coin", "ahead", "due", "return", "within", "pinball loss", "random walk's",
                 "late")  # fmt: skip


def now_lines(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return a line for each coin that the newest forecasts are of, as `NOW` names them."""
    return [
        (row["symbol"], _text(row["issue"]), number(row["close"]), spoken(row["regime"]),
         _yes(row["late"]))
        for _, row in rows.drop_duplicates(["symbol", "issue"]).iterrows()
    ]  # fmt: skip


def newest_lines(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return a line for each row of the newest forecasts, as `NEWEST` names them."""
    low, high = COVERAGES[0.8]
    return [
        (
            row["symbol"], _ahead(row), _text(row["due"]), number(row[PRICES[MEDIAN]]),
            f"{number(row[PRICES[low]])} - {number(row[PRICES[high]])}",
            f"{row['up_probability']:.1%}",
        )
        for _, row in rows.iterrows()
    ]  # fmt: skip


def weight_lines(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return a line of the weights that combined each newest forecast, as `WEIGHTS` names them."""
    return [
        (row["symbol"], _ahead(row), _weights_text(json.loads(row["weights"])))
        for _, row in rows.iterrows()
    ]


def _weights_text(weights: Mapping[str, float]) -> str:
    heaviest = sorted(weights.items(), key=lambda each: -each[1])
    return ", ".join(f"{spoken(name)} {weight:.1%}" for name, weight in heaviest)


def watched_lines(watched: Sequence[Watched], step_ms: int) -> list[tuple[str, ...]]:
    """Return a line for each horizon of which forecasts have matured, as `WATCHED` names them."""
    return [
        (
            ahead_text(one.steps * step_ms), f"{one.rows:,}", f"{one.independent}",
            *(f"{told.share:.1%} ({told.low:.0%} - {told.high:.0%})" for told in one.coverage),
            f"{one.pinball:.4f}", f"{one.skill:+.2%}",
        )
        for one in watched
    ]  # fmt: skip


def scored_lines(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return a line for each row that was scored, as `SCORED` names them."""
    return [
        (
            row["symbol"], _ahead(row), _text(row["due"]), f"{row['outcome']:+.2%}",
            _within(row), f"{row['pinball']:.4f}", f"{row['random_walk_pinball']:.4f}",
            _yes(row["late"]),
        )
        for _, row in rows.iterrows()
    ]  # fmt: skip


def _within(row: pd.Series) -> str:
    """Return the narrowest interval that held the outcome."""
    held = [f"{100 * promised:.0f} %" for promised, name in INSIDE.items() if row[name]]
    return held[0] if held else "none"


def tables_of(done: Predicted, step_ms: int) -> list[Table]:
    """Return what is told beside the newest forecasts, as tables; those without lines are not."""
    newest = done.newest
    found = (
        Table("Now", NOW, tuple(now_lines(newest))),
        Table("What to expect", NEWEST, tuple(newest_lines(newest)),
              "Prices, and the probability that the price is up."),
        Table("The last matured forecasts", WATCHED, tuple(watched_lines(done.watched, step_ms)),
              "Of all coins, issued in time; pinball loss of scaled returns, skill over the random "
              "walk."),
        Table("Weights of the experts", WEIGHTS, tuple(weight_lines(newest))),
        Table("Matured since the last time", SCORED, tuple(scored_lines(done.scored)),
              "Log returns, the narrowest interval that held each, and losses of scaled returns."),
    )  # fmt: skip
    return [one for one in found if one.body]


def fans_of(done: Predicted) -> Iterator[Fan]:
    """Yield the newest forecasts of each coin with the closes before them."""
    known = {one.symbol: one for one in done.candles}
    for symbol, rows in done.newest.groupby("symbol", sort=False):
        own = known.get(str(symbol))
        if own is not None:
            yield _fan(own, rows)


def figures_of(done: Predicted) -> dict[str, float]:
    """Return what a run is told by: how much was done, and how the last matured ones did."""
    found = {
        "issued": float(len(done.issued)),
        "late": float(done.issued["late"].sum()),
        "scored": float(len(done.scored)),
        "warnings": float(len(done.warnings)),
    }
    for one in done.watched:
        found |= {f"pinball_{one.steps}": one.pinball, f"pinball_skill_{one.steps}": one.skill}
        for told in one.coverage:
            found[f"coverage_{100 * told.promised:.0f}_{one.steps}"] = told.share
    return found


def headline_of(done: Predicted) -> str:
    """Return one line: what was issued and scored."""
    if not done.is_changed:
        return "nothing is new: all that has closed is in the ledger"
    late = int(done.issued["late"].sum())
    told = f"{len(done.issued)} forecasts issued{f' ({late} late)' if late else ''}"
    return f"{told}, {len(done.scored)} scored"


def _fan(candles: Candles, rows: pd.DataFrame) -> Fan:
    closes = candles.time_ms + candles.step_ms
    issue = int(rows["issue"].iloc[0].value // 1_000_000)
    past = np.flatnonzero(closes <= issue)[-PAST:]
    return Fan(
        candles.symbol,
        closes[past].astype("datetime64[ms]"),
        candles.column("close")[past],
        rows["due"].dt.tz_localize(None).to_numpy("datetime64[ms]"),
        rows[PRICES].to_numpy(np.float64),
    )


def _ahead(row: pd.Series) -> str:
    step = (row["due"] - row["issue"]) // pd.Timedelta(milliseconds=1)
    return ahead_text(int(step))


def _text(moment: pd.Timestamp) -> str:
    return moment.strftime("%Y-%m-%d %H:%M")


def _yes(value: object) -> str:
    return "yes" if value else "no"
