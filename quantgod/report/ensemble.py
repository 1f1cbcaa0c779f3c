"""Say what an ensemble is, and how it stands beside its members."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from quantgod.evaluation.ensemble_scores import ENSEMBLE
from quantgod.evaluation.evidence import EnsembleResult, EvaluationResult, MemberResult
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.scored_rows import EQUAL_WEIGHTS
from quantgod.evaluation.wording import interval_text, number_text, share_text, verdict
from quantgod.gates.ensemble import SCORES, beside_members
from quantgod.report.findings import said_by, spoken
from quantgod.report.tables import Table
from quantgod.settings import Settings, members_of

MOST_SHOWN: Final = 10
"""Rows of scores that a card has room for."""


def about(found: EnsembleResult, settings: Settings) -> list[str]:
    """Return in sentences how members become one answer, and how often they gave none.

    Args:
        found: the ensemble's scores.
        settings: that it was made by.
    """
    strategy = settings.ensemble.strategy if settings.ensemble else found.strategy
    kept = "" if not found.moved_by else ", whose weights outcomes go on moving"
    return [
        f"Combined by `{strategy}`{kept}: {len(found.members)} networks, of which "
        f"{found.rules['quorum']:g} have to speak{_rules(found)}. The auditor audits what they say "
        "together.",
        f"On average {found.agreement:.0%} of the speaking members say what all together do; on "
        f"{found.unanimous:.0%} of rows all do.",
        f"Without a quorum, and so without an answer: {found.unanswered:,} test rows. Not acted on "
        f"since members would not trade: {found.held_back:,} of {found.moves:,} sets of one move.",
    ]


def member_table(found: EnsembleResult, settings: Settings) -> Table:
    """Return what each member is, its weight at both ends of the test part, and its scores."""
    own = members_of(settings)
    body = [
        (
            spoken(name),
            own[name].model.name,
            looks_at(member),
            f"{member.first_weight:.3f} → {member.last_weight:.3f}",
            *_beside(found, name),
        )
        for name, member in found.members.items()
    ]
    further = [
        (spoken(name), *("-" for _ in range(3)), *_beside(found, name)) for name in _others(found)
    ]
    head = ("member", "network", "looks at", "weight: first → last row", *SCORES.values())
    ahead = (f"{told}, the ensemble's minus this" for told in SCORES.values())
    note = (
        f"Weights as shares of all. Scores are of {found.rows:,} rows on which every member spoke, "
        f"worth {found.effective_rows:.0f} independent ones. The ensemble: what members say "
        "together, before the auditor."
    )
    return Table("The ensemble and its members", (*head, *ahead), tuple(body + further), note)


def looks_at(member: MemberResult) -> str:
    """Return `45 rows of 9 columns`, `60 rows of 9 columns and the book`."""
    book = " and the book" if member.has_book else ""
    return f"{member.window} rows of {member.columns} columns{book}"


def card_lines(found: EnsembleResult, settings: Settings) -> list[str]:
    """Return the card's section on what an ensemble is: sentences, and its members' scores."""
    own = members_of(settings)
    lines = [f"- {line}" for line in about(found, settings)]
    lines += ["", "| | network, looks at | weight | macro-F1 | log-loss | its advantage |"]
    lines += ["|---|---|---|---|---|---|"]
    named = {ENSEMBLE: "before the auditor", EQUAL_WEIGHTS: "all alike"}
    for name, scores in _first(found).items():
        member, what, weight = found.members.get(name), named.get(name, ""), ""
        if member is not None:
            what = f"{own[name].model.name}, {looks_at(member)}"
            weight = f"{member.first_weight:.2f} → {member.last_weight:.2f}"
        cells = (interval_text(scores[score]) for score in ("macro_f1", "log_loss"))
        said = _words(found, name)
        lines.append(f"| {' | '.join((spoken(name), what, weight, *cells, said))} |")
    if left := len(found.models) - MOST_SHOWN:
        lines += ["", f"{left} more members: see the report."] if left > 0 else []
    return [*lines, "", "Its advantage: whether the ensemble is better in macro-F1 / log-loss."]


def doubts(result: EvaluationResult, settings: Settings) -> Iterator[str]:
    """Yield what speaks against an ensemble: members that beat it or are absent, and its gates."""
    found = result.ensemble
    if found is None:
        return
    for other, differences in found.differences.items():
        for score, told in SCORES.items():
            if verdict(score, differences[score]) == "worse":
                yield (
                    f"The ensemble is worse than {spoken(other)} by {told}: difference "
                    f"{interval_text(differences[score])}."
                )
    for gate in beside_members(found, settings.gates):
        if gate.passed is False or gate.unjudged:
            yield f"Of {spoken(gate.name)}: {gate.figure}{said_by(gate)}."
    if found.unanswered:
        share = share_text(found.unanswered / (found.unanswered + result.rows))
        yield f"It has no answer to {share} of the test rows: too few members spoke."
    for name, member in found.members.items():
        if member.spoke < 1:
            yield f"Its member {name} spoke on {member.spoke:.1%} of the scored rows."


def _rules(found: EnsembleResult) -> str:
    """Return the thresholds that are above 0, in words."""
    told = {name: value for name, value in found.rules.items() if value and name != "quorum"}
    return "".join(f"; {spoken(name)} {number_text(value)}" for name, value in told.items())


def _first(found: EnsembleResult) -> dict[str, dict[str, Interval]]:
    """Return the scores that a card has room for: of the ensemble, equal weights and members."""
    order = sorted(found.models, key=lambda name: (name != ENSEMBLE, name != EQUAL_WEIGHTS))
    return {name: found.models[name] for name in order[:MOST_SHOWN]}


def _words(found: EnsembleResult, name: str) -> str:
    """Return the verdicts on macro-F1 and log-loss against another; nothing for the ensemble."""
    if name not in found.differences:
        return ""
    differences = found.differences[name]
    said = [verdict(score, differences[score]) for score in ("macro_f1", "log_loss")]
    return " / ".join(one.removesuffix(" to be better") for one in said)


def _others(found: EnsembleResult) -> list[str]:
    return [name for name in found.models if name not in found.members]


def _beside(found: EnsembleResult, name: str) -> Iterator[str]:
    scores = found.models.get(name, {})
    yield from (interval_text(scores.get(score)) for score in SCORES)
    yield from (_apart(found, name, score) for score in SCORES)


def _apart(found: EnsembleResult, name: str, score: str) -> str:
    difference = found.differences.get(name, {}).get(score)
    if difference is None:
        return "-"
    return f"{interval_text(difference)}, {verdict(score, difference)}"
