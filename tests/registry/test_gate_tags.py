"""A version carries its gates as tags, bound to what was judged."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from mlflow import MlflowClient
from msgspec.structs import replace

from quantgod.evaluation.evidence import evidence_bytes
from quantgod.gates import Gate, GateReport, bounds_digest
from quantgod.registry.gate_tags import UnboundReportError, gate_tags, record_gates, report_on
from quantgod.registry.lineage import Lineage
from quantgod.registry.own_settings import Judging
from quantgod.registry.registered import NoSuchVersionError, known_version
from quantgod.registry.verdict import GatesError, check_report, report_of
from quantgod.settings import load_settings
from tests.registry.shelves import NAME, Shelf

GATES = (
    Gate("mcc", "0.31 [0.2, 0.4]", "> 0", True, "Matthews correlation"),
    Gate("ece", "0.2", "not asked for", None, "calibration"),
)
REAL, DEMO = (Judging(load_settings(Path(f"conf/{name}.yaml"))) for name in ("full", "demo"))
BOUNDS = bounds_digest(REAL.settings.gates)
FAILED = Gate("mcc", "0.1 [-0.2, 0.4]", "> 0", False, "Matthews correlation")


@pytest.fixture
def client(shelf: Shelf) -> MlflowClient:
    return MlflowClient()


def report(client: MlflowClient, number: int = 2, gates: tuple[Gate, ...] = GATES) -> GateReport:
    return report_on(known_version(client, NAME, number), gates, None, "r" * 32, REAL)


def tags(client: MlflowClient, number: int = 2) -> dict[str, str]:
    return dict(known_version(client, NAME, number).tags)


def test_a_report_names_what_was_judged_and_when(client: MlflowClient) -> None:
    made, own = report(client), tags(client)
    assert (made.name, made.version, made.files_sha256) == (NAME, 2, own["files_sha256"])
    assert made.data == {"labels": "a" * 64}
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(made.at)
    assert dt.timedelta(0) <= age < dt.timedelta(minutes=1)


def test_the_verdict_becomes_a_tag_that_names_what_failed(client: MlflowClient) -> None:
    """A version that earlier code judged carries a tag for each gate; they would contradict it."""
    client.set_model_version_tag(NAME, "1", "gate.mcc", "pass: 0.31 [0.2, 0.4], > 0")
    for number in (1, 2):
        for gates, verdict in (
            (GATES, "passed"),
            ((FAILED, replace(FAILED, name="ece")), "failed: mcc, ece"),
            ((replace(FAILED, passed=None, figure="not enough"),), "failed: no gate has passed"),
        ):
            before = tags(client, number).keys()
            record_gates(client, report(client, number, gates))
            said = tags(client, number)
            assert said["gates"] == verdict
            assert said.keys() - before <= {"gates", "gates.report"} and "gate.mcc" not in said


def test_a_verdict_says_that_a_market_is_simulated_by_settings_or_by_lineage(
    client: MlflowClient,
) -> None:
    found = known_version(client, NAME, 2)
    real = report_on(found, GATES, None, "r", REAL)
    assert real.in_words() == "1 of 1 gates passed" and gate_tags(real)["gates"] == "passed"
    demo = report_on(found, GATES, None, "r", DEMO)
    assert demo.in_words() == "1 of 1 gates passed; simulated market"
    assert gate_tags(demo)["gates"] == "passed; simulated market"
    made = Lineage({"simulate": "s"}, {"labels": "a" * 64}).tags()
    simulated = client.create_model_version(NAME, found.source, tags={**found.tags, **made})
    assert report_on(simulated, GATES, None, "r", REAL).market == "simulated market"


def test_the_report_itself_is_written_before_what_only_repeats_it(client: MlflowClient) -> None:
    """And names its run alone, whatever it says: a page of tags is to be read."""
    place, text = next(iter(gate_tags(report(client, gates=GATES * 50)).items()))
    assert place == "gates.report" and "r" * 32 in text and len(text) < 150


def test_what_was_judged_is_what_a_promotion_reads(client: MlflowClient, shelf: Shelf) -> None:
    place = str(shelf.folder / "artifacts")
    run = client.create_run(client.create_experiment("gates", artifact_location=place)).info.run_id
    made = replace(report(client), run_id=run)
    client.log_text(run, evidence_bytes(made).decode(), "gates.json")
    record_gates(client, made)
    found = known_version(client, NAME, 2)
    assert report_of(found) == made
    check_report(made, found, None, BOUNDS)
    with pytest.raises(GatesError, match="is about quantgod 2"):
        check_report(made, known_version(client, NAME, 3), None, BOUNDS)


def test_a_report_is_not_written_to_a_version_of_other_files_or_data(client: MlflowClient) -> None:
    made = report(client)
    for changed, what in (
        (replace(made, version=3), "files_sha256 is"),
        (replace(made, files_sha256="0" * 64), "files_sha256 is"),
        (replace(made, data={"labels": "0"}), "labels is aaa.*, judged was 0"),
        (replace(made, data={**made.data, "bars": "0"}), "bars is None, judged was 0"),
        (replace(made, data={}), "judged was None"),
    ):
        with pytest.raises(UnboundReportError, match=what):
            record_gates(client, changed)
    assert not any(key.startswith("gate") for number in (2, 3) for key in tags(client, number))
    with pytest.raises(NoSuchVersionError):
        record_gates(client, replace(made, version=99))


def test_a_version_that_does_not_say_what_it_is_made_of_cannot_be_judged(
    client: MlflowClient, shelf: Shelf
) -> None:
    source = str(shelf.files(1))
    for own, missing in (
        (Lineage(data={"labels": "a"}).tags(), "tag files_sha256"),
        ({"files_sha256": "a"}, "data in its lineage"),
    ):
        made = client.create_model_version(NAME, source=source, tags={**own, "data": "synthetic"})
        with pytest.raises(UnboundReportError, match=f"has no {missing}"):
            report_on(made, GATES, None, "r", REAL)
