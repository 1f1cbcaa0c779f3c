"""Confidence is scored by how it ranks decisions and by how far it is from what came."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.evaluation.confidence import confidence_scores
from quantgod.evaluation.scored_rows import probabilities_of
from quantgod.report.tables import detail_tables
from tests.evaluation.evaluations import case
from tests.report.written import examined


def test_scores_are_those_of_the_rows_and_who_knows_more_has_less_of_both() -> None:
    rng = np.random.default_rng(1)
    chance = rng.uniform(0.2, 0.95, 2_000)
    right = rng.random(2_000) < chance
    models = {"confidence": chance, "probability": np.full(2_000, right.mean())}
    found = confidence_scores(models, right, 400.0)
    for name, said in models.items():
        assert found[name]["brier"].value == pytest.approx(np.square(said - right).mean())
        for score in found[name].values():
            assert score.low < score.value < score.high and score.enough
    wrong = np.cumsum(~right[np.argsort(-chance)]) / np.arange(1, 2_001)
    assert found["confidence"]["aurc"].value == pytest.approx(wrong.mean())
    for score in ("aurc", "brier"):
        assert found["confidence"][score].high < found["probability"][score].low
    assert found["probability"]["aurc"].value == pytest.approx(1 - right.mean())


def test_an_evaluation_scores_what_its_subject_serves_beside_the_plain_probability() -> None:
    evaluated = case().evaluated
    rows, result = evaluated.rows, evaluated.result
    said, decided = probabilities_of(rows, "base"), rows["base_class"].to_numpy()
    right = decided == rows["target"].to_numpy()
    models = {
        "confidence": said.max(axis=1),  # as this subject says it
        "probability": said[np.arange(len(said)), decided],
    }
    assert result.confidence == confidence_scores(models, right, result.effective_rows)
    told = evaluated.metrics()
    for score in ("aurc", "brier"):
        assert told[f"test_confidence_{score}"] == result.confidence["confidence"][score].value
    (table,) = (one for one in detail_tables(result, examined()) if "Confidence" in one.title)
    assert [row[0] for row in table.body] == ["as it is served", "probability of the class alone"]
