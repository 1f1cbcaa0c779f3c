from __future__ import annotations

import io
import random
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quantgod.archive import zip_stream
from quantgod.archive.source import Quarantine
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


# Fields of a zip that nobody need have written in this way, but that a reader must know.


def built(
    member: bytes = b"day.data",
    text: bytes = b"x\n" * 50,
    *,
    flags: int = 0,
    extra: bytes = b"",
    sizes: tuple[int, int] | None = None,
    offset: int = 0,
    before: bytes = b"",
    comment: bytes = b"",
    count: int = 1,
) -> tuple[bytes, bytes]:
    """A stored member with its directory, behind other entries: what stands before the end, and it.

    `sizes` are told by the directory, as `offset` is; `before` are entries that come first.
    """
    crc, size, packed = zlib.crc32(text), *(sizes or (len(text), len(text)))
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, flags, 0, 0, 0, crc, 9, 9, len(member), 7)
    fixed = (20, 20, flags, 0, 0, 0, crc, packed, size, len(member), len(extra), len(comment))
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", *fixed, 0, 0, 0, offset)
    data = local + member + b"unknown" + text
    directory = before + entry + member + extra + comment
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(data), 0)
    return data + directory, end


def entry(member: bytes, extra: bytes = b"", comment: bytes = b"") -> bytes:
    """The directory's entry of an empty folder."""
    fixed = (20, 20, 0, 0, 0, 0, 0, 0, 0, len(member), len(extra), len(comment), 0, 0, 0, 0)
    return struct.pack("<4s6H3L5H2L", b"PK\1\2", *fixed) + member + extra + comment


def reading_of(path: Path, data: bytes, **limits) -> tuple[str, bytes]:
    path.write_bytes(data)
    with open_archive(path, etl_settings(**limits).limits) as archive:
        return archive.key.member, b"".join(archive.chunks())


TOLD, WIDE = b"x\n" * 50, 0xFFFFFFFF
OTHER_FIELD = struct.pack("<HH5s", 0x5455, 5, b"\1\0\0\0\0")


@pytest.mark.parametrize(
    "before", [b"", OTHER_FIELD, struct.pack("<HH", 0x7075, 0), OTHER_FIELD * 2]
)
@pytest.mark.parametrize(("sizes", "offset", "wide"), [
    ((WIDE, WIDE), WIDE, (100, 100, 0)), ((WIDE, WIDE), 0, (100, 100)), ((WIDE, 100), 0, (100,)),
    ((100, WIDE), 0, (100,)), ((100, 100), WIDE, (0,)), ((100, 100), 0, (7, 7, 7)),
    ((100, 100), 0, ()),
])  # fmt: skip
def test_sizes_may_stand_in_the_wide_field_alone(tmp_path, sizes, offset, wide, before):
    """In the order of size, packed size and place, and only those that do not stand elsewhere."""
    field = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide)
    for extra in (before + field, before + field + OTHER_FIELD):
        data = b"".join(built(extra=extra, sizes=sizes, offset=offset))
        assert reading_of(tmp_path / "a.zip", data) == ("day.data", TOLD)


@pytest.mark.parametrize("extra", [b"\1", b"\1\0\x08", b"", OTHER_FIELD, struct.pack("<HH", 1, 0)])
def test_a_size_that_stands_nowhere_is_the_one_that_is_written(tmp_path, extra):
    (tmp_path / "a.zip").write_bytes(b"".join(built(extra=extra, sizes=(WIDE, 100))))
    assert verdict(tmp_path / "a.zip", member_bytes=WIDE) == "bad_zip"
    assert verdict(tmp_path / "a.zip", member_bytes=WIDE - 1) == "bomb_size"


@pytest.mark.parametrize("noise", [0, 70_000])
@pytest.mark.parametrize("which", ["count", "size", "offset", "all"])
def test_an_end_that_is_too_narrow_tells_where_the_wide_one_stands(tmp_path, which, noise):
    text = random.Random(0).randbytes(noise) + b"x"
    data, end = built(text=text)
    fields = list(struct.unpack("<4s4H2LH", end))
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 9, 1, *fields[5:7])
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(data), 1)
    if which in ("count", "all"):
        fields[3:5] = 0xFFFF, 0xFFFF
    if which in ("size", "all"):
        fields[5] = WIDE
    if which in ("offset", "all"):
        fields[6] = WIDE
    last = struct.pack("<4s4H2LH", *fields)
    path = tmp_path / "a.zip"
    assert reading_of(path, data + record + locator + last) == ("day.data", text)
    for wrong, why in (
        (data + record + b"PK\6\6" + locator[4:] + last, "locator is missing"),
        (data + b"PK\6\7" + record[4:] + locator + last, "end record is missing"),
        (last, "locator is missing"),
    ):
        with pytest.raises(Quarantine, match=why):
            reading_of(path, wrong)


@pytest.mark.parametrize("place", [4, 6, 8])
def test_a_zip_of_several_disks_is_refused(tmp_path, place):
    data, end = built()
    changed = bytearray(end)
    changed[place] ^= 2
    with pytest.raises(Quarantine, match="several disks"):
        reading_of(tmp_path / "a.zip", data + changed)


@pytest.mark.parametrize(("more", "is_inside"), [(22, True), (23, False)])
def test_a_directory_lies_within_the_file(tmp_path, more, is_inside):
    data, end = built()
    size = struct.unpack_from("<L", end, 12)[0] + more
    data += end[:12] + struct.pack("<L", size) + end[16:]
    if is_inside:
        assert reading_of(tmp_path / "a.zip", data) == ("day.data", TOLD)
    else:
        with pytest.raises(Quarantine, match="outside the file"):
            reading_of(tmp_path / "a.zip", data)


@pytest.mark.parametrize("length", [0, 5, 0xFFFF])
@pytest.mark.parametrize("noise", [0, 70_000])
def test_the_end_is_found_before_the_longest_comment(tmp_path, length, noise):
    text = random.Random(0).randbytes(noise)
    data, end = built(text=text)
    whole = data + end[:20] + struct.pack("<H", length) + b"c" * length
    assert reading_of(tmp_path / "a.zip", whole) == ("day.data", text)


def test_what_has_no_end_is_no_zip(tmp_path):
    for text in (b"", b"PK\5", b"x" * 70_000):
        with pytest.raises(Quarantine, match="no end of central directory"):
            reading_of(tmp_path / "a.zip", text)


@pytest.mark.parametrize("length", [0, 1, 0xFFFF])
def test_entries_follow_one_another_behind_names_fields_and_comments(tmp_path, length):
    field = struct.pack("<HH", 9, length - 4) + b"e" * (length - 4) if length > 4 else b"e" * length
    before = entry(b"a" * max(1, length - 1) + b"/", field, b"c" * length)
    data, end = built(before=before * 2, count=3, comment=b"c" * length)
    assert reading_of(tmp_path / "a.zip", data + end, members=3) == ("day.data", TOLD)
    place = data.rindex(b"PK\1\2")
    broken = data[:place] + b"PK\1\3" + data[place + 4 :]
    with pytest.raises(Quarantine, match="directory is damaged"):
        reading_of(tmp_path / "a.zip", broken + end, members=3)


def test_no_more_of_a_directory_is_read_than_its_entries_can_have():
    class Watched(io.BytesIO):
        def read(self, size=-1):
            asked.append(size)
            return super().read(size)

    asked = []
    data, end = built(comment=b"c" * 60_000)
    size = struct.unpack_from("<L", end, 12)[0] + 500_000
    zip_stream._only_entry(
        Watched(data + bytes(500_000) + end[:12] + struct.pack("<L", size) + end[16:]), LIMITS
    )
    assert max(asked) == 46 + 3 * 0xFFFF
    asked.clear()
    zip_stream._only_entry(Watched(data + end), LIMITS)
    assert max(asked) == len(data) - data.rindex(b"PK\1\2")


@pytest.mark.parametrize(("flags", "member"), [
    (0, "d├⌐"), (0x800, "dé"), (8, "d├⌐"), (0x808, "dé"), (2, "d├⌐"), (6, "d├⌐")
])  # fmt: skip
def test_a_name_is_written_in_one_of_two_codes(tmp_path, flags, member):
    data = b"".join(built("dé".encode(), flags=flags))
    assert reading_of(tmp_path / "a.zip", data) == (member, TOLD)


@pytest.mark.parametrize("name", [b"d:", b"a:b", b"..", b"/", b"a/.."])
def test_short_names_may_be_unsafe(tmp_path, name):
    (tmp_path / "a.zip").write_bytes(b"".join(built(name)))
    assert verdict(tmp_path / "a.zip") == "unsafe_member"


@pytest.mark.parametrize("name", [b":d", b"ab:", b"..."])
def test_short_names_may_be_safe(tmp_path, name):
    data = b"".join(built(name))
    assert reading_of(tmp_path / "a.zip", data) == (name.decode(), TOLD)


def test_a_member_may_be_as_large_as_the_limit_and_no_larger(tmp_path):
    path, size = a_zip(tmp_path / "a.zip", {"day.data": TEXT}), len(TEXT)
    assert read(path, member_bytes=size) == TEXT
    assert verdict(path, member_bytes=size - 1) == "bomb_size"
    whole = bytearray(path.read_bytes())
    place = whole.rindex(b"PK\1\2") + 24
    whole[place : place + 4] = struct.pack("<L", 1_000)  # what its header says is not believed
    path.write_bytes(whole)
    assert verdict(path, member_bytes=size) == "bad_zip"
    assert verdict(path, member_bytes=size - 1) == "bomb_size"


def test_a_ratio_may_be_as_large_as_the_limit_and_counts_from_a_mebibyte(tmp_path):
    path, size = tmp_path / "a.zip", 2 << 20
    packed = zipfile.ZipFile(a_zip(path, {"day.data": bytes(size)})).infolist()[0].compress_size
    assert len(read(path, ratio=size / packed)) == size
    assert verdict(path, ratio=(size - 0.5) / packed) == "bomb_ratio"
    assert verdict(path, ratio=size / (packed + 0.5)) == "bomb_ratio"
    assert len(read(a_zip(path, {"day.data": bytes(1 << 20)}), ratio=1.0)) == 1 << 20
    assert verdict(a_zip(path, {"day.data": bytes((1 << 20) + 1)}), ratio=1.0) == "bomb_ratio"


@pytest.mark.parametrize("more", [-1, 1, 40_000])
def test_packed_data_ends_where_the_directory_says(tmp_path, more):
    path = a_zip(tmp_path / "a.zip", {"day.data": TEXT})
    whole = path.read_bytes()
    place = whole.rindex(b"PK\1\2")
    (packed,) = struct.unpack_from("<L", whole, place + 20)
    entry = whole[place : place + 20] + struct.pack("<L", packed + more) + whole[place + 24 : -22]
    fields = list(struct.unpack("<4s4H2LH", whole[-22:]))
    fields[6] += 50_000
    data = whole[:place] + bytes(50_000) + entry + struct.pack("<4s4H2LH", *fields)
    path.write_bytes(data)
    with pytest.raises(Quarantine, match="the compressed data ends too early"):
        read(path)


def test_packed_data_may_repeat_what_stood_far_before(tmp_path):
    text = random.Random(1).randbytes(30_000) * 2
    assert read(a_zip(tmp_path / "a.zip", {"day.data": text})) == text


def test_pieces_come_one_by_one(tmp_path):
    text = random.Random(1).randbytes(200_000)
    with open_archive(a_zip(tmp_path / "a.zip", {"day.data": text}), LIMITS) as archive:
        pieces = list(archive.chunks())
    assert b"".join(pieces) == text
    assert len(pieces) > 3


@pytest.mark.parametrize("more", [-1, 0, 1, 300, 70_000, 1 << 20, (1 << 20) + 1])
def test_what_is_left_when_all_packed_data_is_used_comes_too(tmp_path, more):
    """A piece may be full while more is to come of the data that it was made of."""
    text = bytes((1 << 20) + more)
    assert read(a_zip(tmp_path / "a.zip", {"day.data": text}), ratio=2_000.0) == text
