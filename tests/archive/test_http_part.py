"""One attempt to fetch the rest of a file: what is asked, and what each answer means."""

from __future__ import annotations

import asyncio
import datetime as dt
from types import SimpleNamespace

import aiohttp
import pytest

from quantgod.archive.http_part import (
    AbsentFileError,
    InterruptedTransferError,
    Part,
    RefusedFileError,
    fetch_rest,
    retry_after,
)


@pytest.fixture
def part(tmp_path):
    return Part(tmp_path / "a" / "b" / "day.zip")


def begun(part, content=b"12345", version='"v1"'):
    with part.start(version) as file:
        file.write(content)
    return part


class Answer:
    """An answer and, as it is used here, the session that gives it."""

    def __init__(self, status, body=b"", length=None, error=None, **headers):
        self.status, self.reason, self.content_length = status, "Why", length
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.body, self.error, self.content = body, error, self
        self.asked = None

    def get(self, _url, headers):
        self.asked = headers
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def iter_chunked(self, _size):
        for place in range(0, len(self.body), 3):
            yield self.body[place : place + 3]
        if self.error:
            raise self.error


def fetched(part, answer):
    counts = []
    asyncio.run(fetch_rest(answer, "http://x", part, counts.append))
    return counts


def refused(part, answer, error=InterruptedTransferError):
    with pytest.raises(error) as caught:
        fetched(part, answer)
    return str(caught.value)


def test_a_part_is_beside_its_target_and_becomes_it(part):
    assert (part.size(), part.version()) == (0, None)
    part.discard()
    begun(part)
    assert (part.size(), part.version()) == (5, '"v1"')
    with part.more() as file:
        file.write(b"67")
    assert sorted(path.name for path in part.target.parent.iterdir()) == [
        "day.zip.part", "day.zip.part.version"
    ]  # fmt: skip
    part.finish()
    assert [path.name for path in part.target.parent.iterdir()] == ["day.zip"]
    assert part.target.read_bytes() == b"1234567"
    begun(part, version=None)
    assert (part.size(), part.version()) == (5, None)
    part.path.with_name("day.zip.part.version").unlink()
    assert part.version() is None
    part.finish()
    assert part.target.read_bytes() == b"12345"
    begun(part).discard()
    assert (part.size(), part.version()) == (0, None)


@pytest.mark.parametrize(("content", "version", "asked"), [
    (b"", '"v1"', {}), (b"1", '"v1"', {"Range": "bytes=1-", "If-Range": '"v1"'}),
    (b"12345", '"v1"', {"Range": "bytes=5-", "If-Range": '"v1"'}), (b"12345", None, {}),
])  # fmt: skip
def test_only_the_rest_of_a_known_version_is_asked_for(content, version, asked, part):
    answer = Answer(200, b"whole", 5)
    fetched(begun(part, content, version), answer)
    assert answer.asked == asked


@pytest.mark.parametrize("length", [None, 7])
def test_a_whole_answer_starts_the_part_anew(length, part):
    assert fetched(begun(part), Answer(200, b"7654321", length, ETag='"v2"')) == [3, 3, 1]
    assert part.path.read_bytes() == b"7654321"
    assert part.version() == '"v2"'


@pytest.mark.parametrize(("headers", "version"), [
    ({"ETag": '"x"', "Last_Modified": "Mon"}, '"x"'), ({"ETag": 'W/"x"'}, None), ({}, None),
    ({"ETag": 'W/"x"', "Last_Modified": "Mon"}, "Mon"), ({"Last_Modified": "Mon"}, "Mon"),
])  # fmt: skip
def test_a_version_is_a_strong_tag_or_a_date(headers, version, part):
    fetched(part, Answer(200, b"1", 1, **headers))
    assert part.version() == version


@pytest.mark.parametrize("tag", [{"ETag": '"v1"'}, {}])
def test_a_partial_answer_goes_on_with_the_part(tag, part):
    answer = Answer(206, b"678", 3, Content_Range="bytes 5-7/8", **tag)
    assert fetched(begun(part), answer) == [3]
    assert part.path.read_bytes() == b"12345678"


@pytest.mark.parametrize(
    "told", ["bytes 4-7/8", "bytes 6-7/8", "bytes */8", "5-7/8", "", "bytes 5-7/*"]
)
def test_a_partial_answer_of_another_place_costs_the_part(told, part):
    assert "another place" in refused(begun(part), Answer(206, b"678", Content_Range=told))
    assert part.size() == 0


def test_a_partial_answer_of_another_version_costs_the_part(part):
    answer = Answer(206, b"678", Content_Range="bytes 5-7/8", ETag='"v2"')
    assert "has changed" in refused(begun(part), answer)
    assert part.size() == 0


@pytest.mark.parametrize(("total", "left"), [(7, 0), (9, 8)])
def test_bytes_that_are_not_as_many_as_announced_are_an_interruption(total, left, part):
    """What is too long is of no use; what is too short is gone on with."""
    answer = Answer(206, b"678", Content_Range=f"bytes 5-7/{total}")
    assert refused(begun(part), answer) == f"8 bytes came where {total} were announced"
    assert part.size() == left


@pytest.mark.parametrize(("told", "is_whole"), [
    ("bytes */5", True), ("bytes */4", False), ("bytes */6", False), ("", False),
])  # fmt: skip
def test_a_range_that_cannot_be_is_a_part_that_is_whole_or_of_no_use(told, is_whole, part):
    begun(part)
    if is_whole:
        assert fetched(part, Answer(416, Content_Range=told)) == []
    else:
        assert "longer than the file" in refused(part, Answer(416, Content_Range=told))
    assert part.size() == 5 * is_whole


@pytest.mark.parametrize(("status", "error"), [
    (403, AbsentFileError), (404, AbsentFileError), (410, AbsentFileError),
    *((status, InterruptedTransferError) for status in (408, 425, 429, 500, 502, 503, 504)),
    *((status, RefusedFileError) for status in (201, 204, 301, 400, 401, 405, 501, 505)),
])  # fmt: skip
def test_answers_are_absences_interruptions_or_refusals(status, error, part):
    begun(part)
    with pytest.raises(error, match=f"HTTP {status} Why") as caught:
        fetched(part, Answer(status, Retry_After="7"))
    assert part.size() == 5
    assert getattr(caught.value, "is_forbidden", False) == (status == 403)
    assert getattr(caught.value, "retry_after", 7.0) == 7.0


@pytest.mark.parametrize("error", [aiohttp.ClientPayloadError("cut"), TimeoutError()])
def test_a_lost_connection_keeps_what_came(error, part):
    assert "connection lost" in refused(part, Answer(200, b"1234", 9, error, ETag='"v1"'))
    assert part.size() == 4


def test_an_address_that_is_none_is_a_refusal(part):
    def get(_url, headers):
        raise aiohttp.InvalidURL("x")

    refused(part, SimpleNamespace(get=get), RefusedFileError)


NOW = "Wed, 01 Jan 2025 00:00:10 GMT"


@pytest.mark.parametrize(("told", "date", "seconds"), [
    ("7", None, 7.0), (" 0 ", None, 0.0), ("", None, None), ("soon", None, None),
    ("-5", None, None),
    ("\u00b2", None, None), ("1.5", None, None), ("Wed, 01 Jan 2025 00:00:40 GMT", NOW, 30.0),
    ("Wed, 01 Jan 2025 00:00:40 -0000", NOW, 30.0), ("Wed, 01 Jan 2025 01:00:40 +0100", NOW, 30.0),
    ("Wed, 01 Jan 2025 00:00:00 GMT", NOW, 0.0), ("Wed, 01 Jan 2025 00:00:11 GMT", NOW, 1.0),
    ("Wed, 99 Jan 2025 00:00:11 GMT", NOW, None),
])  # fmt: skip
def test_a_wait_is_a_number_or_a_date_on_the_server_s_clock(told, date, seconds):
    headers = {"Retry-After": told} | ({"Date": date} if date else {})
    assert retry_after(headers) == seconds


def test_a_wait_until_a_date_counts_from_now_where_the_server_tells_no_time():
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    found = retry_after({"Retry-After": f"{later:%a, %d %b %Y %H:%M:%S} GMT"})
    assert 3_500 < found <= 3_600
    assert retry_after({}) is None
