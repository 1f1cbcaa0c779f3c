"""What an auditor is asked about: a forecast, whoever made it, and what its booster reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from quantgod.contracts import (
    CLASSES,
    META_FEATURES,
    PRIMARY,
    Booleans,
    Floats,
    Forecast,
    Integers,
    forecast_of,
)
from quantgod.served.combiners.combiner import Combiner
from quantgod.served.confidence import Statement

TILTED: Final = slice(0, len(CLASSES))
"""A forecast's tilted probabilities among the meta-features."""

VOLATILITY: Final = META_FEATURES.index("volatility")
BASE: Final = tuple(f"base_{name.lower()}" for name in CLASSES)
HEADS: Final = ("confidence", "expected_return")
"""Heads whose answers a served graph gives behind the meta-features, where a network has them."""

SPOKEN: Final = (*BASE, *HEADS)
"""Columns of an out-of-fold frame with the forecast at the primary horizon, as it was made."""


class Look(NamedTuple):
    """What a member looks at: rows and columns of its window, and whether at the book."""

    window: int
    columns: int
    has_book: bool


class Votes(NamedTuple):
    """What the members of an ensemble say of n moments, and what they answer together.

    Attributes:
        combiner: of the members.
        looks: what each looks at, by name.
        probabilities: (n, 3) by member; no numbers where it is absent.
        weights: (n,) by member: its share of all weights, before any is left out.
        equal: (n, 3) of all members with equal weights.
        direction: (n,) class of their answer.
        agreement: (n,) share of the speaking members that say this class.
        consent: (n,) class that the members would trade on; NEUTRAL for none.
    """

    combiner: Combiner
    looks: Mapping[str, Look]
    probabilities: Mapping[str, Floats]
    weights: Mapping[str, Floats]
    equal: Floats
    direction: Integers
    agreement: Floats
    consent: Integers

    def at(self, moments: Booleans) -> Votes:
        """Return the votes of these moments alone."""
        members = {name: said[moments] for name, said in self.probabilities.items()}
        weights = {name: share[moments] for name, share in self.weights.items()}
        return self._replace(
            probabilities=members,
            weights=weights,
            equal=self.equal[moments],
            direction=self.direction[moments],
            agreement=self.agreement[moments],
            consent=self.consent[moments],
        )

    @property
    def are_whole(self) -> Booleans:
        """Return on which moments every member speaks, (n,)."""
        spoken = [np.isfinite(said).all(axis=1) for said in self.probabilities.values()]
        return np.asarray(np.all(spoken, axis=0))


def votes_of(panel: Any, combiner: Any, looks: Mapping[str, Look]) -> Votes:
    """Return what a panel says as votes beside equal weights.

    Args:
        panel: of the members: `Panel`, here or of a version's own code.
        combiner: that has made it, of the same code.
        looks: what each member looks at, by name.
    """
    said, present = panel.votes.probabilities, panel.votes.present
    shares = panel.weights / np.maximum(panel.weights.sum(axis=0), np.finfo(np.float64).tiny)
    return Votes(
        combiner,
        looks,
        {
            name: np.where(is_there[:, None], one, np.nan)
            for name, one, is_there in zip(panel.members, said, present, strict=True)
        },
        dict(zip(panel.members, shares, strict=True)),
        combiner.combine(panel.votes, np.ones(len(panel.members))).probabilities,
        panel.consensus.direction,
        panel.consensus.agreement,
        panel.consent,
    )


class AuditorInput(NamedTuple):
    """A forecast of n moments, and their meta-features (n, 14) in the order of `META_FEATURES`.

    `votes` are those of an ensemble's members; None of one network.
    """

    forecast: Forecast
    meta: Floats
    votes: Votes | None = None

    def at(self, moments: Booleans) -> AuditorInput:
        """Return what is asked about these moments alone."""
        votes = None if self.votes is None else self.votes.at(moments)
        return AuditorInput(self.forecast.at(moments), self.meta[moments], votes)

    @property
    def said(self) -> Statement:
        """Return what the confidence is a function of."""
        one = self.forecast
        return Statement(
            tilted=one.tilted[:, PRIMARY],
            probabilities=one.probabilities[:, PRIMARY],
            confidence=one.confidence[:, PRIMARY],
            expected_return=one.expected_return[:, PRIMARY],
            volatility=self.meta[:, VOLATILITY],
        )

    def frame(self) -> pd.DataFrame:
        """Return the meta-features and the forecast as columns of an out-of-fold frame."""
        frame = pd.DataFrame(self.meta, columns=list(META_FEATURES))
        said = self.said
        frame[list(BASE)] = said.probabilities
        return frame.assign(confidence=said.confidence, expected_return=said.expected_return)


def forecast_in(meta: Floats, class_weights: Sequence[float]) -> Forecast:
    """Return the forecast that meta-features (n, 14) were made of, at the primary horizon alone."""
    return forecast_of(meta[:, None, TILTED], class_weights)


def served_input(row: Floats, class_weights: Sequence[float]) -> AuditorInput:
    """Return what a served graph gives (n, 14), or with heads (n, 16), by its parts."""
    meta, heads = row[:, : len(META_FEATURES)], row[:, len(META_FEATURES) :, None]
    told = {name: heads[:, place] for place, name in enumerate(HEADS)} if heads.size else {}
    forecast = forecast_of(meta[:, None, TILTED], class_weights, **told)
    return AuditorInput(forecast, np.ascontiguousarray(meta))


def graph_rows(seen: AuditorInput) -> Floats:
    """Return the rows that `served_input` takes apart: (n, 16), or (n, 14) without heads."""
    said = seen.said
    if np.isnan(said.expected_return).any():
        return seen.meta
    return np.column_stack([seen.meta, said.confidence, said.expected_return])


def said_in_rows(rows: pd.DataFrame) -> Statement:
    """Return what out-of-fold rows keep of what was said."""
    return Statement(
        tilted=rows[list(META_FEATURES[TILTED])].to_numpy(np.float64),
        probabilities=rows[list(BASE)].to_numpy(np.float64),
        confidence=rows["confidence"].to_numpy(np.float64),
        expected_return=rows["expected_return"].to_numpy(np.float64),
        volatility=rows["volatility"].to_numpy(np.float64),
    )
