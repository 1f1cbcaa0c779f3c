from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from quantgod.live.feed import snapshots
from quantgod.live.feed.notices import Notice
from quantgod.live.feed.snapshots import Snapshots, _Unusable
from quantgod.live.feed.weight import RequestBudget
from quantgod.settings import load_settings
from tests.live.engine.answering import until

FRAME_BYTES = 1_000
FEED = load_settings(Path("conf/demo.yaml")).live.feed.model_copy(
    update={"frame_bytes": FRAME_BYTES}
)


class Answer:
    """An answer whose body comes in pieces."""

    def __init__(self, sizes: list[int]) -> None:
        self.content = self
        self._sizes = iter(sizes)

    def iter_chunked(self, size: int) -> Answer:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        size = next(self._sizes, None)
        if size is None:
            raise StopAsyncIteration
        return bytes(size)

    @property
    def left(self) -> Iterator[int]:
        return self._sizes


def body(answer: Answer) -> bytes:
    budget = RequestBudget(20, 2400, 1.0, unsaid_seconds=1.0)
    one = Snapshots(FEED, ["BTCUSDT"], budget, lambda notice: None, Random(0))
    response: Any = answer
    return asyncio.run(one._body(response))


@pytest.mark.parametrize("sizes", [[], [FRAME_BYTES], [1, 0, FRAME_BYTES - 1]])
def test_a_body_of_as_many_bytes_as_are_allowed_is_taken(sizes: list[int]) -> None:
    assert body(Answer(sizes)) == bytes(sum(sizes))


@pytest.mark.parametrize("sizes", [[FRAME_BYTES + 1, 7], [FRAME_BYTES, 1, 7]])
def test_a_body_of_one_byte_more_is_refused_before_the_rest_comes(sizes: list[int]) -> None:
    answer = Answer(sizes)
    with pytest.raises(_Unusable, match="more than 1000 bytes"):
        body(answer)
    assert list(answer.left) == [7]


class Answered:
    """An answer of the venue: what `get` gives, once `given` is done."""

    def __init__(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.status, self.reason, self.headers = status, "Why", headers or {}
        self.content = Answer([len(body)])


class Venue:
    """A session of HTTP that answers when the test says so, and how."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.asked: list[tuple[str, asyncio.Future[Answered]]] = []
        self.keywords: list[dict[str, Any]] = []

    async def __aenter__(self) -> Venue:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close nothing."""

    @asynccontextmanager
    async def get(self, url: str, **keywords: Any) -> AsyncIterator[Answered]:
        assert url == FEED.depth_url
        answer: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self.asked.append((keywords["params"]["symbol"], answer))
        self.keywords.append(keywords)
        yield await answer

    def answer(self, status: int = 200, **given: Any) -> None:
        """Answer the oldest request that waits."""
        waiting = next(one for _, one in self.asked if not one.done())
        waiting.set_result(Answered(status, **given))

    @property
    def waiting(self) -> list[str]:
        return [symbol for symbol, answer in self.asked if not answer.done()]


class Requests:
    """Snapshots of three symbols under test, by a clock that the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        self.venue = Venue()
        self.clock = SimpleNamespace(now=1_000.0)
        self.clock.monotonic = lambda: self.clock.now
        self.notices: list[Notice] = []
        self.delivered: list[tuple[str, int, float]] = []
        self.is_enough = True
        quick = {"retry_seconds": 1e-4, "backoff_limit_seconds": 2e-4, "snapshot_seconds": 60.0}
        settings = FEED.model_copy(update=quick | changes)
        self.budget = RequestBudget(20, 400, 1.0, unsaid_seconds=7.0)
        self.all = Snapshots(settings, "ABC", self.budget, self.notices.append, Random(0))
        monkeypatch.setattr(snapshots, "time", self.clock)
        monkeypatch.setattr(snapshots.aiohttp, "ClientSession", self._session)

    def _session(self, **options: Any) -> Venue:
        self.venue.options = options
        return self.venue

    def take(self, symbol: str, body: bytes, received: float) -> bool:
        self.delivered.append((symbol, len(body), received))
        return self.is_enough

    def run(self, play: Callable[[Requests], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            async with asyncio.timeout(20), self.all.delivering_to(self.take):
                await play(self)
            assert len(asyncio.all_tasks()) == 1, "no request outlives its feed"

        asyncio.run(whole())

    def told(self) -> list[str]:
        return [notice.code for notice in self.notices]


async def turns() -> None:
    """Let everything happen that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_requests_go_one_by_one_until_the_venue_has_answered_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(one: Requests) -> None:
        for symbol in "ABC":
            one.all.ask(symbol)
            one.all.ask(symbol)
        await turns()
        assert one.venue.waiting == ["A"]
        one.venue.answer(body=b"12345")
        await turns()
        assert one.delivered == [("A", 5, 1_000.0)]
        assert one.venue.waiting == ["B", "C"], "it answers: the others go together"
        one.all.ask("A")
        await until(lambda: one.venue.waiting == ["B", "C", "A"])

    requests = Requests(monkeypatch)
    requests.run(play)
    assert requests.venue.options["trust_env"] is True
    assert requests.venue.keywords[0] == {
        "params": {"symbol": "A", "limit": str(FEED.depth_limit)},
        "allow_redirects": False,
    }
    assert requests.told() == []


def test_a_refusal_ends_what_is_under_way_and_requests_go_one_by_one_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(one: Requests) -> None:
        for symbol in "ABC":
            one.all.ask(symbol)
        await turns()
        one.venue.answer()
        await turns()
        one.venue.answer(429, headers={"Retry-After": "9"})
        await until(lambda: len(one.told()) == 1)
        assert one.budget.held(1_000.0) == 9.0
        await asyncio.sleep(0.01)
        assert len(one.venue.asked) == 3, "nothing is asked while it must not be"
        one.clock.now = 1_009.0
        for task in one.all._tasks.values():
            assert not task.done()

    requests = Requests(monkeypatch)
    requests.run(play)
    assert requests.told() == ["rate_limited"], "what was cancelled by it has not failed"
    assert requests.notices[0].text == "HTTP 429: no request for 9.0 s"
    assert requests.notices[0].symbols == ("B",)


@pytest.mark.parametrize(
    ("headers", "seconds", "said"),
    [({"Retry-After": "0"}, 0.0, ""), ({}, 7.0, " (it did not say for how long)")],
)
def test_a_demand_to_wait_is_told_with_its_length(
    headers: dict[str, str], seconds: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(one: Requests) -> None:
        one.all.ask("A")
        await turns()
        one.venue.answer(418, headers=headers)
        await until(lambda: len(one.told()) == 1)

    requests = Requests(monkeypatch)
    requests.run(play)
    assert requests.notices[0].text == f"HTTP 418: no request for {seconds:.1f} s{said}"


def test_after_a_refusal_that_is_over_one_request_goes_before_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(one: Requests) -> None:
        for symbol in "ABC":
            one.all.ask(symbol)
        await turns()
        one.venue.answer()
        await turns()
        one.venue.answer(429, headers={"Retry-After": "0"})  # B is refused, C is cut off
        await until(lambda: len(one.venue.asked) == 4)
        await asyncio.sleep(0.01)
        assert len(one.venue.asked) == 4, "B and C want to ask, and one of them does"
        one.venue.asked[3][1].set_result(Answered(200))
        await until(lambda: len(one.venue.asked) == 5)
        assert {symbol for symbol, _ in one.venue.asked[3:]} == {"B", "C"}

    Requests(monkeypatch).run(play)


def test_a_request_that_fails_is_told_and_made_again_after_a_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(one: Requests) -> None:
        one.all.ask("A")
        for number in range(1, 4):
            await until(lambda: len(one.venue.waiting) == 1)
            assert one.all._backoffs["A"].failures == number - 1
            one.venue.answer(503)
        await until(lambda: len(one.venue.waiting) == 1)
        one.is_enough = False
        one.venue.answer(body=b"old")
        await until(lambda: len(one.venue.waiting) == 1)
        one.is_enough = True
        one.venue.answer(body=b"new!")
        await until(lambda: not one.all._tasks)
        one.all.succeeded("A")
        one.all.ask("A")
        await turns()
        assert one.venue.waiting == ["A"], "after a success it waits no more"
        assert one.all._backoffs["A"].failures == 0

    requests = Requests(monkeypatch)
    requests.run(play)
    assert requests.told() == ["snapshot_failed"] * 3
    assert requests.notices[0].text.endswith(": _Unusable: HTTP 503 Why")
    assert [size for _, size, _ in requests.delivered] == [3, 4]


def test_no_answer_in_time_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(one: Requests) -> None:
        one.all.ask("A")
        await until(lambda: len(one.told()) == 2)

    requests = Requests(monkeypatch, snapshot_seconds=0.002)
    requests.run(play)
    assert set(requests.told()) == {"snapshot_failed"}
    assert "no answer within 0.002 s" in requests.notices[0].text


def test_a_request_that_is_forgotten_has_not_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """But one that had failed before waits on, also for another connection."""

    async def play(one: Requests) -> None:
        one.all.forget("A")
        one.all.ask("A")
        await turns()
        one.all.forget("A")
        await turns()
        one.all.ask("A")
        await turns()
        assert len(one.venue.asked) == 2, "at once"
        assert one.all._backoffs["A"].failures == 0
        one.venue.asked[1][1].set_result(Answered(500))
        await until(lambda: len(one.venue.asked) == 3)
        one.all.forget("A")
        assert one.all._unproven == {"A"}
        one.all.ask("A")
        await until(lambda: len(one.venue.asked) == 4)
        assert one.all._backoffs["A"].failures == 2

    Requests(monkeypatch).run(play)


def test_a_spent_share_is_told_once_a_wait_and_a_demand_to_wait_is_not_told_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []

    async def play(one: Requests) -> None:
        sleep = asyncio.sleep

        async def slept(seconds: float) -> None:
            waits.append(seconds)
            one.clock.now += seconds
            await sleep(0)

        for second in (999.5, *[1_000.0] * 19):
            one.budget.spend(second)
        monkeypatch.setattr(snapshots.asyncio, "sleep", slept)
        await one.all._allowed("A")
        assert one.clock.now == 1_059.5
        one.budget.hold(1_059.5, 0.25)
        await one.all._allowed("B")
        monkeypatch.setattr(snapshots.asyncio, "sleep", sleep)

    requests = Requests(monkeypatch)
    requests.run(play)
    assert waits == [59.5, 0.5]
    assert requests.told() == ["weight_spent"]
    assert requests.notices[0].text.endswith("is spent: waiting 59.5 s")


def test_what_a_receiver_raises_is_its_failure_and_nothing_else_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(one: Requests) -> None:
        assert one.all.failure() is None
        one.all.ask("A")
        one.all.ask("B")
        await turns()
        assert one.all.failure() is None
        one.all._tasks["B"].cancel()
        await turns()
        assert one.all.failure() is None, "who was cancelled has not failed"
        monkeypatch.setattr(one.all, "_deliver", lambda *_: 1 / 0)
        one.venue.answer()
        await until(lambda: one.all.failure() is not None)
        assert isinstance(one.all.failure(), ZeroDivisionError)

    Requests(monkeypatch).run(play)
