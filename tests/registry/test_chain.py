from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from quantgod.auditor.meta_features import MetaFeatures
from quantgod.contracts import CLASSES, FEATURE_SET, FEATURES
from quantgod.registry import chain
from quantgod.registry.chain import Chain, Contract, InputError, read_rows
from quantgod.served.calibration import uncertainty, untilt
from tests.registry.conftest import BRIDGE, CLASS_WEIGHTS, GOLDEN, WINDOW, Parts

ALLOWED = {"mlflow", "numpy", "onnxruntime", "pandas", "xgboost", "__future__"}
BASE = ["base_sell", "base_neutral", "base_buy"]
AUDITED = ["prob_sell", "prob_neutral", "prob_buy"]


@pytest.fixture(scope="module")
def served(parts: Parts) -> Chain:
    return Chain(parts.package.folder)


@pytest.fixture
def rows(parts: Parts) -> pd.DataFrame:
    return parts.bars[list(FEATURES)].iloc[-GOLDEN:].reset_index()


def contract(window: int = 3) -> Contract:
    whose = "BTCUSDT", "linear", "book", FEATURE_SET
    return Contract(*whose, list(FEATURES), [], list(CLASSES), window, BRIDGE, [2.0, 1.0, 2.0])


def test_the_chain_file_imports_nothing_but_what_a_server_has() -> None:
    tree = ast.parse(Path(chain.__file__).read_text(encoding="utf-8"))
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names - ALLOWED <= sys.stdlib_module_names


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


@pytest.mark.parametrize(
    "write",
    [
        lambda times: times.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        lambda times: times.dt.strftime("%Y-%m-%dT%H:%M"),
        lambda times: times.dt.strftime("%Y-%m-%d %H:%M:%S+00:00"),
        lambda times: times.dt.tz_localize(None),
        lambda times: times.dt.tz_convert("Asia/Tokyo"),
        lambda times: times.dt.tz_convert("Asia/Tokyo").map(pd.Timestamp.isoformat),
        lambda times: pd.Series(list(times.dt.to_pydatetime()), dtype=object),
    ],
    ids=["zulu", "naive text", "offset", "naive", "zone", "zone as text", "objects"],
)
def test_a_time_may_be_written_in_any_way_of_iso_8601(
    rows: pd.DataFrame, write: Callable[[pd.Series], pd.Series]
) -> None:
    expected, _ = read_rows(rows, contract())
    minutes, _ = read_rows(rows.assign(datetime=write(rows["datetime"])), contract())
    assert (minutes == expected).all()


def test_whole_numbers_are_numbers(rows: pd.DataFrame) -> None:
    _, features = read_rows(rows.assign(upper_wick=0), contract())
    assert features.dtype == np.float64
    assert (features[:, 1] == 0).all()


def changed(rows: pd.DataFrame, name: str, at: int, value: object) -> pd.DataFrame:
    column = rows[name].astype(object) if not isinstance(value, float) else rows[name].copy()
    column.iloc[at] = value
    return rows.assign(**{name: column})


def objects(rows: pd.DataFrame, values: list[object]) -> pd.DataFrame:
    """The column `body` as JSON may bring it, beginning with these values."""
    column = rows["body"].astype(object)
    column.iloc[: len(values)] = values
    return rows.assign(body=column)


@pytest.mark.parametrize("number", [0, -3, 2**63 - 1, 1 - 2**63, 0.5, np.int64(2), np.float32(2)])
@pytest.mark.parametrize("other", ["7", True, False, 2**63, -(2**63), None, [1.0]])
def test_among_objects_the_first_that_is_no_number_of_64_bits_is_named(
    rows: pd.DataFrame, number: object, other: object
) -> None:
    """True is no 1, a text no number, and what 64 bits cannot hold none either."""
    with pytest.raises(InputError) as refused:
        read_rows(objects(rows, [number, number, other, "later"]), contract())
    assert refused.value.code == ("not_finite" if other is None else "bad_dtype")
    told = "is null" if other is None else f"is {other!r}"
    assert refused.value.reason.startswith(f"row 2 (2024-01-01T03:39:00Z): body {told}")


def test_numbers_in_a_column_of_objects_are_refused_as_the_column(rows: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="body: numbers expected, got object"):
        read_rows(objects(rows, [1, 2.0]), contract())


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
    options = served.graph.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    config = json.loads(served.booster.save_config())
    assert config["learner"]["generic_param"]["nthread"] == "1"


def without(rows: pd.DataFrame, first: int, count: int) -> pd.DataFrame:
    return rows.drop(index=range(first, first + count)).reset_index(drop=True)


REFUSED: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str, str]] = {
    "no rows": (lambda rows: rows.iloc[:0], "too_few_rows", "0 rows given, at least 3"),
    "too few": (lambda rows: rows.iloc[:2], "too_few_rows", "2 rows given, at least 3"),
    "no column": (lambda rows: rows.drop(columns="volatility"), "missing_column", "volatility"),
    "column twice": (
        lambda rows: pd.concat([rows, rows[["body", "datetime"]]], axis=1),
        "duplicate_column",
        "datetime, body given twice",
    ),
    "no time": (lambda rows: rows.drop(columns="datetime"), "missing_column", "datetime"),
    "nan": (lambda rows: changed(rows, "body", 4, np.nan), "not_finite", "row 4 (2024-01-01T03:41"),
    "infinity": (
        lambda rows: changed(rows, "mean_obi", 0, np.inf),
        "not_finite",
        "mean_obi is inf",
    ),
    "text": (
        lambda rows: changed(rows, "body", 4, "a"),
        "bad_dtype",
        "row 4 (2024-01-01T03:41:00Z): body is 'a', a number of 64 bits is expected",
    ),
    "complex": (lambda rows: rows.assign(body=1j), "bad_dtype", "body is 1j"),
    "epoch": (lambda rows: rows.assign(datetime=range(len(rows))), "bad_dtype", "got integer"),
    "nonsense": (
        lambda rows: changed(
            rows.assign(datetime=rows["datetime"].astype(str)), "datetime", 6, "x"
        ),
        "bad_datetime",
        "row 6: no ISO 8601 time: 'x'",
    ),
    "no such day": (
        lambda rows: rows.assign(datetime="2024-02-30T00:00:00Z"),
        "bad_datetime",
        "row 0: no ISO 8601 time: '2024-02-30",
    ),
    **{
        text: (
            lambda rows, text=text: changed(
                rows.assign(datetime=rows["datetime"].astype(str)), "datetime", 6, text
            ),
            "bad_datetime",
            f"row 6: no ISO 8601 time: '{text}'",
        )
        for text in ("9999-12-31T23:59:00Z", "2262-01-01T00:00Z", "0001-01-01T00:00Z", "now")
    },
    "far away": (
        lambda rows: rows.assign(datetime=pd.Timestamp("2300-01-01", tz="UTC").as_unit("us")),
        "bad_datetime",
        "row 0: no ISO 8601 time: Timestamp('2300-01-01",
    ),
    "null": (lambda rows: changed(rows, "datetime", 6, pd.NaT), "bad_datetime", "row 6"),
    "seconds": (
        lambda rows: rows.assign(datetime=rows["datetime"] + pd.Timedelta(seconds=30)),
        "not_a_whole_minute",
        "row 0: 2024-01-01T03:37:30",
    ),
    "twice": (
        lambda rows: pd.concat([rows[:5], rows[4:]]),
        "duplicate_minute",
        "row 5 (2024-01-01T03:41:00Z) follows row 4 (2024-01-01T03:41:00Z)",
    ),
    "backwards": (
        lambda rows: rows[::-1],
        "unsorted",
        "row 1 (2024-01-01T16:38:00Z) follows row 0",
    ),
    "hole": (
        lambda rows: without(rows, 100, BRIDGE + 1),
        "hole",
        "row 99 (2024-01-01T05:16:00Z) to row 100 (2024-01-01T05:23:00Z) (6 minutes absent)",
    ),
}


@pytest.mark.parametrize(("spoil", "code", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_rows_that_cannot_be_judged_are_refused_by_name(
    rows: pd.DataFrame,
    spoil: Callable[[pd.DataFrame], pd.DataFrame],
    code: str,
    reason: str,
) -> None:
    with pytest.raises(InputError) as refused:
        read_rows(spoil(rows), contract())
    assert refused.value.code == code
    assert reason in refused.value.reason
    assert refused.value.get_http_status_code() == 400


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("deviations", [-1.01, 1.01, 1e20, 1e280])
def test_a_finite_value_that_float32_cannot_stand_is_refused_by_name(
    served: Chain, rows: pd.DataFrame, feature: str, deviations: float
) -> None:
    place = FEATURES.index(feature)
    value = served.mean[place] + served.std[place] * chain.LARGEST * deviations
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


def test_what_overflows_is_counted_from_the_trained_mean_and_the_first_is_named(
    served: Chain, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes, features = read_rows(rows, contract())[0], np.zeros((len(rows), 9))
    monkeypatch.setattr(served, "mean", np.full(9, -chain.LARGEST))
    monkeypatch.setattr(served, "std", np.full(9, 2.0))
    features[5, 2], features[6, 1] = chain.LARGEST, -3 * chain.LARGEST
    served.check_range(features, minutes)  # both lie exactly as far away as may be
    for row, column in ((9, 3), (7, 4), (8, 0)):
        features[row, column] = chain.LARGEST * 1.001
    with pytest.raises(InputError) as refused:
        served.check_range(features, minutes)
    assert refused.value.reason.startswith(f"row 7 (2024-01-01T03:44:00Z): {FEATURES[4]} is ")
    assert "(3 such values in all)" in refused.value.reason


def test_of_several_values_that_are_wrong_the_first_is_named(rows: pd.DataFrame) -> None:
    for name, at, value in (("mean_obi", 9, np.nan), ("body", 4, np.inf), ("body", 12, np.nan)):
        rows = changed(rows, name, at, value)
    with pytest.raises(InputError) as refused:
        read_rows(rows, contract())
    assert (
        refused.value.reason == "row 4 (2024-01-01T03:41:00Z): body is inf (3 such values in all)"
    )
    times = rows["datetime"].astype(str).astype(object)
    times[[7, 8, 11]] = "x"
    with pytest.raises(InputError, match="row 7: no ISO 8601 time"):
        read_rows(rows.assign(datetime=times), contract())
    odd = rows["datetime"].copy()
    odd[[6, 8, 12]] += pd.Timedelta(seconds=1)
    with pytest.raises(InputError, match="row 6: 2024-01-01T03:43:01"):
        read_rows(rows.assign(datetime=odd), contract())


def test_exactly_a_window_of_rows_is_enough(rows: pd.DataFrame) -> None:
    minutes, features = read_rows(rows.iloc[:3], contract())
    assert len(minutes) == len(features) == 3


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


def test_every_long_hole_is_named(rows: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"row 99 .* row 199 .*at most 5 absent minutes"):
        read_rows(without(without(rows, 200 + 7, 7), 100, 7), contract())


@pytest.mark.parametrize("count", [5, 6, 8])
def test_of_many_holes_five_are_named_and_the_others_counted(
    rows: pd.DataFrame, count: int
) -> None:
    for number in reversed(range(count)):
        rows = without(rows, 20 + 20 * number, BRIDGE + 1)
    with pytest.raises(InputError) as refused:
        read_rows(rows, contract())
    assert refused.value.reason.count("minutes absent") == 5
    assert ("more" in refused.value.reason) == (count > 5)
    assert (f" and {count - 5} more" in refused.value.reason) == (count > 5)


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
