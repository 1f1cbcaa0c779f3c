"""Roll an alias back to a version that was deployed before.

That version was tested and judged when it was promoted, so now only its files are compared with the
registered ones. A version deployed by other means was never tested, so there is no rollback to it.
This imports no model code: the command takes seconds.
"""

from __future__ import annotations

import tempfile
from typing import Final

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.registry.ledger import Entry, GatesSummary, Ledger, history, version_before
from quantgod.registry.moving import Move, move
from quantgod.registry.ownership import check_successor
from quantgod.registry.registered import (
    FILES_TAG,
    BrokenVersionError,
    VersionError,
    fetch,
    files_digest,
    known_version,
)

UNDONE: Final = "no reason was given"


class NothingToRollBackError(VersionError):
    """The ledger has no version to go back to, or not this one."""


def roll_back(
    name: str,
    alias: str,
    number: int | None = None,
    reason: str = UNDONE,
    by: str | None = None,
    client: MlflowClient | None = None,
    seen: str | None = None,
) -> Entry:
    """Deploy the version before, or version `number` if it was ever promoted.

    With `seen`, only if the ledger still has this head.

    Raises:
        NothingToRollBackError: if none was in place before, or not this one.
        NoSuchVersionError: if there is no such version, or it was deleted.
        EmptyVersionError: if its files were deleted.
        BrokenVersionError: if they were changed.
        OtherSeriesError: if the champion is of another series.
        LedgerWentOnError: if the ledger has another head than `seen`.
        ConcurrentPromotionError: if another promotion was faster.
        LedgerError: if the ledger was changed or deleted.
    """
    client = client or MlflowClient()

    def decide(ledger: Ledger) -> Move:
        if number is not None:
            known_version(client, name, number)
        target = _target(ledger, number)
        found = known_version(client, name, target)
        if ledger.in_place is not None:
            check_successor(found, known_version(client, name, ledger.in_place))
        check_unchanged(found)
        return Move("rollback", found, reason, gates=_gates(ledger, target))

    rolled_back = move(client, name, alias, decide, by, seen)
    if rolled_back is None:
        raise RuntimeError("a rollback always moves")
    return rolled_back


def check_unchanged(found: ModelVersion) -> None:
    """Compare a version's files with the registered ones.

    Raises:
        EmptyVersionError: if there are none.
        BrokenVersionError: if they differ, or their digest is unknown.
    """
    with tempfile.TemporaryDirectory() as scratch:
        digest = files_digest(fetch(found.name, int(found.version), scratch))
    kept = found.tags.get(FILES_TAG)
    if digest != kept:
        raise BrokenVersionError(
            f"{found.name} {found.version}: its files have the digest {digest}, registered were "
            f"files of {kept}"
        )


def _target(ledger: Ledger, number: int | None) -> int:
    if not ledger.entries:
        raise NothingToRollBackError(
            f"{ledger.title}: no version was ever in place; registry.name names the model"
        )
    if number is None:
        before = version_before(ledger)
        if before is None:
            raise NothingToRollBackError(
                f"{ledger.title}: no other version was in place before version {ledger.in_place} "
                "was; one that was in place after it can be named by its number"
            )
        return before
    if number == ledger.in_place:
        raise NothingToRollBackError(f"{ledger.title}: version {number} is in place")
    if all(span.entry.version != number for span in history(ledger) if span.is_known):
        raise NothingToRollBackError(
            f"{ledger.title}: version {number} was never promoted: promote it"
        )
    return number


def _gates(ledger: Ledger, number: int) -> GatesSummary | None:
    """Return the gates' summary of the version's last promotion."""
    entries = [span.entry for span in history(ledger) if span.entry.kind == "promotion"]
    return next((entry.gates for entry in entries[::-1] if entry.version == number), None)
