"""Write a zip with one deflated member as a stream, several times faster than `zipfile`.

The data is ordinary deflate (isal, level 1). The date inside is fixed: same content, same bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from isal import isal_zlib

from quantgod.files import atomic_path

_LEVEL: Final = 1
_RAW: Final = -15
_DATE: Final = (2024 - 1980) << 9 | 1 << 5 | 1
_VERSION: Final = 45  # zip64, for days with more than 4 GiB of lines
_UNIX: Final = 3 << 8
_MODE: Final = 0o644 << 16
_DEFLATED: Final = 8
_LARGE: Final = 0xFFFFFFFF


class _Member(NamedTuple):
    name: bytes
    crc: int = 0
    packed: int = 0
    size: int = 0


def write_zip(path: Path, name: str, chunks: Iterable[bytes]) -> None:
    """Write `chunks` as the member `name` of the zip `path`, atomically.

    Raises:
        ValueError: if the compressed member reaches 4 GiB.
    """
    empty = _Member(name.encode())
    with atomic_path(path) as part, part.open("rb+") as target:
        target.write(_local_header(empty))
        deflate = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
        crc = packed = size = 0
        for chunk in chunks:
            crc, size = zlib.crc32(chunk, crc), size + len(chunk)
            packed += target.write(deflate.compress(chunk))
        packed += target.write(deflate.flush())
        member = _Member(empty.name, crc, packed, size)
        target.write(_directory(member))
        target.seek(0)
        target.write(_local_header(member))


def _local_header(member: _Member) -> bytes:
    """Return the local header (APPNOTE 6.3.10 §4.3.7), with unknown sizes in the zip64 field."""
    extra = struct.pack("<HHQQ", 1, 16, member.size, member.packed)
    fixed = (_VERSION, 0, _DEFLATED, 0, _DATE, member.crc, _LARGE, _LARGE)
    lengths = (len(member.name), len(extra))
    return struct.pack("<4s5H3I2H", b"PK\3\4", *fixed, *lengths) + member.name + extra


def _directory(member: _Member) -> bytes:
    """Return the central directory with one entry, and its end (§4.3.12 and §4.3.16)."""
    begin = len(_local_header(member)) + member.packed
    if begin >= _LARGE:
        raise ValueError(f"{member.name.decode()}: {member.packed} packed bytes, 4 GiB at most")
    large = member.size >= _LARGE
    extra = struct.pack("<HHQ", 1, 8, member.size) if large else b""
    sizes = (member.crc, member.packed, _LARGE if large else member.size)
    fixed = (_UNIX | _VERSION, _VERSION, 0, _DEFLATED, 0, _DATE, *sizes)
    rest = (len(member.name), len(extra), 0, 0, 0, _MODE, 0)
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", *fixed, *rest) + member.name + extra
    return entry + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(entry), begin, 0)
