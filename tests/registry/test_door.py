"""What the server does with a request before the chain sees it, without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest

from quantgod.registry.chain import InputError
from quantgod.registry.server import Door, check_body

SPLIT = {"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}
JSON = [(b"content-type", b"application/json")]
BODY = json.dumps({"dataframe_split": SPLIT}).encode()
POST = {"type": "http", "method": "POST", "path": "/invocations", "headers": JSON}


def asked(
    messages: Iterable[dict[str, Any]], limit: int = 1_000, **scope: Any
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Send messages as a server does; what the application was given, or what was answered."""
    given: list[dict[str, Any]] = []
    sent: list[dict[str, Any]] = []
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(waiting)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        given.append(await receive())
        given.append(await receive())

    asyncio.run(Door(app, limit)(POST | scope, receive, send))
    if not sent:
        return given, None
    start, body = sent
    assert start["status"] == 400
    headers = dict(start["headers"])
    assert headers[b"content-length"] == b"%d" % len(body["body"])
    assert headers[b"content-type"] == b"application/json"
    return given, json.loads(body["body"])


def part(content: bytes, **more: Any) -> dict[str, Any]:
    return {"type": "http.request", "body": content, **more}


LATER = {"type": "http.disconnect"}


@pytest.mark.parametrize(
    "parts",
    [
        [part(BODY)],
        [part(BODY, more_body=False)],
        [part(BODY[:9], more_body=True), part(BODY[9:])],
        [part(b"", more_body=True), part(BODY, more_body=True), {"type": "http.request"}],
    ],
)
def test_a_body_is_handed_on_whole_and_then_what_comes_later(parts: list[dict[str, Any]]) -> None:
    given, answer = asked([*parts, LATER], len(BODY))
    assert answer is None
    assert given == [{"type": "http.request", "body": BODY}, LATER]


@pytest.mark.parametrize(
    "parts", [[part(BODY)], [part(BODY[:-1], more_body=True), part(BODY[-1:])]]
)
def test_a_byte_more_than_the_limit_is_refused(parts: list[dict[str, Any]]) -> None:
    given, answer = asked(parts, len(BODY) - 1)
    assert given == [] and answer is not None
    assert answer["code"] == "body_too_large"
    assert answer["reason"].startswith(f"{len(BODY)} bytes posted, at most {len(BODY) - 1} are")


def test_a_body_that_breaks_off_is_judged_as_what_came() -> None:
    given, answer = asked([part(BODY[:9], more_body=True), LATER])
    assert given == [] and answer is not None and answer["code"] == "bad_json"
    given, answer = asked([part(BODY, more_body=True), LATER, {"type": "last"}])
    assert answer is None and given[1] == {"type": "last"}


@pytest.mark.parametrize(
    "scope", [{"type": "lifespan"}, {"method": "GET"}, {"path": "/ping"}, {"method": "PUT"}]
)
def test_anything_but_a_post_of_rows_goes_on_as_it_came(scope: dict[str, str]) -> None:
    assert asked([part(b"{"), LATER], **scope) == ([part(b"{"), LATER], None)


@pytest.mark.parametrize(
    ("kind", "came"),
    [
        (None, "Content-Type application/json expected, got none"),
        ("", "got none"),
        ("text/csv", "got text/csv"),
        ("application/json; charset=latin-1", "JSON in UTF-8 expected, got application/json;"),
    ],
)
def test_a_type_that_is_not_json_is_told(kind: str | None, came: str) -> None:
    headers = [] if kind is None else [(b"content-type", kind.encode())]
    _, answer = asked([part(BODY)], headers=headers)
    assert answer is not None and answer["code"] == "not_json" and came in answer["reason"]


@pytest.mark.parametrize(
    "kind", ["application/json;", ' Application/JSON ; charset="UTF-8"', "application/json"]
)
def test_json_may_be_named_in_several_ways(kind: str) -> None:
    assert asked([part(BODY), LATER], headers=[(b"content-type", kind.encode())])[1] is None


NO_SPLIT = "dataframe_split: columns and data expected"


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ({}, None),
        ({"index": None}, None),
        ({"index": [7, 8]}, None),
        ({"data": []}, None),
        ({"columns": [], "data": [[], []]}, None),
        ({"index": 5}, "a list of 2 entries expected as index"),
        ({"index": "ab"}, "a list of 2 entries expected as index"),
        ({"index": [7]}, "a list of 2 entries expected as index"),
        ({"more": 1}, NO_SPLIT),
        ({"columns": 5}, "a list of names expected as columns"),
        ({"columns": "ab"}, "a list of names expected as columns"),
        ({"columns": ["a", 1]}, "a list of names expected as columns"),
        ({"data": 5}, "a list of rows expected as data"),
        ({"data": "ab"}, "a list of rows expected as data"),
        ({"data": [[1, 2], "ab"]}, 'row 1: a list of 2 values expected, got "ab"'),
        ({"data": [7]}, "row 0: a list of 2 values expected, got 7"),
        ({"data": [[1, 2], [3]]}, "row 1: a list of 2 values expected, got 1 values"),
        ({"data": [[1, 2], [3, 4], [5, 6, 7]]}, "row 2: a list of 2 values expected, got 3"),
    ],
)
def test_rows_under_columns_have_one_form(table: dict[str, Any], wrong: str | None) -> None:
    checked({"dataframe_split": SPLIT | table}, wrong)


def checked(posted: Any, wrong: str | None) -> None:
    body = json.dumps(posted).encode()
    if wrong is None:
        check_body(body)
        return
    with pytest.raises(InputError) as refused:
        check_body(body)
    assert refused.value.code == "bad_form" and wrong in refused.value.reason


@pytest.mark.parametrize(
    ("posted", "wrong"),
    [
        ({"dataframe_records": []}, None),
        ({"dataframe_records": [{"a": 1}, {}]}, None),
        ({"dataframe_records": [{"a": 1}], "params": 1}, None),
        ({"dataframe_records": {"a": 1}}, "dataframe_records: a list of records expected"),
        ({"dataframe_records": [{"a": 1}, [1]]}, "row 1: an object expected, got [1]"),
        ({"dataframe_split": [1]}, NO_SPLIT),
        ({"dataframe_split": {"columns": []}}, NO_SPLIT),
        ({"dataframe_split": {"data": []}}, NO_SPLIT),
        ({"dataframe_split": SPLIT, "dataframe_records": []}, "expected, got an object with data"),
        ({"a": 1, "b": 2}, "expected, got an object with a, b"),
        (["dataframe_split"], "expected, got no object"),
        ("dataframe_split", "expected, got no object"),
    ],
)
def test_one_form_is_expected(posted: Any, wrong: str | None) -> None:
    checked(posted, wrong)


def test_names_given_twice_in_an_object_are_told_and_no_others() -> None:
    with pytest.raises(InputError) as refused:
        check_body(b'{"dataframe_records": [{"a": 1, "b": 2, "a": 3, "c": 4, "c": 5}]}')
    assert refused.value.code == "duplicate_column"
    assert refused.value.reason == "a, c given twice in one object"
