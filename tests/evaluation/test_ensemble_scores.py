"""An ensemble is scored beside its members and equal weights, on the same rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import FEATURES
from quantgod.evaluation.comparison import ModelOutput, compare
from quantgod.evaluation.evaluate import evaluate
from quantgod.evaluation.evidence import EvaluationResult, read_evidence, write_evidence
from quantgod.evaluation.metrics import classification_report
from quantgod.evaluation.scored_rows import (
    EQUAL_WEIGHTS,
    members_in,
    probabilities_of,
    read_scored,
    write_scored,
)
from quantgod.evaluation.subject import RawMaterial, outcomes_of
from quantgod.served.calibration import decide
from tests.evaluation.ensembles import MEMBERS, MembersSubject, ensemble_case, unheard
from tests.evaluation.evaluations import case

WEIGHTS = MembersSubject.base_weights
SILENT = 40


def test_members_and_equal_weights_are_further_models_of_the_same_rows() -> None:
    evaluated = ensemble_case().evaluated
    result, rows = evaluated.result, evaluated.rows
    assert members_in(rows) == [*MEMBERS]
    for name in (*MEMBERS, EQUAL_WEIGHTS):
        scores = classification_report(
            rows["target"].to_numpy(), probabilities_of(rows, name), WEIGHTS
        )
        for score in ("macro_f1", "log_loss"):
            assert result.models[name][score].value == pytest.approx(scores[score])
    said = {name: probabilities_of(rows, name) for name in MEMBERS}
    np.testing.assert_allclose(
        probabilities_of(rows, EQUAL_WEIGHTS), sum(said.values()) / len(MEMBERS)
    )
    together = sum(rows[f"{name}_weight"].to_numpy()[:, None] * said[name] for name in MEMBERS)
    np.testing.assert_allclose(probabilities_of(rows, "base"), together)


def test_the_record_compares_what_is_said_together_with_each_of_them() -> None:
    evaluated = ensemble_case().evaluated
    found, rows = evaluated.result.ensemble, evaluated.rows
    assert found is not None
    outputs = {
        name: ModelOutput(one := probabilities_of(rows, name), decide(one, WEIGHTS))
        for name in ("base", *MEMBERS, EQUAL_WEIGHTS)
    }
    expected = compare(rows["target"].to_numpy(), outputs, evaluated.result.effective_rows)
    assert found.differences == expected.differences
    assert found.models == {"ensemble": expected.models.pop("base"), **expected.models}
    assert (found.rows, found.effective_rows) == (len(rows), evaluated.result.effective_rows)
    assert (found.strategy, found.moved_by) == ("weighted_voting", "hedge")
    rules = {"quorum": 2, "min_agreement": 0, "confidence_threshold": 0.7, "neutral_threshold": 0}
    assert found.rules == rules
    assert found.differences["blind"]["log_loss"].high < 0


def test_weights_at_both_ends_and_agreement_are_those_of_the_rows() -> None:
    evaluated = ensemble_case().evaluated
    found, rows = evaluated.result.ensemble, evaluated.rows
    assert found is not None
    for name, member in found.members.items():
        share = rows[f"{name}_weight"].to_numpy()
        assert (member.first_weight, member.last_weight) == (share[0], share[-1])
        assert member.spoke == 1
    assert [found.members[name].first_weight for name in MEMBERS] == [0.5, 0.25, 0.25]
    assert found.members["blind"].last_weight < 0.25
    assert found.agreement == rows["agreement"].mean()
    assert 0 < found.unanimous < 1
    votes = np.stack([decide(probabilities_of(rows, name), WEIGHTS) for name in MEMBERS])
    share = (votes == rows["vote"].to_numpy()).mean(axis=0)
    np.testing.assert_allclose(rows["agreement"], share)


def test_moves_that_the_members_do_not_consent_to_are_counted_and_not_acted_on() -> None:
    evaluated = ensemble_case().evaluated
    found, rows = evaluated.result.ensemble, evaluated.rows
    assert found is not None
    alone = rows[["in_set_sell", "in_set_neutral", "in_set_buy"]].sum(axis=1) == 1
    moves = rows[alone & (rows["auditor_class"] != 1)]
    held = moves["consent"] != moves["auditor_class"]
    assert (found.moves, found.held_back) == (len(moves), held.sum())
    assert 0 < found.held_back < found.moves
    assert (moves["action"][held] == 1).all()


def test_an_absent_member_is_not_scored_where_it_says_nothing() -> None:
    """The rows without a quorum are left out, and those of a smaller panel of the comparison."""
    evaluated = ensemble_case(SILENT).evaluated
    found, rows = evaluated.result.ensemble, evaluated.rows
    assert found is not None
    whole = len(ensemble_case().evaluated.rows)
    assert found.unanswered == SILENT // 2
    assert len(rows) == evaluated.result.rows == whole - SILENT // 2
    assert found.rows == whole - SILENT
    assert np.isnan(probabilities_of(rows, "far")).all(axis=1).sum() == SILENT // 2
    assert found.members["far"].spoke == pytest.approx(1 - SILENT / 2 / len(rows))
    assert not {*MEMBERS, EQUAL_WEIGHTS} & evaluated.result.models.keys()
    assert {"ensemble", *MEMBERS, EQUAL_WEIGHTS} == found.models.keys()


def test_rows_and_record_are_kept(tmp_path: Path) -> None:
    evaluated = ensemble_case(SILENT).evaluated
    write_scored(tmp_path, evaluated.rows)
    assert read_scored(tmp_path).equals(evaluated.rows)
    write_evidence(tmp_path / "evaluation.json", evaluated.result)
    assert read_evidence(tmp_path / "evaluation.json", EvaluationResult) == evaluated.result
    assert case().evaluated.result.ensemble is None


def test_an_ensemble_that_never_answers_is_refused() -> None:
    given = ensemble_case()
    with pytest.raises(ValueError, match=r"none of .* test rows has as many members"):
        evaluate(MembersSubject(unheard()), given.table, given.out_of_fold, given.settings)


def test_no_weight_of_a_row_knows_what_came_after_it() -> None:
    given = ensemble_case()
    rows = given.evaluated.samples_row
    outcomes = outcomes_of(given.table)
    assert outcomes is not None
    middle = rows[len(rows) // 2]
    target = outcomes.target.copy()
    known = (target >= 0) & (outcomes.label_end_ms > outcomes.time_ms[middle])
    target[known] = (target[known] + 1) % 3
    changed = given.table.assign(target=target)
    asked = [MembersSubject().ask(material(table), rows).votes for table in (given.table, changed)]
    before = rows <= middle
    for name in MEMBERS:
        first, other = (votes.weights[name] for votes in asked)
        assert (first[before] == other[before]).all()
        assert (first != other).any()


def material(table: pd.DataFrame) -> RawMaterial:
    return RawMaterial(table[list(FEATURES)].to_numpy(), outcomes=outcomes_of(table))
