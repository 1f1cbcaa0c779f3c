from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from quantgod.live.feed.snapshots import Snapshots, _Unusable
from quantgod.live.feed.weight import RequestBudget
from quantgod.settings import load_settings

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
    snapshots = Snapshots(FEED, ["BTCUSDT"], budget, lambda notice: None, Random(0))
    response: Any = answer
    return asyncio.run(snapshots._body(response))


@pytest.mark.parametrize("sizes", [[], [FRAME_BYTES], [1, 0, FRAME_BYTES - 1]])
def test_a_body_of_as_many_bytes_as_are_allowed_is_taken(sizes: list[int]) -> None:
    assert body(Answer(sizes)) == bytes(sum(sizes))


@pytest.mark.parametrize("sizes", [[FRAME_BYTES + 1, 7], [FRAME_BYTES, 1, 7]])
def test_a_body_of_one_byte_more_is_refused_before_the_rest_comes(sizes: list[int]) -> None:
    answer = Answer(sizes)
    with pytest.raises(_Unusable, match="more than 1000 bytes"):
        body(answer)
    assert list(answer.left) == [7]
