"""A version as code before `served/` registered it: its files lie beside, made by that code.

Whatever changes here, it still loads, answers as it did, is compared with and is rolled back to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from quantgod.contracts import CLASSES, FEATURES, PRIMARY
from quantgod.dataset.labels import label
from quantgod.evaluation.evaluate import evaluate
from quantgod.evaluation.scored_rows import columns_of
from quantgod.evaluation.subject import RawMaterial
from quantgod.live.deployment.loaded_model import Fit, load_model
from quantgod.registry.chain_subject import ChainSubject
from quantgod.registry.ownership import series_tags
from quantgod.registry.registered import FILES_TAG, files_digest
from quantgod.registry.rollback import roll_back
from quantgod.registry.versions import check_files, load_chain
from tests.registry.conftest import BRIDGE, out_of_fold_rows
from tests.registry.shelves import ALIAS, NAME, SERIES, Shelf
from tests.registry.test_judged_is_served import lived, settings
from tests.synthetic import synthetic_bars

MODEL = Path(__file__).parent / "version_before_served" / "model"
PACKAGE = MODEL / "artifacts" / "package"
NUMBER = 5


@pytest.fixture
def shelf_with_it(shelf: Shelf) -> Iterator[Shelf]:
    """A store in which it is version 5."""
    tags = {FILES_TAG: files_digest(MODEL)}
    tags |= series_tags(SERIES)
    made = MlflowClient().create_model_version(NAME, source=str(MODEL), tags=tags)
    assert int(made.version) == NUMBER
    yield shelf


def golden(name: str) -> dict[str, object]:
    return json.loads((PACKAGE / f"golden_{name}.json").read_text())


def test_it_loads_and_answers_as_it_did(shelf_with_it: Shelf) -> None:
    check_files(MODEL, files_digest(MODEL))
    rows = pd.DataFrame(**golden("input")["dataframe_split"])
    said = load_chain(NAME, NUMBER).predict(rows)
    expected = pd.DataFrame(golden("output")["predictions"])
    expected["datetime"] = pd.to_datetime(expected["datetime"], utc=True)
    assert set(expected["action"]) > {"NEUTRAL"}
    pd.testing.assert_frame_equal(
        said, expected, check_dtype=False, check_like=True, rtol=0, atol=1e-6
    )


def test_it_answers_live() -> None:
    loaded = load_model(NAME, NUMBER, MODEL, Fit(SERIES, BRIDGE, 720))
    rows = pd.DataFrame(**golden("input")["dataframe_split"]).iloc[-loaded.window :]
    rows["datetime"] = pd.to_datetime(rows["datetime"], utc=True)
    assert loaded.predict(rows).action == golden("output")["predictions"][-1]["action"]


def test_it_can_be_asked_as_a_champion(shelf_with_it: Shelf) -> None:
    chain = load_chain(NAME, NUMBER).unwrap_python_model().chain
    rows = pd.DataFrame(**golden("input")["dataframe_split"])
    subject, matrix = ChainSubject(f"{NAME}/{NUMBER}", chain), rows[list(FEATURES)].to_numpy()
    ends = pd.RangeIndex(subject.window - 1, len(rows)).to_numpy()
    seen = subject.ask(RawMaterial(matrix), ends)
    said = chain.judge(rows)
    assert subject.confidence(seen) is None and "base_confidence" not in said
    names = ["sell", "neutral", "buy"]
    base, audited = seen.forecast.probabilities[:, PRIMARY], subject.audited(seen.meta)
    assert (base == said[[f"base_{name}" for name in names]].to_numpy()).all()
    assert (audited == said[[f"prob_{name}" for name in names]].to_numpy()).all()


def test_where_it_is_judged_and_where_it_lives_its_confidence_is_unknown(tmp_path: Path) -> None:
    model = load_model(NAME, NUMBER, MODEL, Fit(SERIES, BRIDGE, 720))
    chain, given = model._model.unwrap_python_model().chain, settings()
    table = label(synthetic_bars(700, seed=9, signal=0.6), given.label, BRIDGE)
    rows = out_of_fold_rows(table.index[40:450])
    evaluated = evaluate(ChainSubject(f"{NAME}/{NUMBER}", chain), table, rows, given)
    kept = lived(tmp_path, model, table, evaluated.samples_row[:5])
    judged = evaluated.rows[:5]
    assert kept[[f"base_{name.lower()}" for name in CLASSES]].to_numpy().tolist() == (
        judged[columns_of("base")].to_numpy().tolist()
    )
    for known in (kept, judged):
        assert known["base_confidence"].isna().all() and len(known) == 5
    assert evaluated.result.confidence == {}


def test_it_is_rolled_back_to(shelf_with_it: Shelf) -> None:
    shelf_with_it.put(NUMBER)
    shelf_with_it.put(1)
    roll_back(NAME, ALIAS, reason="a test", by="a tester")
    assert str(MlflowClient().get_registered_model(NAME).aliases[ALIAS]) == str(NUMBER)
