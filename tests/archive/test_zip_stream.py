from __future__ import annotations

import random
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quantgod.archive.day_reading import Quarantine
from quantgod.archive.zip_stream import lines, open_archive
from tests.archive.streams import etl_settings

TEXT = b"".join(b'{"line":%d}\n' % number for number in range(60_000))
LIMITS = etl_settings().limits


def a_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as target:
        for name, data in members.items():
            target.writestr(name, data)
    return path


def read(path: Path, **limits) -> bytes:
    with open_archive(path, etl_settings(**limits).limits) as archive:
        return b"".join(archive.chunks())


def verdict(path: Path, **limits) -> str:
    with pytest.raises(Quarantine) as quarantine:
        read(path, **limits)
    return quarantine.value.reason


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_the_member_comes_whole_and_is_known_by_its_key(tmp_path, method):
    path = a_zip(tmp_path / "a.zip", {"day.data": TEXT}, method)
    assert read(path) == TEXT
    with open_archive(path, LIMITS) as archive, zipfile.ZipFile(path) as known:
        info = known.infolist()[0]
        key = archive.key
    assert (key.member, key.size, key.crc, key.compressed_size) == (
        "day.data",
        info.file_size,
        info.CRC,
        info.compress_size,
    )


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_byte_order_mark_is_skipped_at_the_beginning_and_nowhere_else(tmp_path, method):
    mark = b"\xef\xbb\xbf"
    for text in (TEXT, b"x", b"", mark + b"x", mark[:2]):
        assert read(a_zip(tmp_path / "a.zip", {"day.data": mark + text}, method)) == text
    assert read(a_zip(tmp_path / "a.zip", {"day.data": b"x" + mark}, method)) == b"x" + mark
    assert read(a_zip(tmp_path / "a.zip", {"day.data": mark[:2]}, method)) == mark[:2]


def test_zip64_and_streamed_members_are_read(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        with target.open("day.data", "w", force_zip64=True) as member:
            member.write(TEXT)
        target.comment = b"a comment" * 50
    assert read(path) == TEXT
    whole = path.read_bytes()
    end = whole.rindex(b"PK\x05\x06")
    fields = list(struct.unpack("<4s4H2LH", whole[end : end + 22]))
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, *fields[5:7])
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    fields[3:7] = 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF
    tail = struct.pack("<4s4H2LH", *fields) + whole[end + 22 :]
    path.write_bytes(whole[:end] + record + locator + tail)
    assert read(path) == TEXT


def test_a_stop_in_the_middle_of_a_stream_asks_for_nothing_more(tmp_path):
    path = a_zip(tmp_path / "a.zip", {"day.data": TEXT})
    with open_archive(path, LIMITS) as archive:
        assert TEXT.startswith(next(archive.chunks()))


@pytest.mark.parametrize(
    "name", ["../day.data", "a/../../day.data", "/day.data", "C:day.data", "..\\day.data"]
)
def test_a_member_whose_name_leaves_its_folder_is_unsafe(tmp_path, name):
    assert verdict(a_zip(tmp_path / "a.zip", {name: b"x\n"})) == "unsafe_member"


def test_a_name_with_a_null_byte_or_none_at_all_is_unsafe(tmp_path):
    """Neither can `zipfile` write."""
    path = a_zip(tmp_path / "a.zip", {"dXa": b"x\n"})
    path.write_bytes(path.read_bytes().replace(b"dXa", b"d\0a"))
    assert verdict(path) == "unsafe_member"
    whole = bytearray(a_zip(path, {"d": b"x\n"}).read_bytes())
    for place in (whole.index(b"PK\3\4") + 26, whole.index(b"PK\1\2") + 28):
        whole[place : place + 4] = struct.pack("<2H", 0, 1)  # the name is an extra field
    path.write_bytes(whole)
    assert verdict(path) == "unsafe_member"


@pytest.mark.parametrize("name", ["d", ":", "..d", "d..", "dd:", "a/d"])
def test_a_name_may_be_as_short_or_odd_as_it_likes(tmp_path, name):
    assert read(a_zip(tmp_path / "a.zip", {name: TEXT})) == TEXT


def test_a_symbolic_link_is_unsafe(tmp_path):
    info = zipfile.ZipInfo("day.data")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.writestr(info, "/etc/passwd")
    assert verdict(tmp_path / "a.zip") == "unsafe_member"


def test_an_archive_holds_one_member(tmp_path):
    assert verdict(a_zip(tmp_path / "a.zip", {})) == "no_member"
    assert verdict(a_zip(tmp_path / "b.zip", {"folder/": b""})) == "no_member"
    two = a_zip(tmp_path / "c.zip", {"day.data": TEXT, "other": b""})
    assert verdict(two) == "too_many_members"
    assert verdict(two, members=5) == "too_many_members"
    beside = a_zip(tmp_path / "d.zip", {"folder/": b"", "folder/day.data": TEXT})
    assert read(beside, members=2) == TEXT


def test_an_encrypted_member_and_an_unknown_method_are_refused(tmp_path):
    path = a_zip(tmp_path / "a.zip", {"day.data": TEXT})
    whole = bytearray(path.read_bytes())
    whole[whole.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(whole)
    assert verdict(path) == "encrypted"
    assert verdict(a_zip(path, {"day.data": TEXT}, zipfile.ZIP_BZIP2)) == "bad_zip"


def test_a_zip_cut_off_anywhere_is_bad(tmp_path):
    path = a_zip(tmp_path / "a.zip", {"day.data": TEXT})
    whole = path.read_bytes()
    for length in (0, 1, 21, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert verdict(path) == "bad_zip"


def test_data_missing_before_the_directory_is_bad(tmp_path):
    path = a_zip(tmp_path / "a.zip", {"day.data": TEXT})
    whole = path.read_bytes()
    path.write_bytes(whole[:500] + whole[900:])
    assert verdict(path) == "bad_zip"


def test_a_wrong_checksum_and_a_wrong_size_are_told_apart(tmp_path):
    path = a_zip(tmp_path / "a.zip", {"day.data": TEXT})
    whole = path.read_bytes()
    entry = whole.rindex(b"PK\x01\x02")
    for place, reason in ((16, "bad_crc"), (24, "bad_zip"), (20, "bad_zip"), (42, "bad_zip")):
        damaged = bytearray(whole)
        damaged[entry + place] ^= 1
        path.write_bytes(damaged)
        assert verdict(path) == reason


def test_damage_at_any_byte_never_passes_for_the_same_data(tmp_path):
    path = a_zip(tmp_path / "a.zip", {"day.data": TEXT[:3_000]})
    whole = path.read_bytes()
    chance = random.Random(3)
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            assert read(path) == TEXT[:3_000]
        except Quarantine:
            continue


def test_a_bomb_stops_at_its_size_whatever_its_header_says(tmp_path):
    path = a_zip(tmp_path / "a.zip", {"day.data": b"\0" * 40_000_000})
    assert verdict(path, member_bytes=1_000_000) == "bomb_size"
    assert verdict(path) == "bomb_ratio"
    whole = bytearray(path.read_bytes())
    entry = whole.rindex(b"PK\x01\x02")
    whole[entry + 24 : entry + 28] = struct.pack("<L", 1_000)
    path.write_bytes(whole)
    assert verdict(path, member_bytes=1_000_000, ratio=1e6) == "bomb_size"
    assert verdict(path) == "bomb_ratio"


def test_a_directory_of_many_entries_is_not_even_read(tmp_path):
    path = a_zip(tmp_path / "a.zip", {f"{number}": b"" for number in range(3_000)})
    assert verdict(path) == "too_many_members"


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), st.integers(1, 50))
@example([b" " * 13, b"x" * 12, b"x" * 13, b" \t\r", b""], 5)
@example([b"x", b" " * 30], 7)
@example([b" " * 12, b"x" * 30, b"y"], 50)
def test_lines_do_not_depend_on_where_chunks_are_cut(parts, size):
    data = b"\n".join(parts)
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    expected = [
        None if len(line) > 12 else line
        for line in data.split(b"\n")
        if len(line) > 12 or line.strip(b" \t\r")
    ]
    assert list(lines(chunks, 12)) == expected
