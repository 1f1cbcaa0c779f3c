"""What a client has subscribed to, and the answers to its requests."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from quantgod.simulation.exchange.subscriptions import Subscriptions


def ask(one: Subscriptions, method: str, *names: Any, request_id: Any = 1) -> Any:
    return json.loads(one.answer(json.dumps({"method": method, "params": names, "id": request_id})))


def test_names_come_once_and_depth_by_its_symbol() -> None:
    audience = asyncio.Event()
    one = Subscriptions(["b@depth", "a@trade", "b@depth"], audience, has_depth=True)
    assert audience.is_set()
    assert ask(one, "LIST_SUBSCRIPTIONS") == {"result": ["b@depth", "a@trade"], "id": 1}
    assert ask(one, "SUBSCRIBE", "b@depth@100ms", "b@depth", request_id="x") == {
        "result": None,
        "id": "x",
    }
    assert one.depth == {"B": [b"b@depth", b"b@depth@100ms"]}
    assert ask(one, "UNSUBSCRIBE", "b@depth", "c@depth") == {"result": None, "id": 1}
    assert one.depth == {"B": [b"b@depth@100ms"]}
    assert ask(one, "LIST_SUBSCRIPTIONS")["result"] == ["a@trade", "b@depth@100ms"]


@pytest.mark.parametrize(
    ("names", "has_depth"), [([], True), (["a@trade", "a"], True), (["a@depth"], False)]
)
def test_without_depth_nobody_listens(names: list[str], has_depth: bool) -> None:
    audience = asyncio.Event()
    one = Subscriptions(names, audience, has_depth=has_depth)
    assert not audience.is_set()
    assert one.depth == {}
    assert ask(one, "LIST_SUBSCRIPTIONS")["result"] == names


@pytest.mark.parametrize(
    ("text", "request_id", "words"),
    [
        ("no json", None, "an object with method, params and id expected"),
        ("[1]", None, "an object with method, params and id expected"),
        ('{"id":3}', None, "an object with method, params and id expected"),
        ('{"method":"SUBSCRIBE","params":"a@depth","id":3}', 3, "params: a list of stream names"),
        ('{"method":"SUBSCRIBE","params":["a@depth",1],"id":3}', 3, "params: a list of stream"),
        ('{"method":"FORGET","params":["a@depth"],"id":3}', 3, "unknown method FORGET"),
        ('{"method":"FORGET"}', None, "unknown method FORGET"),
    ],
)
def test_what_cannot_be_read_is_answered_with_an_error(
    text: str, request_id: Any, words: str
) -> None:
    one = Subscriptions(["a@trade"], asyncio.Event(), has_depth=True)
    told = json.loads(one.answer(text))
    assert told["id"] == request_id
    assert told["error"]["code"] == 2
    assert told["error"]["msg"].startswith(f"Invalid request: {words}")
    assert ask(one, "LIST_SUBSCRIPTIONS")["result"] == ["a@trade"]
