from __future__ import annotations

import ast
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from quantgod.auditor.meta_features import MetaFeatures
from quantgod.contracts import CLASSES, FEATURES
from quantgod.registry import chain
from quantgod.registry.chain import Chain, InputError
from quantgod.registry.package import CHAIN_FILE, SERVED_FOLDER
from quantgod.served.calibration import uncertainty, untilt
from quantgod.served.request.rows import LARGEST
from tests.registry.conftest import BRIDGE, CLASS_WEIGHTS, GOLDEN, WINDOW, Parts
from tests.served.request.test_rows import changed, without

BASE = ["base_sell", "base_neutral", "base_buy"]
AUDITED = ["prob_sell", "prob_neutral", "prob_buy"]


@pytest.fixture(scope="module")
def served(parts: Parts) -> Chain:
    return Chain(parts.package.folder)


@pytest.fixture
def rows(parts: Parts) -> pd.DataFrame:
    return parts.bars[list(FEATURES)].iloc[-GOLDEN:].reset_index()


@pytest.mark.parametrize(
    "path",
    [CHAIN_FILE, *sorted(SERVED_FOLDER.rglob("*.py"))],
    ids=lambda path: path.relative_to(SERVED_FOLDER.parent).as_posix(),
)
def test_a_version_imports_nothing_but_what_a_server_has_and_its_own_copies(path: Path) -> None:
    allowed, depth = {"numpy", "__future__"}, 0
    if path == CHAIN_FILE:
        allowed |= {"mlflow", "onnxruntime", "pandas", "xgboost"}
    else:
        allowed |= {"pandas"} if path.parent.name == "request" else set()
        depth = len(path.relative_to(SERVED_FOLDER).parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    whole = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    names = {alias.name.split(".")[0] for node in whole for alias in node.names}
    names |= {str(node.module).split(".")[0] for node in froms if not node.level}
    assert names - allowed <= sys.stdlib_module_names
    assert all(node.level <= depth for node in froms), "it leaves its own folder"


def test_the_chain_says_what_base_model_and_auditor_say_in_torch(
    parts: Parts, served: Chain, rows: pd.DataFrame
) -> None:
    said = served.judge(rows)
    ends = range(len(parts.bars) - GOLDEN + WINDOW - 1, len(parts.bars))
    matrix = parts.bars[list(FEATURES)].to_numpy()
    windows = torch.tensor(np.stack([matrix[end + 1 - WINDOW : end + 1] for end in ends]))
    scaler = parts.network.scaler
    with torch.inference_mode():
        meta = MetaFeatures(parts.network.model, scaler.mean, scaler.std)(windows).numpy()
    audited = parts.auditor.predict(meta)
    assert said["datetime"].tolist() == [parts.bars.index[end] for end in ends]
    assert np.abs(said[BASE] - untilt(meta[:, :3], CLASS_WEIGHTS)).to_numpy().max() < 1e-6
    assert np.abs(said[AUDITED] - audited).to_numpy().max() < 1e-6
    assert said["class"].tolist() == parts.auditor.decide(audited).tolist()
    assert said["signal"].tolist() == [CLASSES[number] for number in said["class"]]
    assert set(said["class"]) == {0, 1, 2}, "the test needs a chain that says everything"


def test_probabilities_and_uncertainty_are_what_they_claim(
    served: Chain, rows: pd.DataFrame
) -> None:
    said = served.judge(rows)
    for names in (BASE, AUDITED):
        assert np.allclose(said[names].sum(axis=1), 1, atol=1e-12)
        assert (said[names] >= 0).all(axis=None)
    audited = said[AUDITED].to_numpy()
    assert np.allclose(said["uncertainty"], -(audited * np.log(audited)).sum(axis=1) / np.log(3))
    assert served.calibration.uncertainty(np.array([[1.0, 0, 0], [1 / 3] * 3])) == pytest.approx(
        [0, 1]
    )


def test_each_minute_is_judged_alone_as_in_a_crowd(served: Chain, rows: pd.DataFrame) -> None:
    together = served.judge(rows)
    alone = served.judge(rows.iloc[10 : 10 + WINDOW])
    numbers = [*BASE, *AUDITED, "uncertainty"]
    assert alone["datetime"][0] == together["datetime"][10]
    assert np.allclose(alone[numbers], together[numbers].iloc[[10]], atol=1e-6)


def test_more_windows_than_a_batch_are_judged_in_batches(served: Chain, parts: Parts) -> None:
    rows = parts.bars[list(FEATURES)].reset_index()
    many = served.judge(rows)
    assert len(many) == len(rows) - WINDOW + 1 > 2 * chain.BATCH
    last = served.judge(rows.iloc[-WINDOW:])
    assert np.allclose(many[AUDITED].iloc[-1:], last[AUDITED], atol=1e-6)


def test_the_order_of_columns_and_columns_of_others_do_not_matter(
    served: Chain, rows: pd.DataFrame
) -> None:
    shuffled = rows[[*reversed(FEATURES), "datetime"]].assign(close=1.0)
    pd.testing.assert_frame_equal(served.judge(shuffled), served.judge(rows), check_exact=True)


@given(st.lists(st.floats(1e-12, 1.0), min_size=3, max_size=3))
@example([1.0, 1.0, 1.0])
@example([1.0, 1e-300, 1e-300])
def test_uncertainty_lies_between_0_and_1_whatever_rounding_does(weights: list[float]) -> None:
    probabilities = np.array([weights]) / sum(weights)
    (found,) = uncertainty(probabilities)
    assert 0 <= found <= 1
    entropy = -sum(p * np.log(p) for p in probabilities[0] if p > 0) / np.log(3)
    assert found == pytest.approx(entropy, abs=1e-12)


def test_a_version_computes_by_one_thread_whatever_the_machine_has(served: Chain) -> None:
    """Requests are answered side by side; and sums of several threads differ in their last bits."""
    options = served.graph.session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    config = json.loads(served.booster.save_config())
    assert config["learner"]["generic_param"]["nthread"] == "1"


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("deviations", [-1.01, 1.01, 1e20, 1e280])
def test_a_finite_value_that_float32_cannot_stand_is_refused_by_name(
    served: Chain, rows: pd.DataFrame, feature: str, deviations: float
) -> None:
    place = FEATURES.index(feature)
    value = served.mean[place] + served.std[place] * LARGEST * deviations
    with pytest.raises(InputError) as refused:
        served.judge(changed(rows, feature, 4, float(value)))
    assert (refused.value.code, refused.value.get_http_status_code()) == ("out_of_range", 400)
    assert f"row 4 (2024-01-01T03:41:00Z): {feature} is {value:g}," in refused.value.reason


def test_returns_that_tell_prices_beyond_float32_are_refused(
    served: Chain, rows: pd.DataFrame
) -> None:
    with pytest.raises(InputError) as refused:
        served.judge(changed(rows, "log_ret_close", WINDOW + 3, -1000.0))
    assert refused.value.code == "out_of_range"
    assert f"window that ends at row {WINDOW + 3} (" in refused.value.reason
    assert "(log_ret_close)" in refused.value.reason


GOLDEN_ROWS = pd.DataFrame(
    {"datetime": ["a", "b"], "prob": [0.25, -0.5], "class": [1, 2], "signal": ["BUY", "SELL"]}
)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, None),
        ({"more": 1.0}, None),
        ({"datetime": "never"}, None),
        ({"prob": [0.25 + 9.9e-7, -0.5]}, None),
        ({"prob": [0.25, -0.5 + 1.1e-6]}, "prob is off by 1.1e-06, 1e-6 is allowed"),
        ({"prob": [0.25, 0.5]}, "prob is off by 1, 1e-6"),
        ({"prob": [np.nan, -0.5]}, "prob is off by nan"),
        ({"class": [1, 1]}, "class is 1, 2 was expected"),
        ({"signal": ["BUY", "BUY"]}, "signal is BUY, SELL was expected"),
    ],
)
def test_the_golden_output_is_compared_column_by_column(
    change: dict[str, Any], told: str | None
) -> None:
    got = GOLDEN_ROWS.assign(**change)
    if told is None:
        chain.compare_golden(got, GOLDEN_ROWS)
        return
    with pytest.raises(chain.PackageError) as refused:
        chain.compare_golden(got, GOLDEN_ROWS)
    assert refused.value.code == "golden_output" and told in refused.value.message


def test_a_golden_output_may_be_off_by_exactly_what_is_allowed() -> None:
    zero = pd.DataFrame({"datetime": ["a"], "prob": [0.0]})
    chain.compare_golden(zero.assign(prob=chain.GOLDEN_TOLERANCE), zero)
    with pytest.raises(chain.PackageError):
        chain.compare_golden(zero.assign(prob=np.nextafter(chain.GOLDEN_TOLERANCE, 1)), zero)


def test_a_golden_output_of_other_rows_or_columns_is_another() -> None:
    with pytest.raises(chain.PackageError, match="2 rows expected, got 1"):
        chain.compare_golden(GOLDEN_ROWS[:1], GOLDEN_ROWS)
    with pytest.raises(chain.PackageError, match="prob, signal expected beside what is said"):
        chain.compare_golden(GOLDEN_ROWS[["datetime", "class"]], GOLDEN_ROWS)


def test_every_file_of_a_package_is_compared_with_the_list_that_was_registered(
    tmp_path: Path,
) -> None:
    folder, code = tmp_path / "package", tmp_path / "chain.py"
    (folder / "served" / "deep").mkdir(parents=True)
    for path in (folder / "a.json", folder / "served" / "deep" / "b.py", code):
        path.write_text(path.name)
    names = {"a.json": "a.json", "served/deep/b.py": "b.py", "chain.py": "chain.py"}
    listed = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in names.items()}

    def told(named: dict[str, str], digest: str | None = None) -> str:
        manifest = folder / chain.MANIFEST
        manifest.write_text(json.dumps(named))
        try:
            chain.verify(folder, code, digest or chain.sha256(manifest))
        except chain.PackageError as error:
            return str(error.message)
        return ""

    assert told(listed) == ""
    assert (
        told(listed, "0" * 64) == "changed_file: manifest.json is not the one that was registered"
    )
    for name in listed:
        others = {other: digest for other, digest in listed.items() if other != name}
        assert told(others).startswith(f"changed_file: {name} is not the one")
        assert told(listed | {name: "0"}).startswith(f"changed_file: {name} is not the one")
    assert told(listed | {"z": "0"}) == "missing_file: z is not in the package"
    (folder / "a.json").unlink()
    assert told(listed) == "missing_file: a.json is not in the package"
    (folder / "a.json").symlink_to(tmp_path / "nowhere")
    assert told(listed) == "missing_file: a.json is not in the package"
    (folder / chain.MANIFEST).unlink()
    with pytest.raises(chain.PackageError, match=r"missing_file: manifest\.json"):
        chain.verify(folder, code, "0" * 64)


@pytest.mark.parametrize(
    "said", [{"kind": "k", "format": 2}, {"kind": "k"}, {"kind": "l", "format": 1}]
)
def test_a_file_of_another_kind_or_format_is_refused(tmp_path: Path, said: dict[str, Any]) -> None:
    path = tmp_path / "calibrator.json"
    path.write_text(json.dumps(said))
    with pytest.raises(chain.PackageError, match="calibrator: k of format 1 expected, got"):
        chain._known(path, "k")
    path.write_text(json.dumps(sound := {"kind": "k", "format": 1, "more": 2}))
    assert chain._known(path, "k") == sound


def test_what_a_feature_was_in_training_is_read_in_the_order_of_features(tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    mean, std = chain._trained_on(path, ["b", "a"])
    assert (mean.tolist(), std.tolist()) == ([0, 0], [np.inf, np.inf]), "of a version without"
    path.write_text(
        json.dumps({"features": {n: {"mean": m, "std": 2 * m} for n, m in (("a", 1), ("b", 3))}})
    )
    mean, std = chain._trained_on(path, ["b", "a"])
    assert (mean.tolist(), std.tolist()) == ([3, 1], [6, 2])


@pytest.mark.parametrize("deviations", [-50.0, 50.0, 1e6])
def test_mere_outliers_are_answered(served: Chain, rows: pd.DataFrame, deviations: float) -> None:
    for feature in set(FEATURES) - {"log_ret_close"}:
        place = FEATURES.index(feature)
        value = float(served.mean[place] + served.std[place] * deviations)
        said = served.judge(changed(rows, feature, WINDOW - 1, value))
        assert np.isfinite(said[[*BASE, *AUDITED]].to_numpy()).all()


def test_a_hole_no_longer_than_the_bridge_is_bridged(served: Chain, rows: pd.DataFrame) -> None:
    said = served.judge(without(rows, 100, BRIDGE))
    assert len(said) == GOLDEN - BRIDGE - WINDOW + 1
    assert said["datetime"].iloc[0] == rows["datetime"].iloc[WINDOW - 1 + BRIDGE]


AUDITED_ROWS = np.array(
    [[0.35, 0.6, 0.05], [0.35, 0.6, 0.05], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.3, 0.4, 0.3],
     [0.2, 0.3, 0.5]]
)  # fmt: skip


@pytest.mark.parametrize(
    ("threshold", "reason", "signals", "action", "abstention"),
    [
        (0.38, None, "SELL SELL SELL NEUTRAL SELL BUY", "NEUTRAL NEUTRAL SELL NEUTRAL NEUTRAL BUY",
         ["other_class", "other_class", "", "", "other_class", ""]),
        (0.35, None, "SELL SELL SELL NEUTRAL SELL BUY", "NEUTRAL NEUTRAL SELL NEUTRAL NEUTRAL BUY",
         ["several_classes", "several_classes", "", "", "other_class", ""]),
        (0.55, None, "SELL SELL SELL NEUTRAL SELL BUY",
         "NEUTRAL NEUTRAL SELL NEUTRAL NEUTRAL NEUTRAL",
         ["other_class", "other_class", "", "", "empty_set", "empty_set"]),
        (0.0, "too few", "SELL SELL SELL NEUTRAL SELL BUY", " ".join(["NEUTRAL"] * 6),
         ["no_threshold", "no_threshold", "no_threshold", "", "no_threshold", "no_threshold"]),
    ],
)  # fmt: skip
def test_an_answer_says_what_to_act_on_and_why_it_is_not_the_decided_class(
    served: Chain, monkeypatch: pytest.MonkeyPatch, threshold: float, reason: str | None,
    signals: str, action: str, abstention: list[str],
) -> None:  # fmt: skip
    """Weights of 2:1:2 decide for SELL at 0.35 beside NEUTRAL at 0.60, and are told."""
    monkeypatch.setattr(served, "conformal", {"threshold": threshold, "reason": reason})
    decided, holds, acted = served.answers(AUDITED_ROWS)
    classes = np.array(CLASSES)
    assert classes[decided].tolist() == signals.split()
    assert np.array_equal(holds, served.conformal["threshold"] <= AUDITED_ROWS)
    assert classes[acted].tolist() == action.split()
    assert served.abstentions(decided, holds, acted).tolist() == abstention
    by = served.decided_by(AUDITED_ROWS, decided).tolist()
    assert by == ["weights 2:1:2", "weights 2:1:2", "", "", "weights 2:1:2", ""]
