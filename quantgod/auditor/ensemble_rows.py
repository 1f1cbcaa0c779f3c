"""Join the out-of-fold rows of members into those of their ensemble.

They have the columns of a single network's rows, so that an auditor cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from quantgod.auditor.auditor_input import BASE, AuditorInput, served_input
from quantgod.auditor.provenance import assert_provenance
from quantgod.contracts import CLASSES, META_FEATURES, Floats, Integers
from quantgod.ensemble.fitting import Fitted, OutOfFoldVotes, fit_combiner
from quantgod.served.combiners.combiner import Combiner
from quantgod.served.combiners.consensus import Consensus
from quantgod.served.combiners.panel import meta_of
from quantgod.served.combiners.votes import UNDECIDED, Votes

CONTEXT: Final = META_FEATURES[len(CLASSES) + 1 :]
"""The meta-features that no network says."""

SHARED: Final = ("time", "label_end", "target")
"""Columns that members' rows of a minute have in common."""


class OtherTargetError(ValueError):
    """Members forecast different labels of the same minute."""


class EnsembleRows(NamedTuple):
    """The out-of-fold rows of an ensemble.

    Attributes:
        rows: as `out_of_fold` returns those of one network. Where the members make no answer,
            nothing that they say together is a number.
        fitted: the combiner, and the weights of each row.
        left_out: minutes that lack a member, or on which the members make no answer.
    """

    rows: pd.DataFrame
    fitted: Fitted
    left_out: int


def ensemble_rows(
    frames: Mapping[str, pd.DataFrame], new: Combiner, strategy: str, context: str
) -> EnsembleRows:
    """Combine members' out-of-fold rows of the minutes that all of them have.

    Args:
        frames: out-of-fold rows by member, in the order of the combiner's.
        new: combiner before any outcome.
        strategy: of the settings.
        context: the member whose rows the auditor's context is taken from.

    Raises:
        ProvenanceError: if a row's model was trained on data at or after the row.
        OtherTargetError: if members' labels of a minute differ.
        ValueError: if they have no minute in common, or weights cannot be fitted.
    """
    for frame in frames.values():
        assert_provenance(frame)
    common = _common(frames)
    votes, first = _votes(common), common[context]
    folds = _folds(common)
    time_ms, end_ms = (_epoch_ms(first[name]) for name in ("time", "label_end"))
    target, weight = first["target"].to_numpy(np.int64), first["weight"].to_numpy(np.float64)
    made = OutOfFoldVotes(votes, time_ms, end_ms, target, weight, folds)
    fitted = fit_combiner(new, strategy, made)
    said = fitted.combiner.combine(votes, fitted.weights)
    speaks = said.direction != UNDECIDED
    meta = consensus_input(said, first[list(CONTEXT)].to_numpy(np.float64, copy=True), new)
    rows = meta.frame().assign(
        **{name: first[name].to_numpy() for name in SHARED},
        fold=folds,
        trained_until=_newest(common),
        weight=weight,
    )
    assert_provenance(rows)
    every = len(set().union(*(frame["time"] for frame in frames.values())))
    return EnsembleRows(rows, fitted, every - int(speaks.sum()))


def consensus_input(said: Consensus, context: Floats, combiner: Combiner) -> AuditorInput:
    """Return what an auditor is asked about an ensemble's answers.

    Its probabilities are tilted by the weights that it decides by, as a single network's are by
    those of its loss. Where it has no answer nothing is a number.

    Args:
        said: of n moments.
        context: (n, 10) of the same moments.
        combiner: that has made them.
    """
    weights = combiner.rules.class_weights
    return served_input(meta_of(said, context, weights), weights)


def _common(frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the rows of the minutes that all members have, and check that labels agree."""
    times = [pd.Index(frame["time"]) for frame in frames.values()]
    shared = times[0]
    for one in times[1:]:
        shared = shared.intersection(one)
    if not len(shared):
        raise ValueError(f"{', '.join(frames)} have no minute out of fold in common")
    common = {
        name: frame[frame["time"].isin(shared)].reset_index(drop=True)
        for name, frame in frames.items()
    }
    (first, rows), *others = common.items()
    for name, other in others:
        differs = (rows[list(SHARED)] != other[list(SHARED)]).any(axis=1)
        if differs.any():
            at = int(np.flatnonzero(differs)[0])
            raise OtherTargetError(
                f"{first} and {name} have other labels of {int(differs.sum())} minutes, the first "
                f"{rows['time'].iloc[at]}: members of one target expected"
            )
    return common


def _votes(common: Mapping[str, pd.DataFrame]) -> Votes:
    frames = common.values()
    said = np.stack([frame[list(BASE)].to_numpy(np.float64) for frame in frames])
    confidence, expected = (
        np.stack([frame[name].to_numpy(np.float64) for frame in frames])
        for name in ("confidence", "expected_return")
    )
    return Votes(said, confidence, expected, np.ones(confidence.shape, np.bool_))


def _folds(common: Mapping[str, pd.DataFrame]) -> Integers:
    """Number the stretches in which no member's model changes."""
    each = np.stack([frame["fold"].to_numpy(np.int64) for frame in common.values()])
    changes = (np.diff(each, axis=1, prepend=each[:, :1]) != 0).any(axis=0)
    return np.asarray(1 + np.cumsum(changes), np.int64)


def _newest(common: Mapping[str, pd.DataFrame]) -> pd.DatetimeIndex:
    """Return the last label end that any member's model has learned from."""
    until = pd.concat([frame["trained_until"] for frame in common.values()], axis=1)
    return pd.DatetimeIndex(until.max(axis=1))


def _epoch_ms(times: pd.Series) -> Integers:
    milliseconds: Integers = pd.DatetimeIndex(times).as_unit("ms").asi8
    return milliseconds
