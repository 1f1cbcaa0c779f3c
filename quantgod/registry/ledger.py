"""Define the deployment ledger of an alias: which version was deployed when, by whom and why.

Its entries form a chain: each holds the digest of the one before, so that a changed or removed
entry is detected. A move of the alias is two entries: the intention (`promotion` or `rollback`) and
the result (`done` or `abandoned`). `found` records that the alias differed from the ledger, so it
was moved by other means. `disabled` and `enabled` are of one member of the version in place, which
they do not move.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import msgspec

ENTRY_CHARACTERS: Final = 6_000
KEY_DIGITS: Final = 6
LONGEST_TEXT: Final = 1_000
UNKNOWN: Final = "unknown"
GATES_PASSED: Final = "its gates passed"
"""Reason of a promotion, if no other is given."""

Kind = Literal["promotion", "rollback", "done", "abandoned", "found", "disabled", "enabled"]
_OPENS: Final = ("promotion", "rollback")
_OF_A_MEMBER: Final = ("disabled", "enabled")


class LedgerError(RuntimeError):
    """A ledger was changed, lost, or written by other code."""


class GatesSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A summary of the gates' verdict: how many passed, which failed, and the judging run."""

    passed: int
    failed: tuple[str, ...]
    run_id: str


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of a ledger.

    Attributes:
        kind: see the module.
        version: the version to deploy, or found deployed; None if the alias was found pointing
            nowhere.
        over: the version deployed before; None if none was.
        at: time, ISO 8601, UTC; for `found`, when it was detected.
        by: user; for `found`, `UNKNOWN`.
        process: host, id and start of the writing process.
        nonce: makes every entry unique.
        previous: digest of the entry before, or of the ledger's title.
        why: the reason.
        semantic: semantic version.
        forced: what was overridden; empty if nothing.
        gates: verdict on the version, if it was judged.
        lineage: shortened ids of the runs and digests of the data behind the version.
        member: that was disabled or enabled; else empty.
    """

    kind: Kind
    version: int | None
    over: int | None
    at: str
    by: str
    process: str
    nonce: str
    previous: str
    why: str = ""
    semantic: str = ""
    forced: str = ""
    gates: GatesSummary | None = None
    lineage: dict[str, str] = msgspec.field(default_factory=dict)
    member: str = ""

    @property
    def is_simulated(self) -> bool:
        """Return whether the version was made from a simulated market."""
        return "run.simulate" in self.lineage


@dataclass(frozen=True)
class Ledger:
    """The verified entries of one alias.

    Attributes:
        title: `NAME@ALIAS`.
        entries: oldest first.
        head: digest that the next entry must hold.
    """

    title: str
    entries: tuple[Entry, ...]
    head: str

    @property
    def in_place(self) -> int | None:
        """Return the version that the alias should point at, ignoring an open entry, or None."""
        settled = [entry for entry in self.entries if entry.kind in ("done", "found")]
        return settled[-1].version if settled else None

    @property
    def open(self) -> Entry | None:
        """Return the newest entry if it has begun a move without a recorded end, else None."""
        is_open = bool(self.entries) and self.entries[-1].kind in _OPENS
        return self.entries[-1] if is_open else None

    def disabled(self, version: int | None) -> dict[str, Entry]:
        """Return the entries of a version's disabled members, by name."""
        found = {}
        for entry in self.entries:
            if entry.version == version and entry.kind in _OF_A_MEMBER:
                found[entry.member] = entry
        return {name: entry for name, entry in found.items() if entry.kind == "disabled"}


def key_of(number: int) -> str:
    """Return the parameter name of entry `number` (from 1)."""
    return f"{number:0{KEY_DIGITS}d}"


def text_of(entry: Entry) -> str:
    """Return the stored text of an entry.

    Raises:
        ValueError: if it is too long.
    """
    text = msgspec.json.encode(entry).decode()
    if len(text) > ENTRY_CHARACTERS:
        raise ValueError(
            f"an entry of at most {ENTRY_CHARACTERS} characters expected, got {len(text)}"
        )
    return text


def digest_of(text: str) -> str:
    """Return the SHA-256 of an entry's text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def ledger_of(title: str, kept: Mapping[str, str], head: str | None = None) -> Ledger:
    """Parse the entries and check the chain.

    Args:
        title: `NAME@ALIAS`.
        kept: the entries' texts by key.
        head: a key and digest, `000007 9f86...`, that the ledger must contain; it may be longer.

    Raises:
        LedgerError: naming the entry that is missing, changed, or does not follow the one before.
    """
    entries: list[Entry] = []
    digests = [digest_of(title)]
    for number, key in enumerate(sorted(kept), 1):
        if key != key_of(number):
            raise LedgerError(f"{title}: entry {key_of(number)} is missing, {key} is there")
        entry = _decoded(f"{title}: entry {key}", kept[key])
        if entry.previous != digests[-1]:
            raise LedgerError(
                f"{title}: entry {key} does not follow the one before: one was changed"
            )
        entries.append(entry)
        _check_order(f"{title}: entry {key}", entries)
        digests.append(digest_of(kept[key]))
    _check_head(title, digests, head)
    return Ledger(title, tuple(entries), digests[-1])


def head_text(number: int, text: str) -> str:
    """Return the `head` for `ledger_of`."""
    return f"{key_of(number)} {digest_of(text)}"


class Tenure(NamedTuple):
    """A deployed version, from when to when (None: still deployed).

    Attributes:
        entry: the one with the reason.
        since: ISO 8601, UTC.
        until: likewise.
        members: entries of members that were disabled and enabled meanwhile.
    """

    entry: Entry
    since: str
    until: str | None
    members: tuple[Entry, ...] = ()

    @property
    def is_known(self) -> bool:
        """Return whether the project's commands deployed it."""
        return self.entry.kind != "found"


def right_in_words(promotion: Entry) -> str:
    """Return a promotion's right: `gates passed (run ...)`, or `by force: REASON; never judged`.

    It also says if the market was simulated.
    """
    return _right(promotion) + ("; simulated market" if promotion.is_simulated else "")


def _right(promotion: Entry) -> str:
    judged = f" (run {promotion.gates.run_id})" if promotion.gates else ""
    if not promotion.forced:
        why = "" if promotion.why == GATES_PASSED else f"; {promotion.why}"
        return f"gates passed{judged}{why}"
    if promotion.gates is None:
        return f"by force: {promotion.why}; never judged"
    if promotion.gates.failed:
        return (
            f"by force: {promotion.why}; failed gates: {', '.join(promotion.gates.failed)}{judged}"
        )
    return f"by force: {promotion.why}; {promotion.forced}"


def history(ledger: Ledger) -> list[Tenure]:
    """Return the deployed versions, oldest first; `entry` is the one with the reason."""
    spans: list[Tenure] = []
    for before, entry in zip((None, *ledger.entries), ledger.entries, strict=False):
        if entry.kind in _OF_A_MEMBER:
            spans[-1] = spans[-1]._replace(members=(*spans[-1].members, entry))
        if entry.kind not in ("done", "found"):
            continue
        if spans and spans[-1].until is None:
            until = entry.at if before is None or entry.kind == "found" else before.at
            spans[-1] = spans[-1]._replace(until=until)
        if entry.version is not None:
            spans.append(_span(before, entry))
    return spans


def version_before(ledger: Ledger) -> int | None:
    """Return the version that a rollback leads to; None if there is none.

    A second rollback goes back further than the first. A rollback never leads to a version that was
    deployed by other means.
    """
    standing: list[int] = []
    for span in history(ledger):
        version = span.entry.version
        if version is None or not span.is_known:
            continue
        if span.entry.kind == "rollback" and version in standing:
            del standing[len(standing) - standing[::-1].index(version) :]
        elif version not in standing[-1:]:
            standing.append(version)
    if standing[-1:] == [ledger.in_place]:
        standing.pop()
    return standing[-1] if standing else None


def _span(before: Entry | None, entry: Entry) -> Tenure:
    if entry.kind == "found" or before is None:
        return Tenure(entry, entry.at, None)
    # If the moving process died, another one recorded later that it was done.
    own = entry.process == before.process
    return Tenure(before, entry.at if own else before.at, None)


def _decoded(place: str, text: str) -> Entry:
    try:
        return msgspec.json.decode(text, type=Entry)
    except msgspec.MsgspecError as error:
        raise LedgerError(f"{place} cannot be read: {error}") from None


def _check_order(place: str, entries: list[Entry]) -> None:
    before = entries[-2].kind if len(entries) > 1 else "done"
    closes = entries[-1].kind in ("done", "abandoned")
    if closes != (before in _OPENS):
        raise LedgerError(f"{place}: {entries[-1].kind} cannot follow {before}")
    if closes and entries[-1].version != entries[-2].version:
        raise LedgerError(f"{place} is about another version than the one before")
    if entries[-1].kind in _OF_A_MEMBER:
        in_place = Ledger(place, tuple(entries), "").in_place
        if in_place is None or entries[-1].version != in_place:
            raise LedgerError(f"{place} is of a member of a version that is not in place")


def _check_head(title: str, digests: list[str], head: str | None) -> None:
    if head is None:
        return
    key, _, digest = head.partition(" ")
    known = {key_of(number): digest for number, digest in enumerate(digests)}
    if known.get(key) != digest:
        raise LedgerError(f"{title}: entry {key} was there, and is missing or was changed")
