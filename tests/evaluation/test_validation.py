"""The validation part: what a network and the baselines say of it, and members compared there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from quantgod.contracts import CLASSES, PRIMARY
from quantgod.evaluation import plots
from quantgod.evaluation.common_minutes import NoCommonRowError
from quantgod.evaluation.metrics import classification_report
from quantgod.evaluation.scored_rows import BASELINES, columns_of, probabilities_of
from quantgod.evaluation.validation import (
    BASE,
    compare_members,
    row_scores,
    validation_rows,
)
from quantgod.forecasters.base_model import TrainedBase, train_base
from quantgod.forecasters.baselines import baselines
from quantgod.models.heads import HeadLayers
from quantgod.training.objectives.direction import Direction
from tests.training.problems import LABELS
from tests.training.searches import settings, table


@pytest.fixture(scope="module")
def trained() -> TrainedBase:
    chosen = settings()
    train = chosen.train.model_copy(update={"epochs": 1, "class_weights": (3.0, 1.0, 2.0)})
    window = chosen.window.model_copy(update={"stride": 20})
    return train_base(table(), chosen.model_copy(update={"train": train, "window": window}))


def test_rows_are_the_networks_own_forecasts_beside_those_of_baselines_of_its_training_rows(
    trained: TrainedBase,
) -> None:
    rows, part = validation_rows(table(), trained, LABELS), trained.validation
    np.testing.assert_array_equal(rows["target"], part.target)
    assert pd.DatetimeIndex(rows["time"]).as_unit("ms").asi8.tolist() == part.time_ms.tolist()
    said = trained.forecast.probabilities[:, PRIMARY]
    np.testing.assert_array_equal(probabilities_of(rows, BASE), said)
    np.testing.assert_array_equal(rows["base_class"], trained.forecast.decided[:, PRIMARY])
    given = baselines(table(), trained.train, part, LABELS)
    beside = {name: one.probabilities[:, PRIMARY] for name, one in given.items()}
    for name in BASELINES:
        np.testing.assert_array_equal(probabilities_of(rows, name), beside[name])
    plain, weighed = beside["persistence"], beside["logistic_regression"] * [3.0, 1.0, 2.0]
    np.testing.assert_array_equal(rows["persistence_class"], plain.argmax(axis=1))
    np.testing.assert_array_equal(rows["logistic_regression_class"], weighed.argmax(axis=1))
    scores = row_scores(rows)
    assert list(scores) == [BASE, *BASELINES]
    wanted = classification_report(part.target, said, trained.network.class_weights)
    assert scores[BASE] == pytest.approx(wanted)


def rows_of(minutes: range, right: float, seed: int = 0) -> pd.DataFrame:
    """Forecasts of these minutes, of which about this share is right."""
    truth = np.random.default_rng(7).integers(0, len(CLASSES), 100_000)[list(minutes)]
    rng = np.random.default_rng(seed)
    time = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(list(minutes), unit="min")
    rows = {"time": time, "label_end": time + pd.Timedelta(minutes=5), "target": truth}
    for name in (BASE, *BASELINES):
        hits = rng.random(len(truth)) < (right if name == BASE else 0.4)
        decided = np.where(hits, truth, (truth + 1) % len(CLASSES))
        said = np.eye(len(CLASSES))[decided] * 0.7 + 0.1
        rows |= dict(zip(columns_of(name), said.T, strict=True))
        rows[f"{name}_class"] = decided
    return pd.DataFrame(rows)


def test_members_are_compared_on_the_minutes_that_all_of_them_forecast() -> None:
    good, bad = rows_of(range(100, 3_000, 2), 0.8), rows_of(range(0, 2_900, 3), 0.5, seed=1)
    found = compare_members({"bad": bad, "good": good})
    common = range(102, 2_900, 6)
    assert found.rows == len(common)
    assert list(found.models) == ["bad", "good", *BASELINES]
    for name, rows in (("bad", bad), ("good", good)):
        met = rows[rows["time"].isin(rows_of(common, 0.5)["time"])]
        assert len(met) == len(common)
        scores = row_scores(met)
        assert found.models[name]["accuracy"].value == pytest.approx(scores[BASE]["accuracy"])
        assert found.models[name]["log_loss"].value == pytest.approx(scores[BASE]["log_loss"])
    assert found.models["good"]["mcc"].low > found.models["bad"]["mcc"].high
    assert found.taught == "good", "more rows taught its baselines"
    beside = row_scores(good[good["time"].isin(bad["time"])])["majority"]["accuracy"]
    assert found.models["majority"]["accuracy"].value == pytest.approx(beside)
    # A label of five minutes shares none with one six minutes later.
    assert found.effective_rows == pytest.approx(len(common))


def test_a_member_that_never_says_a_class_is_noted_beside_its_log_loss() -> None:
    """As `lstm_direction`, whose NEUTRAL stays empty: each such label counts as the worst loss."""
    heads = HeadLayers(4, Direction().heads)
    said = heads(torch.randn(400, 4))["probs"][:, PRIMARY].detach().numpy().astype(np.float64)
    binary, whole = rows_of(range(400), 0.8), rows_of(range(400), 0.8)
    binary[list(columns_of(BASE))], binary["base_class"] = said, said.argmax(axis=1)
    found = compare_members({"lstm": binary, "tcn": whole})
    assert found.unsaid == {"lstm": ("NEUTRAL",)}
    assert found.models["lstm"]["log_loss"].value > 10 > found.models["tcn"]["log_loss"].value
    assert found.notes() == [
        "lstm never says NEUTRAL: each such label costs its log-loss up to 36, so compare it by "
        "macro-F1 and MCC"
    ]
    drawn = plots.comparison(found.models, ["log_loss"], notes=found.notes())
    assert drawn.get_supxlabel().endswith(f"\n{found.notes()[0]}")
    both = rows_of(range(400), 0.8)
    both = both[both["target"] != CLASSES.index("NEUTRAL")]
    of_two = binary[binary["time"].isin(both["time"])]
    assert compare_members({"lstm": of_two, "tcn": both}).notes() == [], "it has no such label"


def test_members_without_a_common_minute_are_named_with_what_to_change() -> None:
    with pytest.raises(NoCommonRowError, match="no minute of the validation part in common"):
        compare_members(
            {"one": rows_of(range(0, 90, 2), 0.5), "two": rows_of(range(1, 90, 2), 0.5)}
        )
