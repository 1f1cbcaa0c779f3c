import random
import subprocess
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


def test_a_member_beyond_four_gibibytes_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_writer, "_LARGE", 2_000_000)
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
