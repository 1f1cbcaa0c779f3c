"""LightGBM on flattened windows (document 002): for each horizon the mean and each quantile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import lightgbm
import numpy as np

from quantgod.contracts import Floats, Integers
from quantgod.files import atomic_path, write_json
from quantgod.forecasters.candles.member import Hooks, Material, Seen, in_batches, windows_at
from quantgod.served.candles.members import Said, Trees
from quantgod.served.candles.quantiles import LEVELS
from quantgod.settings import Range, SearchSpace, SettingsError

FILE = "trees.json"
MEAN: Final = "mean"

DEFAULTS: Final[Mapping[str, Any]] = {
    "rows": 60, "trees": 1000, "leaves": 127, "depth": 8, "learning_rate": 0.03,
    "feature_fraction": 0.85, "bagging_fraction": 0.8, "least_rows": 20, "l1": 0.1, "l2": 0.1,
    "patience": 50, "seed": 53, "threads": 1,
}  # fmt: skip
"""Document 002's; `rows` are those of a window that are flattened."""

SPACE: Final[SearchSpace] = {
    "leaves": [7, 15, 31, 63, 127],
    "learning_rate": Range(low=0.01, high=0.1, log=True),
    "least_rows": [20, 50, 100, 200],
    "feature_fraction": [0.3, 0.6, 0.85],
}


@dataclass(frozen=True, eq=False)
class FittedTrees:
    """Boosters by horizon, the mean's first and then one for each level."""

    served: Trees
    boosters: tuple[tuple[lightgbm.Booster, ...], ...]
    window: int
    told: dict[str, Any] = field(default_factory=dict)

    def forecast(self, matrix: Seen, rows: Integers) -> Said:
        """Return what they say of the windows that end at rows of a scaled matrix."""
        return in_batches(self.served.say, matrix, rows, self.served.rows)

    def save(self, folder: Path) -> None:
        """Write a text for each booster, and `trees.json`, which names them in order."""
        files = []
        for horizon, boosters in enumerate(self.boosters):
            named = zip((MEAN, *map(str, LEVELS)), boosters, strict=True)
            files.append([f"horizon_{horizon}_{name}.txt" for name, _ in named])
            for name, booster in zip(files[-1], boosters, strict=True):
                with atomic_path(folder / name) as part:
                    part.write_text(booster.model_to_string(), encoding="utf-8")
        write_json(folder / FILE, {"rows": self.served.rows, "files": files})


def trees(of: Material, params: Mapping[str, Any], hooks: Hooks) -> FittedTrees:
    """Grow trees on the training rows, and stop where the error on newer rows stops falling.

    Raises:
        SettingsError: for an unknown parameter, or more rows than a window has.
    """
    if unknown := sorted(params.keys() - DEFAULTS.keys()):
        raise SettingsError(
            f"lightgbm: unknown parameter {', '.join(unknown)} (allowed: {', '.join(DEFAULTS)})"
        )
    chosen = {**DEFAULTS, **params}
    rows = int(chosen["rows"])
    if not 0 < rows <= of.window:
        raise SettingsError(f"lightgbm.rows: 1 to {of.window} (the window) expected, got {rows}")
    seen, later = (_flat(of, part, rows) for part in (of.train, of.stopping))
    data = lightgbm.Dataset(seen, free_raw_data=False, params=_parameters(chosen, MEAN)).construct()
    stops = data.create_valid(later, params=data.get_params()).construct()
    grown, jobs = [], len(of.horizons) * (1 + len(LEVELS))
    for horizon in range(len(of.horizons)):
        data.set_label(of.outcomes[of.train, horizon])
        stops.set_label(of.outcomes[of.stopping, horizon])
        each: list[lightgbm.Booster] = []
        for kind in (MEAN, *LEVELS):
            hooks.progress(horizon * (1 + len(LEVELS)) + len(each), jobs, f"trees {kind}")
            each.append(_grown(data, stops, chosen, kind))
        grown.append(tuple(each))
    served = Trees(rows, [[partial(_asked, one) for one in each] for each in grown])
    told = {
        "trees": [[one.num_trees() for one in each] for each in grown],
        "gain": _gains(grown, rows, of.matrix.shape[1]),
    }
    return FittedTrees(served, tuple(grown), of.window, told)


def _flat(of: Material, rows: Integers, length: int) -> Seen:
    return windows_at(of.matrix, rows, length).reshape(len(rows), -1)


def _grown(
    data: lightgbm.Dataset, stops: lightgbm.Dataset, chosen: Mapping[str, Any], kind: str | float
) -> lightgbm.Booster:
    booster = lightgbm.train(
        _parameters(chosen, kind), data, chosen["trees"], valid_sets=[stops],
        callbacks=[lightgbm.early_stopping(chosen["patience"], verbose=False)],
    )  # fmt: skip
    text = booster.model_to_string(num_iteration=booster.best_iteration)
    return lightgbm.Booster(model_str=text)  # as it is saved, and as it will be served


def _asked(booster: lightgbm.Booster, features: Seen) -> Floats:
    return np.asarray(booster.predict(features, num_threads=1), np.float64)


def _parameters(chosen: Mapping[str, Any], kind: str | float) -> dict[str, Any]:
    mean = kind == MEAN
    return {
        "objective": "regression" if mean else "quantile",
        "metric": "l1" if mean else "quantile",
        **({} if mean else {"alpha": kind}),
        "num_leaves": chosen["leaves"],
        "max_depth": chosen["depth"],
        "learning_rate": chosen["learning_rate"],
        "feature_fraction": chosen["feature_fraction"],
        "bagging_fraction": chosen["bagging_fraction"],
        "bagging_freq": 1,
        "min_child_samples": chosen["least_rows"],
        "lambda_l1": chosen["l1"],
        "lambda_l2": chosen["l2"],
        "seed": chosen["seed"],
        "num_threads": chosen["threads"],
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,
        "verbosity": -1,
    }


def _gains(
    grown: list[tuple[lightgbm.Booster, ...]], rows: int, features: int
) -> list[list[float]]:
    """Return the share of each feature in all gain of each horizon, (horizons, features)."""
    found = []
    for each in grown:
        gain = np.sum([one.feature_importance("gain") for one in each], axis=0)
        by_feature = gain.reshape(rows, features).sum(axis=0)
        found.append((by_feature / max(by_feature.sum(), 1e-12)).tolist())
    return found
