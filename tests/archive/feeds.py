"""Tiny hand-made feeds: a few levels, any times, zipped under an archive's name.

The simulator makes whole days that look real; these are for tests that cut and mix files.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from quantgod.archive.seconds import load_seconds
from quantgod.archive.store import load_bars
from quantgod.contracts import BAR_COLUMNS
from quantgod.settings import EtlSettings, load_settings

MIDNIGHT_MS = 1_704_153_600_000  # 2024-01-02T00:00Z
ROOT = Path(__file__).parents[2]
FULL = load_settings(ROOT / "conf" / "full.yaml")
DAYS = (dt.date(2024, 1, 1), dt.date(2024, 1, 2), dt.date(2024, 1, 3))


def feed(
    begin_ms: int,
    seconds: int,
    *,
    seed: int = 0,
    step_seconds: int = 5,
    first_id: int = 1000,
    snapshots: Collection[int] = (),
) -> list[bytes]:
    """Messages every `step_seconds`, the first one and those of `snapshots` being whole books."""
    rng = random.Random(seed)
    middle, lines = 60_000, []
    for place in range(seconds // step_seconds):
        ts = begin_ms + 1000 * step_seconds * place + rng.randrange(900)
        middle += rng.randrange(-3, 4)
        old = middle - 10 if place and place not in snapshots else None
        lines.append(_message(rng, ts, first_id + place, middle, old))
    return lines


def _message(rng: random.Random, ts: int, update: int, middle: int, old: int | None) -> bytes:
    """A whole book of 7 levels a side; a delta also removes all levels that may still be there."""
    sides = []
    for sign in (-1, 1):
        kept = {middle + sign * away: rng.randrange(1, 5000) / 1000 for away in range(1, 8)}
        gone = [] if old is None else [p for p in range(middle - 20, middle + 21) if p not in kept]
        rows = [[f"{price / 10:.1f}", "0"] for price in gone]
        sides.append(rows + [[f"{price / 10:.1f}", f"{size:.3f}"] for price, size in kept.items()])
    message = {
        "topic": "orderbook.500.BTCUSDT",
        "type": "snapshot" if old is None else "delta",
        "ts": ts,
        "data": {"s": "BTCUSDT", "b": sides[0], "a": sides[1], "u": update, "seq": update},
        "cts": ts - 3,
    }
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def pack(folder: Path, date: dt.date, lines: Sequence[bytes], depth: int = 500) -> Path:
    """Zip lines as the archive of a day."""
    name = f"{date}_BTCUSDT_ob{depth}.data"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), b"".join(lines))
    return path


def three_days() -> dict[dt.date, list[bytes]]:
    """Ten minutes before a midnight, the short day after it, and the start of a third.

    A message of the second day comes twice.
    """
    begin = MIDNIGHT_MS - 600_000
    lines = feed(begin, 1200, snapshots=[120])
    third = feed(MIDNIGHT_MS + 86_400_000, 300, seed=1, first_id=9000)
    return {DAYS[0]: lines[:120], DAYS[1]: [*lines[120:125], *lines[124:]], DAYS[2]: third}


def write(folder: Path, days: dict[dt.date, list[bytes]]) -> None:
    for date, lines in days.items():
        pack(folder, date, lines)


def etl_settings(**changes: Any) -> EtlSettings:
    return FULL.etl.model_copy(update={"workers": 1, **changes})


def stored(bars: Path) -> dict[str, bytes]:
    """Every visible file below a folder of bars, with its bytes."""
    files = sorted(path for path in bars.rglob("*") if path.is_file())
    return {path.relative_to(bars).as_posix(): path.read_bytes() for path in files}


def whole_bars(bars: Path) -> pd.DataFrame:
    """All stored columns, also of the seconds."""
    return load_bars(bars, "BTCUSDT", BAR_COLUMNS).join(load_seconds(bars, "BTCUSDT"))
