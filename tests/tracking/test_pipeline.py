"""How `main` hands its settings to its children."""

from __future__ import annotations

import os
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import ExecutionException

from quantgod.models import zoo
from quantgod.settings import Settings, load_settings, with_values
from quantgod.tracking.pipeline import CHAINED, StageFailed, resolved_config, run_stage, stages
from quantgod.tracking.reads import OF_BARS, unmakeable
from quantgod.tracking.stage import run_name, stage


def test_changed_settings_reach_the_children_whole_and_are_no_ones_to_read(
    settings: Settings,
) -> None:
    given = Path("conf/demo.yaml")
    assert resolved_config(load_settings(given), given) == given
    path = resolved_config(settings, given)
    assert load_settings(path) == settings
    assert path.stat().st_mode & 0o077 == 0, "a database's URL may hold a password"


def test_a_child_has_its_name_before_it_has_said_a_word(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    def start(_uri: str, **options: object) -> None:
        asked.update(options)
        raise ExecutionException("it did not start")

    monkeypatch.setattr(mlflow.projects, "run", start)
    monkeypatch.setenv("PATH", os.environ["PATH"])
    with stage("main", settings), pytest.raises(StageFailed, match="simulate: failed before"):
        run_stage("simulate", settings, Path("conf/demo.yaml"), {}, fresh=True)
    assert asked["run_name"] == run_name("simulate", settings)


def test_main_begins_where_its_data_does() -> None:
    full = load_settings(Path("conf/full.yaml"))
    for source, first in {
        "simulate": ["simulate", "etl"],
        "download": ["download", "etl"],
        "local": ["etl"],
        "imported": [],
    }.items():
        data = full.data.model_copy(update={"source": source})
        told = stages(full.model_copy(update={"data": data}))
        assert told == [*first, *CHAINED[1:]]


def test_main_makes_the_features_that_its_network_looks_at() -> None:
    full = load_settings(Path("conf/full.yaml"))
    model = full.model.model_copy(update={"name": "lstm_direction", "params": {}})
    told = stages(full.model_copy(update={"model": model}))
    assert told[: told.index("train")] == ["download", "etl", "label", "features", "optimize"]
    assert [name for name in told if name != "features"] == ["download", *CHAINED]


def test_main_keeps_the_snapshots_of_a_network_of_the_book() -> None:
    full = load_settings(Path("conf/full.yaml"))
    for name, more in (("book_mlp", ["snapshots"]), ("tlob", ["features", "snapshots"])):
        model = full.model.model_copy(update={"name": name, "params": {}})
        told = stages(full.model_copy(update={"model": model}))
        assert told[:5] == ["download", "etl", "label", *more, "optimize"][:5]
        assert [stage for stage in told if stage not in more] == ["download", *CHAINED]


def test_what_is_known_to_look_at_bars_alone_does() -> None:
    for name in OF_BARS:
        assert zoo.inputs(name, 60).views == ("bars",)


def test_main_trains_the_members_of_an_ensemble_in_place_of_search_and_training() -> None:
    full = load_settings(Path("conf/full.yaml"))
    of_books = {"model": {"name": "book_mlp", "params": {}}}
    members = {"bars": {}, "books": of_books}
    together = with_values(full, {"members": members, "ensemble": {"strategy": "majority"}})
    told = stages(together)
    at = CHAINED.index("optimize")
    assert told == ["download", *CHAINED[:at], "snapshots", "members", *CHAINED[at + 2 :]]
    assert stages(with_values(together, {"ensemble": None})) == ["download", *CHAINED]


def test_an_ensemble_of_imported_bars_is_told_which_member_looks_at_more() -> None:
    asked = load_settings(Path("conf/ensemble_demo.yaml"), {"data.source": "imported"})
    told = unmakeable(asked, ["features"])
    assert told.startswith("features (which cnn and linear look at) cannot be made of the bars at")
    assert "(which" not in unmakeable(
        load_settings(Path("conf/demo.yaml"), {"data.source": "imported"}), ["features"]
    )
