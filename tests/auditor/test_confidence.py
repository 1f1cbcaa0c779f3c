"""Confidence of more than the probability ships where it knows more, and nowhere else."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from quantgod.auditor.audit import fit_auditor
from quantgod.auditor.auditor_input import BASE, said_in_rows
from quantgod.auditor.confidence import (
    ConfidenceError,
    ConfidenceFit,
    aurc,
    brier,
    fit_confidence,
    load_confidence,
)
from quantgod.contracts import META_FEATURES
from quantgod.served.confidence import PROBABILITY, Statement, inputs_of
from tests.auditor.markets import oof_frame, settings

OVERLAP = 6
ROWS, FIRST_NEWER = 3_000, 2_250


def slow(rng: np.random.Generator) -> np.ndarray:
    """Standard normal numbers of which neighbours within the overlap are alike."""
    return np.convolve(
        rng.normal(size=ROWS + OVERLAP - 1), np.full(OVERLAP, OVERLAP**-0.5), "valid"
    )


@cache
def out_of_fold(seed: int, *, knows: bool) -> pd.DataFrame:
    """What a network with heads says; something hidden moves how often it is right.

    If it knows, its head says how often; else the head tells noise.
    """
    rng = np.random.default_rng(seed)
    lean, hidden, other, luck = (slow(rng) for _ in range(4))
    powers = np.exp(np.stack([-lean, np.full(ROWS, 0.6), lean], axis=1))
    said = powers / powers.sum(axis=1, keepdims=True)
    decided = said.argmax(axis=1)
    odds = logit(said.max(axis=1))
    chance = expit(odds + hidden)
    target = np.where(norm.cdf(luck) < chance, decided, (decided + 1) % 3)
    frame = pd.DataFrame(rng.normal(size=(ROWS, 14)), columns=list(META_FEATURES))
    frame[list(META_FEATURES[:3])] = said
    frame[list(BASE)] = said
    return frame.assign(
        volatility=np.exp(slow(rng) / 3 - 8),
        confidence=chance if knows else expit(odds + other),
        expected_return=slow(rng), target=target, weight=1 / OVERLAP,
    )  # fmt: skip


def fitted(frame: pd.DataFrame) -> ConfidenceFit:
    found = fit_confidence(frame[:FIRST_NEWER], frame[FIRST_NEWER:])
    assert found is not None
    return found


def test_a_head_that_knows_more_than_the_probability_ships() -> None:
    for seed in range(10):
        frame = out_of_fold(seed, knows=True)
        chosen = fitted(frame).chosen
        assert chosen.shipped == "said", f"{seed}: {chosen.reason}"
        for score in ("aurc", "brier"):
            assert chosen.scores["said"][score] < chosen.scores["probability"][score]
        newer = said_in_rows(frame[FIRST_NEWER:])
        assert np.corrcoef(chosen.fitted(newer), newer.confidence)[0, 1] > 0.9


def test_of_a_head_that_tells_noise_the_probability_ships() -> None:
    shipped = [fitted(out_of_fold(seed, knows=False)).chosen.shipped for seed in range(20)]
    assert shipped.count("probability") >= 19


def test_what_comes_after_the_older_rows_changes_no_fitted_number() -> None:
    frame = out_of_fold(0, knows=True)
    changed, rng = frame.copy(), np.random.default_rng(9)
    changed.loc[FIRST_NEWER:, [*META_FEATURES, "confidence"]] = rng.uniform(
        0.1, 0.9, (ROWS - FIRST_NEWER, 15)
    )
    changed.loc[FIRST_NEWER:, "target"] = rng.integers(0, 3, ROWS - FIRST_NEWER)
    one, other = fitted(frame), fitted(changed)
    assert (one.said, one.probability) == (other.said, other.probability)
    assert one.chosen != other.chosen, "the newer rows judge"


def test_an_audit_fits_it_on_rows_whose_labels_had_come_before_those_that_judge_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[pd.DataFrame] = []
    monkeypatch.setattr(
        "quantgod.auditor.audit.fit_confidence", lambda *frames: asked.extend(frames)
    )
    fit_auditor(oof_frame(), settings().audit, embargo_minutes=30)
    older, newer = asked
    assert older["label_end"].max() + pd.Timedelta(minutes=30) < newer["time"].min()
    assert older["fold"].max() < newer["fold"].min()


def test_few_independent_rows_judge_nothing_and_rows_of_earlier_code_give_none() -> None:
    frame = out_of_fold(0, knows=True)
    chosen = fit_confidence(frame[:60], frame[60:120])
    assert chosen is not None
    assert (chosen.chosen.shipped, chosen.chosen.scores) == ("probability", {})
    assert "10.0 independent rows are too few" in chosen.chosen.reason
    assert fit_confidence(oof_frame(), oof_frame()) is None


def test_from_no_evidence_it_is_the_probability_as_it_is() -> None:
    frame = out_of_fold(0, knows=True).assign(weight=1e-12)
    for function in (fitted(frame).probability, fitted(frame).said):
        said = said_in_rows(frame)
        np.testing.assert_allclose(function(said), said.probabilities.max(axis=1), atol=1e-6)


def test_a_network_without_heads_is_asked_for_none() -> None:
    frame = out_of_fold(0, knows=True).assign(expected_return=np.nan)
    assert not {"head_log_odds", "size_of_the_expected_return"} & set(fitted(frame).said.inputs)


def test_a_saved_confidence_comes_back_to_the_bit_and_a_damaged_one_is_refused(
    tmp_path: Path,
) -> None:
    chosen, path = fitted(out_of_fold(1, knows=True)).chosen, tmp_path / "confidence.json"
    chosen.save(path)
    assert load_confidence(path) == chosen
    written = json.loads(path.read_text())
    assert (written["format"], written["kind"], written["shipped"]) == (1, "logistic", "said")
    assert set(written["scores"]) == {"probability", "said"}
    for change in ({"format": 2}, {"inputs": ["mood"]}, {"slope": None}):
        path.write_text(json.dumps(written | change))
        with pytest.raises(ConfidenceError, match=r"confidence\.json: "):
            load_confidence(path)


def test_aurc_is_the_mean_risk_of_the_most_confident_whatever_the_order_of_equals() -> None:
    right, weight = np.array([True, False, True, False]), np.ones(4)
    assert aurc(np.array([0.9, 0.8, 0.7, 0.6]), right, weight) == pytest.approx(
        np.mean([0, 1 / 2, 1 / 3, 2 / 4])
    )
    assert aurc(np.full(4, 0.5), right, weight) == aurc(np.full(4, 0.5), ~right, weight) == 0.5
    assert brier(np.array([1.0, 0.0, 0.5, 0.5]), right, weight) == pytest.approx(0.125)
    doubled = aurc(np.array([0.9, 0.8]), right[:2], np.array([2.0, 1.0]))
    assert doubled == pytest.approx(aurc(np.array([0.9, 0.9, 0.8]), right[[0, 0, 1]], np.ones(3)))


def test_inputs_are_of_the_class_that_is_decided_by_the_tilted_probabilities() -> None:
    said = Statement(
        np.array([[0.5, 0.3, 0.2]]), np.array([[0.25, 0.6, 0.15]]), np.array([0.7]),
        np.array([-2.0]), np.array([np.e**-7]),
    )  # fmt: skip
    names = (*PROBABILITY, "decided_sell", "log_volatility", "log_volatility_of_a_move",
             "head_log_odds", "size_of_the_expected_return")  # fmt: skip
    expected = [logit(0.25), 1, -7, -7, logit(0.7), 2]
    assert inputs_of(said, names)[0] == pytest.approx(expected)
