"""Move an alias: record the intention, move it, record the result.

The alias itself moves in one call, so a reader always sees a complete version. A process that dies
before that call leaves the old version deployed, and after it the new one; the next process records
which of the two it is.

A process that has recorded its intention holds the alias for `LEASE_SECONDS`, or until it ends. It
must make the call within `MOVE_SECONDS`; the rest of the lease is for the call itself, which may be
tried three times for 20 s each, and for clock differences.
"""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final, Literal

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.default_context import DefaultRunContext

from quantgod.registry.ledger import LONGEST_TEXT, UNKNOWN, Entry, GatesSummary, Kind, Ledger
from quantgod.registry.ledger_run import ConcurrentPromotionError, LedgerRun
from quantgod.registry.lineage import lineage_of
from quantgod.registry.registered import BrokenVersionError, holder
from quantgod.registry.semantic_version import SEMANTIC_TAG
from quantgod.tracking.orphans import process_is_gone, process_tag

LEASE_SECONDS: Final = 120.0
MOVE_SECONDS: Final = 20.0
IN_FLIGHT_SECONDS: Final = 2.0
"""How long a server may still process a call whose sender has died."""

_SHORT: Final = 16


class LedgerWentOnError(RuntimeError):
    """The ledger has other entries than those that a decision was made on."""


@dataclass(frozen=True)
class Switch:
    """A member of the version in place that is to be disabled or enabled.

    Attributes:
        member: its name.
        enabled: what it is to be.
        found: the version.
        why: the reason.
    """

    member: str
    enabled: bool
    found: ModelVersion
    why: str


@dataclass(frozen=True)
class Move:
    """The intended move of an alias, with its reason.

    Attributes:
        kind: `promotion` or `rollback`.
        found: the version to deploy.
        why: the reason.
        forced: what was overridden; empty if nothing.
        gates: verdict on the version, if it was judged.
    """

    kind: Literal["promotion", "rollback"]
    found: ModelVersion
    why: str
    forced: str = ""
    gates: GatesSummary | None = None


def move(
    client: MlflowClient,
    name: str,
    alias: str,
    decide: Callable[[Ledger], Move | None],
    by: str | None = None,
    seen: str | None = None,
) -> Entry | None:
    """Move an alias as `decide` says, and record it in the ledger.

    An unfinished move of another process is settled first.

    Args:
        client: of the store.
        name: of the registered model.
        alias: to move.
        decide: gets the ledger and returns the move, or None for no move; it may raise.
        by: user; default is the present one.
        seen: head of the ledger that the decision was made on; None for whatever it is now.

    Returns:
        The ledger's entry; None if the alias was not moved.

    Raises:
        LedgerWentOnError: if the ledger has another head than `seen`.
        ConcurrentPromotionError: if another process was faster or is active, or the alias was moved
            by other means meanwhile. Nothing was changed.
        LedgerError: if the ledger was changed or deleted.
        MlflowException: if MLflow refuses, which is recorded, or cannot be reached.
    """
    kept, writer, ledger = _begun(client, name, alias, by, seen)
    wanted = decide(ledger)
    if wanted is None:
        return None
    began = time.monotonic()
    number = int(wanted.found.version)
    said = {
        "semantic": wanted.found.tags.get(SEMANTIC_TAG, ""),
        "why": wanted.why[:LONGEST_TEXT],
        "forced": wanted.forced[:LONGEST_TEXT],
        "gates": wanted.gates,
        "lineage": _lineage(wanted.found),
    }
    opened = kept.append(ledger, writer.entry(ledger, wanted.kind, number, **said))
    _look_again(client, name, alias, kept, opened, writer)
    if time.monotonic() - began > MOVE_SECONDS:
        raise ConcurrentPromotionError(
            f"{kept.title}: the store took more than {MOVE_SECONDS:g} s to answer; not moved"
        )
    with _recording_a_refusal(kept, opened, writer):
        client.set_registered_model_alias(name, alias, str(number))
    _close(kept, opened, writer)
    return opened.open


def switch(
    client: MlflowClient,
    name: str,
    alias: str,
    decide: Callable[[Ledger], Switch],
    by: str | None = None,
    seen: str | None = None,
) -> Entry:
    """Record what becomes of a member of the version in place; the alias stays where it is.

    Args and errors are those of `move`.

    Returns:
        The ledger's entry.
    """
    kept, writer, ledger = _begun(client, name, alias, by, seen)
    wanted = decide(ledger)
    said = {
        "semantic": wanted.found.tags.get(SEMANTIC_TAG, ""),
        "why": wanted.why[:LONGEST_TEXT],
        "member": wanted.member,
    }
    kind: Kind = "enabled" if wanted.enabled else "disabled"
    entry = writer.entry(ledger, kind, int(wanted.found.version), **said)
    return kept.append(ledger, entry).entries[-1]


def user() -> str:
    """Return the user of this process, as MLflow records it with runs."""
    return str(DefaultRunContext().tags()["mlflow.user"])  # type: ignore[no-untyped-call]


def now() -> str:
    """Return the present time for the ledger: ISO 8601, UTC, in milliseconds."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class _Writer:
    by: str
    process: str

    def entry(self, ledger: Ledger, kind: Kind, version: int | None, **said: Any) -> Entry:
        return Entry(
            kind=kind,
            version=version,
            over=ledger.in_place,
            at=now(),
            by=self.by,
            process=self.process,
            nonce=secrets.token_hex(8),
            previous=ledger.head,
            **said,
        )


def _begun(
    client: MlflowClient, name: str, alias: str, by: str | None, seen: str | None
) -> tuple[LedgerRun, _Writer, Ledger]:
    """Return the ledger to decide on, settled, and what writes the next entry.

    Raises:
        LedgerWentOnError: if it has another head than `seen`.
    """
    kept = LedgerRun(client, name, alias)
    writer = _Writer(by or user(), process_tag())
    ledger = _settled(client, kept, name, alias, writer)
    if seen not in (None, ledger.head):
        raise LedgerWentOnError(
            f"{kept.title}: its ledger went on since it was read: look at it again"
        )
    return kept, writer, ledger


def _settled(
    client: MlflowClient, kept: LedgerRun, name: str, alias: str, writer: _Writer
) -> Ledger:
    """Record how an open entry ended, and the alias's version if it differs from the ledger."""
    ledger = kept.read()
    if ledger.open is not None:
        _wait_for(kept, ledger.open)
    held = holder(client, name, alias)
    if ledger.open is not None:
        kind: Kind = "done" if held == ledger.open.version else "abandoned"
        why = "its process ended before it could say so"
        ledger = kept.append(ledger, writer.entry(ledger, kind, ledger.open.version, why=why))
    if held != ledger.in_place:
        how = "moved by other means" if ledger.entries else "in place when the ledger began"
        seen = replace(writer, by=UNKNOWN)
        why = f"{how}, noticed by {writer.by}"[:LONGEST_TEXT]
        ledger = kept.append(ledger, seen.entry(ledger, "found", held, why=why))
    return ledger


def _look_again(
    client: MlflowClient, name: str, alias: str, kept: LedgerRun, opened: Ledger, writer: _Writer
) -> None:
    """Check that the alias has not moved since the decision.

    Raises:
        ConcurrentPromotionError: if it has; the entry is then recorded as abandoned.
    """
    held = holder(client, name, alias)
    if held == opened.in_place:
        return
    why = f"meanwhile the alias was moved by other means to {_said(held)}"
    kept.append(opened, writer.entry(opened, "abandoned", opened.entries[-1].version, why=why))
    raise ConcurrentPromotionError(
        f"{kept.title}: {why} from {_said(opened.in_place)}; nothing was changed here"
    )


@contextmanager
def _recording_a_refusal(kept: LedgerRun, opened: Ledger, writer: _Writer) -> Iterator[None]:
    """Record the open entry as abandoned if MLflow refuses the call in the block."""
    try:
        yield
    except MlflowException as error:
        status = error.get_http_status_code()  # type: ignore[no-untyped-call]
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            why, version = f"MLflow refused: {error.message}", opened.entries[-1].version
            entry = writer.entry(opened, "abandoned", version, why=why[:LONGEST_TEXT])
            kept.append(opened, entry)
        raise  # after any other error the call may still be carried out


def _said(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"


def _wait_for(kept: LedgerRun, begun: Entry) -> None:
    """Check that no process works on an open entry any more.

    Raises:
        ConcurrentPromotionError: if one does.
    """
    age = _age(begun)
    if not process_is_gone(begun.process) and age < LEASE_SECONDS:
        raise ConcurrentPromotionError(
            f"{kept.title}: {begun.by} is putting version {begun.version} in place "
            f"({begun.kind}, {begun.process}, since {begun.at}); try again when that is over"
        )
    if mlflow.get_tracking_uri().startswith("http"):
        time.sleep(max(0.0, IN_FLIGHT_SECONDS - age))


def _age(entry: Entry) -> float:
    return (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(entry.at)).total_seconds()


def _close(kept: LedgerRun, opened: Ledger, writer: _Writer) -> None:
    version = opened.entries[-1].version
    try:
        kept.append(opened, writer.entry(opened, "done", version))
    except ConcurrentPromotionError:
        # Another process may have considered this one dead and recorded the same.
        if kept.read().entries[len(opened.entries)].kind != "done":
            raise


def _lineage(found: ModelVersion) -> dict[str, str]:
    try:
        made = lineage_of(found)
    except BrokenVersionError:
        return {}  # files decide about a deployment; a rollback cannot wait for a tag
    data = {f"data.{name}": digest[:_SHORT] for name, digest in sorted(made.data.items())}
    return data | {f"run.{stage}": run for stage, run in sorted(made.runs.items())}
