"""Define the gate of a leak audit."""

from __future__ import annotations

from quantgod.evaluation.evidence import LeakAuditResult
from quantgod.gates.bounds import judged
from quantgod.gates.report import Gate


def leak_gate(found: LeakAuditResult | None, of: str, *, asked: bool, note: str = "") -> Gate:
    """Return the gate that an audit passes in which nothing looks ahead and every stage was seen.

    Args:
        found: the audit; None if there is none, which fails if it is asked for.
        of: what it would be of, for the words that there is none.
        asked: whether it is checked.
        note: what stands behind the figure.
    """
    name, bound = "leak_audit", "no leak" if asked else None
    if found is None:
        return judged(name, "none", bound, False, f"no leak audit of {of}")
    values = sum(found.compared.values())
    figure = f"{len(found.leaks)} leaks in {values:,} values at {len(found.cuts)} cuts{note}"
    detail = next(iter(found.problems), "nothing before a cut has changed, to the row")
    detail += f"; {found.scope}" if found.scope else ""
    return judged(name, figure, bound, found.passed, detail)
