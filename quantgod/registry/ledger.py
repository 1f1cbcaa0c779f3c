"""The deployment ledger of an alias: what was in place, from when, by whom, why, what was undone.

Its entries form a chain: each holds the digest of the one before, so that one which is changed or
taken away is noticed. A move of the alias is two entries: what is about to be done (`promotion` or
`rollback`), and what came of it (`done` or `abandoned`). `found` says that the alias pointed
elsewhere than the ledger says, so it was moved by other means.
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
"""Why a version was promoted, where no other reason is given."""

Kind = Literal["promotion", "rollback", "done", "abandoned", "found"]
_OPENS: Final = ("promotion", "rollback")


class LedgerError(RuntimeError):
    """A ledger that was changed, lost, or written by something else."""


class GatesSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What the gates had said: how many passed, which failed, and the run that judged."""

    passed: int
    failed: tuple[str, ...]
    run_id: str


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry.

    Attributes:
        kind: see the module.
        version: that is put in place, or was found there; None if the alias was found pointing
            nowhere.
        over: the version that was in place before; None if none was.
        at: when, ISO 8601, UTC; of `found`, when it was noticed.
        by: who; of `found`, `UNKNOWN`.
        process: host, id and start of the process that wrote it.
        nonce: no two entries are equal.
        previous: digest of the entry before, or of the ledger's title.
        why: the reason given.
        semantic: semantic version.
        forced: what was overridden; empty if nothing.
        gates: of the version, where it was judged.
        lineage: ids of the runs and digests of the data that the version is made of, shortened.
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

    @property
    def is_simulated(self) -> bool:
        """Whether the version was made of a simulated market."""
        return "run.simulate" in self.lineage


@dataclass(frozen=True)
class Ledger:
    """The entries of one alias, read and found to be a chain.

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
        """The version that the alias should point at, but for an open entry; None if nowhere."""
        settled = [entry for entry in self.entries if entry.kind in ("done", "found")]
        return settled[-1].version if settled else None

    @property
    def open(self) -> Entry | None:
        """The newest entry if what it says was begun and nothing says how it ended."""
        is_open = bool(self.entries) and self.entries[-1].kind in _OPENS
        return self.entries[-1] if is_open else None


def key_of(number: int) -> str:
    """The name under which entry `number` (from 1) is kept."""
    return f"{number:0{KEY_DIGITS}d}"


def text_of(entry: Entry) -> str:
    """An entry as it is kept.

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
    """SHA-256 of an entry's text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def ledger_of(title: str, kept: Mapping[str, str], head: str | None = None) -> Ledger:
    """Read the entries and check the chain.

    Args:
        title: `NAME@ALIAS`.
        kept: the entries' texts by key.
        head: a key and digest, `000007 9f86...`, which the ledger must hold; it may be longer.

    Raises:
        LedgerError: naming the entry that is missing, changed, or cannot follow the one before.
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
    """What `ledger_of` takes as `head`."""
    return f"{key_of(number)} {digest_of(text)}"


class Tenure(NamedTuple):
    """A version that was in place, from when to when (None: it still is)."""

    entry: Entry
    since: str
    until: str | None

    @property
    def is_known(self) -> bool:
        """Whether the ledger's own commands put it there."""
        return self.entry.kind != "found"


def right_in_words(promotion: Entry) -> str:
    """By which right it was: `gates passed (run ...)`, or `by force: REASON; never judged`.

    That the market was simulated is said with it.
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
    """What was in place, oldest first; of a move, `entry` is the one that says why."""
    spans: list[Tenure] = []
    for before, entry in zip((None, *ledger.entries), ledger.entries, strict=False):
        if entry.kind not in ("done", "found"):
            continue
        if spans and spans[-1].until is None:
            until = entry.at if before is None or entry.kind == "found" else before.at
            spans[-1] = spans[-1]._replace(until=until)
        if entry.version is not None:
            spans.append(_span(before, entry))
    return spans


def version_before(ledger: Ledger) -> int | None:
    """The version that a rollback leads to; None if there is none.

    A rollback undoes: it forgets what it undid, so that a second one goes back further. It never
    leads to where the alias was moved by other means.
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
    # Where the mover died, another has noted later that it was done.
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


def _check_head(title: str, digests: list[str], head: str | None) -> None:
    if head is None:
        return
    key, _, digest = head.partition(" ")
    known = {key_of(number): digest for number, digest in enumerate(digests)}
    if known.get(key) != digest:
        raise LedgerError(f"{title}: entry {key} was there, and is missing or was changed")
