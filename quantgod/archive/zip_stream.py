"""Stream the single member of an untrusted zip archive.

Nothing is extracted and no size in a header is trusted: headers may only refuse an archive earlier.
The central directory is read here because Python's reader loads all of it before counting entries.
"""

from __future__ import annotations

import stat
import struct
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from isal import igzip_lib, isal_zlib

from quantgod.archive.source import Quarantine, SourceKey
from quantgod.settings import ArchiveLimits

# Small enough that what is inflated stays in the cache while it is parsed.
_READ_BYTES: Final = 32 << 10
_CHUNK_BYTES: Final = 1 << 20

# Below this much output a ratio says nothing: a short file of zeros is no bomb.
_RATIO_FROM_BYTES: Final = 1 << 20

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LARGEST_COMMENT: Final = 0xFFFF
_STORED, _DEFLATED = 0, 8


@dataclass(frozen=True)
class _Entry:
    key: SourceKey
    method: int
    flags: int
    mode: int
    offset: int


class Archive:
    """An open archive: `key` identifies its member, `chunks` streams it once."""

    def __init__(self, source: BinaryIO, entry: _Entry, limits: ArchiveLimits) -> None:
        self.key = entry.key
        self._source = source
        self._entry = entry
        self._limits = limits

    def chunks(self) -> Iterator[bytes]:
        """Yield the member's bytes in pieces of at most 1 MiB, without a byte order mark.

        Raises:
            Quarantine: `bomb_size` or `bomb_ratio` as soon as a limit is exceeded; at the end
                `bad_crc`, or `bad_zip` if the data is damaged, short, or not of the declared size.
        """
        return _without_mark(self._checked())

    def _checked(self) -> Iterator[bytes]:
        total = crc = 0
        for piece in self._inflated():
            total += len(piece)
            crc = isal_zlib.crc32(piece, crc)
            yield piece
        if total != self.key.size:
            raise Quarantine("bad_zip", f"{total} bytes came, {self.key.size} were declared")
        if crc != self.key.crc:
            raise Quarantine("bad_crc", f"CRC-32 {crc:08x}, expected {self.key.crc:08x}")

    def _inflated(self) -> Iterator[bytes]:
        inflate = isal_zlib.decompressobj(-15) if self._entry.method == _DEFLATED else None
        total = taken = 0
        for raw in self._compressed():
            taken += len(raw)
            if inflate and inflate.eof:
                raise Quarantine("bad_zip", "the compressed data ends too early")
            pending, is_more = raw, True
            while is_more:
                piece = inflate.decompress(pending, _CHUNK_BYTES) if inflate else pending
                pending = inflate.unconsumed_tail if inflate else b""
                # What does not fit into a full piece waits, also where no input is left.
                is_more = bool(pending) or len(piece) == _CHUNK_BYTES
                total += len(piece)
                self._check_bomb(total, taken)
                if piece:
                    yield piece
        if inflate and (not inflate.eof or inflate.unused_data):
            raise Quarantine("bad_zip", "the compressed data ends too early or too late")

    def _compressed(self) -> Iterator[bytes]:
        self._source.seek(self._entry.offset)
        left = self.key.compressed_size
        while left:
            raw = self._source.read(min(left, _READ_BYTES))
            if not raw:
                raise Quarantine("bad_zip", f"the file ends {left} bytes too early")
            left -= len(raw)
            yield raw

    def _check_bomb(self, total: int, taken: int) -> None:
        if total > self._limits.member_bytes:
            raise Quarantine("bomb_size", f"more than {self._limits.member_bytes} bytes")
        if total > _RATIO_FROM_BYTES and total > self._limits.ratio * taken:
            raise Quarantine("bomb_ratio", f"{total} bytes came out of {taken}")


@contextmanager
def open_archive(path: Path, limits: ArchiveLimits) -> Iterator[Archive]:
    """Open an archive of one member and check its directory.

    Raises:
        Quarantine: `bad_zip`, `no_member`, `too_many_members`, `unsafe_member`, `encrypted`,
            `bomb_size`; exceptions of `Archive.chunks` also pass through here.
        OSError: if the file itself cannot be opened.
    """
    with path.open("rb") as source:
        try:
            archive = Archive(source, _only_entry(source, limits), limits)
            yield archive
        except (struct.error, igzip_lib.IsalError) as error:  # type: ignore[misc]  # a stub's slip
            raise Quarantine("bad_zip", str(error)) from None


def _without_mark(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Remove a UTF-8 byte order mark at the start."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= len(BOM_UTF8):
            break
    yield head.removeprefix(BOM_UTF8)
    yield from pieces


def _only_entry(source: BinaryIO, limits: ArchiveLimits) -> _Entry:
    count, size, offset = _directory(source)
    if count == 0:
        raise Quarantine("no_member", "the zip is empty")
    if count > limits.members:
        raise Quarantine("too_many_members", f"{count} members, at most {limits.members}")
    source.seek(offset)
    entries = _entries(source.read(min(size, count * (_ENTRY.size + 3 * 0xFFFF))), count)
    for entry in entries:
        _check_entry(entry, limits)
    files = [entry for entry in entries if not entry.key.member.endswith("/")]
    if not files:
        raise Quarantine("no_member", "the zip holds only folders")
    if len(files) > 1:
        raise Quarantine("too_many_members", f"{len(files)} files, one expected")
    return _at_data(source, *files)


def _directory(source: BinaryIO) -> tuple[int, int, int]:
    """Return entries, size and position of the central directory."""
    length = source.seek(0, 2)
    start = max(0, length - _END.size - _LARGEST_COMMENT)
    source.seek(start)
    tail = source.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        raise Quarantine("bad_zip", "no end of central directory: not a zip, or a truncated one")
    _, disk, first_disk, here, count, size, offset, _ = _END.unpack_from(tail, at)
    if disk or first_disk or here != count:
        raise Quarantine("bad_zip", "the zip spans several disks")
    if count == 0xFFFF or 0xFFFFFFFF in (size, offset):
        count, size, offset = _directory64(source, start + at)
    if offset + size > length:
        raise Quarantine("bad_zip", "the central directory lies outside the file")
    return count, size, offset


def _directory64(source: BinaryIO, end: int) -> tuple[int, int, int]:
    source.seek(max(0, end - _END64_LOCATOR.size))
    mark, _, place, _ = _END64_LOCATOR.unpack(source.read(_END64_LOCATOR.size))
    if mark != b"PK\x06\x07":
        raise Quarantine("bad_zip", "the zip64 locator is missing")
    source.seek(place)
    fields = _END64.unpack(source.read(_END64.size))
    if fields[0] != b"PK\x06\x06":
        raise Quarantine("bad_zip", "the zip64 end record is missing")
    return fields[7], fields[8], fields[9]


def _entries(directory: bytes, count: int) -> list[_Entry]:
    entries = []
    at = 0
    for _ in range(count):
        fields = _ENTRY.unpack_from(directory, at)
        if fields[0] != b"PK\x01\x02":
            raise Quarantine("bad_zip", "the central directory is damaged")
        name_length, extra_length, comment_length = fields[10:13]
        at += _ENTRY.size
        name = directory[at : at + name_length]
        extra = directory[at + name_length : at + name_length + extra_length]
        at += name_length + extra_length + comment_length
        entries.append(_entry(fields, name, extra))
    return entries


def _entry(fields: tuple[int, ...], name: bytes, extra: bytes) -> _Entry:
    flags, method, crc, compressed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
    attributes, offset = fields[15], fields[16]
    size, compressed, offset = _wide(extra, size, compressed, offset)
    encoding = "utf-8" if flags & 0x800 else "cp437"
    member = name.decode(encoding, errors="replace")
    return _Entry(SourceKey(member, size, crc, compressed), method, flags, attributes >> 16, offset)


def _wide(extra: bytes, *values: int) -> tuple[int, ...]:
    """Replace each value 0xFFFFFFFF by its 64-bit form from the zip64 extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            return tuple(next(wide, value) if value == 0xFFFFFFFF else value for value in values)
        at += 4 + length
    return values


def _check_entry(entry: _Entry, limits: ArchiveLimits) -> None:
    member = entry.key.member
    path = PurePosixPath(member.replace("\\", "/"))
    drive = len(member) > 1 and member[1] == ":"
    if path.is_absolute() or drive or ".." in path.parts or "\0" in member or not member:
        raise Quarantine("unsafe_member", f"{member[:200]!r} is not a plain relative name")
    kind = stat.S_IFMT(entry.mode)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Quarantine("unsafe_member", f"{member[:200]!r} is a link or a device")
    if entry.flags & 1:
        raise Quarantine("encrypted", f"{member[:200]!r} is encrypted")
    if entry.method not in (_STORED, _DEFLATED):
        raise Quarantine("bad_zip", f"compression method {entry.method}, deflate expected")
    if entry.key.size > limits.member_bytes:
        raise Quarantine("bomb_size", f"{entry.key.size} bytes, at most {limits.member_bytes}")


def _at_data(source: BinaryIO, entry: _Entry) -> _Entry:
    """Return the entry with its offset moved from the local header to the data."""
    source.seek(entry.offset)
    fields = _LOCAL.unpack(source.read(_LOCAL.size))
    if fields[0] != b"PK\x03\x04":
        raise Quarantine("bad_zip", "the member's header is missing")
    offset = entry.offset + _LOCAL.size + fields[9] + fields[10]
    return _Entry(entry.key, entry.method, entry.flags, entry.mode, offset)


def lines(chunks: Iterator[bytes], limit: int) -> Iterator[bytes | None]:
    """Split a stream into lines without newline, skipping blank ones.

    A line over `limit` bytes is yielded as None: its bytes are discarded as they arrive.
    """
    rest = b""
    is_overlong = False
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if is_overlong or len(line) > limit:
                yield None
                is_overlong = False
            elif not is_blank(line):
                yield line
        if len(rest) > limit:
            rest, is_overlong = b"", True
    if is_overlong:
        yield None
    elif not is_blank(rest):
        yield rest


def is_blank(line: bytes) -> bool:
    """Return whether a line has only white space."""
    return not line.strip(b" \t\r")
