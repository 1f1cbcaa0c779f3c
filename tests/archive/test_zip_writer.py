import random
import struct
import subprocess
import sys
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantgod.archive import zip_writer
from quantgod.archive.zip_writer import write_zip


@given(chunks=st.lists(st.binary(max_size=2_000), max_size=8))
@settings(max_examples=30, deadline=None)
def test_any_reader_gets_back_what_was_written(chunks, tmp_path_factory):
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    write_zip(path, "day.data", iter(chunks))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        (info,) = archive.infolist()
        assert archive.read("day.data") == b"".join(chunks)
    assert info.file_size == sum(map(len, chunks))
    assert info.date_time == (2024, 1, 1, 0, 0, 0)


@pytest.mark.skipif(
    sys.version_info < (3, 11, 4), reason="its zipfile writes wrong fields (python/cpython#103861)"
)
def test_every_field_is_what_zipfile_writes_of_the_same_member(tmp_path):
    """But for the date, the level's own bytes, and sizes, which stand in the zip64 field here."""
    text = b"line\n" * 1_000
    write_zip(tmp_path / "ours.zip", "day.data", [text])
    with zipfile.ZipFile(tmp_path / "theirs.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo("day.data", (2024, 1, 1, 0, 0, 0))
        info.compress_type, info.external_attr, info.create_system = 8, 0o644 << 16, 3
        with archive.open(info, "w", force_zip64=True) as member:
            member.write(text)
    ours, theirs = (fields_of(tmp_path / name) for name in ("ours.zip", "theirs.zip"))
    assert [names for names, _ in ours] == [names for names, _ in theirs]
    for (names, mine), (_, other) in zip(ours, theirs, strict=True):
        differing = {name for name in names if mine[name] != other[name]}
        assert differing <= {"packed", "offset", "size_of_directory"}, differing
    directory, end = ours[1][1], ours[2][1]
    whole = (tmp_path / "ours.zip").read_bytes()
    assert whole[end["offset"] :].startswith(b"PK\1\2")
    assert end["offset"] + end["size_of_directory"] == len(whole) - 22
    assert directory["packed"] == end["offset"] - len(zip_writer._local_header(MEMBER))


MEMBER = zip_writer._Member(b"day.data", 0, 0, 0)
LOCAL = (
    "signature needs flags method time date crc packed size name_length extra_length",
    "<4s5H3I2H",
    b"PK\3\4",
)
DIRECTORY = (
    "signature made_by needs flags method time date crc packed size name_length extra_length "
    "comment_length disk inner outer place",
    "<4s6H3I5H2I",
    b"PK\1\2",
)
END = (
    "signature disk directory_disk here all size_of_directory offset comment_length",
    "<4s4H2IH",
    b"PK\5\6",
)


def fields_of(path):
    """The fields of a zip of one member, by APPNOTE 6.3.10: local header, directory, end."""
    whole = path.read_bytes()
    found = []
    for text, form, mark in (LOCAL, DIRECTORY, END):
        names, values = text.split(), struct.unpack_from(form, whole, whole.rindex(mark))
        found.append((names, dict(zip(names, values, strict=True))))
    return found


def test_a_member_beyond_four_gibibytes_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_writer, "_LARGE", 2_000_000)
    for size, is_large in ((1_999_999, False), (2_000_000, True)):
        made = zip_writer._directory(zip_writer._Member(b"x", 1, 10, size))
        assert (struct.pack("<HHQ", 1, 8, size) in made) == is_large
        assert struct.unpack_from("<L", made, 24)[0] == size  # the sign that it stands elsewhere
    header = len(zip_writer._local_header(zip_writer._Member(b"x")))
    zip_writer._directory(zip_writer._Member(b"x", 1, 2_000_000 - header - 1, 5))
    with pytest.raises(ValueError, match="4 GiB at most"):
        zip_writer._directory(zip_writer._Member(b"x", 1, 2_000_000 - header, 5))
    directory = zip_writer._directory(zip_writer._Member(b"x", 1, 10, 3_000_000))
    assert (3_000_000).to_bytes(8, "little") in directory
    noise = random.Random(0).randbytes(3_000_000)
    with pytest.raises(ValueError, match="4 GiB at most"):
        write_zip(tmp_path / "a.zip", "x", [noise])
    assert list(tmp_path.iterdir()) == []


def test_nothing_appears_where_the_lines_fail(tmp_path):
    def failing():
        yield b"line\n"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_zip(tmp_path / "a.zip", "x", failing())
    assert list(tmp_path.iterdir()) == []


def test_unzip_takes_it(tmp_path):
    write_zip(tmp_path / "a.zip", "day.data", [b"line\n"] * 1_000)
    try:
        done = subprocess.run(
            ["unzip", "-tq", "a.zip"], cwd=tmp_path, check=False, capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("there is no unzip on this machine")
    assert done.returncode == 0, done.stdout
