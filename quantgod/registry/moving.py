"""How an alias is moved: note it, move it, note that it was done.

The alias itself moves in one call, so whoever reads it sees a complete version at any moment. A
process that dies before that call leaves the old version in place, and after it the new one; which
of the two is written down by the next that comes along.

Whoever has noted what it will do holds the alias for `LEASE_SECONDS`, or until its process ends.
It must make the call within `MOVE_SECONDS`; the rest of the lease is for the call itself, which
may be tried three times for 20 s each, and for clocks that differ.
"""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
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
"""How long a server may take over a call whose sender has died."""

_SHORT: Final = 16


@dataclass(frozen=True)
class Move:
    """What is to be done with the alias, and why.

    Attributes:
        kind: `promotion` or `rollback`.
        found: the version to put in place.
        why: the reason given.
        forced: what was overridden; empty if nothing.
        gates: of the version, where it was judged.
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
) -> Entry | None:
    """Move an alias as `decide` says, and write it into the ledger.

    What another process began and did not finish is settled first.

    Args:
        client: of the store.
        name: the registered model's name.
        alias: to be moved.
        decide: is given the ledger, which tells what is in place; it may raise. None: leave it.
        by: who moves it; this user if not given.

    Returns:
        What the ledger says of it; None if the alias was left where it is.

    Raises:
        ConcurrentPromotionError: if another was first, or is at it, or the alias was moved by
            other means meanwhile. Nothing was changed.
        LedgerError: if the ledger was changed or deleted.
    """
    kept = LedgerRun(client, name, alias)
    writer = _Writer(by or user(), process_tag())
    ledger = _settled(client, kept, name, alias, writer)
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
    client.set_registered_model_alias(name, alias, str(number))
    _close(kept, opened, writer)
    return opened.open


def user() -> str:
    """Who runs this process, as MLflow notes it with a run."""
    return str(DefaultRunContext().tags()["mlflow.user"])  # type: ignore[no-untyped-call]


def now() -> str:
    """The time for the ledger: ISO 8601, UTC, to the millisecond."""
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


def _settled(
    client: MlflowClient, kept: LedgerRun, name: str, alias: str, writer: _Writer
) -> Ledger:
    """Write down how an open entry ended, and where the alias is if it is elsewhere."""
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
    """See to it that the alias is still where it was when the move was decided.

    Raises:
        ConcurrentPromotionError: if it is elsewhere; then it is noted that nothing was done.
    """
    held = holder(client, name, alias)
    if held == opened.in_place:
        return
    why = f"meanwhile the alias was moved by other means to {_said(held)}"
    kept.append(opened, writer.entry(opened, "abandoned", opened.entries[-1].version, why=why))
    raise ConcurrentPromotionError(
        f"{kept.title}: {why} from {_said(opened.in_place)}; nothing was changed here"
    )


def _said(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"


def _wait_for(kept: LedgerRun, begun: Entry) -> None:
    """See to it that nobody works on an open entry any more.

    Raises:
        ConcurrentPromotionError: if somebody does.
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
        # Another may have taken this process for dead, and said the same.
        if kept.read().entries[len(opened.entries)].kind != "done":
            raise


def _lineage(found: ModelVersion) -> dict[str, str]:
    try:
        made = lineage_of(found)
    except BrokenVersionError:
        return {}  # files decide whether a version may move, and a rollback cannot wait for a tag
    data = {f"data.{name}": digest[:_SHORT] for name, digest in sorted(made.data.items())}
    return data | {f"run.{stage}": run for stage, run in sorted(made.runs.items())}
