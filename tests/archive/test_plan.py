"""Which files are archives, and of which day."""

from __future__ import annotations

import shutil
from pathlib import Path

from quantgod.archive.etl import run_etl
from quantgod.archive.plan import find_archives
from tests.archive.feeds import (
    DAYS,
    etl_settings,
    pack,
    three_days,
)


def test_archives_are_found_in_any_folder_and_others_listed(tmp_path: Path) -> None:
    lines = three_days()[DAYS[0]]
    path = pack(tmp_path / "linear" / "BTCUSDT", DAYS[0], lines)
    for name in ("2024-02-30_BTCUSDT_ob500.data.zip", "2024-01-02_BTCUSDT_ob500.zip", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "2024-01-05_BTCUSDT_ob500.data.zip").mkdir()
    shutil.copy(path, tmp_path / "2024-01-01_ETHUSDT_ob200.data.zip")
    found, others = find_archives(tmp_path)
    assert [(file.symbol, file.depth) for file in found] == [("BTCUSDT", 500), ("ETHUSDT", 200)]
    assert others == [
        "2024-01-02_BTCUSDT_ob500.zip",
        "2024-02-30_BTCUSDT_ob500.data.zip",
        "notes.txt",
    ]
    report = run_etl(tmp_path, tmp_path / "bars", etl_settings(), symbol="BTCUSDT")
    assert [archive.symbol for archive in report.archives] == ["BTCUSDT"]
    assert report.ignored == others
