"""The version in place is loaded as it is served and asked of the challenger's test rows."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import FEATURE_SETS, FEATURES
from quantgod.dataset.labels import label
from quantgod.evaluation.scored_rows import columns_of
from quantgod.evaluation.subject import RawMaterial
from quantgod.files import file_digest, write_json
from quantgod.gates.champion import BAR_COLUMNS, SIGNAL_COLUMNS, JournalTables
from quantgod.registry import challenge as challenging
from quantgod.registry.chain_subject import ChainSubject
from quantgod.registry.challenge import Challenge, compare_with_champion
from quantgod.registry.package import CHAIN_FILE, Package
from quantgod.registry.versions import load_chain
from quantgod.served.calibration import decide
from quantgod.served.features import sets
from quantgod.settings import Settings, load_settings
from tests.registry.conftest import NAME, WINDOW, Parts, Store
from tests.registry.shelves import SERIES
from tests.synthetic import synthetic_bars

STRIDE, MINUTES, HORIZON = 20, 2_600, 60
UNTIL = 899
"""Where the tiny reference ends, in minutes of the synthetic bars."""

NOTHING = JournalTables(
    pd.DataFrame(columns=list(SIGNAL_COLUMNS)), pd.DataFrame(columns=list(BAR_COLUMNS))
)
SETTINGS = load_settings(Path("conf/full.yaml"), {"gates.champion_rows": 10})


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return label(synthetic_bars(MINUTES, seed=5, volatility=0.002), SETTINGS.label, 5)


def served(number: int) -> ChainSubject:
    return ChainSubject(NAME, load_chain(NAME, number).unwrap_python_model().chain)


def scored(table: pd.DataFrame, number: int, truth: float = 0.0) -> pd.DataFrame:
    """Test rows on which a challenger says what a version says, and a share of the truth."""
    place = np.arange(WINDOW + 1, MINUTES - HORIZON, STRIDE)
    subject, matrix = served(number), table[list(FEATURES)].to_numpy()
    target = table["target"].to_numpy(np.int64)[place]
    said = subject.audited(subject.ask(RawMaterial(matrix), place).meta)
    said = (1 - truth) * said + truth * np.eye(3)[target]
    rows = pd.DataFrame(said, columns=columns_of("auditor"))
    return rows.assign(
        time=table.index[place],
        label_end=table.index[place + HORIZON],
        target=target,
        auditor_class=decide(said, subject.decision_weights),
    )


def challenge(table: pd.DataFrame, rows: pd.DataFrame, champion: int) -> Challenge:
    return Challenge(NAME, 99, champion, rows, table, None, NOTHING)


def test_a_challenger_that_says_the_same_does_not_win_and_one_that_knows_more_does(
    store: Store, table: pd.DataFrame
) -> None:
    same = scored(table, store.number)
    found = compare_with_champion(challenge(table, same, store.number), SETTINGS)
    assert found.champion == f"{NAME}/{store.number}" and found.live is None
    assert found.test.log_loss is not None and found.test.log_loss.value == pytest.approx(
        0, abs=1e-9
    )
    assert not found.test.won
    new = same["time"] >= table.index[UNTIL + HORIZON]
    assert found.test.rows == new.sum() < len(same), (
        "what the champion has learned from is left out"
    )
    told = challenge(table, scored(table, store.number, truth=0.3), store.number)
    test = compare_with_champion(told, SETTINGS).test
    assert test.log_loss is not None and test.macro_f1 is not None
    assert test.log_loss.value < 0 < test.macro_f1.value


def test_settings_say_how_many_rows_are_needed(store: Store, table: pd.DataFrame) -> None:
    rows = scored(table, store.number, truth=0.3)
    strict = with_rows(1_000)
    found = compare_with_champion(challenge(table, rows, store.number), strict)
    assert not found.test.won and "1000 are needed" in found.test.problem


def with_rows(needed: float) -> Settings:
    gates = SETTINGS.gates.model_copy(update={"champion_rows": needed})
    return SETTINGS.model_copy(update={"gates": gates})


def test_live_minutes_count_from_where_both_parts_are_new(
    store: Store, table: pd.DataFrame
) -> None:
    rows = scored(table, store.number)
    minutes = table.index.as_unit("s").asi8 // 60
    said = pd.DataFrame({"minute": minutes, "symbol": "BTCUSDT", "class": 1})
    said = said.assign(prob_sell=0.2, prob_neutral=0.6, prob_buy=0.2)
    both = [said.assign(version=version)[list(SIGNAL_COLUMNS)] for version in (99, store.number)]
    bars = table.assign(minute=minutes, symbol="BTCUSDT")[list(BAR_COLUMNS)]
    found = compare_with_champion(
        Challenge(NAME, 99, store.number, rows, table, None, JournalTables(pd.concat(both), bars)),
        SETTINGS,
    )
    assert found.live is not None
    assert found.live.rows == MINUTES - HORIZON - (UNTIL + HORIZON)
    late = rows[rows["time"] >= table.index[1_500]].reset_index(drop=True)
    found = compare_with_champion(
        Challenge(NAME, 99, store.number, late, table, None, JournalTables(pd.concat(both), bars)),
        SETTINGS,
    )
    begins = int(table.index.get_loc(late["time"].iloc[0]))
    assert found.live is not None and found.live.rows == MINUTES - HORIZON - begins


def test_a_champion_that_cannot_be_asked_is_told_of_and_not_beaten(
    store: Store, parts: Parts, table: pd.DataFrame, tmp_path: Path
) -> None:
    rows = scored(table, store.number, truth=0.3)
    found = compare_with_champion(challenge(table, rows, 98), SETTINGS)
    assert not found.test.won and f"{NAME} 98" in found.test.problem
    silent = store.add(without_reference(parts, tmp_path))
    found = compare_with_champion(challenge(table, rows, silent), SETTINGS)
    assert not found.test.won and "does not say how far its data reaches" in found.test.problem


def test_a_champion_is_asked_of_rows_that_hold_its_columns_and_of_no_others(
    store: Store, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = scored(table, store.number)
    wide = table.join(pd.DataFrame(0.0, table.index, list(sets.NAMES)))
    same, beside = (
        compare_with_champion(challenge(of, rows, store.number), SETTINGS).test
        for of in (table, wide)
    )
    assert beside == same, "the nine stand in both"
    known = load_chain(NAME, store.number)
    chain = known.unwrap_python_model().chain
    asked = dataclasses.replace(chain.contract, feature_set=list(FEATURE_SETS)[1])
    monkeypatch.setattr(chain, "contract", asked)
    monkeypatch.setattr(challenging, "load_chain", lambda *_: known)
    test = compare_with_champion(challenge(table, rows, store.number), SETTINGS).test
    told = r"takes features minute_bars/1\+book.*, and the rows hold minute_bars/1$"
    assert not test.won and re.search(told, test.problem)


def without_reference(parts: Parts, folder: Path) -> Package:
    package = Path(shutil.copytree(parts.package.folder, folder / "package"))
    (package / "reference.json").unlink()
    manifest = json.loads((package / "manifest.json").read_text())
    write_json(
        package / "manifest.json", {k: v for k, v in manifest.items() if k != "reference.json"}
    )
    return Package(package, CHAIN_FILE, file_digest(package / "manifest.json"), 0.0, SERIES)
