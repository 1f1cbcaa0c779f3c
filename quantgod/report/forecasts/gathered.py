"""Gather what a report of forecasts shows from a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from quantgod.contracts import Floats
from quantgod.evaluation.forecasts.judged import said_by, weights_of
from quantgod.evaluation.forecasts.run import ForecastRun
from quantgod.evaluation.plots.forecasts import Course, Fan
from quantgod.evaluation.wording import ahead_text
from quantgod.forecasters.candles.learn import scaled
from quantgod.forecasters.candles.network import FittedNetwork
from quantgod.gates import Gate
from quantgod.report.forecasts.material import ForecastMaterial
from quantgod.served.candles.quantiles import prices
from quantgod.settings import ForecastSettings

PAST: Final = 120
"""Candles before the newest forecasts that a fan chart shows."""

SHOWN: Final = 200
"""Windows of the test part whose attention is shown."""


def material_of(
    run: ForecastRun,
    how: ForecastSettings,
    gates: Sequence[Gate],
    settings: Mapping[str, Any],
    lineage: Mapping[str, str],
    market: str = "",
) -> ForecastMaterial:
    """Return all that the report of a run shows."""
    ahead = [ahead_text(steps * run.table.step_ms) for steps in how.horizons]
    dates, at = np.unique(run.table.date[run.forward.rows], return_inverse=True)
    weights = {
        name: {
            expert: np.bincount(at, own) / np.bincount(at)  # coins differ where regimes count
            for expert, own in weights_of(run.walked, run.forward.members, place).items()
        }
        for place, name in enumerate(ahead)
        if how.ensemble.enabled
    }
    attended, attention = _attention(run)
    return ForecastMaterial(
        evaluation=run.evaluation,
        outcomes=run.outcomes,
        gates=gates,
        fans=list(fans(run, how)),
        courses=courses(run, dict(zip(how.horizons, ahead, strict=True))),
        time=_moments(run, dates),
        weights=weights,
        attention_time=attended,
        attention=attention,
        importance=_importance(run, ahead),
        settings=settings,
        lineage=lineage,
        market=market,
    )


def fans(run: ForecastRun, how: ForecastSettings) -> Iterator[Fan]:
    """Yield the newest forecasts of each coin, whose outcomes nobody knows yet."""
    table, rows, members = run.table, run.forward.rows, run.forward.members
    issued = [
        said_by(one, members, how)[run.evaluation.subject].quantiles for one in run.walked.issued
    ]
    for coin, name in enumerate(table.coins):
        own = np.flatnonzero(table.coin[rows] == coin)
        if not len(own):
            continue
        at, row = own[-1], int(rows[own[-1]])
        past = np.flatnonzero(table.coin == coin)
        past = past[past <= row][-PAST:]
        due = (table.date[row] + 1 + np.array(how.horizons)) * table.step_ms
        said = [
            prices(
                table.close[[row]], table.sigma[[row]], steps, issued[place][[at]]
            )[0]
            for place, steps in enumerate(how.horizons)
        ]  # fmt: skip
        closes = (table.date[past] + 1) * table.step_ms
        yield Fan(
            name, closes.astype("datetime64[ms]"), table.close[past],
            due.astype("datetime64[ms]"), np.stack(said),
        )  # fmt: skip


def courses(run: ForecastRun, ahead: Mapping[int, str]) -> dict[str, Course]:
    """Return the trainings of the served members that went by epochs."""
    found = {}
    for part in run.forward.newest:
        suffix = "" if len(run.forward.newest) == 1 else f" {part.part.label.partition(' ')[2]}"
        for name, told in part.told.items():
            if "history" in told:
                found[f"{name}{suffix}"] = _course(told, ahead)
    return found


def _course(told: Mapping[str, Any], ahead: Mapping[int, str]) -> Course:
    history = told["history"]
    series = {
        chart: {
            name: [epoch["figures"][f"{key}_{steps}"] for epoch in history]
            for steps, name in ahead.items()
            if f"{key}_{steps}" in history[0]["figures"]
        }
        for chart, key in (("Huber loss", "huber"), ("MSE skill over zero", "mse_skill"))
    }
    return Course(
        train_loss=[epoch["train_loss"] for epoch in history],
        validation_loss=[epoch["validation_loss"] for epoch in history],
        seconds=sum(epoch["seconds"] for epoch in history),
        best=told["best_epoch"],
        metrics={chart: lines for chart, lines in series.items() if lines},
        learning_rate=[epoch["learning_rate"] for epoch in history],
    )


def _attention(run: ForecastRun) -> tuple[Any, Floats | None]:
    """Return moments of the test part and what the first network that tells looked at."""
    part = run.forward.newest[0]
    if part.learned is None:
        return None, None
    rows = part.part.fold.judged[:: max(1, len(part.part.fold.judged) // SHOWN)]
    matrix = scaled(run.table, part.learned.scale)
    for member in part.learned.members.values():
        if (
            isinstance(member, FittedNetwork)
            and (found := member.attention(matrix, rows)) is not None
        ):
            return _times(run, rows), found
    return None, None


def _importance(run: ForecastRun, ahead: Sequence[str]) -> dict[str, dict[str, float]]:
    part = run.forward.newest[0]
    for told in part.told.values():
        if "gain" in told:
            named = [dict(zip(part.columns, gain, strict=True)) for gain in told["gain"]]
            return dict(zip(ahead, named, strict=True))
    return {}


def _times(run: ForecastRun, rows: Any) -> Any:
    return _moments(run, run.table.date[rows])


def _moments(run: ForecastRun, dates: Any) -> Any:
    return (dates * run.table.step_ms).astype("datetime64[ms]")
