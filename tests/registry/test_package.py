from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import FEATURES
from quantgod.evaluation.drift import read_reference
from quantgod.files import file_digest
from quantgod.registry.chain import (
    Chain,
    PackageError,
    compare_golden,
    files_of,
    own_module,
    verify,
)
from quantgod.registry.package import (
    CHAIN_FILE,
    SERVED_FOLDER,
    GoldenRows,
    build_package,
    golden_rows,
)
from quantgod.served.request.rows import RequestError
from tests.registry.conftest import BRIDGE, CLASS_WEIGHTS, GOLDEN, WINDOW, Parts
from tests.registry.shelves import SERIES
from tests.synthetic import synthetic_bars

SERVED = {
    f"served/{path.relative_to(SERVED_FOLDER).as_posix()}" for path in SERVED_FOLDER.rglob("*.py")
}
FILES = SERVED | {
    "booster.ubj",
    "calibrator.json",
    "confidence.json",
    "conformal.json",
    "golden_input.json",
    "golden_output.json",
    "graph.onnx",
    "labels.json",
    "manifest.json",
    "reference.json",
}


def test_the_manifest_holds_the_digest_of_every_other_file_and_of_the_code(parts: Parts) -> None:
    folder = parts.package.folder
    manifest = json.loads((folder / "manifest.json").read_text())
    assert files_of(folder).keys() == FILES
    assert "served/calibration.py" in SERVED
    assert manifest == {
        **{name: file_digest(folder / name) for name in FILES - {"manifest.json"}},
        "chain.py": file_digest(CHAIN_FILE),
    }
    assert parts.package.manifest_sha256 == file_digest(folder / "manifest.json")
    verify(folder, CHAIN_FILE, parts.package.manifest_sha256)


def test_a_changed_reference_is_refused(parts: Parts, tmp_path: Path) -> None:
    folder = tmp_path / "package"
    shutil.copytree(parts.package.folder, folder)
    path = folder / "reference.json"
    path.write_text(path.read_text().replace('"count": 9', '"count": 8', 1))
    with pytest.raises(PackageError, match=r"changed_file: reference\.json"):
        verify(folder, CHAIN_FILE, parts.package.manifest_sha256)


@pytest.mark.parametrize("name", ["calibration.py", "another.py", "__pycache__/calibration.pyc"])
def test_code_of_the_package_that_was_changed_or_added_is_refused(
    parts: Parts, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "package"
    shutil.copytree(parts.package.folder, folder)
    (folder / "served" / name).parent.mkdir(exist_ok=True)
    (folder / "served" / name).write_text("raise SystemExit\n")
    with pytest.raises(PackageError, match=rf"changed_file: served/{name}"):
        verify(folder, CHAIN_FILE, parts.package.manifest_sha256)


def test_a_package_runs_its_own_code_beside_others_and_leaves_nothing_behind(
    parts: Parts, tmp_path: Path
) -> None:
    rows = parts.bars[list(FEATURES)].iloc[-WINDOW:].reset_index()
    folder = tmp_path / "package"
    shutil.copytree(parts.package.folder, folder)
    code = folder / "served" / "calibration.py"
    code.write_text(code.read_text().replace("scores - scores.max", "2 * scores - 2 * scores.max"))
    before = files_of(folder).keys()
    first, other, again = Chain(parts.package.folder), Chain(folder), Chain(parts.package.folder)
    own, sharper = first.judge(rows), other.judge(rows)
    assert sharper["prob_neutral"][0] != own["prob_neutral"][0]
    pd.testing.assert_frame_equal(first.judge(rows), own, check_exact=True)
    assert files_of(folder).keys() == before
    assert again.calibration is first.calibration is not other.calibration


def test_an_equal_copy_gives_modules_that_the_first_one_was_never_asked_for(
    tmp_path: Path,
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "one.py").write_text("VALUE = 1\n")
        (tmp_path / name / "two.py").write_text("from .one import VALUE\n")
    assert own_module(tmp_path / "first", "one").VALUE == 1
    shutil.rmtree(tmp_path / "first")
    assert own_module(tmp_path / "second", "two").VALUE == 1


def test_a_version_made_before_there_were_references_still_loads(
    parts: Parts, tmp_path: Path
) -> None:
    folder = tmp_path / "package"
    shutil.copytree(parts.package.folder, folder)
    (folder / "reference.json").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["reference.json"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    verify(folder, CHAIN_FILE, file_digest(folder / "manifest.json"))
    Chain(folder).check_golden()
    assert read_reference(folder) is None
    assert read_reference(parts.package.folder) is not None


def test_the_contract_is_the_networks(parts: Parts) -> None:
    contract = json.loads((parts.package.folder / "labels.json").read_text())
    assert contract["window"] == WINDOW
    assert contract["base_class_weights"] == list(CLASS_WEIGHTS)
    assert contract["max_bridge_minutes"] == BRIDGE


def test_the_golden_input_is_a_body_that_can_be_posted(parts: Parts) -> None:
    body = json.loads((parts.package.folder / "golden_input.json").read_text())
    rows = body["dataframe_split"]
    assert body.keys() == {"dataframe_split"}
    assert rows["columns"][0] == "datetime"
    assert rows["data"][0][0].endswith("Z")
    assert len(rows["data"]) == GOLDEN


def test_golden_rows_are_the_newest_of_a_run_that_is_long_enough() -> None:
    bars = synthetic_bars(120)
    gap = 100 - (BRIDGE + 1)
    holed = pd.concat([bars[:gap], bars[100:]])
    rows = golden_rows(GoldenRows(holed, 40, BRIDGE), window=30)
    assert rows["datetime"].iloc[-1] == f"{bars.index[gap - 1]:%Y-%m-%dT%H:%M:%SZ}"
    assert len(rows) == 40
    bridged = golden_rows(GoldenRows(pd.concat([bars[: gap + 1], bars[100:]]), 40, BRIDGE), 30)
    assert bridged["datetime"].iloc[-1] == f"{bars.index[-1]:%Y-%m-%dT%H:%M:%SZ}"
    assert len(golden_rows(GoldenRows(bars, 1, BRIDGE), window=30)) == 31
    blind = bars.assign(run=0, seen=np.arange(120) < 70)
    assert golden_rows(GoldenRows(blind, 40, BRIDGE), 30).equals(
        golden_rows(GoldenRows(bars[:70], 40, BRIDGE), 30)
    )


def test_of_three_runs_that_are_long_enough_the_newest_is_taken_and_no_row_of_another() -> None:
    bars = synthetic_bars(160)
    runs = pd.concat([bars[:40], bars[60:100], bars[120:155], bars[158 + BRIDGE :]])
    rows = golden_rows(GoldenRows(runs, 500, BRIDGE), window=30)
    texts = [f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in bars.index[120:155]]
    assert rows["datetime"].tolist() == texts
    assert np.array_equal(rows[list(FEATURES)], bars[list(FEATURES)][120:155])
    assert rows.columns.tolist() == ["datetime", *FEATURES] and rows.index.tolist() == [*range(35)]


def test_a_run_of_a_window_and_a_minute_is_just_enough() -> None:
    assert len(golden_rows(GoldenRows(synthetic_bars(31), 40, BRIDGE), window=30)) == 31


@pytest.mark.parametrize("minutes", [0, 30])
def test_too_few_golden_rows_are_refused(minutes: int) -> None:
    with pytest.raises(ValueError, match=f"a run of 31 minutes expected, .* has {minutes}"):
        golden_rows(GoldenRows(synthetic_bars(31)[:minutes], 40, BRIDGE), window=30)


def test_a_package_is_not_mixed_with_another(parts: Parts) -> None:
    golden = GoldenRows(parts.bars, GOLDEN, BRIDGE)
    with pytest.raises(ValueError, match="an empty folder was expected"):
        made_of = parts.network, parts.auditor_folder, golden, parts.reference, SERIES
        build_package(parts.package.folder, *made_of)


def test_golden_rows_that_break_the_contract_are_refused(parts: Parts, tmp_path: Path) -> None:
    bars = parts.bars.copy()
    bars.iloc[-3, 4] = np.nan
    golden = GoldenRows(bars, GOLDEN, BRIDGE)
    with pytest.raises(RequestError, match=r"row 780 .* volatility is null or NaN"):
        made_of = parts.network, parts.auditor_folder, golden, parts.reference, SERIES
        build_package(tmp_path, *made_of)


def test_a_golden_output_that_differs_is_named(parts: Parts) -> None:
    said = json.loads((parts.package.folder / "golden_output.json").read_text())
    expected = pd.DataFrame(said["predictions"])
    compare_golden(expected, expected)
    compare_golden(expected.assign(prob_buy=expected["prob_buy"] + 9e-7), expected)
    with pytest.raises(PackageError, match="golden_output: prob_buy is off by 2e-06"):
        compare_golden(expected.assign(prob_buy=expected["prob_buy"] + 2e-6), expected)
    with pytest.raises(PackageError, match="uncertainty is off by nan"):
        compare_golden(expected.assign(uncertainty=np.nan), expected)
    with pytest.raises(PackageError, match="64 rows expected, got 63"):
        compare_golden(expected.iloc[1:], expected)
