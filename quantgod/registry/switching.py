"""Disable a member of the version in place at once, and enable it again.

Every other change of an ensemble is a version of its own. This one must not wait for gates: a
member that has gone wrong abstains from the next minute on, in every session that follows the
alias. It is an entry of the ledger and belongs to the version: another one starts without it.
"""

from __future__ import annotations

from collections.abc import Collection

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.registry.ledger import Entry, Ledger
from quantgod.registry.ledger_run import LedgerRun
from quantgod.registry.members import combiner_of
from quantgod.registry.moving import Switch, switch
from quantgod.registry.registered import VersionError, known_version
from quantgod.registry.right import right_of

NO_REASON = "no reason was given"


class NoSuchMemberError(VersionError):
    """The version in place has no such member."""


class SwitchedAlreadyError(VersionError):
    """The member is disabled, or enabled, already."""


def switch_member(
    name: str,
    alias: str,
    member: str,
    *,
    enabled: bool,
    reason: str = "",
    by: str | None = None,
    client: MlflowClient | None = None,
    seen: str | None = None,
) -> Entry:
    """Let a member of the version in place abstain from now on, or speak again.

    To enable it is to go back to what the gates have judged, so the version has to have passed
    them, or to have been promoted by force. With `seen`, only if the ledger still has this head.

    Raises:
        NoSuchMemberError: if no ensemble is in place, or it has no such member.
        SwitchedAlreadyError: if there is nothing to do.
        UnjudgedVersionError: if the version has no right to be in place as it was judged.
        LedgerWentOnError: if the ledger has another head than `seen`.
        ConcurrentPromotionError: if another process was faster.
        LedgerError: if the ledger was changed or deleted.
    """
    client = client or MlflowClient()

    def decide(ledger: Ledger) -> Switch:
        if ledger.in_place is None:
            raise NoSuchMemberError(f"{ledger.title}: no version is in place")
        found = known_version(client, name, ledger.in_place)
        _check(found, member, ledger, enabled=enabled)
        if enabled:
            right_of(client, found, alias)
        return Switch(member, enabled, found, reason or NO_REASON)

    return switch(client, name, alias, decide, by, seen)


def disabled_members(client: MlflowClient, name: str, alias: str, version: int) -> dict[str, str]:
    """Return why members of a version were disabled, by name.

    Raises:
        LedgerError: if the ledger was changed or deleted.
    """
    ledger = LedgerRun(client, name, alias).read()
    return {member: entry.why for member, entry in ledger.disabled(version).items()}


def in_words(found: ModelVersion, member: str, disabled: Collection[str]) -> str:
    """Return what has become of a member: who is left, and whether that makes a quorum."""
    combiner = combiner_of(found)
    if combiner is None:
        raise NoSuchMemberError(_no_members(found))
    left = [one for one in combiner.members if one not in disabled]
    what = "disabled" if member in disabled else "enabled"
    quorum = combiner.rules.quorum
    who = f"{', '.join(left) or 'nobody'} of {len(combiner.members)} members can speak"
    ends = "" if len(left) >= quorum else f", fewer than the quorum of {quorum}: there is no signal"
    return f"{member} of {found.name} {found.version} is {what}: {who}{ends}"


def _check(found: ModelVersion, member: str, ledger: Ledger, *, enabled: bool) -> None:
    who = f"{found.name} {found.version}"
    combiner = combiner_of(found)
    if combiner is None:
        raise NoSuchMemberError(_no_members(found))
    if member not in combiner.members:
        known = ", ".join(combiner.members)
        raise NoSuchMemberError(f"{who}: one of its members {known} expected, got {member}")
    entry = ledger.disabled(int(found.version)).get(member)
    if enabled and entry is None:
        text = f"{who}: nothing would change: its member {member} is enabled already"
        raise SwitchedAlreadyError(text)
    if not enabled and entry is not None:
        since = f"since {entry.at} by {entry.by}: {entry.why}"
        raise SwitchedAlreadyError(f"{who}: its member {member} is disabled already, {since}")


def _no_members(found: ModelVersion) -> str:
    return f"{found.name} {found.version} is of a single network, which has no members"
