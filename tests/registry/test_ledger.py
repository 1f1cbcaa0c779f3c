from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.registry.ledger import (
    ENTRY_CHARACTERS,
    GATES_PASSED,
    Entry,
    GatesSummary,
    Kind,
    Ledger,
    LedgerError,
    digest_of,
    head_text,
    history,
    key_of,
    ledger_of,
    right_in_words,
    text_of,
    version_before,
)

TITLE = "quantgod@Production"
VERSION = st.integers(1, 4)
STEP = st.one_of(
    st.tuples(st.sampled_from(["promotion", "rollback", "abandoned"]), VERSION),
    st.tuples(st.just("found"), st.none() | VERSION),
)
STEPS = st.lists(STEP, max_size=12)


class Book:
    """A ledger that is written here, by the rules."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.in_place: int | None = None
        self.number = 0

    def add(self, kind: Kind, version: int | None, member: str = "") -> None:
        before = self.kept.get(key_of(self.number))
        self.number += 1
        entry = Entry(
            kind=kind, version=version, over=self.in_place,
            at=f"2026-01-01T00:00:{self.number:02d}.000+00:00", by="a tester", process="here/1/2",
            nonce=str(self.number), previous=digest_of(TITLE if before is None else before),
            member=member,
        )  # fmt: skip
        self.kept[key_of(self.number)] = text_of(entry)
        if kind in ("done", "found"):
            self.in_place = version

    def head(self) -> str:
        return head_text(self.number, self.kept[key_of(self.number)])


def book_of(steps: Sequence[tuple[str, int | None]]) -> Book:
    book = Book()
    for kind, version in steps:
        if kind == "found":
            book.add("found", version)
        else:
            book.add("rollback" if kind == "rollback" else "promotion", version)
            book.add("abandoned" if kind == "abandoned" else "done", version)
    return book


def read(book: Book) -> Ledger:
    return ledger_of(TITLE, book.kept)


@given(STEPS)
def test_the_history_has_no_hole_and_ends_with_what_is_in_place(
    steps: list[tuple[str, int | None]],
) -> None:
    ledger = read(book_of(steps))
    spans = history(ledger)
    for before, after in pairwise(spans):
        assert before.since <= before.until <= after.since
    standing = [span.entry.version for span in spans if span.until is None]
    assert standing == ([] if ledger.in_place is None else [ledger.in_place])
    assert [span.entry.version for span in spans] == [
        version for kind, version in steps if kind != "abandoned" and version is not None
    ]


@given(st.lists(VERSION, min_size=1, max_size=8), st.integers(1, 8))
def test_each_rollback_goes_one_step_further_back(promoted: list[int], times: int) -> None:
    steps: list[tuple[str, int | None]] = [("promotion", version) for version in promoted]
    different = [v for v, before in zip(promoted, [None, *promoted], strict=False) if v != before]
    for back in range(1, times + 1):
        before = version_before(read(book_of(steps)))
        wanted = different[: len(different) - back]
        assert before == (wanted[-1] if wanted else None)
        if before is None:
            break
        steps.append(("rollback", before))


def test_a_version_found_in_place_is_undone_like_a_promotion() -> None:
    steps: list[tuple[str, int | None]] = [("promotion", 1), ("promotion", 2)]
    assert version_before(read(book_of([*steps, ("found", 4)]))) == 2
    assert version_before(read(book_of([*steps, ("found", None)]))) == 2
    assert version_before(read(book_of([*steps, ("abandoned", 3)]))) == 1
    assert version_before(read(book_of([("promotion", 1)]))) is None


@given(STEPS.filter(bool), st.data())
def test_a_changed_or_a_missing_entry_is_noticed(
    steps: list[tuple[str, int | None]], data: st.DataObject
) -> None:
    book = book_of(steps)
    head = book.head()
    assert ledger_of(TITLE, book.kept, head).entries
    key = data.draw(st.sampled_from(sorted(book.kept)))
    entry = json.loads(book.kept[key])
    field = data.draw(st.sampled_from(sorted(entry)))
    changes = {
        "changed": {key: json.dumps(entry | {field: 7 if field == "version" else "found"})},
        "without it": {},
        "nothing": {key: ""},
    }
    change = data.draw(st.sampled_from(sorted(changes)))
    others = {name: text for name, text in book.kept.items() if name != key}
    with pytest.raises(LedgerError, match=TITLE):
        ledger_of(TITLE, others | changes[change], head)


@given(STEPS.filter(lambda steps: len(steps) > 1))
def test_two_entries_cannot_change_places(steps: list[tuple[str, int | None]]) -> None:
    kept = book_of(steps).kept
    swapped = kept | {key_of(1): kept[key_of(2)], key_of(2): kept[key_of(1)]}
    with pytest.raises(LedgerError, match="entry 000001"):
        ledger_of(TITLE, swapped)


def test_an_entry_under_a_later_number_is_noticed() -> None:
    book = book_of([("promotion", 1), ("found", 2)])
    kept = {name: text for name, text in book.kept.items() if name != key_of(3)}
    with pytest.raises(LedgerError, match="entry 000003 is missing, 000004 is there"):
        ledger_of(TITLE, kept | {key_of(4): book.kept[key_of(3)]})


def test_what_becomes_of_members_belongs_to_the_version_in_place() -> None:
    book = book_of([("promotion", 1)])
    for kind, member in (("disabled", "far"), ("disabled", "near"), ("enabled", "far")):
        book.add(kind, 1, member)
    assert [*read(book).disabled(1)] == ["near"] and read(book).in_place == 1
    book.add("promotion", 2)
    book.add("done", 2)
    book.add("disabled", 2, "far")
    ledger = read(book)
    assert ([*ledger.disabled(1)], [*ledger.disabled(2)]) == (["near"], ["far"])
    first, second = history(ledger)
    assert [(one.kind, one.member) for one in first.members] == [
        ("disabled", "far"), ("disabled", "near"), ("enabled", "far"),
    ]  # fmt: skip
    assert [one.member for one in second.members] == ["far"]
    assert first.until <= second.since and version_before(ledger) == 1
    for changes in (book_of([("promotion", 1), ("promotion", 2)]), book_of([])):
        changes.add("disabled", 1, "far")
        with pytest.raises(LedgerError, match="of a member of a version that is not in place"):
            read(changes)


def test_an_entry_of_another_ledger_is_refused() -> None:
    kept = book_of([("promotion", 1)]).kept
    with pytest.raises(LedgerError, match="entry 000001 does not follow"):
        ledger_of("quantgod@Challenger", kept)


@pytest.mark.parametrize(
    ("kinds", "wrong"),
    [
        (["done"], "done cannot follow"),
        (["found", "abandoned"], "abandoned cannot follow found"),
        (["promotion", "promotion"], "promotion cannot follow promotion"),
        (["promotion", "found"], "found cannot follow promotion"),
        (["promotion", "done", "done"], "done cannot follow done"),
    ],
)
def test_what_no_command_would_write_is_refused(kinds: list[Kind], wrong: str) -> None:
    book = Book()
    for kind in kinds:
        book.add(kind, 1)
    with pytest.raises(LedgerError, match=wrong):
        read(book)


def test_a_move_ends_for_the_version_for_which_it_began() -> None:
    book = Book()
    book.add("promotion", 1)
    book.add("done", 2)
    with pytest.raises(LedgerError, match="another version"):
        read(book)


def test_a_move_that_is_not_noted_as_over_is_open_and_changes_nothing_yet() -> None:
    book = book_of([("promotion", 1)])
    assert read(book).open is None
    book.add("rollback", 2)
    begun = read(book)
    assert begun.open is not None
    assert begun.open.version == 2
    assert begun.in_place == 1
    book.add("abandoned", 2)
    assert read(book).open is None
    assert read(book).in_place == 1


def test_an_entry_that_a_store_would_cut_is_refused() -> None:
    entry = Entry(
        kind="found", version=1, over=None, at="", by="", process="", nonce="", previous="",
        why="é" * ENTRY_CHARACTERS,
    )  # fmt: skip
    with pytest.raises(ValueError, match="at most 6000 characters"):
        text_of(entry)


def test_an_entry_of_exactly_what_a_store_keeps_is_taken() -> None:
    entry = Entry(
        kind="found", version=1, over=None, at="", by="", process="", nonce="", previous="", why="-"
    )
    room = ENTRY_CHARACTERS - len(text_of(entry))
    longest = msgspec.structs.replace(entry, why="-" * (room + 1))
    assert len(text_of(longest)) == ENTRY_CHARACTERS
    with pytest.raises(ValueError, match="got 6001"):
        text_of(msgspec.structs.replace(entry, why="-" * (room + 2)))


def test_the_next_entry_must_hold_the_digest_of_the_last() -> None:
    assert read(Book()).head == digest_of(TITLE)
    book = book_of([("promotion", 1), ("found", 2)])
    assert read(book).head == digest_of(book.kept[key_of(3)])


def entry_of(kind: Kind, version: int | None, at: int, process: str = "a") -> Entry:
    return Entry(
        kind=kind, version=version, over=None, at=str(at), by="", process=process, nonce="",
        previous="",
    )  # fmt: skip


def test_each_span_begins_and_ends_when_the_alias_was_moved() -> None:
    """Of a move that another process found done, all that is known is when it began."""
    entries = (
        entry_of("promotion", 1, 1), entry_of("done", 1, 2), entry_of("promotion", 2, 3),
        entry_of("abandoned", 2, 4), entry_of("rollback", 3, 5), entry_of("done", 3, 6, "b"),
        entry_of("found", 4, 7), entry_of("found", None, 8), entry_of("promotion", 5, 9),
        entry_of("done", 5, 10), entry_of("promotion", 6, 11),
    )  # fmt: skip
    spans = history(Ledger(TITLE, entries, ""))
    assert [(span.entry.version, span.since, span.until) for span in spans] == [
        (1, "2", "5"), (3, "5", "7"), (4, "7", "8"), (5, "10", None),
    ]  # fmt: skip
    assert [span.entry for span in spans] == [entries[place] for place in (0, 4, 6, 8)]
    assert [span.is_known for span in spans] == [True, True, False, True]
    (first,) = history(Ledger(TITLE, (entry_of("found", 7, 1),), ""))
    assert (first.since, first.until, first.entry.version) == ("1", None, 7)


def test_a_right_is_told_in_words() -> None:
    plain = entry_of("promotion", 1, 1)

    def told(**changes: object) -> str:
        return right_in_words(msgspec.structs.replace(plain, **changes))

    passed, failed = (
        GatesSummary(passed=2, failed=failed, run_id="r") for failed in ((), ("ece", "mcc"))
    )
    assert told(why=GATES_PASSED, gates=passed) == "gates passed (run r)"
    assert told(why="better", gates=passed) == "gates passed (run r); better"
    assert told(why=GATES_PASSED) == "gates passed"
    assert told(why="now", forced="not judged") == "by force: now; never judged"
    forced = told(why="now", forced="gates", gates=failed)
    assert forced == "by force: now; failed gates: ece, mcc (run r)"
    assert told(why="now", forced="old bounds", gates=passed) == "by force: now; old bounds"
    simulated = told(why=GATES_PASSED, lineage={"run.simulate": "s"})
    assert simulated == "gates passed; simulated market"
