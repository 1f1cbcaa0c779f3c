"""Promote a version that has passed its test load and its gates to an alias."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.registry.ledger import (
    GATES_PASSED,
    Entry,
    GatesSummary,
    Ledger,
    history,
    right_in_words,
)
from quantgod.registry.lineage import set_tags
from quantgod.registry.moving import Move, move
from quantgod.registry.ownership import check_successor
from quantgod.registry.registered import FILES_TAG, fetch, known_version
from quantgod.registry.tryout_process import try_version
from quantgod.registry.verdict import GatesError, check_report, report_of, summary_of
from quantgod.registry.versions import check_files

Tryout = Callable[[str, int], None]

PROMOTED_TAG: Final = "promoted"
OLD_TAGS: Final = "promoted_"


@dataclass(frozen=True)
class Grounds:
    """The grounds of a promotion.

    Attributes:
        reason: for the ledger; required with `force`.
        force: promote although the gates did not pass.
        gates_run: the judging run; by default the version's tag names it.
        bounds: digest of the gate settings that must have been used; without it no report is valid.
    """

    reason: str = ""
    force: bool = False
    gates_run: str | None = None
    bounds: str = ""

    def __post_init__(self) -> None:
        if self.force and not self.reason.strip():
            raise ValueError("a forced promotion needs a reason")


ON_ITS_GATES: Final = Grounds()


def promote(
    name: str,
    number: int,
    alias: str = "Production",
    why: Grounds = ON_ITS_GATES,
    by: str | None = None,
    tryout: Tryout = try_version,
    client: MlflowClient | None = None,
    seen: str | None = None,
) -> Entry | None:
    """Point `alias` (case-sensitive) at a version, after a test in a new process.

    The version's gates must have passed, judged against the present champion. Then the process
    loads the version with pickle forbidden and predicts the golden input. The alias's ledger
    records the promotion; tags of the version repeat it.

    Args:
        name: of the registered model.
        number: of the version.
        alias: to move.
        why: the grounds.
        by: user; default is the present one.
        tryout: function that tests the version.
        client: of the store.
        seen: head of the ledger that the decision was made on; None for whatever it is now.

    Returns:
        The ledger's entry; None if the version was promoted before and is still deployed.

    Raises:
        NoSuchVersionError: if the registry does not know the version.
        EmptyVersionError: if it has no model.
        BrokenVersionError: if a file was changed, it cannot be loaded, or its output differs.
        OtherSeriesError: if the champion is of another series, even with force.
        GatesError: if it has no valid report of gates.
        GatesNotPassedError: naming the gates that failed.
        LedgerWentOnError: if the ledger has another head than `seen`.
        ConcurrentPromotionError: if another promotion was faster.
        LedgerError: if the ledger was changed or deleted.
    """
    client = client or MlflowClient()
    found = known_version(client, name, number)
    check_registered(name, found)

    def decide(ledger: Ledger) -> Move | None:
        spans = history(ledger)
        if ledger.in_place == number and spans[-1].is_known:
            return None
        if ledger.in_place is not None:
            check_successor(found, known_version(client, name, ledger.in_place))
        wanted = _judged(found, ledger.in_place, why)
        tryout(name, number)  # last, as it takes seconds
        return wanted

    promoted = move(client, name, alias, decide, by, seen)
    if promoted is not None:
        _tag(client, found, alias, promoted)
    return promoted


def in_words(name: str, alias: str, number: int, done: Entry | None) -> str:
    """Describe a promotion: what was deployed over what, and by which right.

    >>> in_words("quantgod", "Production", 3, None)
    'quantgod 3 is Production already: nothing was changed'
    """
    if done is None:
        return f"{name} {number} is {alias} already: nothing was changed"
    over = "no version" if done.over is None else f"version {done.over}"
    return f"{name} {number} is {alias} over {over}: {right_in_words(done)}"


def check_registered(name: str, found: ModelVersion) -> None:
    """Download a version's files and check that they are those that were registered.

    Raises:
        EmptyVersionError: if there are none.
        BrokenVersionError: naming the changed file.
    """
    with tempfile.TemporaryDirectory() as scratch:
        check_files(fetch(name, int(found.version), scratch), found.tags.get(FILES_TAG))


def _judged(found: ModelVersion, champion: int | None, why: Grounds) -> Move:
    gates: GatesSummary | None = None
    try:
        report = report_of(found, why.gates_run)
        gates = summary_of(report)
        check_report(report, found, champion, why.bounds)
    except GatesError as error:
        if not why.force:
            raise
        return Move("promotion", found, why.reason, str(error), gates)
    return Move("promotion", found, why.reason or GATES_PASSED, "", gates)


def _tag(client: MlflowClient, found: ModelVersion, alias: str, promoted: Entry) -> None:
    """Repeat the ledger's entry in tags of the version."""
    over = "no version" if promoted.over is None else f"version {promoted.over}"
    forced = f"; by force over: {promoted.forced}" if promoted.forced else ""
    text = f"{promoted.at} as {alias} over {over} by {promoted.by}: {promoted.why}{forced}"
    set_tags(client, found, {PROMOTED_TAG: text}, instead=OLD_TAGS)
