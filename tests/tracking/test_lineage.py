from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from quantgod.tracking.lineage import lineage_tags

RUNS = {
    "r": {"commit": "c0ffee", "settings": "d1", "upstream.audit": "a", "input.labels": "l"},
    "a": {"upstream.train": "t", "upstream.label": "b"},
    "t": {"upstream.label": "b", "input.labels": "l"},
    "b": {"input.bars": "x"},
}


class Store:
    """Runs by id; each has scored something on the test part."""

    def get_run(self, run_id: str) -> Any:
        tags = {f"quantgod.{key}": value for key, value in RUNS[run_id].items()}
        metrics = {"test_auditor_mcc": 0.5, "oof_base_mcc": 0.4}
        return SimpleNamespace(data=SimpleNamespace(tags=tags, metrics=metrics))


def test_all_ancestors_are_named_with_the_data_they_read_and_no_score() -> None:
    """What a version scored on the test part is written on it by who reads that part."""
    run: Any = SimpleNamespace(name="register", run_id="r", upstream={"audit": "a"}, client=Store())
    assert lineage_tags(run) == {
        "run.register": "r", "run.audit": "a", "run.train": "t", "run.label": "b",
        "data.labels": "l", "data.bars": "x", "commit": "c0ffee", "settings": "d1",
    }  # fmt: skip
