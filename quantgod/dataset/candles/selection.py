"""Choose features inside a fold, on its training side, against what is forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from quantgod.contracts import Floats, Integers
from quantgod.settings import SelectionSettings


@dataclass(frozen=True)
class Selection:
    """The features that are kept.

    Attributes:
        columns: their names, in the order of the feature set.
        kept_in: share of the draws that chose each, by name; empty for the document's rule.
        duplicates: those that were left out beside a near-equal one, and which that is.
    """

    columns: tuple[str, ...]
    kept_in: dict[str, float]
    duplicates: dict[str, str]


def select(
    features: Floats,
    outcomes: Floats,
    dates: Integers,
    names: Sequence[str],
    settings: SelectionSettings,
) -> Selection:
    """Return the features to keep.

    `stable`: near-duplicates are dropped, the others ranked by |Spearman| with the outcome, or with
    its size, which the width is learned from, over blocks of dates less its spread between them, at
    whichever horizon it is best; kept is what is among the best in enough block-bootstrap draws.
    `document`: the most |correlated| with the close (document 002), which picks copies of the
    price; for this the outcomes given must be the close.

    Args:
        features: (n, features) of training rows.
        outcomes: (n, horizons) scaled returns.
        dates: (n,).
        names: of the features.
        settings: how many, how stable.
    """
    if settings.rule == "document":
        return _documents(features, outcomes[:, 0], names, settings.most)
    moves = np.flatnonzero(np.ptp(features, axis=0) > 0)
    ranks = np.column_stack([rankdata(features[:, place]) for place in moves])
    kept, duplicates = _apart(ranks, settings.duplicate_above)
    told = np.concatenate([outcomes, np.abs(outcomes)], axis=1)
    shares = _blockwise(ranks[:, kept], told, dates, settings.blocks)
    chosen_in = _draws(shares, settings)
    places, kept_names = moves[kept], [names[place] for place in moves[kept]]
    order = np.argsort(-(chosen_in + 1e-9 * _strength(shares)), kind="stable")
    best = [at for at in order[: settings.most] if chosen_in[at] >= settings.kept_in]
    best = best or list(order[:1])  # nothing is stable: one feature, so that there is an input
    return Selection(
        tuple(names[place] for place in sorted(places[best])),
        {kept_names[at]: float(chosen_in[at]) for at in best},
        {names[moves[one]]: names[moves[other]] for one, other in duplicates.items()},
    )


def jaccard(one: Sequence[str], other: Sequence[str]) -> float:
    """Return how much two selections of columns have in common, 0 to 1."""
    a, b = set(one), set(other)
    return len(a & b) / len(a | b)


def _documents(features: Floats, close: Floats, names: Sequence[str], most: int) -> Selection:
    away = features - features.mean(axis=0)
    price = close - close.mean()
    spread = np.sqrt((away**2).sum(axis=0) * (price**2).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        strength = np.nan_to_num(np.abs(away.T @ price) / spread)
    best = sorted(np.argsort(-strength, kind="stable")[:most])
    return Selection(tuple(names[place] for place in best), {}, {})


def _apart(ranks: Floats, most: float) -> tuple[Integers, dict[int, int]]:
    """Return the first of any nearly equal columns, and who stands for whom."""
    near = np.abs(np.corrcoef(ranks, rowvar=False)) if ranks.shape[1] > 1 else np.ones((1, 1))
    kept: list[int] = []
    duplicates: dict[int, int] = {}
    for column in range(ranks.shape[1]):
        like = [other for other in kept if near[column, other] > most]
        if like:
            duplicates[column] = like[0]
        else:
            kept.append(column)
    return np.array(kept, np.int64), duplicates


def _blockwise(ranks: Floats, outcomes: Floats, dates: Integers, blocks: int) -> Floats:
    """Return the rank correlation of each feature and horizon in each block of dates, (b, f, h)."""
    edges = np.quantile(dates, np.linspace(0, 1, blocks + 1))
    of = np.clip(np.searchsorted(edges, dates, side="right") - 1, 0, blocks - 1)
    found = []
    for block in np.unique(of):
        own = of == block
        x = np.column_stack([rankdata(column) for column in ranks[own].T])
        y = np.column_stack([rankdata(column) for column in outcomes[own].T])
        found.append(_correlations(x, y))
    return np.stack(found)


def _correlations(x: Floats, y: Floats) -> Floats:
    x, y = (part - part.mean(axis=0) for part in (x, y))
    spread = np.sqrt(np.outer((x**2).sum(axis=0), (y**2).sum(axis=0)))
    return np.divide(x.T @ y, spread, out=np.zeros_like(spread), where=spread > 0)


def _strength(shares: Floats) -> Floats:
    """Return |mean| less spread over blocks at the best horizon, (features,)."""
    return np.asarray((np.abs(shares.mean(axis=0)) - shares.std(axis=0)).max(axis=-1))


def _draws(shares: Floats, settings: SelectionSettings) -> Floats:
    """Return in what share of block-bootstrap draws each feature is among the best, (features,)."""
    draw = np.random.default_rng(settings.seed)
    chosen = np.zeros(shares.shape[1])
    for _ in range(settings.draws):
        strength = _strength(shares[draw.integers(0, len(shares), len(shares))])
        chosen[np.argsort(-strength, kind="stable")[: settings.most]] += 1
    return chosen / settings.draws
