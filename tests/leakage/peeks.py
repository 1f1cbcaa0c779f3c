"""Look-aheads of some rows, planted into the pipeline's own functions, one function at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest

from quantgod.auditor import audit as auditing
from quantgod.auditor import out_of_fold
from quantgod.contracts import FEATURES, META_FEATURES, MS_PER_MINUTE
from quantgod.dataset import labels
from quantgod.dataset.labels import classes_of
from quantgod.dataset.windows import Windows
from quantgod.evaluation import evaluate as evaluating
from quantgod.evaluation import network_subject
from quantgod.forecasters import baselines
from quantgod.leakage import pipeline
from quantgod.leakage.cut_times import draw_cuts
from quantgod.leakage.perturbation import perturb
from quantgod.leakage.pipeline import in_small, make, newest
from quantgod.leakage.trace import compare
from quantgod.settings import Settings
from quantgod.training import material

ROWS: Final = (1, 2, 5, 15, 60)

CONTEXT: Final = slice(META_FEATURES.index("rsi_14"), len(META_FEATURES))


def windows(patch: pytest.MonkeyPatch, rows: int) -> None:
    """A window ends so many rows late."""
    real = Windows.__call__

    def late(self: Windows, ends: Any) -> Any:
        return real(self, (ends + rows).clamp(max=len(self.matrix) - 1))

    patch.setattr(Windows, "__call__", late)


def scaler_rows(patch: pytest.MonkeyPatch, rows: int) -> None:
    """A scaler is fitted on so many rows after the last window too."""
    real = material.covered_rows

    def wider(ends: Any, length: int) -> Any:
        return np.append(real(ends, length), ends.max() + 1 + np.arange(rows))

    patch.setattr(material, "covered_rows", wider)


def features(patch: pytest.MonkeyPatch, rows: int) -> None:
    """A row's features are those of so many rows later."""
    real = pipeline.label

    def early(*given: Any) -> pd.DataFrame:
        table = real(*given)
        return table.assign(**_later(table, rows))

    patch.setattr(pipeline, "label", early)


def label_ends(patch: pytest.MonkeyPatch, rows: int) -> None:
    """A label's return ends so many rows after what it says."""
    real = labels._forward_returns

    def longer(close: Any, minutes: Any, run: Any, how: Any) -> Any:
        later = np.append(close[rows:], np.full(rows, close[-1]))
        return real(later, minutes, run, how) + np.log(later / close)

    patch.setattr(labels, "_forward_returns", longer)


def context(patch: pytest.MonkeyPatch, rows: int) -> None:
    """RSI and EMA distances are those of so many rows later."""
    real = out_of_fold.meta_features

    def early(module: Any, matrix: Any, ends: Any, *given: Any, **more: Any) -> Any:
        seen = real(module, matrix, ends, *given, **more)
        late = np.minimum(ends + rows, len(matrix) - 1)
        seen.meta[:, CONTEXT] = real(module, matrix, late, *given, **more).meta[:, CONTEXT]
        return seen

    for place in (out_of_fold, network_subject):
        patch.setattr(place, "meta_features", early)


def persistence(patch: pytest.MonkeyPatch, rows: int) -> None:
    """The last hour ends so many rows late."""
    real = baselines.last_class

    def late(table: pd.DataFrame, ends: Any, horizon: Any) -> Any:
        return real(table, np.minimum(ends + rows, len(table) - 1), horizon)

    patch.setattr(baselines, "last_class", late)


def learned_baseline(name: str) -> Plant:
    """One baseline is fitted on, and asked by, the features of so many rows later."""

    def plant(patch: pytest.MonkeyPatch, rows: int) -> None:
        real = evaluating.baselines

        def early(table: pd.DataFrame, *given: Any) -> dict[str, Any]:
            peeking = real(table.assign(**_later(table, rows)), *given)
            return real(table, *given) | {name: peeking[name]}

        patch.setattr(evaluating, "baselines", early)

    return plant


def conformal_rows(patch: pytest.MonkeyPatch, rows: int) -> None:
    """What came of the rows that the conformal threshold is taken from is read so much too late."""
    real_label, real_kept, tables = pipeline.label, auditing.kept_back, []

    def heard(bars: pd.DataFrame, how: Any, *given: Any) -> pd.DataFrame:
        table = real_label(bars, how, *given)
        tables.append((table["close"], how))
        return table

    def late(frame: pd.DataFrame) -> pd.DataFrame:
        kept, (close, how) = real_kept(frame), tables[-1]
        ends = close.index.get_indexer(kept["label_end"]) + rows
        came = close.to_numpy()[np.minimum(ends, len(close) - 1)]
        moved = np.log(came / close[kept["time"]].to_numpy())
        return kept.assign(target=classes_of(moved, how).astype(np.int64))

    patch.setattr(pipeline, "label", heard)
    patch.setattr(auditing, "kept_back", late)


def _later(table: pd.DataFrame, rows: int) -> Mapping[str, Any]:
    return dict(table[list(FEATURES)].shift(-rows).ffill().items())


Plant = Callable[[pytest.MonkeyPatch, int], None]

PLACES: Final[Mapping[str, Plant]] = {
    "windows": windows,
    "scaler rows": scaler_rows,
    "features": features,
    "labels": label_ends,
    "auditor's context": context,
    "persistence": persistence,
    **{name: learned_baseline(name) for name in baselines.LEARNED},
    "conformal rows": conformal_rows,
}


def leaking_stage(bars: pd.DataFrame, settings: Settings) -> str | None:
    """The first stage that leaks in the audit that these settings draw, from its last cut on."""
    small, own = in_small(settings), settings.leak_audit
    taken = newest(bars, settings)
    made = make(taken, small)
    for cut in reversed(draw_cuts(pd.DatetimeIndex(taken.index), small, own.cuts, own.seed)):
        rng = np.random.default_rng([own.seed, cut // MS_PER_MINUTE])
        changed = make(perturb(taken, cut, small.label, rng), small)
        for stage, evidence in made.trace.items():
            if compare(evidence, changed.trace[stage], cut).leaked:
                return stage
    return None
