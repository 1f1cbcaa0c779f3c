"""The download against a real server on loopback that fails in every way a server can."""

import asyncio
import datetime as dt
import email.utils
import io
import os
import random
import signal
import threading
import time
import zipfile

import pytest
from aiohttp import web

from quantgod.archive import fetching
from quantgod.archive.download import archive_names, download
from quantgod.archive.http_part import fetch_rest
from quantgod.settings import DownloadSettings
from tests.archive.feeds import FULL

FIRST = dt.date(2025, 8, 19)
NAME = "2025-08-19_BTCUSDT_ob500.data.zip"


def _zip(seed: int, size: int = 60_000) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("day.data", random.Random(seed).randbytes(size))
    return packed.getvalue()


class Server:
    """Serves `files` by name with ranges and ETags; `script` holds a file's next misbehaviours."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.script: dict[str, list] = {}
        self.requests: list[tuple[str, dict[str, str], float]] = []
        self.busy = self.busiest = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    def _run(self):
        self._loop.run_until_complete(self._serve())

    async def _serve(self):
        self._stop = asyncio.Event()
        app = web.Application()
        app.router.add_get("/data/{where:.+}/{name}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/data"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request):
        where, name = request.match_info["where"], request.match_info["name"]
        headers = {key.lower(): value for key, value in request.headers.items()}
        self.requests.append((name, headers, time.monotonic()))
        self.busy += 1
        self.busiest = max(self.busy, self.busiest)
        try:
            content = self.files.get(name, self.files.get(f"{where.split('/')[0]}/{name}"))
            if content is None:
                return web.Response(status=404)
            steps = self.script.get(name, [])
            return await (steps.pop(0) if steps else sound)(request, content)
        finally:
            self.busy -= 1

    def ranges(self, name=NAME):
        return [headers.get("range") for asked, headers, _ in self.requests if asked == name]


async def sound(request, content, *, if_range=True, etag=None):
    """A good server: ETag, Range and If-Range."""
    etag = etag or f'"{hash(content)}"'
    wanted = request.http_range.start
    if wanted is None or (if_range and request.headers.get("If-Range") != etag):
        return web.Response(body=content, headers={"ETag": etag})
    headers = {"ETag": etag, "Content-Range": f"bytes */{len(content)}"}
    if wanted >= len(content):
        return web.Response(status=416, headers=headers)
    headers["Content-Range"] = f"bytes {wanted}-{len(content) - 1}/{len(content)}"
    return web.Response(status=206, body=content[wanted:], headers=headers)


def drops_after(count, *, version=True, wait=0.0):
    """Announces all that was asked for, sends `count` bytes, waits, and cuts the connection."""

    async def answer(request, content):
        begin = request.http_range.start
        headers = {"ETag": f'"{hash(content)}"'} if version else {}
        if begin is not None:
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        rest = content[begin or 0 :]
        response = web.StreamResponse(status=206 if begin else 200, headers=headers)
        response.content_length = len(rest)
        await response.prepare(request)
        await response.write(rest[:count])
        await asyncio.sleep(wait)
        request.transport.abort()
        return response

    return answer


def says(status, **headers):
    async def answer(_request, _content):
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return web.Response(status=status, headers=named)

    return answer


def serves(content, **options):
    """Another content than the file's."""

    async def answer(request, _content):
        return await sound(request, content, **options)

    return answer


async def ignores_range(_request, content):
    return web.Response(body=content, headers={"ETag": f'"{hash(content)}"'})


async def chunked_without_length(request, content):
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(content)
    return response


@pytest.fixture
def folder(tmp_path):
    """Where archives of the series go, below the folder of all archives."""
    own = tmp_path / "linear" / "BTCUSDT"
    own.mkdir(parents=True)
    return own


@pytest.fixture
def server():
    with Server() as running:
        running.files[NAME] = _zip(1)
        yield running


def _fetch(server, folder, *, days=1, progress=None, market="linear", **changes):
    archives = folder.parents[1]
    data = FULL.data.model_copy(update={"archives": archives, "market": market})
    values = {
        "base_url": server.url,
        "first_day": FIRST,
        "last_day": FIRST + dt.timedelta(days=days - 1),
        "concurrency": 3,
        "attempts": 4,
        "backoff_seconds": 0.01,
        "backoff_limit_seconds": 0.05,
        "timeout_seconds": 2.0,
    }
    settings = DownloadSettings(**(values | changes))
    return download(data, settings, *([progress] if progress else []))


def _left(directory):
    return sorted(path.name for path in directory.iterdir())


def _flipped(content):
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    return bytes(changed)


FAILURES = {
    "nothing": [],
    "drops": [drops_after(20_000), drops_after(10_000)],
    "drops before the first byte": [drops_after(0)],
    "drops, then ignores ranges": [drops_after(20_000), ignores_range],
    "drops without a version": [drops_after(20_000, version=False)],
    "errors": [says(500), says(502), says(504)],
    "is busy": [says(429, Retry_After="0"), says(503)],
    "serves a truncated zip": [serves(_zip(1)[:40_000])],
    "serves a wrong crc": [serves(_flipped(_zip(1)))],
    "serves an error page as 200": [serves(b"<html>try later</html>")],
    "stalls": [drops_after(20_000, wait=30.0)],
    "continues a changed file": [
        drops_after(20_000),
        serves(_zip(2), etag='"2"', if_range=False),
    ],
    "continues elsewhere": [drops_after(20_000), says(206, Content_Range="bytes 5-9/10")],
    "continues without saying where": [drops_after(20_000), says(206)],
    "tells no length": [chunked_without_length],
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_day_arrives_whole_although_the_server(failure, server, folder):
    server.script[NAME] = list(FAILURES[failure])
    report = _fetch(server, folder, timeout_seconds=0.5)
    assert report.fetched == (str(FIRST),)
    assert not report.failed
    assert _left(folder) == [NAME]
    assert (folder / NAME).read_bytes() == server.files[NAME]
    assert server.script[NAME] == []


def test_a_cut_file_is_continued_where_it_broke_off(server, folder):
    server.script[NAME] = [drops_after(20_000), drops_after(0)]
    server.files[NAME] = _zip(1, 3_000_000)
    report = _fetch(server, folder)
    assert server.ranges() == [None, "bytes=20000-", "bytes=20000-"]
    assert report.bytes == len(server.files[NAME])


def test_a_changed_file_is_fetched_anew(server, folder):
    new = _zip(9, 50_000)
    server.script[NAME] = [drops_after(20_000), serves(new), serves(new)]
    _fetch(server, folder)
    assert (folder / NAME).read_bytes() == new


@pytest.mark.parametrize(
    "wrong",
    [_zip(1)[:40_000], _flipped(_zip(1)), b"", b"not a zip at all"],
    ids=["truncated", "wrong crc", "empty", "text"],
)
def test_a_file_that_stays_wrong_never_gets_its_name(wrong, server, folder):
    server.files[NAME] = wrong
    report = _fetch(server, folder)
    assert report.fetched == ()
    assert "zip" in report.failed[str(FIRST)] or "CRC" in report.failed[str(FIRST)]
    assert "after 4 attempts" in report.failed[str(FIRST)]
    assert len(server.requests) == 4
    assert _left(folder) == []


def test_a_server_that_stays_down_fails_the_day_and_keeps_the_part(server, folder):
    server.script[NAME] = [drops_after(20_000)] + [says(500)] * 9
    report = _fetch(server, folder)
    assert report.failed == {str(FIRST): "HTTP 500 Internal Server Error, after 4 attempts"}
    assert _left(folder) == [f"{NAME}.part", f"{NAME}.part.version"]
    again = _fetch(server, folder, attempts=20)
    assert again.fetched == (str(FIRST),)
    assert again.bytes < len(server.files[NAME])
    assert _left(folder) == [NAME]


def test_a_whole_part_is_only_checked(server, folder):
    content = server.files[NAME]
    (folder / f"{NAME}.part").write_bytes(content)
    (folder / f"{NAME}.part.version").write_text(f'"{hash(content)}"')
    report = _fetch(server, folder)
    assert report.fetched == (str(FIRST),)
    assert report.bytes == 0


def test_a_part_longer_than_the_file_starts_over(server, folder):
    content = server.files[NAME]
    (folder / f"{NAME}.part").write_bytes(content + b"more")
    (folder / f"{NAME}.part.version").write_text(f'"{hash(content)}"')
    assert _fetch(server, folder).fetched == (str(FIRST),)
    assert (folder / NAME).read_bytes() == content


@pytest.mark.long
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured_on_every_day(form, server, folder):
    later = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2))
    told = {"seconds": "1", "date": later.replace("+0000", "GMT")}[form]
    for name in (NAME, NAME.replace("08-19", "08-20")):
        server.files[name] = _zip(3)
    server.script[NAME] = [says(429, Retry_After=told)]
    report = _fetch(server, folder, days=2, concurrency=1)
    assert len(report.fetched) == 2
    times = [moment for _, _, moment in server.requests]
    assert times[1] - times[0] > 0.9


def test_a_wait_of_hours_fails_the_day_at_once(server, folder):
    server.script[NAME] = [says(503, Retry_After="86400")]
    report = _fetch(server, folder)
    assert "asked to wait 86400 s" in report.failed[str(FIRST)]


def test_a_refusal_is_not_asked_twice(server, folder):
    server.script[NAME] = [says(401)] * 5
    report = _fetch(server, folder)
    assert report.failed == {str(FIRST): "HTTP 401 Unauthorized"}
    assert len(server.requests) == 1


def test_what_is_forbidden_may_be_there_by_another_name_and_is_absent_else(server, folder):
    """Stores that do not tell what they lack answer 403."""
    other = NAME.replace("ob500", "ob200")
    server.files[other] = _zip(4)
    server.script[NAME] = [says(403)] * 2
    assert _fetch(server, folder).fetched == (str(FIRST),)
    assert _left(folder) == [other]
    (folder / other).unlink()
    server.script[other] = [says(403)]
    report = _fetch(server, folder)
    assert report.absent == report.forbidden == (str(FIRST),)
    assert not report.failed
    assert report.headline() == "0 fetched (0 MB), 0 there, 1 absent, 0 failed; 1 answered 403"


def test_absent_days_are_listed_and_the_other_depth_is_tried(server, folder):
    server.files = {
        "2025-08-20_BTCUSDT_ob200.data.zip": _zip(4),
        "2025-08-22_BTCUSDT_ob200.data.zip": _zip(5),
    }
    report = _fetch(server, folder, days=4)
    assert report.absent == ("2025-08-19", "2025-08-21")
    assert report.fetched == ("2025-08-20", "2025-08-22")
    assert sum(name.startswith("2025-08-22") for name, _, _ in server.requests) == 1
    assert _left(folder) == sorted(server.files)


def test_days_that_are_there_are_not_asked_for(server, folder):
    (folder / NAME.replace("ob500", "ob200")).write_bytes(b"anything")
    report = _fetch(server, folder)
    assert report.skipped == (str(FIRST),)
    assert server.requests == []


def test_depths_are_tried_by_date():
    assert "ob500" in next(archive_names("BTCUSDT", dt.date(2025, 8, 20)))
    assert "ob200" in next(archive_names("BTCUSDT", dt.date(2025, 8, 21)))


def test_concurrency_is_bounded_and_progress_ends_full(server, folder):
    async def slowly(request, content):
        await asyncio.sleep(0.05)
        return await sound(request, content)

    for day in range(9):
        name = f"{FIRST + dt.timedelta(days=day)}_BTCUSDT_ob{500 if day < 2 else 200}.data.zip"
        server.files[name] = _zip(day, 1_000)
        server.script[name] = [slowly]
    told = []
    report = _fetch(server, folder, days=9, progress=lambda *step: told.append(step))
    assert len(report.fetched) == 9
    assert 2 <= server.busiest <= 3
    assert told[-1][:2] == (9, 9)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)


def test_an_interruption_keeps_the_part_and_the_next_call_goes_on(server, folder):
    server.files[NAME] = _zip(1, 1_000_000)
    server.script[NAME] = [drops_after(500_000, wait=20.0)]

    def interrupt():
        part = folder / f"{NAME}.part"
        while not (part.exists() and part.stat().st_size):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    # What a shell starts in the background inherits an ignored SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            _fetch(server, folder, timeout_seconds=20.0)
    finally:
        signal.signal(signal.SIGINT, before)
    thread.join()
    assert f"{NAME}.part" in _left(folder)
    assert NAME not in _left(folder)
    report = _fetch(server, folder)
    assert report.bytes < len(server.files[NAME])
    assert (folder / NAME).read_bytes() == server.files[NAME]


def test_a_dead_address_fails_with_its_reason(folder, server):
    dead = server.url.replace("127.0.0.1", "127.0.0.2")
    report = _fetch(server, folder, base_url=dead, attempts=2)
    assert str(FIRST) in report.failed
    assert str(FIRST) in report.failure_message()
    assert report.headline() == "0 fetched (0 MB), 0 there, 0 absent, 1 failed"
    assert report.as_dict()["failed"] == report.failed


def test_many_files_of_a_dead_address_fail_together_and_the_next_call_fetches_them(
    folder, server, monkeypatch
):
    attempts = []

    def counted(session, url, part, received):
        attempts.append(url)
        return fetch_rest(session, url, part, received)

    monkeypatch.setattr(fetching, "fetch_rest", counted)
    dead = server.url.replace("127.0.0.1", "127.0.0.2")
    how = {"days": 31, "concurrency": 2, "attempts": 3}
    report = _fetch(server, folder, base_url=dead, **how)
    assert len(report.failed) == 31 and len(set(report.failed.values())) == 1
    assert len(attempts) <= 2 * 3
    assert f"{FIRST} and 30 more: no connection" in report.failure_message()
    again = _fetch(server, folder, **how)
    assert (len(again.fetched), len(again.absent), again.failed) == (1, 30, {})


def test_an_address_that_is_none_is_not_asked_twice(server, folder):
    report = _fetch(server, folder, base_url="ftp//nowhere", backoff_seconds=60.0)
    assert "no address" in report.failed[str(FIRST)]


def test_days_in_the_wrong_order_are_refused(server, folder):
    with pytest.raises(ValueError, match="no days from"):
        _fetch(server, folder, last_day=FIRST - dt.timedelta(days=1))


def test_the_working_folder_is_made(server, folder):
    assert _fetch(server, folder / "a" / "b").fetched == (str(FIRST),)


def test_markets_are_kept_apart_although_their_files_bear_one_name(server, folder):
    """And a file of an earlier layout, of no market's folder, counts as of the one asked for."""
    server.files = {f"linear/{NAME}": _zip(1), f"spot/{NAME}": _zip(2)}
    assert _fetch(server, folder).fetched == (str(FIRST),)
    assert _fetch(server, folder, market="spot").fetched == (str(FIRST),)
    assert _fetch(server, folder, market="spot").skipped == (str(FIRST),)
    archives = folder.parents[1]
    for market in ("linear", "spot"):
        content = (archives / market / "BTCUSDT" / NAME).read_bytes()
        assert content == server.files[f"{market}/{NAME}"]
    (archives / "BTCUSDT").mkdir()
    (folder / NAME).rename(archives / "BTCUSDT" / NAME)
    assert _fetch(server, folder).skipped == (str(FIRST),)
