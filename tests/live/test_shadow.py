"""What two versions said in live sessions is read back from a journal as it was written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from quantgod.contracts import CLASSES, FEATURES
from quantgod.dataset.labels import label
from quantgod.gates.champion import JournalTables, Labelling, on_live_rows
from quantgod.gates.duel import Duel
from quantgod.live.journal import BARS, SIGNALS, Journal
from quantgod.live.shadow import read_shadow
from quantgod.settings import LabelSettings, load_settings
from tests.synthetic import synthetic_bars

MINUTES, HORIZON, BRIDGE = 900, 60, 5
HOLE = range(500, 520)
CHALLENGER, CHAMPION, OTHER = 7, 4, 5
NAME = "quantgod"
JOURNALING = load_settings(Path("conf/demo.yaml")).live.journaling
LABELLING = Labelling(
    LabelSettings(horizon_minutes=HORIZON, buy_above=0.008, sell_below=-0.004), BRIDGE
)
PRICES = synthetic_bars(MINUTES, seed=6, volatility=0.002)
EPOCH = PRICES.index.as_unit("s").asi8 // 60
TARGET = label(PRICES, *LABELLING)["target"].to_numpy()


def bar(place: int) -> dict[str, Any]:
    """A row of BARS; none in the hole."""
    row = dict.fromkeys(BARS.names) | {"minute": int(EPOCH[place]), "symbol": "BTCUSDT"}
    if place in HOLE:
        return row | {"reason": "gap"}
    return row | PRICES.iloc[place].to_dict() | {"book": [1.0]}


def signal(
    place: int, version: int, role: str, trust: float, model: str | None = NAME
) -> dict[str, Any]:
    """A row of SIGNALS: `trust` in what will come, the rest shared by the others."""
    said = np.full(3, (1 - trust) / 2)
    said[TARGET[place]] = trust
    names = [name.lower() for name in CLASSES]
    return {
        **{field.name: pa.scalar(0).cast(field.type).as_py() for field in SIGNALS},
        **{f"prob_{name}": value for name, value in zip(names, said.tolist(), strict=True)},
        "minute": int(EPOCH[place]), "symbol": "BTCUSDT", "role": role, "version": version,
        "model": model,
        "class": int(said.argmax()), "signal": CLASSES[int(said.argmax())],
    }  # fmt: skip


def write(folder: Path, places: Iterable[int], spoke: Iterable[tuple[int, str, float]]) -> None:
    """A session: a bar for each minute and then what each version said of it."""
    with Journal(folder, {"BARS": BARS, "SIGNALS": SIGNALS}, JOURNALING) as journal:
        for place in places:
            journal.append("BARS", bar(place))
            if place not in HOLE:
                for version, role, trust in spoke:
                    journal.append("SIGNALS", signal(place, version, role, trust))


BOTH = ((CHAMPION, "Production", 0.4), (CHALLENGER, "Challenger", 0.7), (OTHER, "Old", 0.9))


def compared(journaled: JournalTables, needed: float = 5.0) -> Duel | None:
    ever = pd.Timestamp(0, tz="UTC")
    return on_live_rows(journaled, (CHALLENGER, CHAMPION), ever, LABELLING, needed)


def test_what_both_said_is_joined_with_what_came_of_it(tmp_path: Path) -> None:
    write(tmp_path, range(200), BOTH)
    write(tmp_path, range(200, MINUTES), BOTH)  # another session
    read = read_shadow(tmp_path, NAME, (CHALLENGER, CHAMPION))
    found = compared(read)
    assert found is not None and found.log_loss is not None
    assert found.log_loss.value < 0 and found.too_few and not found.won
    # The last hour has no label, nor has the hole; and none reaches over the hole.
    assert found.rows == MINUTES - HORIZON - len(HOLE) - HORIZON
    assert set(read.signals["version"]) == {CHALLENGER, CHAMPION}
    assert len(read.bars) == MINUTES and read.bars["close"].isna().sum() == len(HOLE)


@pytest.mark.long
def test_a_session_that_still_runs_is_read_too(tmp_path: Path) -> None:
    with Journal(tmp_path, {"BARS": BARS, "SIGNALS": SIGNALS}, JOURNALING) as journal:
        for place in range(100):
            done = journal.append_now("BARS", bar(place))
            for version, role, trust in BOTH:
                done = journal.append_now("SIGNALS", signal(place, version, role, trust))
        done.result(timeout=10)
        found = compared(read_shadow(tmp_path, NAME, (CHALLENGER, CHAMPION)), needed=1.0)
        assert found is not None and found.rows == 100 - HORIZON


def test_a_journal_without_shadow_predictions_or_none_at_all_gives_nothing(tmp_path: Path) -> None:
    assert compared(read_shadow(tmp_path / "nowhere", NAME, (CHALLENGER, CHAMPION))) is None
    write(tmp_path / "one", range(100), BOTH[:1])
    assert compared(read_shadow(tmp_path / "one", NAME, (CHALLENGER, CHAMPION))) is None
    write(tmp_path / "bars", range(100), ())
    assert compared(read_shadow(tmp_path / "bars", NAME, (CHALLENGER, CHAMPION))) is None


def test_bars_before_the_first_signal_are_left_where_they_are(tmp_path: Path) -> None:
    write(tmp_path, range(100), ())
    write(tmp_path, range(100, 200), BOTH)
    assert len(read_shadow(tmp_path, NAME, (CHALLENGER, CHAMPION)).bars) == 100
    assert list(read_shadow(tmp_path, NAME, (CHALLENGER,)).bars.columns)[2:] == [*FEATURES, "close"]


@pytest.mark.parametrize("model", ["quantgod-eth", None])
def test_a_version_of_another_model_that_bears_the_same_number_is_not_heard(
    model: str | None, tmp_path: Path
) -> None:
    with Journal(tmp_path, {"BARS": BARS, "SIGNALS": SIGNALS}, JOURNALING) as journal:
        for place in range(100):
            journal.append("BARS", bar(place))
            journal.append("SIGNALS", signal(place, CHAMPION, "Production", 0.4, model))
            journal.append("SIGNALS", signal(place, CHALLENGER, "Challenger", 0.7))
    read = read_shadow(tmp_path, NAME, (CHALLENGER, CHAMPION))
    assert set(read.signals["version"]) == {CHALLENGER}
    assert compared(read) is None
