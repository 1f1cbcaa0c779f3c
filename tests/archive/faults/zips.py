"""Faults of the archive as a file: what transfers, disks and attackers can do to a zip."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from quantgod.files import atomic_path
from tests.archive.faults.fault import Fault

# Offsets in a zip's headers (APPNOTE 6.3.10, §4.3.7 and §4.3.12).
_LOCAL_CRC, _CENTRAL_CRC = 14, 16
_LOCAL_SIZE, _CENTRAL_SIZE = 22, 24
_LOCAL_NAME_LENGTH, _LOCAL_HEADER = 26, 30

SPACES = b" " * (1 << 20)


def not_a_zip(content: bytes = b"<html>404</html>") -> Fault:
    """A file of the right name that is something else; may be empty."""

    def fault(path: Path) -> None:
        path.write_bytes(content)

    return _in_place("not_a_zip", fault)


def truncated_zip(fraction: float = 0.5) -> Fault:
    """Only the first `fraction` of the file's bytes are there."""

    def fault(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * fraction)])

    return _in_place("truncated_zip", fault)


def flipped_byte(fraction: float = 0.5) -> Fault:
    """One byte of the compressed data, `fraction` of the way, has another value."""

    def fault(path: Path) -> None:
        content, info, _ = _opened(path)
        lengths = struct.unpack_from("<HH", content, info.header_offset + _LOCAL_NAME_LENGTH)
        data = info.header_offset + _LOCAL_HEADER + sum(lengths)
        content[data + int(info.compress_size * fraction)] ^= 0xFF
        path.write_bytes(content)

    return _in_place("flipped_byte", fault)


def wrong_crc() -> Fault:
    """The data are sound, but the CRC in both headers is another's."""

    def fault(path: Path) -> None:
        content, info, central = _opened(path)
        for place in (info.header_offset + _LOCAL_CRC, central + _CENTRAL_CRC):
            struct.pack_into("<I", content, place, info.CRC ^ 1)
        path.write_bytes(content)

    return _in_place("wrong_crc", fault)


def claimed_size(size: int) -> Fault:
    """The headers claim another uncompressed size: too small a claim hides a bomb."""

    def fault(path: Path) -> None:
        _repack(path)  # sizes of a plain header, not of a zip64 extra field
        content, info, central = _opened(path)
        for place in (info.header_offset + _LOCAL_SIZE, central + _CENTRAL_SIZE):
            struct.pack_into("<I", content, place, size)
        path.write_bytes(content)

    return _in_place("claimed_size", fault)


def bomb_size(size: int) -> Fault:
    """The member is honest about its `size` bytes or more: sound lines, then their end repeated."""

    def fault(path: Path) -> None:
        name, content = _member(path)
        _pack(path, [(name, content + content[-1000:] * (1 + size // 1000))])

    return _in_place("bomb_size", fault)


def bomb_ratio(megabytes: int = 32) -> Fault:
    """Sound lines, then `megabytes` of white space, which deflate to a thousandth."""

    def fault(path: Path) -> None:
        name, content = _member(path)
        _pack(path, [(name, content + SPACES * megabytes)])

    return _in_place("bomb_ratio", fault)


def extra_member(name: str = "readme.txt", content: bytes = b"hello\n") -> Fault:
    """A second member beside the data."""
    return _in_place("extra_member", lambda path: _pack(path, [_member(path), (name, content)]))


def no_member() -> Fault:
    """A valid zip with nothing in it."""
    return _in_place("no_member", lambda path: _pack(path, []))


def empty_member() -> Fault:
    """A valid zip whose member has no bytes."""
    return _in_place("empty_member", lambda path: _pack(path, [(_member(path)[0], b"")]))


def renamed_member(name: str) -> Fault:
    """The data under another member name, such as `../x.data`, `/x.data` or `folder/`."""
    return _in_place("renamed_member", lambda path: _pack(path, [(name, _member(path)[1])]))


def parent_path_member() -> Fault:
    """A member that would be extracted outside the folder."""
    return _named("parent_path_member", lambda name: f"../../{name}")


def absolute_member() -> Fault:
    """A member with an absolute path."""
    return _named("absolute_member", lambda name: f"/{name}")


def symlink_member(target: str = "/etc/passwd") -> Fault:
    """A member that is a symbolic link."""

    def fault(path: Path) -> None:
        info = _info(_member(path)[0])
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        with atomic_path(path) as part, zipfile.ZipFile(part, "w") as archive:
            archive.writestr(info, target)

    return _in_place("symlink_member", fault)


def stored_member() -> Fault:
    """The data are not compressed at all, which is as good."""

    def fault(path: Path) -> None:
        _pack(path, [_member(path)], compression=zipfile.ZIP_STORED)

    return _in_place("stored_member", fault)


def encrypted_member() -> Fault:
    """The headers say that the data are encrypted."""

    def fault(path: Path) -> None:
        content, info, central = _opened(path)
        content[info.header_offset + 6] |= 1
        content[central + 8] |= 1
        path.write_bytes(content)

    return _in_place("encrypted_member", fault)


def missing_day() -> Fault:
    """The day's archive is not there."""

    def fault(path: Path) -> list[Path]:
        path.unlink()
        return []

    return Fault("missing_day", archive=fault)


def same_day_twice(folder: str = "again", *, fraction: float = 1.0) -> Fault:
    """The day's archive lies in `folder` too, there with the first `fraction` of its lines."""

    def fault(path: Path) -> list[Path]:
        name, content = _member(path)
        again = path.parent / folder / path.name
        kept = content[: int(len(content) * fraction)]
        _pack(again, [(name, kept[: kept.rfind(b"\n") + 1])])
        return [path, again]

    return Fault("same_day_twice", archive=fault)


def depth_change(levels: int = 200) -> Fault:
    """From this day on the venue publishes another depth, in the files' names too."""
    return Fault("depth_change", levels=levels)


def _in_place(name: str, change: Callable[[Path], None]) -> Fault:
    def fault(path: Path) -> list[Path]:
        change(path)
        return [path]

    return Fault(name, archive=fault)


def _named(name: str, rename: Callable[[str], str]) -> Fault:
    def fault(path: Path) -> None:
        member, content = _member(path)
        _pack(path, [(rename(member), content)])

    return _in_place(name, fault)


def _member(path: Path) -> tuple[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        name = archive.namelist()[0]
        return name, archive.read(name)


def _opened(path: Path) -> tuple[bytearray, zipfile.ZipInfo, int]:
    """The file's bytes, its first member, and where the central directory begins."""
    with zipfile.ZipFile(path) as archive:
        return bytearray(path.read_bytes()), archive.infolist()[0], archive.start_dir


def _repack(path: Path) -> None:
    _pack(path, [_member(path)])


def _pack(
    path: Path, members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED
) -> None:
    with atomic_path(path) as part, zipfile.ZipFile(part, "w") as archive:
        for name, content in members:
            archive.writestr(_info(name), content, compression)


def _info(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, date_time=(2024, 1, 1, 0, 0, 0))
