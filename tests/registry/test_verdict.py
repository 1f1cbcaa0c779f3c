"""Which report of gates speaks for a version."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import mlflow
import msgspec
import pytest
from mlflow import MlflowClient

from quantgod.gates import GATES_FILE, Gate
from quantgod.registry.gate_tags import gate_tags
from quantgod.registry.verdict import (
    REPORT_TAG,
    GatesError,
    GatesNotPassedError,
    check_report,
    report_of,
    summary_of,
)
from tests.registry.judging import BOUNDS, FAILED, NOT_ASKED, PASSED, judged, report, version
from tests.registry.shelves import NAME, Shelf


@pytest.fixture(autouse=True)
def experiment(shelf: Shelf) -> None:
    """One whose artifacts lie beside the store."""
    artifacts = str(shelf.folder / "artifacts")
    experiment = MlflowClient().create_experiment("gates", artifact_location=artifacts)
    mlflow.set_experiment(experiment_id=experiment)


def test_a_report_of_passed_gates_speaks_for_its_version() -> None:
    check_report(report(), version(), None, BOUNDS)
    check_report(report(champion=2), version(), 2, BOUNDS)


def test_gates_that_failed_are_named() -> None:
    with pytest.raises(GatesNotPassedError, match="1 of 2 gates passed; failed: ece") as refused:
        check_report(report(1, PASSED, FAILED, NOT_ASKED), version(), None, BOUNDS)
    assert refused.value.failed == ("ece",)


def test_a_gate_with_too_few_data_keeps_a_version_back_and_is_named() -> None:
    few = Gate("mcc", "0.2 (too few rows)", "> 0", None, "", unjudged=True)
    with pytest.raises(
        GatesNotPassedError, match="1 of 2 gates passed; not judged: mcc"
    ) as refused:
        check_report(report(1, PASSED, few), version(), None, BOUNDS)
    assert refused.value.failed == summary_of(report(1, PASSED, few)).failed == ("mcc",)


def test_gates_of_which_none_was_asked_for_have_not_passed() -> None:
    with pytest.raises(GatesNotPassedError, match="0 of 0 gates passed"):
        check_report(report(1, NOT_ASKED), version(), None, BOUNDS)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"version": 2}, "the report is about quantgod 2"),
        ({"name": "another"}, "the report is about another 1"),
        ({"files_sha256": "0" * 64}, "about other files"),
        ({"data": {"labels": "0" * 64}}, "other data was judged"),
        ({"data": {}}, "other data was judged"),
        ({"data": {"labels": "a" * 64, "bars": "b" * 64}}, "other data was judged"),
        ({"at": "2020-01-01T00:00:00+00:00"}, "older than the version"),
        ({"bounds": "c" * 64}, "judged by other bounds than its settings name: run gates again"),
        ({"bounds": ""}, "judged by other bounds .*came none"),
        ({"champion": 3}, "judged against version 3, but no version is in place now: run gates"),
    ],
)
def test_a_report_of_something_else_does_not(changed: dict[str, object], why: str) -> None:
    with pytest.raises(GatesError, match=why):
        check_report(report(**changed), version(), None, BOUNDS)


def test_who_names_no_bounds_is_given_no_version() -> None:
    with pytest.raises(GatesError, match="judged by other bounds"):
        check_report(report(bounds=""), version(), None, "")


def test_another_champion_than_the_one_in_place_needs_new_gates() -> None:
    for then in (None, 2):
        with pytest.raises(GatesError, match="but version 3 is in place now: run gates again"):
            check_report(report(champion=then), version(), 3, BOUNDS)


def test_a_version_that_is_in_place_itself_had_no_other_to_beat() -> None:
    check_report(report(champion=None), version(), 1, BOUNDS)


def test_the_report_is_the_one_that_its_run_has_kept(tmp_path: Path) -> None:
    made = judged(tmp_path)
    assert report_of(version()) == made
    assert report_of(version(2), made.run_id) == made, "check_report refuses it then"
    assert summary_of(made).run_id == made.run_id
    assert summary_of(made).passed == 1


def test_no_report_speaks_for_a_version_whose_lineage_was_changed(tmp_path: Path) -> None:
    """Nor for one that names other data, in the tags of earlier code or of now."""
    client = MlflowClient()
    for number, tag in ((1, "data.labels"), (2, "lineage")):
        made = judged(tmp_path, number, PASSED)
        client.set_model_version_tag(NAME, str(number), tag, "changed")
        with pytest.raises(GatesError, match=r"other data was judged|tag lineage was changed"):
            check_report(made, version(number), None, BOUNDS)


def test_a_version_without_a_report_has_not_been_judged() -> None:
    with pytest.raises(GatesError, match="quantgod 1 has not been judged: run gates"):
        report_of(version())


def test_a_tag_that_somebody_has_written_by_hand_is_refused(tmp_path: Path) -> None:
    made = judged(tmp_path, 1, PASSED, FAILED)
    forged = msgspec.structs.replace(made, gates=(PASSED,))
    client = MlflowClient()
    for text in (gate_tags(forged)[REPORT_TAG], msgspec.json.encode(forged).decode()):
        client.set_model_version_tag(NAME, "1", REPORT_TAG, text)
        with pytest.raises(GatesError, match="is not what run"):
            report_of(version())
    unrun = gate_tags(report(run_id="f" * 32))[REPORT_TAG]
    for text, why in (("{}", "no report of gates"), ("nonsense", "no report"), (unrun, "kept no")):
        client.set_model_version_tag(NAME, "1", REPORT_TAG, text)
        with pytest.raises(GatesError, match=why):
            report_of(version())


def test_a_tag_of_earlier_code_holds_the_whole_report(tmp_path: Path) -> None:
    made = judged(tmp_path)
    whole = msgspec.json.encode(made).decode()
    MlflowClient().set_model_version_tag(NAME, "1", REPORT_TAG, whole)
    assert report_of(version()) == made


def test_a_run_that_judged_nothing_has_no_report() -> None:
    with mlflow.start_run() as run:
        mlflow.log_dict({"gates": []}, GATES_FILE)
    with pytest.raises(GatesError, match=r"gates.json of run \w+ is no report"):
        report_of(version(), run.info.run_id)


def test_a_report_that_the_version_has_failed_since_speaks_for_it_no_more(tmp_path: Path) -> None:
    first = judged(tmp_path)
    second = judged(tmp_path)
    assert report_of(version(), first.run_id) == first, "it has passed again"
    failed = judged(tmp_path, 1, FAILED)
    for passed in (first, second):
        with pytest.raises(GatesError, match=f"run {failed.run_id} has judged it since run"):
            report_of(version(), passed.run_id)
    assert report_of(version(), failed.run_id) == failed
    judged(tmp_path, 1, FAILED, bounds="c" * 64)
    assert report_of(version(), first.run_id) == first, "by other bounds it is another question"


def moment(milliseconds: int) -> str:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).isoformat()


def test_a_report_of_the_very_moment_of_registration_is_not_older() -> None:
    made = version().creation_timestamp
    check_report(report(at=moment(made)), version(), None, BOUNDS)
    with pytest.raises(GatesError, match="is older than the version"):
        check_report(report(at=moment(made - 1)), version(), None, BOUNDS)


def test_of_two_reports_of_one_moment_none_has_come_since(tmp_path: Path) -> None:
    at = moment(version().creation_timestamp + 60_000)
    first = judged(tmp_path, 1, PASSED, at=at)
    judged(tmp_path, 1, FAILED, at=at)
    assert report_of(version(), first.run_id) == first
