"""Evidence is found by a version's lineage, and refused where it is of another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from msgspec.structs import replace

from quantgod.archive.own_bars import import_bars
from quantgod.evaluation.evidence import BACKTEST_FILE, LEAK_AUDIT_FILE
from quantgod.files import file_digest
from quantgod.registry import evidence_runs as evidence
from quantgod.registry.evidence_runs import (
    MissingEvidenceError,
    OtherEvidenceError,
    check_data,
    check_evidence,
    evidence_runs,
    read_records,
)
from quantgod.registry.evidence_settings import made_otherwise
from quantgod.registry.lineage import Lineage as Made
from quantgod.registry.lineage import set_tags
from quantgod.registry.registered import known_version
from quantgod.settings import Settings, load_settings, with_values
from quantgod.tracking.keys import KEY_TAG, path_digest
from quantgod.tracking.stage import CODE_TAG, STAGE_TAG, logged_params
from tests.archive.test_own_bars import candles
from tests.gates.records import Evidence, leak_audit
from tests.registry.lineages import Lineage
from tests.registry.shelves import NAME, Shelf, copied

SETTINGS = load_settings(Path("conf/demo.yaml"))


@pytest.fixture(scope="module")
def kept(template: Shelf, tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    with copied(template, tmp_path_factory.mktemp("lineage")) as shelf:
        labels = shelf.folder / "labels.parquet"
        labels.write_text("labels")
        return Lineage(shelf, labels, file_digest(labels)).whole()


@pytest.fixture
def lineage(kept: Lineage, tmp_path: Path) -> Iterator[Lineage]:
    kept.labels.write_text("labels")
    with copied(kept.shelf, tmp_path) as shelf:
        yield kept.in_copy(shelf)


def found(lineage: Lineage, **given: str) -> dict[str, str]:
    return evidence_runs(lineage.client, lineage.judged(), given, SETTINGS)


def check(lineage: Lineage, **given: str) -> None:
    check_evidence(lineage.client, lineage.judged(), found(lineage, **given), SETTINGS)


def test_a_version_leads_to_its_runs(lineage: Lineage) -> None:
    stages = ("label", "register", "evaluate", "backtest", "leak_audit")
    assert found(lineage) == {stage: lineage.runs[stage] for stage in stages}
    check(lineage)


def test_the_evidence_of_an_ensemble_is_of_its_members_run(shelf: Shelf) -> None:
    """A backtest without it would count one trial, where each member was one or many."""
    labels = shelf.folder / "labels.parquet"
    labels.write_text("labels")
    of_members = Lineage(shelf, labels, file_digest(labels)).whole(("members", "audit"))
    check(of_members)
    with pytest.raises(OtherEvidenceError, match="the backtest is of members run others, "):
        check(of_members, backtest=of_members.backtested(members="others"))
    of_members.client.set_tag(of_members.runs["leak_audit"], "quantgod.upstream.members", "others")
    with pytest.raises(OtherEvidenceError, match="the leak_audit is of members run others, "):
        check(of_members)
    of_members.client.set_tag(of_members.runs["members"], CODE_TAG, "this code")
    with pytest.raises(OtherEvidenceError, match="this code was expected, of which its mem"):
        check(of_members)


def test_a_run_of_before_there_were_ensembles_was_made_without_one() -> None:
    params = logged_params("leak_audit", SETTINGS)
    earlier = {key: value for key, value in params.items() if key not in ("members", "ensemble")}
    assert len(earlier) == len(params) - 2
    tags = {STAGE_TAG: "leak_audit"}
    run: Any = SimpleNamespace(data=SimpleNamespace(params=earlier, tags=tags))
    assert [*made_otherwise(run, SETTINGS)] == []
    together = with_values(SETTINGS, {"members": {"a": {}}, "ensemble": {"strategy": "majority"}})
    assert any("ensemble.strategy None, majority" in text for text in made_otherwise(run, together))


def test_what_is_given_goes_first(lineage: Lineage) -> None:
    other = lineage.backtested()
    assert found(lineage, backtest=other)["backtest"] == other
    assert found(lineage, backtest=lineage.runs["backtest"])["backtest"] == lineage.runs["backtest"]
    check(lineage, backtest=lineage.runs["backtest"])


def test_the_newest_finished_run_is_taken(lineage: Lineage) -> None:
    newer = lineage.backtested()
    for status in ("FAILED", "RUNNING"):
        upstream, kept = {"evaluate": lineage.runs["evaluate"]}, {"backtest.json": "{}"}
        lineage.run("backtest", upstream, kept=kept, status=status)
    lineage.backtested(evaluate="another")
    assert found(lineage)["backtest"] == newer


def test_a_leak_audit_that_found_a_leak_is_not_passed_over_for_an_older_one(
    lineage: Lineage, tmp_path: Path
) -> None:
    lineage.evidence = Evidence(leak_audit=leak_audit(leaks=("labels at noon",)))
    failed = lineage.leak_audited(status="FAILED")
    lineage.run("leak_audit", {"audit": lineage.runs["audit"]}, status="FAILED")  # it found nothing
    runs = found(lineage)
    assert runs["leak_audit"] == failed
    check_evidence(lineage.client, lineage.judged(), runs, SETTINGS)
    audited = read_records(lineage.judged(), runs, tmp_path).leak_audit
    assert audited is not None and audited.leaks == ("labels at noon",)


def test_what_is_missing_is_named_with_the_command_that_makes_it(lineage: Lineage) -> None:
    del lineage.runs["evaluate"]
    lineage.number = bare = lineage.version()
    with pytest.raises(
        MissingEvidenceError, match=rf"steps\.evaluate --name quantgod --version {bare}`"
    ):
        found(lineage)
    lineage.runs["evaluate"] = evaluate = lineage.evaluated()
    made_by = f"--name quantgod --version {bare} --evaluate-run {evaluate}`"
    with pytest.raises(MissingEvidenceError, match=rf"steps\.backtest {made_by}"):
        found(lineage)
    lineage.backtested()
    assert "leak_audit" in found(lineage)
    lineage.remade(audit=lineage.run("audit"))
    assert "leak_audit" not in found(lineage)


def test_no_backtest_is_asked_for_where_the_bars_have_no_books(
    lineage: Lineage, tmp_path: Path
) -> None:
    data = SETTINGS.data.model_copy(update={"bars": tmp_path / "bars"})
    candles(90).to_csv(tmp_path / "own.csv")
    import_bars([tmp_path / "own.csv"], data, SETTINGS.etl)
    own = SETTINGS.model_copy(update={"data": data})
    lineage.runs["evaluate"] = lineage.evaluated()
    lineage.number = lineage.version()
    with pytest.raises(MissingEvidenceError, match=r"can have none: .* have no levels") as refused:
        evidence_runs(lineage.client, lineage.judged(), {}, own)
    assert "steps.backtest" not in str(refused.value)


def test_an_evaluation_of_another_version_or_of_a_runs_model_is_refused(lineage: Lineage) -> None:
    lineage.runs["evaluate"] = lineage.evaluated(number=2)
    lineage.backtested()
    with pytest.raises(OtherEvidenceError, match=r"quantgod 5: run \w+ has scored quantgod 2"):
        check(lineage)
    run = lineage.run("evaluate", inputs={"labels": lineage.digest}, kept={"output.json": "{}"})
    with pytest.raises(OtherEvidenceError, match="has scored a run's model"):
        check(lineage, evaluate=run, backtest=lineage.backtested(evaluate=run))


def test_evidence_on_other_data_is_refused(lineage: Lineage) -> None:
    backtest = lineage.backtested(bars="other")
    with pytest.raises(
        OtherEvidenceError, match=r"the backtest read bars other, .* is made of bbb"
    ):
        check(lineage, backtest=backtest)
    lineage.client.set_tag(lineage.runs["evaluate"], "quantgod.input.labels", "older")
    with pytest.raises(OtherEvidenceError, match="the evaluate read labels older"):
        check(lineage)


def test_evidence_of_another_lineage_is_refused(lineage: Lineage) -> None:
    backtest = lineage.backtested(evaluate="another")
    with pytest.raises(OtherEvidenceError, match="the backtest is of evaluate run another"):
        check(lineage, backtest=backtest)
    audit = lineage.leak_audited(audit="another")
    with pytest.raises(OtherEvidenceError, match="the leak_audit is of audit run another"):
        check(lineage, leak_audit=audit)
    untold = lineage.backtested(optimize="none")
    with pytest.raises(OtherEvidenceError, match="the backtest is of optimize run none"):
        check(lineage, backtest=untold)
    settings_alone = lineage.run("leak_audit", kept={"output.json": "{}"})
    with pytest.raises(OtherEvidenceError, match="the leak_audit is of train run None"):
        check(lineage, leak_audit=settings_alone)


def test_a_run_of_another_stage_or_one_that_failed_is_refused(lineage: Lineage) -> None:
    with pytest.raises(OtherEvidenceError, match="is of evaluate, a run of backtest was expected"):
        check(lineage, backtest=lineage.runs["evaluate"])
    lineage.client.set_terminated(lineage.runs["backtest"], "FAILED")
    with pytest.raises(OtherEvidenceError, match="the run of backtest is FAILED"):
        check(lineage, backtest=lineage.runs["backtest"])


def test_evidence_that_does_not_say_what_it_has_read_is_refused(lineage: Lineage) -> None:
    for stage, data in (("evaluate", "labels"), ("backtest", "bars"), ("leak_audit", "bars")):
        tag = f"quantgod.input.{data}"
        kept = lineage.client.get_run(lineage.runs[stage]).data.tags[tag]
        lineage.client.delete_tag(lineage.runs[stage], tag)
        with pytest.raises(OtherEvidenceError, match=f"the {stage} read {data} None, the version"):
            check(lineage)
        lineage.client.set_tag(lineage.runs[stage], tag, kept)
    check(lineage)


def test_a_run_that_was_made_anew_stands_for_an_equal_one_but_no_search_does(
    lineage: Lineage,
) -> None:
    for stage in ("train", "optimize"):
        again = lineage.run(stage, inputs={"labels": lineage.digest})
        for run in (again, lineage.runs[stage]):
            lineage.client.set_tag(run, KEY_TAG, "the same")
        lineage.remade(**{stage: again})
        if stage == "train":
            check(lineage)
    with pytest.raises(OtherEvidenceError, match=f"of optimize run .*, {again} was expected"):
        check(lineage)


def test_a_run_that_is_gone_is_named(lineage: Lineage) -> None:
    with pytest.raises(MissingEvidenceError, match="its backtest run 0000 is gone"):
        check(lineage, backtest="0000")


def test_labels_that_changed_since_are_refused(lineage: Lineage) -> None:
    check_data(lineage.judged(), {"labels": lineage.labels})
    lineage.labels.write_text("other labels")
    with pytest.raises(OtherEvidenceError, match="was made of labels"):
        check_data(lineage.judged(), {"labels": lineage.labels})


def test_features_that_changed_since_are_refused_like_labels(lineage: Lineage) -> None:
    features = lineage.labels.with_name("features.parquet")
    features.write_text("features")
    read = {"labels": lineage.labels, "features": features}
    with pytest.raises(OtherEvidenceError, match="was made of features None"):
        check_data(lineage.judged(), read)
    data = {**lineage.made_of().data, "features": path_digest(features)}
    made = Made(lineage.runs, data, settings=lineage.kept_digest)
    set_tags(lineage.client, lineage.judged(), made.tags(), instead="no tag")
    check_data(lineage.judged(), read)
    with pytest.raises(OtherEvidenceError, match="the evaluate read features None, the version is"):
        check(lineage)


def test_records_are_read_as_they_were_kept(lineage: Lineage, tmp_path: Path) -> None:
    version, runs = lineage.judged(), found(lineage)
    read = read_records(version, runs, tmp_path)
    kept = replace(lineage.evidence.evaluation, subject="quantgod/5")
    assert tuple(read) == (kept, *lineage.evidence[1:3])
    del runs["leak_audit"]
    assert read_records(version, runs, tmp_path / "again").leak_audit is None
    other = known_version(lineage.client, NAME, 2)
    with pytest.raises(OtherEvidenceError, match="quantgod/2: the record is of quantgod/5"):
        read_records(other, runs, tmp_path / "other")


def changed(section: str, **values: object) -> Settings:
    other = getattr(SETTINGS, section).model_copy(update=values)
    return SETTINGS.model_copy(update={section: other})


@pytest.mark.parametrize("stage", ["evaluate", "backtest", "leak_audit"])
def test_evidence_of_other_settings_than_those_at_hand_is_refused(
    lineage: Lineage, stage: str
) -> None:
    """Either way: what is asked for now, or what the run was given, is another."""
    name = "latency_ms" if stage == "backtest" else "stride"
    lineage.settings = other = changed(stage, **{name: 98})
    made = getattr(lineage, {"evaluate": "evaluated"}.get(stage, f"{stage}ed"))()
    if stage == "evaluate":
        lineage.runs["evaluate"] = made
        lineage.settings = SETTINGS
        lineage.backtested()
    else:
        assert found(lineage)[stage] == lineage.runs[stage], "what was only tried is passed over"
    own = getattr(getattr(SETTINGS, stage), name)
    with pytest.raises(OtherEvidenceError) as refused:
        check(lineage, **{stage: made})
    said = f"the {stage} was made with {stage}.{name} 98, {own} was expected, as the settings say"
    assert str(refused.value) == f"quantgod 5: {said}"
    runs = found(lineage, backtest=lineage.runs["backtest"]) | {stage: made}
    if stage != "evaluate":
        check_evidence(lineage.client, lineage.judged(), runs, other)


def test_a_leak_audit_at_cuts_that_were_named_by_hand_stands_for_no_drawn_ones(
    lineage: Lineage,
) -> None:
    lineage.settings = changed("leak_audit", at=("2024-01-05T12:30Z",))
    audit = lineage.leak_audited()
    with pytest.raises(OtherEvidenceError, match=r"the leak_audit was made with leak_audit.at \['"):
        check(lineage, leak_audit=audit)


def test_settings_that_a_run_does_not_name_are_no_agreement(lineage: Lineage) -> None:
    lineage.client.log_param(lineage.runs["backtest"], "backtest.old", "1")
    with pytest.raises(OtherEvidenceError, match=r"backtest.old 1, None was expected"):
        check(lineage, backtest=lineage.runs["backtest"])


@pytest.mark.parametrize(
    ("section", "values", "stages"),
    [
        ("label", {"horizon_minutes": 17}, {"evaluate", "backtest", "leak_audit"}),
        ("split", {"embargo_minutes": 17}, {"evaluate", "leak_audit"}),
        ("model", {"name": "other"}, {"leak_audit"}),
    ],
)
def test_evidence_of_other_settings_than_the_versions_own_is_refused(
    lineage: Lineage, section: str, values: dict[str, object], stages: set[str]
) -> None:
    lineage.settings = changed(section, **values)
    (key,) = values
    for stage in sorted(stages):
        inputs = {"evaluate": lineage.evaluated, "backtest": lineage.backtested}
        run = inputs.get(stage, lineage.leak_audited)()
        given = {"backtest": lineage.runs["backtest"], stage: run}
        with pytest.raises(OtherEvidenceError, match=f"the {stage} was made with {section}.{key}"):
            check(lineage, **given)


def test_a_settings_file_of_another_name_is_no_other_settings(lineage: Lineage) -> None:
    for number, run in enumerate(lineage.runs.values()):
        lineage.client.log_param(run, "config", f"conf/{number}.yaml")
        lineage.client.log_param(run, "set", f"train.seed={number}")
    check(lineage)


def test_evidence_may_have_been_made_on_another_device(lineage: Lineage) -> None:
    lineage.settings = changed("train", device="cuda", threads=7)
    lineage.leak_audited()
    check(lineage)


def test_a_leak_audit_of_other_code_than_the_versions_is_refused(lineage: Lineage) -> None:
    audit = lineage.runs["leak_audit"]
    lineage.client.set_tag(audit, CODE_TAG, "new")
    check(lineage)
    for stage in ("train", "audit"):
        lineage.client.set_tag(lineage.runs[stage], CODE_TAG, "old")
        with pytest.raises(OtherEvidenceError, match=f"is of code new, old .* its {stage} run is"):
            check(lineage)
        lineage.client.set_tag(lineage.runs[stage], CODE_TAG, "new")
    check(lineage)


@pytest.mark.parametrize(
    ("stage", "status", "otherwise", "files", "counts"),
    [
        ("leak_audit", "FINISHED", [], ["more.txt", LEAK_AUDIT_FILE], True),
        ("leak_audit", "FAILED", [], [LEAK_AUDIT_FILE], True),
        ("leak_audit", "FAILED", ["a seed"], [LEAK_AUDIT_FILE], True),
        ("leak_audit", "FINISHED", ["a seed"], [LEAK_AUDIT_FILE], False),
        ("leak_audit", "RUNNING", [], [LEAK_AUDIT_FILE], False),
        ("leak_audit", "FINISHED", [], ["more.txt", BACKTEST_FILE], False),
        ("leak_audit", "FAILED", [], [], False),
        ("backtest", "FINISHED", [], [BACKTEST_FILE], True),
        ("backtest", "FAILED", [], [BACKTEST_FILE], False),
        ("backtest", "FINISHED", [], [LEAK_AUDIT_FILE], False),
    ],
)
def test_the_newest_run_that_counts_is_found(
    monkeypatch: pytest.MonkeyPatch, stage: str, status: str, otherwise: list[str],
    files: list[str], counts: bool,
) -> None:  # fmt: skip
    """A leak that was found counts whatever the settings were."""
    sound = BACKTEST_FILE if stage == "backtest" else LEAK_AUDIT_FILE
    kept = {"newest": files, "older": [sound], "oldest": [sound]}
    runs = [
        SimpleNamespace(info=SimpleNamespace(run_id=name, status=of), otherwise=differ)
        for name, of, differ in (
            ("newest", status, otherwise), ("older", "FINISHED", []), ("oldest", "FINISHED", []),
        )
    ]  # fmt: skip

    def search(experiments: list[str], wanted: str, order_by: list[str]) -> list[Any]:
        assert experiments == ["3"] and order_by == ["attributes.start_time DESC"]
        tags = f"tags.`quantgod.stage` = '{stage}' and tags.`quantgod.upstream.audit` = 'a'"
        return runs if wanted == tags else []

    client: Any = SimpleNamespace(
        search_experiments=lambda: [SimpleNamespace(experiment_id="3")],
        search_runs=search,
        list_artifacts=lambda run: [SimpleNamespace(path=path) for path in kept[run]],
    )
    monkeypatch.setattr(evidence, "made_otherwise", lambda run, _: iter(run.otherwise))
    settings: Any = None
    found = evidence._newest(client, stage, ("audit", "a"), settings)
    assert found == ("newest" if counts else "older")
    assert evidence._newest(client, stage, ("audit", "b"), settings) is None


def test_runs_of_one_key_are_equal_and_what_is_not_known_equals_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def key(client: object, stage: str, run: str | None) -> str:
        if run == "deleted":
            raise MlflowException("gone")
        return str(run)[:1]

    monkeypatch.setattr(evidence, "key_of_run", key)
    client: Any = None
    pairs = [("a1", "a2"), ("a1", "b1"), (None, None), (None, "N"), ("N", None), ("a1", "deleted")]
    equal = [evidence._are_equal(client, "train", *pair) for pair in pairs]
    assert equal == [True, False, False, False, False, False]
