"""Two connections tell the same chain of updates; one takes over from the other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quantgod.live.feed.handover import Handover, HeldMessage, Link, Position

SYMBOL = "BTCUSDT"


def _chain(strides: list[int]) -> list[Link]:
    links, last = [], 1000
    for number, stride in enumerate(strides):
        links.append(Link(last, last + stride, 100 * number))
        last += stride
    return links


def _held(link: Link | None, name: str = "") -> HeldMessage:
    return HeldMessage((name or repr(link)).encode(), 0.0, link)


def _at(link: Link) -> Position:
    return Position(link.final, link.ts)


@given(st.data())
def test_whatever_the_lag_of_either_nothing_is_lost_or_told_twice(data: st.DataObject) -> None:
    chain = _chain(data.draw(st.lists(st.integers(1, 50), min_size=4, max_size=40)))
    # The old connection has told some events before the second opens, which begins at any of them.
    told = data.draw(st.integers(1, len(chain)))
    begins = data.draw(st.integers(max(0, told - 3), len(chain)))
    handover = Handover([SYMBOL], 1000)
    applied = chain[:told]
    handover.stands(SYMBOL, _at(applied[-1]))
    old, new = chain[told:], chain[begins:]
    while not handover.has_met(SYMBOL) and (old or new):
        if old and (not new or data.draw(st.booleans())):
            applied.append(old.pop(0))
            handover.stands(SYMBOL, _at(applied[-1]))
        else:
            handover.hold(SYMBOL, _held(new.pop(0)))
    if handover.has_met(SYMBOL):
        held = [one.link for one in handover.rest(SYMBOL, _at(applied[-1]))]
        later = [link for link in new if not _at(applied[-1]).knows(link)]
        assert applied + [link for link in held if link] + later == chain
    else:
        assert not old
        assert applied == chain  # the second connection began after the end: nothing to take over


def test_chains_that_share_no_id_never_meet() -> None:
    handover = Handover([SYMBOL], 1000)
    for number in range(50):
        handover.stands(SYMBOL, Position(1000 + 10 * number, number))
        handover.hold(SYMBOL, _held(Link(993 + 10 * number, 1003 + 10 * number, number)))
    assert not handover.has_met(SYMBOL)


def test_they_meet_where_the_old_one_is_always_an_event_ahead() -> None:
    handover, chain = Handover([SYMBOL], 1000), _chain([3] * 10)
    handover.stands(SYMBOL, _at(chain[4]))
    handover.stands(SYMBOL, _at(chain[5]))
    handover.hold(SYMBOL, _held(chain[4]))
    assert handover.has_met(SYMBOL)
    assert handover.rest(SYMBOL, _at(chain[5])) == []


def test_what_cannot_be_read_is_kept_unless_the_book_went_past_it() -> None:
    handover, chain = Handover([SYMBOL], 1000), _chain([3] * 6)
    handover.stands(SYMBOL, _at(chain[0]))
    for held in (_held(chain[1]), _held(None, "early"), _held(chain[2]), _held(None, "late")):
        handover.hold(SYMBOL, held)
    assert [held.data for held in handover.rest(SYMBOL, _at(chain[2]))] == [b"late"]
    assert len(handover.rest(SYMBOL, _at(chain[1]))) == 3


def test_an_older_id_with_a_later_time_is_not_taken_for_a_repetition() -> None:
    position = Position(5000, 1_000)
    assert position.knows(Link(4990, 5000, 1_000))
    assert not position.knows(Link(10, 20, 2_000))
    assert not Position(-1, 0).knows(Link(10, 20, 0))


def test_it_is_full_when_either_connection_runs_on_alone() -> None:
    alone = Handover([SYMBOL, "ETHUSDT"], 5)
    for link in _chain([1] * 5):
        assert not alone.is_full
        alone.hold(SYMBOL, _held(link))
    assert alone.is_full
    other = Handover([SYMBOL], 5)
    for link in _chain([1] * 5):
        other.stands(SYMBOL, _at(link))
    assert other.is_full


def test_a_book_at_the_first_of_all_ids_stands_and_one_that_does_not_stand_meets_nobody() -> None:
    first, none = Position(0, 100), Position(-1, 0)
    assert first.knows(Link(-3, 0, 100))
    for position, meets in ((first, True), (none, False)):
        handover = Handover([SYMBOL], 1000)
        handover.stands(SYMBOL, position)
        handover.hold(SYMBOL, _held(Link(position.last, 5, 200)))
        assert handover.has_met(SYMBOL) is meets
        assert len(handover.rest(SYMBOL, position)) == 1


def test_once_they_have_met_they_have_met_and_what_the_book_knows_is_let_go() -> None:
    handover, chain = Handover([SYMBOL], 3), _chain([3] * 40)
    handover.stands(SYMBOL, _at(chain[0]))
    handover.hold(SYMBOL, _held(chain[1]))
    for place, link in enumerate(chain[2:30], start=2):
        handover.hold(SYMBOL, _held(link))
        assert handover.has_met(SYMBOL)
        assert not handover.is_full
        handover.stands(SYMBOL, _at(chain[place]))
        assert handover.rest(SYMBOL, _at(chain[place])) == []
    for link in chain[30:33]:
        handover.hold(SYMBOL, _held(link))
    assert handover.is_full
    assert [held.link for held in handover.rest(SYMBOL, _at(chain[30]))] == chain[31:33]


def test_an_update_of_the_same_ids_and_a_later_time_is_not_known() -> None:
    position = Position(5000, 1_000)
    assert not position.knows(Link(4990, 5000, 1_001))
    assert not position.knows(Link(4990, 5001, 1_000))
    assert position.knows(Link(4990, 4999, 999))
