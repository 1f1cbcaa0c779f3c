"""Look-aheads planted into the pipeline of candles, one function each, as peers have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from quantgod.dataset.candles import folds
from quantgod.dataset.candles.scaling import fit_scale
from quantgod.dataset.candles.table import CandleTable
from quantgod.ensemble.candles import walk
from quantgod.evaluation.forecasts import judged, run
from quantgod.forecasters.candles import learn
from quantgod.served.candles import conformal, rows, width
from quantgod.served.candles.features import sets
from quantgod.served.candles.timeline import Timeline

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]

COLUMN: Final = 3


def centred_feature(patch: Patch) -> None:
    """A rolling mean reaches a candle past its own."""
    _instead(patch, lambda column: np.convolve(column, np.full(3, 1 / 3), "same"))


def tomorrows_candle(patch: Patch) -> None:
    """A covariate of tomorrow is handed over (mlforecast #465)."""
    _instead(patch, lambda column: np.append(column[1:], column[-1:]))


def _instead(patch: Patch, changed: Callable[[Any], Any]) -> None:
    real = sets.compute

    def early(columns: Any) -> Any:
        found = real(columns)
        found[:, COLUMN] = changed(found[:, COLUMN])
        return found

    patch.setattr(sets, "compute", early)


def width_of_all(patch: Patch) -> None:
    """The deviation is that of the whole series."""
    patch.setattr(width, "sigma", lambda close: np.full(len(close), np.diff(np.log(close)).std()))


def smoothed_regimes(patch: Patch) -> None:
    """A regime is that of candles on both sides of its own (hmmlearn's predict)."""
    real = rows.told.teller

    def teller(content: Any = None) -> Any:
        def tell(columns: Any) -> Any:
            told = real(content)(columns)
            return np.append(told[2:], told[-2:])

        return tell

    patch.setattr(rows.told, "teller", teller)


def regime_model_of_all(patch: Patch) -> None:
    """A jump model is fitted to all candles."""
    real = run.rows_of_coins
    patch.setattr(run, "rows_of_coins", lambda coins, how, first=None: real(coins, how, 10**6))


def scale_of_all(patch: Patch) -> None:
    """Features are scaled before the split (darts #1540, pytorch-forecasting #1112)."""
    real = learn.material_of

    def early(table: CandleTable, fold: Any, settings: Any) -> Any:
        selection, _, of = real(table, fold, settings)
        seen = table.features[table.so_far > 0]
        scale = fit_scale(seen, table.columns, selection.columns, settings.bound)
        return selection, scale, of._replace(matrix=learn.scaled(table, scale))

    patch.setattr(learn, "material_of", early)


def selection_of_all(patch: Patch) -> None:
    """Features are chosen before the split."""
    real = learn.material_of

    def early(table: CandleTable, fold: Any, settings: Any) -> Any:
        known = np.isfinite(table.outcomes(settings.horizons)).all(axis=1) & (table.so_far > 0)
        return real(table, replace(fold, train=np.flatnonzero(known)), settings)

    patch.setattr(learn, "material_of", early)


def folds_without_purge(patch: Patch) -> None:
    """Rows before a border are learned from whose outcome comes after it."""
    real = folds._learned
    patch.setattr(
        folds,
        "_learned",
        lambda table, learnable, border, longest, fraction: real(
            table, learnable, border, 0, fraction
        ),
    )


def stopping_rows_after_the_border(patch: Patch) -> None:
    """Fits are stopped by rows that they forecast."""
    real = folds._learned

    def late(table: CandleTable, learnable: Any, border: int, *given: Any) -> Any:
        later = learnable[(table.date[learnable] >= border) & (table.date[learnable] < border + 9)]
        train, stopping = real(table, learnable, border, *given)
        return train, later if len(later) else stopping

    patch.setattr(folds, "_learned", late)


def stacking_of_the_unmatured(patch: Patch) -> None:
    """The stacked mean is fitted to outcomes of tomorrow."""
    real = walk._restacked
    patch.setattr(walk, "_restacked", lambda moments, now: real(moments, now + 1))


def weights_a_day_early(patch: Patch) -> None:
    """Outcomes of tomorrow move the weights of today."""
    real = Timeline.absorb
    patch.setattr(Timeline, "absorb", lambda self, now, outcome: real(self, now + 1, outcome))


def scores_of_the_unmatured(patch: Patch) -> None:
    """The newest forecast that waits for its outcome counts among the conformal scores."""
    real = Timeline.absorb

    def early(self: Timeline, now: int, outcome: Any) -> None:
        real(self, now, outcome)
        for place, waiting in enumerate(self.waiting):
            if waiting:
                came = outcome(waiting[-1].date, waiting[-1].coins, place)
                scores = conformal.level_scores(came[:, None], waiting[-1].issued.raw)
                state = self.states[place]
                more = np.concatenate([state.scores, scores[np.isfinite(came)]])
                self.states[place] = replace(state, scores=more)

    patch.setattr(Timeline, "absorb", early)


def intervals_about_their_outcome(patch: Patch) -> None:
    """The widest interval is widened to hold what comes."""
    real_absorb, real_issue, heard = Timeline.absorb, Timeline.issue, {}

    def absorb(self: Timeline, now: int, outcome: Any) -> None:
        heard["outcome"] = outcome
        real_absorb(self, now, outcome)

    def issue(self: Timeline, now: int, coins: Any, *given: Any) -> Any:
        said = real_issue(self, now, coins, *given)
        for place, one in enumerate(said):
            came = heard["outcome"](now, coins, place)
            one.quantiles[:, 0] = np.fmin(one.quantiles[:, 0], came)
            one.quantiles[:, -1] = np.fmax(one.quantiles[:, -1], came)
        return said

    patch.setattr(Timeline, "absorb", absorb)
    patch.setattr(Timeline, "issue", issue)


def garch_of_what_it_forecasts(patch: Patch) -> None:
    """The floor of the evaluation is fitted to all returns."""
    real = judged.garch_floor
    patch.setattr(
        judged,
        "garch_floor",
        lambda returns, is_train, horizons: real(returns, np.ones_like(is_train), horizons),
    )


def targets_a_candle_late(patch: Patch) -> None:
    """A return ends a candle after its horizon."""
    real = CandleTable.returns
    patch.setattr(
        CandleTable, "returns", lambda self, horizons: real(self, [h + 1 for h in horizons])
    )


PLANTS: Final[Mapping[str, tuple[Plant, ...]]] = {
    "features": (tomorrows_candle, centred_feature),
    "widths": (width_of_all,),
    "regimes": (smoothed_regimes,),
    "regime model": (regime_model_of_all,),
    "targets 1 ahead": (targets_a_candle_late,),
    "rows to learn from": (folds_without_purge,),
    "selection": (selection_of_all,),
    "scales": (scale_of_all,),
    "forecasts of drift": (stopping_rows_after_the_border,),
    "stacked mean": (stacking_of_the_unmatured,),
    "online weights": (weights_a_day_early,),
    "conformal scores": (scores_of_the_unmatured,),
    "forecasts as issued": (intervals_about_their_outcome,),
    "GARCH floor": (garch_of_what_it_forecasts,),
}
"""By the stage that shows each."""
