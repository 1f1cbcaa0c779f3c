"""From what the graphs of members say to one answer, in the columns of a single network's graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..calibration import tilt, untilt
from .combiner import Combiner
from .consensus import Consensus
from .votes import BUY, NEUTRAL, SELL, UNDECIDED, Booleans, Floats, Integers, Votes

TILTED, CONTEXT, CONFIDENCE, EXPECTED_RETURN = slice(0, 3), slice(4, 14), 14, 15
"""Columns that a graph gives; the last two only that of a network with both heads."""

NAMES = {SELL: "SELL", NEUTRAL: "NEUTRAL", BUY: "BUY", UNDECIDED: ""}


class Panel(NamedTuple):
    """What members say of n windows, and what they answer together.

    Attributes:
        members: names.
        votes: of the members, absent ones included.
        weights: (members, n) before any member is left out.
        consensus: of them.
        meta: (n, 16) of the answer, in the columns of a graph.
    """

    members: tuple[str, ...]
    votes: Votes
    weights: Floats
    consensus: Consensus
    meta: Floats

    @property
    def speaks(self) -> Booleans:
        """Return on which windows there is an answer, (n,)."""
        return np.asarray(self.consensus.direction != UNDECIDED)

    @property
    def consent(self) -> Integers:
        """Return the class that the members would trade on, (n,); NEUTRAL for none."""
        said = self.consensus
        return np.asarray(np.where(said.should_trade, said.direction, NEUTRAL), np.int64)

    def at(self, windows: Integers | Booleans) -> Panel:
        """Return the panel of these windows alone."""
        votes = self.votes.at(windows)
        said = self.consensus.at(windows)
        return Panel(self.members, votes, self.weights[:, windows], said, self.meta[windows])

    def columns(self) -> dict[str, Any]:
        """Return the columns of an answer that tell of the members."""
        said, votes = self.consensus, self.votes
        told: dict[str, Any] = {
            "vote": _named(said.direction),
            "agreement": said.agreement,
            "meta_confidence": said.meta_confidence,
            "should_trade": said.should_trade,
        }
        for place, name in enumerate(self.members):
            present = votes.present[place]
            for number, label in ((SELL, "sell"), (NEUTRAL, "neutral"), (BUY, "buy")):
                said_by = votes.probabilities[place, :, number]
                told[f"{name}_{label}"] = np.where(present, said_by, np.nan)
            told[f"{name}_weight"] = self.weights[place]
            told[f"{name}_part"] = said.contributions[place]
        return told


def votes_of(said: Sequence[Floats], class_weights: Sequence[Sequence[float]]) -> Votes:
    """Return the votes of what members' graphs say; a row that is no number is of an absent one.

    Args:
        said: of each member (n, 14), or (n, 16) of one with both heads.
        class_weights: of each member's loss.
    """
    present = np.stack([np.isfinite(one).all(axis=1) for one in said])
    tilted = [
        np.where(is_there[:, None], one[:, TILTED], 1.0)
        for one, is_there in zip(said, present, strict=True)
    ]
    plain = [untilt(one, weights) for one, weights in zip(tilted, class_weights, strict=True)]
    return Votes(
        np.stack(plain),
        np.stack([_confidence(*parts) for parts in zip(said, tilted, plain, strict=True)]),
        np.stack([_column(one, EXPECTED_RETURN, np.full(len(one), np.nan)) for one in said]),
        present,
    )


def context_of(said: Sequence[Floats], windows: Sequence[int]) -> Floats:
    """Return the context (n, 10) of the present member with the longest window; else no numbers."""
    context = np.full((len(said[0]), CONTEXT.stop - CONTEXT.start), np.nan)
    for place in np.argsort(windows, kind="stable"):
        is_there = np.isfinite(said[place]).all(axis=1)
        context[is_there] = said[place][is_there, CONTEXT]
    return context


def meta_of(said: Consensus, context: Floats, class_weights: Sequence[float]) -> Floats:
    """Return an ensemble's answers (n, 16) in the columns of a graph, tilted as it decides.

    Args:
        said: of n moments; where there is no answer nothing is a number.
        context: (n, 10) of the same moments.
        class_weights: by which the ensemble decides.
    """
    tilted = tilt(said.probabilities, class_weights)
    entropy = -(tilted * np.log(np.maximum(tilted, np.finfo(np.float64).tiny))).sum(axis=1)
    heads = said.confidence, said.expected_return
    return np.column_stack([tilted, entropy, context, *heads])


def panel_of(
    combiner: Combiner,
    said: Sequence[Floats],
    class_weights: Sequence[Sequence[float]],
    windows: Sequence[int],
    weights: Floats | None = None,
) -> Panel:
    """Return what members say of n windows, and what they answer together.

    Args:
        combiner: of the members.
        said: of each, in its order, what its graph says.
        class_weights: of each member's loss.
        windows: rows of each member's window.
        weights: (members,) or (members, n); None for those at registration.
    """
    votes = votes_of(said, class_weights)
    used = combiner.now if weights is None else weights
    each = np.broadcast_to(used[:, None] if used.ndim == 1 else used, votes.present.shape)
    answer = combiner.combine(votes, each)
    meta = meta_of(answer, context_of(said, windows), combiner.rules.class_weights)
    return Panel(combiner.members, votes, each, answer, meta)


def _confidence(said: Floats, tilted: Floats, plain: Floats) -> Floats:
    """Return a member's own confidence, else the probability of the class that it decides on."""
    decided = np.take_along_axis(plain, tilted.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.clip(_column(said, CONFIDENCE, decided), 0.0, 1.0)


def _column(said: Floats, place: int, otherwise: Floats) -> Floats:
    return said[:, place] if said.shape[1] > place else otherwise


def _named(direction: Integers) -> Any:
    return np.array([NAMES[one] for one in direction.tolist()], dtype=object)
