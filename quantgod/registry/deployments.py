"""List the versions that an alias has pointed at, by its ledger, and check the alias."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from quantgod.registry.ledger import UNKNOWN, Entry, Ledger, Tenure, history
from quantgod.registry.ledger_run import LedgerRun
from quantgod.registry.moving import now
from quantgod.registry.registered import NoSuchVersionError, holder

READS: Final = 10
HOW: Final = {"promotion": "promoted", "rollback": "rolled back", "found": "MOVED BY OTHER MEANS"}


@dataclass(frozen=True)
class Deployments:
    """The versions that an alias has pointed at.

    Attributes:
        spans: one for each time a version was deployed, oldest first. If the alias differs from the
            ledger, the last one says so.
        under_way: the entry of a move that has begun but has no recorded end; None if there is
            none.
        trouble: what is wrong; empty if nothing.
        head: of the ledger; it changes with every entry.
    """

    spans: tuple[Tenure, ...]
    under_way: Entry | None
    trouble: str
    head: str

    def rows(self) -> list[dict[str, Any]]:
        """Return all deployments with all their data."""
        return [_row(span) for span in self.spans]


def deployments(client: MlflowClient, name: str, alias: str) -> Deployments:
    """Read and check the ledger of an alias, and compare it with the alias, without writing.

    Raises:
        NoSuchVersionError: if there is neither such a model nor a ledger.
        LedgerError: if the ledger was changed or deleted.
    """
    ledger, held = _at_once(client, name, alias)
    if not ledger.entries:
        _check_model(client, name)
    spans, begun = history(ledger), ledger.open
    if begun is not None and held == begun.version:
        spans = [*_ended(spans, begun.at), Tenure(begun, begun.at, None)]
    elif held != ledger.in_place:
        spans = [*_ended(spans, now()), *_found(ledger, held)]
    trouble = ""
    if held != ledger.in_place and (begun is None or held != begun.version):
        trouble = f"{ledger.title} names {_said(held)}, its ledger says {_said(ledger.in_place)}"
    elif spans and spans[-1].until is None and not spans[-1].is_known:
        trouble = (
            f"{ledger.title} names {_said(held)}, which no promotion and no rollback put there"
        )
    return Deployments(tuple(spans), begun, trouble, ledger.head)


def as_json(found: Deployments) -> str:
    """Return all deployments with all their data, as a JSON list."""
    return msgspec.json.format(msgspec.json.encode(found.rows())).decode()


def _at_once(client: MlflowClient, name: str, alias: str) -> tuple[Ledger, int | None]:
    """Return ledger and alias of one moment: nothing was appended while the alias was read."""
    kept = LedgerRun(client, name, alias)
    ledger = kept.read()
    for _ in range(READS):
        held, before = holder(client, name, alias), ledger
        ledger = kept.read()
        if ledger.head == before.head:
            break
    return ledger, held


def _check_model(client: MlflowClient, name: str) -> None:
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise NoSuchVersionError(f"{name}: no such model is registered") from None


def _ended(spans: list[Tenure], at: str) -> list[Tenure]:
    if not spans or spans[-1].until is not None:
        return spans
    return [*spans[:-1], spans[-1]._replace(until=at)]


def _found(ledger: Ledger, held: int | None) -> list[Tenure]:
    if held is None:
        return []
    entry = Entry(
        kind="found", version=held, over=ledger.in_place, at=now(), by=UNKNOWN, process="",
        nonce=secrets.token_hex(8), previous=ledger.head, why="noticed now, not in the ledger",
    )  # fmt: skip
    return [Tenure(entry, entry.at, None)]


def _row(span: Tenure) -> dict[str, Any]:
    entry = span.entry
    return {
        "version": entry.version,
        "semantic_version": entry.semantic or None,
        "from": span.since,
        "noticed": not span.is_known,
        "until": span.until,
        "how": HOW[entry.kind],
        "by": entry.by,
        "why": entry.why,
        "forced_over": entry.forced or None,
        "gates": entry.gates,
        "lineage": entry.lineage,
        "members": [_member(one) for one in span.members],
    }


def _member(entry: Entry) -> dict[str, Any]:
    """Return what became of a member of a version while it was in place."""
    told = {"member": entry.member, "enabled": entry.kind == "enabled"}
    return told | {"at": entry.at, "by": entry.by, "why": entry.why}


def _said(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"
