from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag

from quantgod.registry.lineage import (
    EvaluationSummary,
    Lineage,
    lineage_of,
    lineage_of_run,
    market_in_words,
)
from quantgod.registry.registered import BrokenVersionError
from quantgod.settings import load_settings

RUNS = {
    "r": {"commit": "c0ffee", "settings": "d1", "upstream.audit": "a", "input.labels": "l"},
    "a": {"upstream.train": "t", "upstream.label": "b", "input.labels": "older"},
    "t": {"upstream.audit": "older", "upstream.label": "farther", "upstream.simulate": "s"},
    "b": {"input.bars": "x"},
    "s": {"input.prices": "p"},
}
NAMED = st.dictionaries(st.text(), st.text(), max_size=4)


class Store:
    """Runs by id; each has scored something on the test part."""

    def get_run(self, run_id: str) -> Any:
        tags = {f"quantgod.{key}": value for key, value in RUNS[run_id].items()}
        metrics = {"test_auditor_mcc": 0.5, "oof_base_mcc": 0.4}
        return SimpleNamespace(data=SimpleNamespace(tags=tags, metrics=metrics))


def version(tags: dict[str, str]) -> ModelVersion:
    kept = [ModelVersionTag(key, value) for key, value in tags.items()]
    return ModelVersion("quantgod", "7", 0, tags=kept)


def test_all_ancestors_are_named_with_the_data_they_read_and_no_score() -> None:
    """What a version scored on the test part is written on it by who reads that part."""
    run: Any = SimpleNamespace(name="register", run_id="r", upstream={"audit": "a"}, client=Store())
    runs = {"register": "r", "audit": "a", "train": "t", "label": "b", "simulate": "s"}
    data = {"labels": "l", "bars": "x", "prices": "p"}
    assert lineage_of_run(run, "s") == Lineage(runs, data, "c0ffee", "s")


@given(NAMED, NAMED, st.text(), st.text(), st.none() | st.text())
def test_a_lineage_is_read_as_it_was_written_now_or_by_earlier_code(
    runs: dict[str, str], data: dict[str, str], commit: str, settings: str, scored: str | None
) -> None:
    """Whatever scored the version last counts, also where earlier code had named another run."""
    now = Lineage(runs, data, commit, settings).tags()
    earlier = {"commit": commit, "settings": settings, "gates": "passed", "part.graph": "0"}
    earlier |= {f"run.{stage}": run for stage, run in runs.items()}
    earlier |= {f"data.{name}": digest for name, digest in data.items()}
    evaluation = (
        {} if scored is None else EvaluationSummary(scored, {"test_auditor_mcc": 0.5}).tags()
    )
    evaluate = {} if scored is None else {"evaluate": scored}
    for tags in (now, earlier):
        made = Lineage({**runs, **evaluate}, data, commit, settings)
        assert lineage_of(version(tags | evaluation)) == made
    assert len(now) == 1
    assert lineage_of(version({})) == Lineage()


@pytest.mark.parametrize("tag", ["lineage", "evaluation"])
@pytest.mark.parametrize("text", ["", "passed", "[1]", '{"runs": [1], "run": 1}'])
def test_a_tag_that_was_changed_is_named(tag: str, text: str) -> None:
    with pytest.raises(BrokenVersionError, match=f"^quantgod 7: its tag {tag} was changed: "):
        lineage_of(version({tag: text}))


@pytest.mark.parametrize(
    ("config", "runs", "said"),
    [
        ("full", {"etl", "download"}, ""),
        ("full", {"etl", "simulate"}, "simulated market"),
        ("demo", set(), "simulated market"),
        ("real_prices", set(), "simulated market on the prices of BTCUSD_1m_2018.csv.gz"),
    ],
)
def test_a_simulated_market_is_told_by_runs_and_by_settings(
    config: str, runs: set[str], said: str
) -> None:
    assert market_in_words(runs, load_settings(Path(f"conf/{config}.yaml"))) == said
