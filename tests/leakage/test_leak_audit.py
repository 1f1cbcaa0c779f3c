from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pandas as pd
import pytest

from quantgod.auditor import audit as auditing
from quantgod.auditor import learner, out_of_fold
from quantgod.auditor.audit import Walk
from quantgod.contracts import MS_PER_MINUTE, forecast_of
from quantgod.dataset import splits
from quantgod.dataset.splits import Split
from quantgod.evaluation import evaluate as evaluating
from quantgod.evaluation.evidence import (
    LEAK_AUDIT_FILE,
    LeakAuditResult,
    read_evidence,
    write_evidence,
)
from quantgod.forecasters import base_model
from quantgod.leakage import (
    LeakError,
    audit_leaks,
    leak_audit,
    leak_figure,
    pipeline,
    raise_leaks,
)
from quantgod.leakage.borders import Borders, borders_of
from quantgod.leakage.cut_times import CutError
from quantgod.leakage.messages import MESSAGE_STAGE
from quantgod.leakage.pipeline import PipelineResult, in_small
from quantgod.leakage.trace import Difference
from quantgod.training import material
from tests.evaluation.plots.overlaps import overlapping
from tests.later import later
from tests.leakage.peeks import PLACES, ROWS, leaking_stage
from tests.leakage.small import MINUTES, STRIDE, audited, bars, leaking, settings

STAGES = {
    "features", "labels", "scaler", "base model", "fold 1 scaler", "fold 1 model",
    "fold 2 scaler", "fold 2 model", "fold 1 forecasts", "stopping forecasts",
    "calibration forecasts", "booster", "calibrator", "conformal threshold", "confidence",
    "chosen confidence", "baselines", "test forecasts",
}  # fmt: skip
CUTS = 10
DAILY = ("windows", "features", "auditor's context")


@pytest.fixture(scope="module")
def honest() -> LeakAuditResult:
    return audited(settings(cuts=CUTS))


@pytest.fixture(scope="module")
def borders() -> Borders:
    return borders_of(pd.DatetimeIndex(bars().index), in_small(settings()))


@pytest.fixture
def made_before(monkeypatch: pytest.MonkeyPatch, made: PipelineResult) -> None:
    """What is made of the market as it is need not be made again."""
    real = leak_audit.make

    def make(frame: pd.DataFrame, *how: Any) -> PipelineResult:
        return made if frame.equals(bars()) else real(frame, *how)

    monkeypatch.setattr(leak_audit, "make", make)


def minutes_after(border: int, minutes: int) -> pd.Timestamp:
    return pd.Timestamp(border + minutes * MS_PER_MINUTE, unit="ms", tz="UTC")


@pytest.mark.long
def test_nothing_leaks_at_random_cuts(honest):
    assert len(honest.cuts) == CUTS
    assert honest.leaks == ()
    assert honest.provenance is None
    assert honest.passed
    assert not honest.messages, "there were none"
    raise_leaks(honest)


def test_every_stage_is_compared_and_hears_of_the_other_future(honest):
    assert set(honest.compared) == STAGES
    assert all(honest.compared.values()), honest.compared
    assert set(honest.changed) == STAGES
    assert all(honest.changed.values()), honest.changed
    assert honest.nearest == dict.fromkeys(STAGES, 1)
    # Of features and labels every later value is another: the other future leaves none as it was.
    for stage, there in (("features", MINUTES), ("labels", MINUTES - 60)):
        assert honest.changed[stage] == CUTS * there - honest.compared[stage]


@pytest.mark.usefixtures("made_before")
@pytest.mark.long
@pytest.mark.parametrize("stage", ["scaler", "fold 1 model"])
def test_a_piece_may_be_known_as_soon_as_its_last_data_and_no_sooner(stage, borders):
    """At that moment it stands; a row earlier the last of its data is still to come."""
    at, before = (minutes_after(borders.fitted[stage], minutes) for minutes in (0, -1))
    then, earlier = (audited(settings(), cut) for cut in (at, before))
    assert then.leaks == earlier.leaks == ()
    assert then.compared[stage] == earlier.compared[stage] + 1
    assert then.changed[stage] == 0
    assert earlier.changed[stage] == 1


def test_a_record_survives_its_file_and_is_drawn(honest, tmp_path):
    write_evidence(tmp_path / LEAK_AUDIT_FILE, honest)
    assert read_evidence(tmp_path / LEAK_AUDIT_FILE, LeakAuditResult) == honest
    figure = leak_figure(honest, bars(), settings())
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert figure.axes[0].get_title() == "0 leaks"
    assert overlapping(figure) == []


def test_an_audit_says_what_it_made_again_and_what_not(honest):
    said = honest.scope
    assert said.startswith(
        f"made again: from minute bars to test forecasts, on the newest {MINUTES:,} of "
        f"{len(bars()):,} minutes, a sample every {STRIDE} minutes, a small network, epochs: "
    )
    assert said.endswith("again: the lineage's own network, its search, bars from messages")
    figure = leak_figure(honest, bars(), settings())
    assert " ".join(figure.get_supxlabel().split()) == said


def test_what_is_left_out_depends_on_bars_and_messages():
    how = settings(epochs=3)
    whole = leak_audit._scope(2_000, 2_000, how, with_messages=True)
    assert "from messages to test" in whole
    assert whole.endswith("epochs: 3; not made again: the lineage's own network, its search")
    part = leak_audit._scope(2_000, 3_500, how, with_messages=False)
    assert "on the newest 2,000 of 3,500 minutes" in part
    assert "again: the 1,500 older minutes, the lineage's own network, its search, bars" in part


def test_findings_are_added_up_and_the_nearest_is_kept():
    findings = leak_audit._Findings(np.arange(1, 11) * MS_PER_MINUTE)
    for cut, found in (
        (8, Difference(5, 0, None, 2, newest=4 * MS_PER_MINUTE)),
        (6, Difference(4, 1, 2 * MS_PER_MINUTE, 3, newest=5 * MS_PER_MINUTE)),
        (9, Difference(1, 1, None, 1, newest=2 * MS_PER_MINUTE)),
        (9, Difference(0, 0, None, 0)),
    ):
        findings.hear("x", cut * MS_PER_MINUTE, found)
    assert (findings.compared["x"], findings.changed["x"], findings.nearest["x"]) == (10, 6, 2)
    assert findings.leaks == [
        "x: 1 of 4 values known by the cut at 1970-01-01T00:06+00:00 changed with what came after "
        "it, the first one known at 1970-01-01T00:02+00:00",
        "x: 1 of 1 values known by the cut at 1970-01-01T00:09+00:00 changed with what came after "
        "it, the first one known at 1970-01-01T00:09+00:00",
    ]


@pytest.mark.parametrize(("stride", "purges"), [(59, True), (60, False), (61, False)])
def test_what_shows_nothing_is_noted(stride, purges):
    findings = leak_audit._Findings(np.arange(3))
    findings.hear("a", 0, Difference(0, 0, None, 1))
    findings.hear("b", 0, Difference(1, 0, None, 0))
    findings.hear("c", 0, Difference(1, 0, None, 1))
    findings.note_unshown(in_small(settings(stride=stride)))
    said = [line for line in findings.unshown if not line.startswith("purging")]
    assert said == [
        "a: no value was known by any of the cuts",
        "b: no value known after a cut has changed",
    ]
    assert (len(findings.unshown) == 2) == purges


def test_the_last_cut_of_each_day_is_chosen():
    day = 86_400_000
    cuts = [day + 5, 3, day - 1, day, 2 * day, day + 9, 7]
    assert leak_audit._last_of_days(cuts) == {day - 1, day + 9, 2 * day}


# --- planted leaks ------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, *later(2)])
@pytest.mark.parametrize("place", [*DAILY, *later(*(one for one in PLACES if one not in DAILY))])
def test_a_look_ahead_is_caught_wherever_it_is_and_however_short(monkeypatch, place, rows):
    """Of one row in one draw, and of more in another."""
    ahead, seed = (1, 3) if rows == 1 else (ROWS[1 + list(PLACES).index(place) % 4], 4)
    PLACES[place](monkeypatch, ahead)
    assert leaking_stage(bars(seed), settings(seed=seed)) is not None


def caught(borders: Borders, *stages: str) -> set[str]:
    """The stages that leak where these may be known."""
    result = audited(settings(), *(minutes_after(borders.fitted[stage], 0) for stage in stages))
    assert not result.passed
    with pytest.raises(LeakError):
        raise_leaks(result)
    return leaking(result)


@pytest.mark.long
def test_a_centred_window_is_caught(monkeypatch, borders):
    real = pipeline.label

    def centred(*given: Any) -> pd.DataFrame:
        table = real(*given)
        return table.assign(mean_obi=table["mean_obi"].rolling(5, 1, center=True).mean())

    monkeypatch.setattr(pipeline, "label", centred)
    cut = minutes_after(borders.folds[1], 5)
    result = audited(settings(), cut)
    assert "features" in leaking(result)
    (found,) = (leak for leak in result.leaks if leak.startswith("features:"))
    assert found.startswith("features: 2 of "), "two minutes look over the cut"
    assert cut.isoformat(timespec="minutes") in found
    assert found.endswith(f"known at {(cut - pd.Timedelta('1min')).isoformat(timespec='minutes')}")


@pytest.mark.long
def test_a_scaler_fitted_on_all_rows_is_caught(monkeypatch, borders):
    monkeypatch.setattr(material, "covered_rows", lambda rows, length: slice(None))
    monkeypatch.setattr(material, "check_quality", lambda *given: None)  # it takes rows by number
    found = caught(borders, "fold 2 scaler")
    assert {"fold 1 scaler", "fold 2 scaler", "fold 1 forecasts"} <= found


@pytest.mark.long
def test_a_scaler_of_the_validation_part_too_is_caught(monkeypatch, borders):
    real = base_model.material

    def wider(table: Any, train: Any, *more: Any) -> Any:
        return real(table, replace(train, row=train.row + 20 * STRIDE), *more)

    monkeypatch.setattr(base_model, "material", wider)
    assert caught(borders, "scaler") == {"scaler"}


def unpurged(samples: Any, older: Any, newer: Any, *rest: Any) -> Split:
    return Split(older, newer)


@pytest.mark.long
def test_an_unpurged_fold_is_caught_although_it_says_it_was_purged(monkeypatch, borders):
    monkeypatch.setattr(splits, "_purged", unpurged)
    monkeypatch.setattr(
        out_of_fold._Fold,
        "trained_until",
        property(
            lambda fold: pd.Timestamp(
                int(fold.forecast.time_ms[0]) - MS_PER_MINUTE, unit="ms", tz="UTC"
            )
        ),
    )
    monkeypatch.setattr(learner, "assert_untrained", lambda *given: None)
    monkeypatch.setattr(evaluating, "assert_unseen", lambda *given: None)
    stages = {"scaler", "fold 1 scaler", "fold 2 model", "calibrator"}
    assert caught(borders, *stages) >= stages | {"base model", "conformal threshold", "baselines"}


@pytest.mark.long
def test_an_unpurged_fold_that_says_so_is_refused(monkeypatch, borders):
    monkeypatch.setattr(splits, "_purged", unpurged)
    monkeypatch.setattr(learner, "assert_untrained", lambda *given: None)
    result = audited(settings(), minutes_after(borders.folds[0], 1))
    assert not result.passed
    assert "saw past them" in result.leaks[0]
    assert "saw past them" in (result.provenance or "")


@pytest.mark.long
def test_a_booster_stopped_by_unpurged_rows_is_caught(monkeypatch, borders):
    real = auditing._reaches
    monkeypatch.setattr(auditing, "_reaches", lambda *given: real(*given) & False)
    result = audited(settings(), minutes_after(borders.fitted["booster"], 0))
    assert "booster" in leaking(result)
    assert "have a label that reaches the rows for" in (result.provenance or "")


@pytest.mark.long
@pytest.mark.parametrize("column", ["mean_obi", "body"])
def test_a_label_used_as_a_feature_is_caught(monkeypatch, borders, column):
    real = pipeline.label

    def labelled(*given: Any) -> pd.DataFrame:
        table = real(*given)
        return table.assign(**{column: table[column] + table["forward_return"].fillna(0.0)})

    monkeypatch.setattr(pipeline, "label", labelled)
    # The check before training refuses one of them, and the audit has to see both by itself.
    monkeypatch.setattr(material, "check_quality", lambda *given: None)
    result = audited(settings(), minutes_after(borders.folds[1], 5))
    found = next(leak for leak in result.leaks if leak.startswith("features:"))
    assert found.startswith("features: 60 of "), "an hour of labels reaches over the cut"
    assert "fold 1 forecasts" in leaking(result)


@pytest.mark.long
def test_a_threshold_tuned_on_the_test_part_is_caught(monkeypatch, borders):
    real = learner.audit

    def tuned(walked: Walk, *rest: Any) -> Any:
        made = real(walked, *rest)
        test = walked.of.samples.target[walked.of.split.other]
        conformal = replace(made.auditor.conformal, threshold=float((test == 1).mean()))
        return replace(made, auditor=replace(made.auditor, conformal=conformal))

    monkeypatch.setattr(learner, "audit", tuned)
    assert caught(borders, "conformal threshold") == {"conformal threshold"}


@pytest.mark.long
def test_a_confidence_fitted_on_the_rows_that_judge_it_is_caught(monkeypatch, borders):
    real = auditing.fit_confidence

    def greedy(older: pd.DataFrame, newer: pd.DataFrame) -> Any:
        return real(pd.concat([older, newer]), newer)

    monkeypatch.setattr(auditing, "fit_confidence", greedy)
    assert caught(borders, "confidence") == {"confidence"}


@pytest.mark.long
def test_a_calibrator_fitted_with_test_rows_is_caught(monkeypatch, borders):
    """Dev is made to hold the test part, and the check that would refuse it is silenced."""
    real = out_of_fold.split_test

    def greedy(samples: Any, how: Any) -> Split:
        return Split(np.arange(len(samples)), real(samples, how).other)

    monkeypatch.setattr(out_of_fold, "split_test", greedy)
    assert "reaches into the rows" in audited(settings(), minutes_after(borders.test, 5)).leaks[0]
    monkeypatch.setattr(evaluating, "assert_unseen", lambda *given: None)
    assert "calibrator" in caught(borders, "calibrator")


@pytest.mark.long
def test_a_network_stopped_by_the_test_part_is_caught(monkeypatch, borders):
    real = base_model.train_and_validation

    def greedy(table: Any, window: int, stride: int, how: Any) -> Any:
        train, _ = real(table, window, stride, how)
        taken = base_model.samples(table, window, stride)
        return train, taken.take(splits.split_test(taken, how).other)

    monkeypatch.setattr(base_model, "samples", out_of_fold.samples, raising=False)
    monkeypatch.setattr(base_model, "train_and_validation", greedy)
    assert "the test part begins at" in audited(settings(), minutes_after(borders.test, 5)).leaks[0]
    monkeypatch.setattr(learner, "assert_untrained", lambda *given: None)
    assert "base model" in caught(borders, "base model")


@pytest.mark.long
def test_a_baseline_that_knows_what_comes_is_caught(monkeypatch, borders):
    real = evaluating.baselines

    def clairvoyant(table: Any, dev: Any, test: Any, how: Any) -> Any:
        rises = 1 / (1 + np.exp(-100 * table["forward_return"].to_numpy()[test.row]))
        knowing = np.column_stack([(1 - rises) / 2, (1 - rises) / 2, rises])
        return real(table, dev, test, how) | {"persistence": forecast_of(knowing[:, None])}

    monkeypatch.setattr(evaluating, "baselines", clairvoyant)
    result = audited(settings(), minutes_after(borders.forecasts["test forecasts"][3], 0))
    assert leaking(result) == {"test forecasts", "baselines"}


# --- an audit that shows nothing ----------------------------------------------------------------


def test_an_audit_that_perturbs_nothing_has_not_passed(monkeypatch, borders):
    monkeypatch.setattr(leak_audit, "perturb", lambda frame, *given: frame.copy())
    result = audited(settings(), minutes_after(borders.folds[0], 5))
    assert result.leaks == ()
    assert not result.passed
    deaf = {line.partition(":")[0] for line in result.unshown if "has changed" in line}
    assert deaf == STAGES


@pytest.mark.usefixtures("made_before")
def test_a_stage_that_nothing_was_compared_of_has_not_passed(borders):
    result = audited(settings(), minutes_after(borders.folds[0], 5))
    assert result.leaks == ()
    assert result.compared["calibrator"] == 0
    assert "calibrator: no value was known by any of the cuts" in result.unshown
    assert not result.passed
    with pytest.raises(LeakError, match="no value was known"):
        raise_leaks(result)
    raise_leaks(result, of_every_stage=False)  # nothing did leak


@pytest.mark.usefixtures("made_before")
@pytest.mark.parametrize("rows", [1, *later(0, 7)])
def test_a_cut_named_by_hand_says_how_near_it_came(rows: int, borders):
    """A stride is 15 rows: seven rows after a forecast the next one is still to come."""
    moment = borders.forecasts["fold 1 forecasts"][5]
    result = audited(settings(), minutes_after(moment, rows))
    assert result.leaks == ()
    assert result.nearest["fold 1 forecasts"] == rows + 1
    assert result.nearest["features"] == result.nearest["labels"] == 1
    assert not result.passed
    said = [line for line in result.blind if line.startswith("fold 1 forecasts: ")]
    if rows:
        assert said == [
            f"fold 1 forecasts: a look-ahead of less than {rows + 1} rows would not have shown"
        ]
    else:
        assert not said
    raise_leaks(result, of_every_stage=False)


@pytest.mark.long
def test_rows_are_counted_and_not_minutes(borders):
    """Two minutes after a forecast have no row, so that the third is the first after it."""
    moment = borders.forecasts["fold 1 forecasts"][5]
    begin = minutes_after(moment, 0)
    holed = bars().drop([begin, begin + pd.Timedelta("1min")])
    result = audit_leaks(holed, settings(), [minutes_after(moment, 2)])
    assert result.nearest["fold 1 forecasts"] == 1


@pytest.mark.long
def test_samples_too_far_apart_show_nothing_of_purging(borders):
    result = audited(settings(stride=60, minutes=MINUTES), minutes_after(borders.folds[0], 5))
    assert result.unshown[0].startswith("purging: samples 60 minutes apart have no label of 60")


@pytest.mark.parametrize(
    "change",
    [
        {"cuts": ()},
        {"compared": {}},
        {"compared": {"features": 0}},
        {"unshown": ("x: y",)},
        {"nearest": {}},
        {"nearest": dict.fromkeys(STAGES, 1) | {"booster": 2}},
        {"nearest": dict.fromkeys(STAGES - {"booster"}, 1)},
    ],
)
def test_a_record_of_nothing_or_of_less_than_a_row_has_not_passed(honest, change: dict[str, Any]):
    assert honest.passed
    changed = msgspec.structs.replace(honest, **change)
    assert not changed.passed
    with pytest.raises(LeakError):
        raise_leaks(changed)


@pytest.mark.usefixtures("made_before")
def test_messages_are_changed_at_the_last_cut_of_each_day():
    class Days:
        complete = True
        heard: ClassVar[list[int]] = []

        def compare(self, cut: int, rng: np.random.Generator) -> dict[str, Difference]:
            self.heard.append(cut)
            found = Difference(compared=1, leaked=0, first=None, changed=1, newest=cut)
            return {MESSAGE_STAGE: found}

    cuts = [pd.Timestamp(time) for time in ("2024-01-01T20:00Z", "2024-01-01T21:00Z")]
    result = audited(settings(), *cuts, raw=Days())
    assert Days.heard == [int(cuts[1].timestamp()) * 1000]
    assert result.nearest["minute bars"] == 1
    assert result.messages


def test_a_cut_outside_of_the_bars_is_refused():
    with pytest.raises(CutError, match="a cut between 2024-01-01"):
        audited(settings(), pd.Timestamp("2025-01-01", tz="UTC"))


@pytest.mark.usefixtures("made_before")
def test_the_provenance_is_that_of_the_given_rows(tmp_path: Path, borders, monkeypatch):
    cut = minutes_after(borders.test, 5)
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"time": [1]}).to_parquet(path)
    result = audited(settings(), cut, rows=path)
    assert result.leaks == ()
    assert "out-of-fold rows lack" in (result.provenance or "")
    assert not result.passed


@pytest.mark.usefixtures("made_before")
def test_progress_is_told_of_every_making(borders):
    told: list[tuple[int, int, str]] = []
    heard: Callable[[int, int, str], None] = lambda *given: told.append(given)  # noqa: E731
    audited(settings(), minutes_after(borders.test, 5), progress=heard)
    assert [done for done, _, _ in told] == [0, 1, 2]
    assert {total for _, total, _ in told} == {2}
