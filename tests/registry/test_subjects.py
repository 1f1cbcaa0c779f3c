from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from quantgod.contracts import FEATURES, PRIMARY
from quantgod.ensemble.ensemble import Ensemble
from quantgod.evaluation.subject import RawMaterial
from quantgod.registry import subjects
from quantgod.registry.lineage import Lineage
from quantgod.registry.subjects import (
    ContradictionError,
    EvaluationRequest,
    evaluation_request,
    subject_of,
)
from quantgod.served.combiners.combiner import Combiner
from quantgod.served.combiners.votes import Rules
from quantgod.settings import load_settings
from quantgod.tracking.keys import NoOutputError
from tests.registry.conftest import CLASS_WEIGHTS, tiny_auditor, tiny_network
from tests.registry.shelves import NAME, Shelf
from tests.synthetic import synthetic_bars


def test_a_run_that_is_of_no_audit_is_told(shelf: Shelf, tmp_path: Path) -> None:
    client = MlflowClient()
    run = client.create_run("0").info.run_id
    settings = load_settings(Path("conf/demo.yaml")).train
    with pytest.raises(NoOutputError, match=f"run {run} is of no audit"):
        subject_of(EvaluationRequest(NAME, None, {"audit": run}), client, settings, tmp_path)


def test_the_ensemble_of_a_run_is_asked_as_it_was_trained(shelf: Shelf, tmp_path: Path) -> None:
    """It has no train run of its own: each member has one."""
    bars = synthetic_bars(200, seed=3)
    members = {name: tiny_network(bars, window=length) for name, length in (("a", 60), ("b", 75))}
    rules = Rules(class_weights=CLASS_WEIGHTS)
    together = Ensemble(members, Combiner(("a", "b"), "weighted_voting", (0.7, 0.3), rules))
    client = MlflowClient()
    place = client.create_experiment("of a test", artifact_location=str(tmp_path / "kept"))
    run = client.create_run(place, tags={"quantgod.upstream.members": "m"}).info.run_id
    together.save(tmp_path / "ensemble")
    tiny_auditor().save(tmp_path / "auditor")
    for name in ("ensemble", "auditor"):
        client.log_artifacts(run, str(tmp_path / name), name)
    settings = load_settings(Path("conf/demo.yaml"), {"train.device": "cpu"}).train
    (tmp_path / "scratch").mkdir()
    asked = EvaluationRequest(NAME, None, {"audit": run})
    subject = subject_of(asked, client, settings, tmp_path / "scratch")
    assert (subject.name, subject.window) == (f"run {run}", 75)
    ends = np.arange(74, 200)
    seen = subject.ask(RawMaterial(bars[list(FEATURES)].to_numpy()), ends)
    expected = together.forecast(bars, ends).probabilities[:, PRIMARY]
    np.testing.assert_allclose(seen.said.probabilities, expected, atol=1e-6)
    assert seen.votes is not None and [*seen.votes.looks] == ["a", "b"]


OWN = {"label": "l", "train": "t", "audit": "a", "register": "r"}


@pytest.mark.parametrize(
    ("version", "given", "expected"),
    [
        (None, {}, ("quantgod", 9, OWN)),
        (None, {"label": "other"}, ("quantgod", 9, OWN | {"label": "other"})),
        (None, {"audit": None, "register": ""}, ("quantgod", 9, OWN)),
        (None, {"audit": "b"}, ("quantgod", None, {"audit": "b"})),
        (None, {"register": "r"}, ("made", 6, OWN)),
        (None, {"register": "r", "audit": "a"}, ("made", 6, OWN)),
        (4, {}, ("quantgod", 4, OWN)),
        (4, {"audit": "a"}, ("quantgod", 4, OWN)),
        (4, {"register": "r"}, ("quantgod", 4, OWN)),
        (4, {"audit": "b"}, "quantgod 4 is of audit run a, and b was named"),
        (4, {"register": "s"}, "quantgod 4 is of register run r, and s was named"),
        (None, {"register": "r", "audit": "b"}, "made 6 is of audit run a, and b was named"),
        (2, {"audit": "b", "register": "s"}, ("quantgod", 2, {"audit": "b", "register": "s"})),
    ],
)
def test_a_model_is_found_by_its_number_by_a_run_or_as_the_newest(
    monkeypatch: pytest.MonkeyPatch, version: int | None, given: dict[str, str | None],
    expected: tuple[str, int | None, dict[str, str]] | str,
) -> None:  # fmt: skip
    """Version 2 does not tell what it is made of."""
    client: Any = "of a test"
    output = {"name": "made", "version": "6"}
    monkeypatch.setattr(subjects, "output_of", lambda *_: output)
    monkeypatch.setattr(subjects, "newest_version", lambda _: 9)
    monkeypatch.setattr(subjects, "known_version", lambda client, name, number: number)
    of = {2: {}}
    monkeypatch.setattr(
        subjects, "lineage_of", lambda number: Lineage(of.get(number, OWN), {}, "", "")
    )
    if isinstance(expected, str):
        with pytest.raises(ContradictionError, match=expected):
            evaluation_request(client, "quantgod", version, given)
    else:
        found = evaluation_request(client, "quantgod", version, given)
        wanted = {stage: run for stage, run in expected[2].items() if stage in subjects.STAGES}
        assert found == EvaluationRequest(*expected[:2], wanted)
