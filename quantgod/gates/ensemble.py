"""Gates of an ensemble: it is worse than none of its members, and not worse than equal weights.

What counts is what the members say together, before the auditor: nobody has audited the members, so
that an auditor's gain would pass for the ensemble's. Which member is the best is not asked: on the
test rows that would be whoever was lucky there. The ensemble is held against each of them, and is
to be worse than none. A false pass needs one against the member that is truly the best, and so is
no likelier than in that one comparison, however many members there are (an intersection-union test;
Berger, 1982).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from quantgod.evaluation.evidence import EnsembleResult
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.metrics import LOWER_IS_BETTER
from quantgod.evaluation.scored_rows import EQUAL_WEIGHTS
from quantgod.evaluation.wording import interval_text, number_text
from quantgod.gates.bounds import NOT_ASKED, TOO_FEW, judged, unjudged
from quantgod.gates.report import Gate
from quantgod.settings import GateSettings

GATES: Final = ("no_worse_than_members", "no_worse_than_equal_weights")
SCORES: Final = {"log_loss": "log-loss", "macro_f1": "macro-F1"}
ONE_NETWORK: Final = "one network"

Differences = Mapping[str, Mapping[str, Interval]]


def beside_members(found: EnsembleResult | None, settings: GateSettings) -> Iterator[Gate]:
    """Yield both gates; without a verdict for a version of one network.

    Args:
        found: the ensemble's scores; None for one network.
        settings: `ensemble_margin` is read.
    """
    margin = settings.ensemble_margin
    if found is None:
        why = "of ensembles alone"
        yield from (
            Gate(name, ONE_NETWORK, bound_of(margin) or NOT_ASKED, None, why) for name in GATES
        )
        return
    members = {name: found.differences[name] for name in found.members if name in found.differences}
    equal = {name: of for name, of in found.differences.items() if name == EQUAL_WEIGHTS}
    for name, others in zip(GATES, (members, equal), strict=True):
        yield _no_worse(
            name, others, margin, f"{found.rows:,} rows, {found.effective_rows:.0f} effective"
        )


def bound_of(margin: float | None) -> str | None:
    """Return the bound in words; None if there is none."""
    if margin is None:
        return None
    return f"log-loss <= {number_text(margin)}, macro-F1 >= {number_text(-margin)}"


def shortfall(score: str, found: Interval) -> float:
    """Return by how much the ensemble may be worse: the far end of its score minus the other's."""
    return found.high if score in LOWER_IS_BETTER else -found.low


def _no_worse(name: str, others: Differences, margin: float | None, of: str) -> Gate:
    bound = bound_of(margin)
    if not others:
        why = "no row on which every member spoke"
        return (
            Gate(name, "none", NOT_ASKED, None, why)
            if bound is None
            else unjudged(name, "none", bound, why)
        )
    worst = max(others, key=lambda other: _worst(others[other]))
    each = [(score, one[score]) for one in others.values() for score in SCORES]
    figure = ", ".join(
        f"{told} {interval_text(others[worst][score])}" for score, told in SCORES.items()
    )
    detail = f"of the ensemble minus that of {worst}, the nearest of {len(others)}, far end; {of}"
    is_worse = margin is not None and any(
        one.enough and shortfall(score, one) > margin for score, one in each
    )
    few = next((one for _, one in each if not one.enough), None)
    if bound is not None and few is not None and not is_worse:
        return unjudged(name, figure, bound, f"{detail}; {few.why or TOO_FEW}")
    ends = [end for _, one in each for end in one[:3]]
    return judged(name, figure, bound, not is_worse, detail, *ends)


def _worst(found: Mapping[str, Interval]) -> float:
    """Return the larger shortfall of the scores, those without an interval first."""
    return max(shortfall(score, found[score]) for score in SCORES)
