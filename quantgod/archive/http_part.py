"""Download a file in parts over HTTP: one attempt to fetch the missing rest.

A part is only continued with bytes of the same version of the file, identified by a strong ETag or
Last-Modified (RFC 9110 §13.1.5, §14.2). After any other answer the part starts over.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import aiohttp

CHUNK_BYTES = 1 << 18

# Temporary failures.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")


class AbsentFileError(Exception):
    """The server has no such file.

    `is_forbidden`: it answered 403, as stores do for missing files that they do not reveal. The
        same
    answer may be a refusal of the caller.
    """

    def __init__(self, reason: str, *, is_forbidden: bool = False) -> None:
        super().__init__(reason)
        self.is_forbidden = is_forbidden


class RefusedFileError(Exception):
    """The server refuses the file permanently."""


class InterruptedTransferError(Exception):
    """The attempt failed temporarily; the server may have demanded a wait in seconds."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class UnreachableError(InterruptedTransferError):
    """No connection came about, so the file may not be to blame."""


class Part:
    """The unfinished `target`: `target.part` beside it, and its version in `target.part.version`.

    It survives the process, so it is not one of `quantgod.files`' temporary files.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._version_path = target.with_name(target.name + ".part.version")

    def size(self) -> int:
        """Return the number of downloaded bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self) -> str | None:
        """Return the validator of the version of these bytes, if the server named one."""
        if not self._version_path.exists():
            return None
        return self._version_path.read_text(encoding="latin-1") or None

    def start(self, version: str | None) -> BinaryIO:
        """Open for the first byte of `version`, after removing old bytes."""
        self.discard()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._version_path.write_text(version or "", encoding="latin-1")
        return self.path.open("wb")

    def more(self) -> BinaryIO:
        """Open for the byte after the last one."""
        return self.path.open("ab")

    def discard(self) -> None:
        """Remove the part."""
        self.path.unlink(missing_ok=True)
        self._version_path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Rename the part to the target, after syncing its bytes to disk."""
        with self.path.open("rb+") as written:
            os.fsync(written.fileno())
        self.path.replace(self.target)
        self._version_path.unlink(missing_ok=True)


async def fetch_rest(
    session: aiohttp.ClientSession, url: str, part: Part, received: Callable[[int], None]
) -> None:
    """Fetch the missing bytes; `received` is called with numbers of bytes.

    Raises:
        AbsentFileError: for 403, 404 and 410.
        RefusedFileError: for any other permanent answer.
        UnreachableError: if there is no connection.
        InterruptedTransferError: for a temporary answer, a lost connection, or bytes that do not
            fit the part.
    """
    try:
        async with session.get(url, headers=_headers(part)) as response:
            total = await _receive(response, part, received)
    except aiohttp.InvalidURL as error:
        raise RefusedFileError(f"{url} is no address that can be fetched") from error
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise UnreachableError(f"no connection ({type(error).__name__}: {error})") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise InterruptedTransferError(
            f"connection lost ({type(error).__name__}: {error})"
        ) from error
    size = part.size()
    if total is not None and size != total:
        if size > total:
            part.discard()
        raise InterruptedTransferError(f"{size} bytes came where {total} were announced")


def _headers(part: Part) -> dict[str, str]:
    version, size = part.version(), part.size()
    if version is None or size == 0:
        return {}
    return {"Range": f"bytes={size}-", "If-Range": version}


async def _receive(
    response: aiohttp.ClientResponse, part: Part, received: Callable[[int], None]
) -> int | None:
    """Write the answer's body to the part; return the length of the whole file, if known."""
    if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return _already_whole(response, part)
    _check_status(response)
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        total: int | None = _continued(response, part)
        opened = part.more()
    else:
        total = response.content_length
        opened = part.start(_version(response))
    with opened as file:
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            file.write(chunk)
            received(len(chunk))
    return total


def _check_status(response: aiohttp.ClientResponse) -> None:
    answer = f"HTTP {response.status} {response.reason or ''}".strip()
    if response.status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise AbsentFileError(answer, is_forbidden=response.status == HTTPStatus.FORBIDDEN)
    if response.status in _PASSING:
        raise InterruptedTransferError(answer, retry_after(response.headers))
    if response.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        raise RefusedFileError(answer)


def _already_whole(response: aiohttp.ClientResponse, part: Part) -> int:
    """Handle 416: the part is complete if the file has its length."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None or int(found[2]) != part.size():
        part.discard()
        raise InterruptedTransferError("the part is longer than the file")
    return int(found[2])


def _continued(response: aiohttp.ClientResponse, part: Part) -> int:
    """Handle 206: check that the bytes are the next of this version; return the file's length."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    version = _version(response)
    if found is None or found[1] is None or int(found[1]) != part.size():
        part.discard()
        raise InterruptedTransferError("the server continued at another place than was asked for")
    if version is not None and version != part.version():
        part.discard()
        raise InterruptedTransferError("the file has changed since its first part came")
    return int(found[2])


def _version(response: aiohttp.ClientResponse) -> str | None:
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait: `Retry-After` is a number, or a date on the server's clock.

    None if the header is absent or invalid.
    """
    told = headers.get("Retry-After", "").strip()
    if told.isascii() and told.isdigit():
        return float(told)
    date = _date(told)
    if date is None:
        return None
    now = _date(headers.get("Date", "")) or dt.datetime.now(dt.UTC)
    return max((date - now).total_seconds(), 0.0)


def _date(text: str) -> dt.datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=dt.UTC)
