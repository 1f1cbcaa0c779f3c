"""The 112 features of a minute that has just closed, over what pandas takes for 112 rolling means.

A row comes alone, as in a session, after all the past that features look at; so what counts is not
arithmetic but how many arrays are made for it. The peer makes one rolling mean of that past for
each feature, the least that anyone makes with pandas; ours are ranges, correlations and averages of
averages. Seconds are of processor time, the best of rounds in turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice

import numpy as np
import pandas as pd

from bench.goal import Figure, Log, said
from bench.turns import best
from quantgod.contracts import BOOK_LEVELS, FEATURES, SECOND_FIGURES, Floats
from quantgod.dataset.feature_table import SourceRows
from quantgod.live.engine.feature_rows import FeatureRows
from quantgod.served.features import sets

MOST_OF_PANDAS = 0.8
MINUTES = 20
ROUNDS = 7


def measure(log: Log) -> list[Figure]:
    """Measure minutes that come one by one, both ways."""
    log(f"{MINUTES} minutes after {sets.REACH} of past, {ROUNDS} times in turns")
    rows, features = drawn(sets.REACH + ROUNDS * MINUTES), FeatureRows(5)
    first = np.arange(sets.REACH)
    features.past(rows.minutes[first], rows.at(first))
    coming = iter([rows.at(np.array([place])) for place in range(sets.REACH, len(rows.minutes))])
    past = pd.Series(rows.close[first])
    seconds = best([partial(_own, features, coming), partial(_peer, past)], ROUNDS)
    own, peer = (taken / MINUTES * 1e3 for taken in seconds)
    return [
        Figure("peer: 112 rolling means in pandas", peer, "ms a minute"),
        Figure(
            "112 features of a new minute, over 112 rolling means in pandas",
            own / peer,
            "x",
            at_most=MOST_OF_PANDAS,
            here=said(own, "ms a minute"),
        ),
    ]


def drawn(count: int, seed: int = 1) -> SourceRows:
    """A market of so many minutes whose books are as deep as stored ones."""
    rng = np.random.default_rng(seed)
    close = 60_000 * np.exp(np.cumsum(rng.normal(0, 5e-4, count)))
    steps = np.cumsum(0.1 * rng.integers(1, 4, (count, 2, BOOK_LEVELS)), axis=2)
    book = np.empty((count, 2, BOOK_LEVELS, 2))
    book[..., 0] = close[:, None, None] + [[-1.0], [1.0]] * steps
    book[..., 1] = rng.exponential(1.0, steps.shape)
    features = np.abs(rng.normal(0, 5e-4, (count, len(FEATURES))))
    features[:, FEATURES.index("log_ret_close")] = np.diff(np.log(close), prepend=np.log(close[0]))
    features[:, FEATURES.index("log_volume")] = np.log(600)
    seconds = rng.uniform(1e-5, 1e-4, (count, len(SECOND_FIGURES)))
    minutes = np.arange(count) + 28_401_120
    return SourceRows(minutes, features, close, book.reshape(count, -1), seconds)


def _own(features: FeatureRows, coming: Iterator[SourceRows]) -> list[Floats]:
    return [features.next(row) for row in islice(coming, MINUTES)]


def _peer(past: pd.Series) -> None:
    for _ in range(MINUTES):
        for _ in sets.NAMES:
            past.rolling(60).mean().iloc[-1]
