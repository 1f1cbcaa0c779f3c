"""Score an ensemble beside its members and beside equal weights, all of the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from quantgod.auditor.auditor_input import Votes
from quantgod.contracts import CLASSES, Booleans, Floats
from quantgod.evaluation.comparison import Comparison, ModelOutput, compare
from quantgod.evaluation.effective_size import effective_rows
from quantgod.evaluation.evidence import EnsembleResult, MemberResult
from quantgod.evaluation.scored_rows import EQUAL_WEIGHTS, VOTE, columns_of, member_columns
from quantgod.evaluation.subject import Answers, Outcomes
from quantgod.served.calibration import decide

ENSEMBLE: Final = "ensemble"
RULES: Final = ("quorum", "min_agreement", "confidence_threshold", "neutral_threshold")
"""Of a combiner, as its settings name them."""

NEUTRAL: Final = CLASSES.index("NEUTRAL")

Weights = tuple[float, ...]


def said_beside(votes: Votes | None) -> dict[str, Floats]:
    """Return what an ensemble is compared with: members and equal weights, (n, 3) by name."""
    return {} if votes is None else {**votes.probabilities, EQUAL_WEIGHTS: votes.equal}


def score_ensemble(
    votes: Votes,
    together: Floats,
    answers: Answers,
    came: Outcomes,
    weights: Weights,
    unanswered: int,
) -> EnsembleResult:
    """Return the scores of an ensemble and of what it is compared with.

    Members and ensemble decide by the same weights. What the auditor makes of the ensemble is left
    aside, since nobody has audited the members.

    Args:
        votes: of the scored rows.
        together: (n, 3) what the members say together.
        answers: of the auditor.
        came: of the scored rows alone.
        weights: that turn probabilities into a class.
        unanswered: test rows that are not scored, for want of an answer.
    """
    whole, online = votes.are_whole, votes.combiner.online
    said = {ENSEMBLE: together, **said_beside(votes)}
    found, effective = _compared(
        {name: one[whole] for name, one in said.items()}, came, whole, weights
    )
    moves, held_back = _held_back(answers)
    return EnsembleResult(
        strategy=votes.combiner.strategy,
        moved_by="" if online is None else type(online).__name__.lower(),
        rules={name: float(getattr(votes.combiner.rules, name)) for name in RULES},
        members={name: _member(votes, name) for name in votes.probabilities},
        models=found.models,
        differences=found.differences,
        rows=int(whole.sum()),
        effective_rows=effective,
        unanswered=unanswered,
        agreement=float(votes.agreement.mean()),
        unanimous=float((votes.agreement == 1).mean()),
        moves=moves,
        held_back=held_back,
    )


def vote_columns(votes: Votes | None) -> dict[str, Any]:
    """Return the columns of an ensemble's scored rows behind those of any model."""
    if votes is None:
        return {}
    columns = dict(zip(columns_of(EQUAL_WEIGHTS), votes.equal.T, strict=True))
    for name, said in votes.probabilities.items():
        columns |= dict(zip(columns_of(name), said.T, strict=True))
        columns[f"{name}_weight"] = votes.weights[name]
    columns |= dict(zip(VOTE, (votes.direction, votes.agreement, votes.consent), strict=True))
    return {name: columns[name] for name in member_columns(votes.probabilities)}


def _compared(
    said: Mapping[str, Floats], came: Outcomes, whole: Booleans, weights: Weights
) -> tuple[Comparison, float]:
    """Return the comparison on the rows on which every member spoke, and their effective number."""
    if not whole.any():
        return Comparison({}, {}), 0.0
    effective = effective_rows(came.time_ms[whole], came.label_end_ms[whole])
    outputs = {name: ModelOutput(one, decide(one, weights)) for name, one in said.items()}
    return compare(came.target[whole], outputs, effective), effective


def _member(votes: Votes, name: str) -> MemberResult:
    share, look = votes.weights[name], votes.looks[name]
    return MemberResult(
        **look._asdict(),
        first_weight=float(share[0]),
        last_weight=float(share[-1]),
        spoke=float(np.isfinite(votes.probabilities[name]).all(axis=1).mean()),
    )


def _held_back(answers: Answers) -> tuple[int, int]:
    """Return how many sets hold a decided move alone, and how many of them are not acted on."""
    rows = np.arange(len(answers.decided))
    alone = (answers.holds.sum(axis=1) == 1) & answers.holds[rows, answers.decided]
    moves = alone & (answers.decided != NEUTRAL)
    return int(moves.sum()), int((moves & (answers.action == NEUTRAL)).sum())
