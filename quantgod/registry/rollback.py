"""Rollback: the alias goes back to a version that was in place before, at once.

It proved itself and passed its gates when it was promoted; now its files are compared with what
was registered, and no more. It imports no model code, so that the command takes seconds.
"""

from __future__ import annotations

import tempfile
from typing import Final

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.registry.ledger import Entry, Ledger, history, version_before
from quantgod.registry.moving import Move, move
from quantgod.registry.registered import (
    FILES_TAG,
    BrokenVersionError,
    VersionError,
    fetch,
    files_digest,
    known_version,
)
from quantgod.registry.trial_process import try_version

UNDONE: Final = "no reason was given"


class NothingToRollBackError(VersionError):
    """The ledger knows no version to go back to, or not this one."""


def roll_back(
    name: str,
    alias: str,
    number: int | None = None,
    reason: str = UNDONE,
    by: str | None = None,
    client: MlflowClient | None = None,
) -> Entry:
    """Put the version before into place, or version `number`, if it was in place at any time.

    One that was in place, but not by a promotion, is tried in a fresh process first.

    Raises:
        NothingToRollBackError: if there is no such version.
        NoSuchVersionError: if it was deleted since.
        EmptyVersionError: if its files were deleted.
        BrokenVersionError: if they were changed.
        ConcurrentPromotionError: if another promotion was first.
        LedgerError: if the ledger was changed or deleted.
    """
    client = client or MlflowClient()

    def decide(ledger: Ledger) -> Move:
        target = _target(ledger, number)
        found = known_version(client, name, target)
        check_unchanged(found)
        if not any(span.is_known for span in history(ledger) if span.entry.version == target):
            try_version(name, target)
        return Move("rollback", found, reason)

    rolled_back = move(client, name, alias, decide, by)
    if rolled_back is None:
        raise RuntimeError("a rollback always moves")
    return rolled_back


def check_unchanged(found: ModelVersion) -> None:
    """Compare a version's files with what was registered.

    Raises:
        EmptyVersionError: if there are none.
        BrokenVersionError: if they differ, or nobody knows what they were.
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
    if number is None:
        before = version_before(ledger)
        if before is None:
            raise NothingToRollBackError(f"{ledger.title}: no other version was in place before")
        return before
    if number == ledger.in_place:
        raise NothingToRollBackError(f"{ledger.title}: version {number} is in place")
    if all(span.entry.version != number for span in history(ledger)):
        raise NothingToRollBackError(
            f"{ledger.title}: version {number} was never in place: promote it"
        )
    return number
