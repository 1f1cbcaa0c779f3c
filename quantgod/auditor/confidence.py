"""Fit how likely the decided class is right, and let it ship only where it beats a probability.

Two functions of the same form (`served/confidence.py`) are fitted on the older out-of-fold rows:
one reads the probability of the decided class alone, which calibrates it; one reads all that the
network says, its own confidence head included where it has one. On the newer rows both are judged
by Brier score and by AURC, the area under the risk-coverage curve (Geifman, Uziel and El-Yaniv,
"Bias-Reduced Uncertainty Estimation", 2019). The one that reads more ships only where it is better
in both beyond its error, by the jackknife over blocks of neighbouring rows (Künsch, 1989); else the
probability does.

A head cannot do this inside the network: on training rows it learns that the network is right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit, stdtrit

from quantgod.auditor.auditor_input import BASE, said_in_rows
from quantgod.contracts import Booleans, Floats, Integers
from quantgod.files import write_json
from quantgod.served.confidence import HEADS, PROBABILITY, SAID, Statement, confidence, inputs_of

FORMAT: Final = 1
KIND: Final = "logistic"
PRIOR_DEVIATION: Final = 0.5
"""Prior standard deviation of each coefficient around the probability as it is."""

BLOCKS: Final = 20
FEWEST_BLOCKS: Final = 6
"""With fewer blocks of two independent rows nothing is judged."""

LEVEL: Final = 0.95


class ConfidenceError(ValueError):
    """A confidence file does not hold what this version expects."""


@dataclass(frozen=True)
class Logistic:
    """A logistic function of inputs by name, as `served.confidence` applies it."""

    inputs: tuple[str, ...]
    center: tuple[float, ...]
    scale: tuple[float, ...]
    slope: tuple[float, ...]
    intercept: float

    def __call__(self, said: Statement) -> Floats:
        """Return how likely the decided class of each row is right, (n,)."""
        return confidence(said, asdict(self))


@dataclass(frozen=True)
class Confidence:
    """The function that ships, and why.

    Attributes:
        fitted: what it is.
        shipped: `said` (all that the network says) or `probability`.
        scores: of both on the newer rows, by name: `aurc` and `brier`; empty if nothing was judged.
        reason: in words.
    """

    fitted: Logistic
    shipped: str
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    reason: str = ""

    def save(self, path: Path) -> None:
        """Write `confidence.json`, atomically."""
        told = {"shipped": self.shipped, "scores": self.scores, "reason": self.reason}
        write_json(path, {"format": FORMAT, "kind": KIND, **asdict(self.fitted), **told})

    def metrics(self) -> dict[str, float]:
        """Return the scores by which runs are compared, under names like `oof_confidence_brier`."""
        own = self.scores.get(self.shipped, {})
        return {f"oof_confidence_{name}": score for name, score in own.items()} | {
            "oof_confidence_is_of_more": float(self.shipped == "said")
        }


@dataclass(frozen=True, eq=False)
class ConfidenceFit:
    """Both fitted functions and the choice; the fits have seen the older rows alone."""

    chosen: Confidence
    probability: Logistic
    said: Logistic


def fit_confidence(older: pd.DataFrame, newer: pd.DataFrame) -> ConfidenceFit | None:
    """Fit both functions on the older rows, judge them on the newer ones, and choose.

    Args:
        older: out-of-fold rows, purged from the newer ones.
        newer: out-of-fold rows after them.

    Returns:
        None for rows of earlier code, which do not keep what the network says.
    """
    if not set(BASE) <= set(older.columns):
        return None
    said, right, weight = _told(older)
    names = SAID + (HEADS if _has_heads(said) else ())
    fits = {"probability": _fitted(said, right, weight, PROBABILITY)}
    fits["said"] = _fitted(said, right, weight, names)
    return ConfidenceFit(_chosen(fits, newer), fits["probability"], fits["said"])


def load_confidence(path: Path) -> Confidence:
    """Read what `Confidence.save` wrote.

    Raises:
        ConfidenceError: if it is not JSON, or not of this format.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        kind = value.pop("kind"), value.pop("format")
        told = {name: value.pop(name) for name in ("shipped", "scores", "reason")}
        value |= {name: tuple(value[name]) for name in ("inputs", "center", "scale", "slope")}
        read = Confidence(Logistic(**value), **told)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ConfidenceError(f"{path}: no confidence: {error!r}") from None
    unknown = set(read.fitted.inputs) - {*SAID, *HEADS}
    if kind != (KIND, FORMAT) or unknown:
        raise ConfidenceError(
            f"{path}: {KIND} of format {FORMAT} of {', '.join((*SAID, *HEADS))} expected, got "
            f"{kind} of {', '.join(read.fitted.inputs)}"
        )
    return read


def aurc(confidence: Floats, right: Booleans, weight: Floats) -> float:
    """Return the mean share of wrong rows among the most confident, over all coverages.

    Rows of equal confidence count as their mean, so that their order does not matter.
    """
    return risk(ranks(confidence), right, weight)


def ranks(confidence: Floats) -> Integers:
    """Return the rank of each row's confidence among the distinct values, highest first."""
    return np.asarray(np.unique(-confidence, return_inverse=True)[1], np.int64)


def risk(rank: Integers, right: Booleans, weight: Floats) -> float:
    """Return the AURC of rows by the rank of their confidence; a weight may be 0."""
    counted = np.bincount(rank, weight)
    taken, wrong = np.cumsum(counted), np.cumsum(np.bincount(rank, weight * ~right))
    share = np.divide(wrong, taken, out=np.zeros_like(taken), where=taken > 0)
    return float(np.average(share, weights=counted))


def brier(confidence: Floats, right: Booleans, weight: Floats) -> float:
    """Return the mean squared distance of confidence from what came."""
    return float(np.average(np.square(confidence - right), weights=weight))


SCORES: Final = {"aurc": aurc, "brier": brier}


def _told(rows: pd.DataFrame) -> tuple[Statement, Booleans, Floats]:
    """Return what was said of rows, whether the decided class came, and the rows' weights."""
    said = said_in_rows(rows)
    right: Booleans = said.tilted.argmax(axis=1) == rows["target"].to_numpy()
    return said, right, rows["weight"].to_numpy(np.float64)


def _has_heads(said: Statement) -> bool:
    """Return whether a network with both heads has said this."""
    decided = said.tilted.argmax(axis=1)
    own = said.confidence != said.probabilities[np.arange(len(decided)), decided]
    return bool(np.isfinite(said.expected_return).all() and own.any())


def _fitted(said: Statement, right: Booleans, weight: Floats, names: Sequence[str]) -> Logistic:
    """Return the maximum a posteriori around the probability as it is; the problem is convex.

    Uniqueness as weight makes overlapping rows count by their information: from few independent
    rows the function stays near the probability.
    """
    raw = inputs_of(said, tuple(names))
    center, scale = np.average(raw, axis=0, weights=weight), raw.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    center[0], scale[0] = 0.0, 1.0  # the log-odds stay what they are: a slope of 1 changes nothing
    prior = np.zeros(len(names) + 1)
    prior[0] = 1.0
    given = np.column_stack([(raw - center) / scale, np.ones(len(raw))])
    found = minimize(
        _posterior, prior, args=(given, right, weight, prior), jac=True, method="L-BFGS-B"
    ).x
    slope, intercept = tuple(found[:-1].tolist()), float(found[-1])
    return Logistic(tuple(names), tuple(center.tolist()), tuple(scale.tolist()), slope, intercept)


def _posterior(
    theta: Floats, given: Floats, right: Booleans, weight: Floats, prior: Floats
) -> tuple[float, Floats]:
    """Return the negative log posterior (up to a constant) and its gradient."""
    score = given @ theta
    away = (theta - prior) / PRIOR_DEVIATION
    loss = (weight * (np.logaddexp(0, score) - right * score)).sum() + np.square(away).sum() / 2
    gradient = given.T @ (weight * (expit(score) - right)) + away / PRIOR_DEVIATION
    return float(loss), gradient


def _chosen(fits: Mapping[str, Logistic], newer: pd.DataFrame) -> Confidence:
    said, right, weight = _told(newer)
    blocks = min(BLOCKS, int(weight.sum() / 2))
    if blocks < FEWEST_BLOCKS:
        reason = f"{weight.sum():.1f} independent rows are too few to judge on"
        return Confidence(fits["probability"], "probability", reason=reason)
    given = {name: of(said) for name, of in fits.items()}
    scores = {
        name: {score: of(one, right, weight) for score, of in SCORES.items()}
        for name, one in given.items()
    }
    missed = [score for score in SCORES if not _is_better(score, given, right, weight, blocks)]
    if missed:
        reason = f"what the network says besides is not shown to help by {' and '.join(missed)}"
        return Confidence(fits["probability"], "probability", scores, reason)
    return Confidence(fits["said"], "said", scores, "better by AURC and Brier score")


def _is_better(
    score: str, given: Mapping[str, Floats], right: Booleans, weight: Floats, blocks: int
) -> bool:
    """Return whether `said` is better than `probability` beyond the error of their difference."""
    block = np.arange(len(right)) * blocks // len(right)

    def ahead(kept: Booleans) -> float:
        each = [SCORES[score](given[name][kept], right[kept], weight[kept]) for name in
                ("probability", "said")]  # fmt: skip
        return each[0] - each[1]

    without = np.array([ahead(block != number) for number in range(blocks)])
    error = np.sqrt((blocks - 1) / blocks * np.square(without - without.mean()).sum())
    return bool(ahead(np.full(len(right), True)) > float(stdtrit(blocks - 1, LEVEL)) * error)
