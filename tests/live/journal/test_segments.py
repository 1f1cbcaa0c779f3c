"""The names of a journal's files, and what is made of a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quantgod.live.journal import JournalError, JournalNotice
from quantgod.live.journal.notices import JournalLocked
from quantgod.live.journal.recovery import claim, discard_parts, lock_folder, make_rooms
from quantgod.live.journal.segments import (
    Segment,
    is_table_name,
    logged_segments,
    next_session,
    parts,
    sealed_segments,
    set_aside,
    tables,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_rooms(tmp_path, ["RAW", "BARS"])
    return tmp_path


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()


def test_segments_are_read_from_names_in_the_order_of_their_rows(folder: Path) -> None:
    logs = ["RAW.000002-000001", "RAW.000001-000010", "RAW.000001-000002", "BARS.1000000-000001"]
    touch(folder, *(f"wal/{name}.arrows" for name in logs))
    touch(folder, "wal/RAW.000009-000001.arrows.old", "wal/000009-000001.arrows", "wal/RAW.arrows")
    touch(folder, "wal/RAW.000009-000001.parquet", "wal/raw.000009-000001.arrows")
    touch(folder, "RAW/000003-000004.parquet", "RAW/000003-000001.parquet", "RAW/notes.txt")
    touch(folder, "RAW/000008-000001.arrows")
    raw = [Segment("RAW", *numbers) for numbers in ((1, 2), (1, 10), (2, 1))]
    assert logged_segments(folder, "RAW") == raw
    assert logged_segments(folder) == [Segment("BARS", 1_000_000, 1), *raw]
    assert sealed_segments(folder, "RAW") == [Segment("RAW", 3, 1), Segment("RAW", 3, 4)]
    assert sealed_segments(folder, "BARS") == sealed_segments(folder, "NONE") == []
    for segment in raw:
        assert segment.log(folder).exists()
    assert all(one.sealed(folder).exists() for one in sealed_segments(folder, "RAW"))


def test_tables_are_folders_with_the_name_of_one_and_those_of_logs(folder: Path) -> None:
    assert tables(folder / "nowhere") == []
    touch(folder, "FILE", "notes/any", "wal/SIGNALS.000001-000001.arrows")
    assert tables(folder) == ["BARS", "RAW", "SIGNALS"]
    names = ("RAW", "A", "A_1", "A1"), ("", "raw", "1A", "_A", "A-B", "RAW/..", "RAW\n", "É")
    assert all(map(is_table_name, names[0]))
    assert not any(map(is_table_name, names[1]))


def test_a_session_takes_a_number_above_all_that_was_ever_written(folder: Path) -> None:
    assert next_session(folder / "nowhere") == next_session(folder) == 1
    for name, number in (
        ("BARS/000003-000007.parquet", 4),
        ("wal/RAW.000005-000001.arrows", 6),
        ("quarantine/RAW.000008-000002.arrows", 9),
        ("quarantine/RAW.000011-000001.arrows.reason.txt", 12),
        ("RAW/000002-000099.parquet", 12),
    ):
        touch(folder, name)
        assert next_session(folder) == number, name


def test_temporary_files_of_rooms_are_discarded_and_nothing_else(folder: Path) -> None:
    left = ["RAW/.000001-000001.parquet.9.part", "quarantine/.x.part"]
    kept = ["RAW/x.part", "RAW/.x.parts", "wal/.y.part", "notes/.z.part"]
    touch(folder, *left, *kept)
    assert parts(folder) == sorted(folder / name for name in left)
    notices: list[JournalNotice] = []
    discard_parts(folder, notices.append)
    assert [notice.text for notice in notices] == sorted(left)
    assert not any((folder / name).exists() for name in left)
    assert all((folder / name).exists() for name in kept)


def test_what_is_set_aside_is_there_with_its_reason(folder: Path) -> None:
    touch(folder, "RAW/spoilt")
    for name, content in (("moved", folder / "RAW/spoilt"), ("written", b"tail")):
        target = set_aside(folder, name, content, "why\nit is")
        assert target == folder / "quarantine" / name
        assert target.read_bytes() == (b"" if name == "moved" else content)
        reason = folder / "quarantine" / f"{name}.reason.txt"
        assert reason.read_text(encoding="utf-8") == "why\nit is\n"
    assert not (folder / "RAW/spoilt").exists()


def test_a_folder_is_locked_by_a_process_that_it_names(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    lock = lock_folder(folder)
    mask = os.umask(0)
    os.umask(mask)
    assert (folder / "lock").stat().st_mode & 0o777 == 0o644 & ~mask
    assert (folder / "lock").read_text() == f"{os.getpid()}\n"
    with pytest.raises(JournalLocked, match=rf"is written by process {os.getpid()}$"):
        lock_folder(folder)
    os.truncate(folder / "lock", 0)
    with pytest.raises(JournalLocked, match=r"is written by process unknown$"):
        lock_folder(folder)
    os.close(lock)
    (folder / "lock").write_text("1234567890123\n")
    os.close(lock_folder(folder))
    assert (folder / "lock").read_text() == f"{os.getpid()}\n"


def test_a_folder_belongs_to_the_first_exchange_that_claims_it(folder: Path) -> None:
    claim(folder, "")
    assert not (folder / "source").exists()
    claim(folder, "binance")
    assert (folder / "source").read_text() == "binance\n"
    claim(folder, "binance")
    claim(folder, "")
    with pytest.raises(JournalError, match="holds rows of binance, and these are of simulated"):
        claim(folder, "simulated")
