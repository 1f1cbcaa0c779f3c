"""A stage that was not given its inputs finds them, or has them made, and never downloads."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from quantgod.settings import Settings, with_values
from quantgod.tracking import set_aside
from quantgod.tracking import supply as supplying
from quantgod.tracking.keys import NoOutputError, finished_run
from quantgod.tracking.pipeline import key_of
from quantgod.tracking.stage import ERROR_TAG, MissingInput, data_path, input_paths, run_name, stage
from quantgod.tracking.supply import supply

CONFIG = Path("conf/demo.yaml")
GIVES = {
    "simulate": "archives",
    "etl": "bars",
    "label": "labels",
    "features": "features",
    "snapshots": "snapshots",
}


def make(name: str, settings: Settings, runs: Mapping[str, str], *, ends: bool = True) -> str:
    """A stage in this process: it writes a file where its data belongs."""
    with nullcontext() if ends else pytest.raises(ValueError), stage(name, settings, runs) as run:
        data = GIVES.get(name)
        if data is None:
            run.output()
        else:
            path = data_path(data, settings)
            file = path if path.suffix else path / "2024-01-01_BTCUSDT_ob200.data.zip"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{name} {settings.digest()}")
            run.output(path)
        if not ends:
            raise ValueError("half of it")
    return run.run_id


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages that were made, in order, in this process instead of one each."""
    names: list[str] = []

    def run_stage(
        name: str, settings: Settings, _config: Path, done: Mapping[str, str], *, fresh: bool
    ) -> tuple[Run, bool]:
        client = MlflowClient()
        found = finished_run(client, key_of(client, name, settings, done))
        if found is not None:
            return found, True
        names.append(name)
        outer = mlflow.active_run()
        mlflow.end_run()
        run_id = make(name, settings, done)
        mlflow.start_run(outer.info.run_id)
        return client.get_run(run_id), fresh

    monkeypatch.setattr(supplying, "run_stage", run_stage)
    return names


def upstream(
    name: str, settings: Settings, said: list[str] | None = None, **given: str | None
) -> dict[str, str]:
    """What a stage takes; `said` gets what it announces."""
    announce = [].append if said is None else said.append
    with stage(name, settings, given, supply(name, settings, CONFIG, announce)) as run:
        if name not in GIVES:
            run.output()
    return dict(run.upstream)


def test_with_nothing_made_yet_all_that_a_stage_needs_is_made_once(
    settings: Settings, made: list[str]
) -> None:
    assert list(upstream("train", settings)) == ["label"]
    assert made == ["simulate", "etl", "label"]
    assert {"label", "train"} <= upstream("audit", settings).keys()
    assert made == ["simulate", "etl", "label"], "the training that was asked for is taken"
    assert {"label", "train", "audit"} <= upstream("register", settings).keys()


@pytest.fixture
def wide(settings: Settings) -> Settings:
    """Settings whose network looks at the 112 features."""
    model = settings.model.model_copy(update={"name": "cnn_lstm", "params": {}})
    return settings.model_copy(update={"model": model})


def test_a_network_of_the_112_has_its_features_made_and_read(
    wide: Settings, made: list[str]
) -> None:
    assert list(upstream("train", wide)) == ["label", "features"]
    assert made == ["simulate", "etl", "label", "features"]
    assert {"label", "features", "train"} == upstream("audit", wide).keys()
    assert input_paths("audit", wide, {}).keys() == {"labels", "features"}
    for name in ("optimize", "register", "evaluate"):
        assert "features" in input_paths(name, wide, {})
    assert made == ["simulate", "etl", "label", "features"]


@pytest.mark.long
def test_a_network_of_the_book_has_its_snapshots_made_and_read(
    settings: Settings, made: list[str]
) -> None:
    model = settings.model.model_copy(update={"name": "tlob", "params": {}})
    window = settings.window.model_copy(update={"length": 60})
    of_books = settings.model_copy(update={"model": model, "window": window})
    assert list(upstream("train", of_books)) == ["label", "features", "snapshots"]
    assert made == ["simulate", "etl", "label", "features", "snapshots"]
    assert {"label", "features", "snapshots", "train"} == upstream("audit", of_books).keys()
    assert input_paths("audit", of_books, {}).keys() == {"labels", "features", "snapshots"}
    deeper = of_books.snapshots.model_copy(update={"levels": 5})
    other = of_books.model_copy(update={"snapshots": deeper})
    assert "snapshots" in upstream("train", other)
    assert made.count("snapshots") == 2, "made anew by other settings"


@pytest.fixture
def ensemble(settings: Settings) -> Settings:
    """Settings of two members, one of which looks at the 112 features."""
    members = {"bars": {}, "wide": {"model": {"name": "linear", "params": {}}}}
    return with_values(settings, {"members": members, "ensemble": {"strategy": "majority"}})


@pytest.mark.long
def test_an_ensemble_is_audited_and_registered_of_its_members(
    ensemble: Settings, made: list[str]
) -> None:
    """Whose features are made, and never by a search of what is no member."""
    make("optimize", ensemble, upstream("optimize", ensemble))
    assert made == ["simulate", "etl", "label", "features"]
    runs = upstream("audit", ensemble)
    assert runs.keys() == {"label", "features", "members"}
    assert made[4:] == ["members"]
    assert upstream("register", ensemble).keys() == {"label", "features", "members", "audit"}
    assert input_paths("audit", ensemble, {}).keys() == {"labels", "features"}


@pytest.mark.long
def test_a_search_over_the_112_is_found_once_its_features_are(
    wide: Settings, made: list[str]
) -> None:
    runs = upstream("optimize", wide)
    search = make("optimize", wide, runs)
    assert upstream("train", wide) == {**runs, "optimize": search}


def test_a_network_of_bars_asks_for_no_features(settings: Settings, made: list[str]) -> None:
    upstream("train", settings)
    path = data_path("features", settings)
    path.parent.mkdir(parents=True)
    path.write_text("of somebody")
    assert input_paths("train", settings, {}).keys() == {"labels"}
    assert "features" not in made


def test_features_of_other_bars_than_the_labels_are_refused(wide: Settings) -> None:
    _archives(wide)
    label = make("label", wide, {"etl": make("etl", wide, {})})
    _write(data_path("bars", wide) / "2024-01-02.parquet", "a day more")
    features = make("features", wide, {})
    with (
        pytest.raises(NoOutputError, match=f"of run {features} are of bars .*steps.features"),
        stage("train", wide, {"label": label, "features": features}),
    ):
        pass


def test_data_that_is_there_is_taken_as_it_is_and_asks_for_nothing_before_it(
    settings: Settings, made: list[str]
) -> None:
    labels = data_path("labels", settings)
    labels.parent.mkdir(parents=True)
    labels.write_text("somebody's own")
    said: list[str] = []
    assert upstream("train", settings, said) == {}
    assert said == [f"labels at {labels} are taken, made by no known run"]
    assert made == []
    assert labels.read_text() == "somebody's own"


def test_the_run_that_made_the_data_is_named_and_a_search_of_it_is_taken(
    settings: Settings, made: list[str]
) -> None:
    _archives(settings)
    label = make("label", settings, {"etl": make("etl", settings, {})})
    said: list[str] = []
    assert upstream("train", settings, said) == {"label": label}
    there = f"labels at {data_path('labels', settings)} are taken, made by label run {label}"
    assert said == [there], "whether there are bars or not"
    search = make("optimize", settings, {"label": label})
    train = upstream("train", settings)
    assert train == {"label": label, "optimize": search}
    plain = make("train", settings, {"label": label})
    assert upstream("audit", settings, train=plain) == {"label": label, "train": plain}
    assert made == []


@pytest.mark.long
def test_a_search_that_is_not_taken_is_named_with_the_reason(
    settings: Settings, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearest of the same network and series: another network's says nothing."""
    _archives(settings)
    label = make("label", settings, {"etl": make("etl", settings, {})})
    wide = settings.model_copy(update={"model": settings.model.model_copy(update={"params": {}})})
    rate, batch = settings.train.learning_rate, settings.train.batch_size
    search = make("optimize", settings, {"label": label})
    make("optimize", wide, {"label": label})

    def told(**train: object) -> str | None:
        said: list[str] = []
        changed = settings.train.model_copy(update=train)
        asked = settings.model_copy(update={"train": changed})
        assert ("optimize" in upstream("train", asked, said)) is (not train)
        (line,) = [line for line in said if line.startswith("optimize: ")] or [None]
        return line

    assert told() == f"optimize: what run {search} has found is taken"
    aside = f"optimize: what run {search} has found is not taken"
    take = f"`python -m steps.train --optimize-run {search}` takes it"
    assert told(learning_rate=0.5) == (
        f"{aside}: train.learning_rate was {rate} and is 0.5; {take}"
    )
    assert told(learning_rate=0.5, batch_size=7, seed=99, every=3) == (
        f"{aside}: train.batch_size was {batch} and is 7; train.every was {settings.train.every} "
        f"and is 3; train.learning_rate was {rate} and is 0.5 and 1 more; {take}"
    )
    monkeypatch.setattr(set_aside, "code_digest", lambda: "new")
    assert told(seed=99) == (
        f"{aside}: train.seed was {settings.train.seed} and is 99; other code; {take}"
    )
    other = settings.model_copy(
        update={"model": settings.model.model_copy(update={"name": "cnn_lstm"})}
    )
    assert set_aside.search_set_aside(MlflowClient(), other, {"labels": ""}) is None
    eth = settings.data.model_copy(update={"symbol": "ETHUSDT"})
    of_eth = settings.model_copy(update={"data": eth})
    assert set_aside.search_set_aside(MlflowClient(), of_eth, {"labels": ""}) is None
    said = set_aside.search_set_aside(MlflowClient(), settings, {"labels": "a day more"})
    assert said == f"{aside.removeprefix('optimize: ')}: other labels; other code; {take}"


def _archives(settings: Settings) -> None:
    _write(settings.data.archives / "2024-01-01_BTCUSDT_ob200.data.zip", "a day")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.long
@pytest.mark.parametrize("change", ["half", "settings"])
def test_data_of_a_run_that_failed_or_had_other_settings_is_made_anew(
    settings: Settings, made: list[str], change: str
) -> None:
    _archives(settings)
    make("etl", settings, {})
    if change == "half":
        make("label", settings, {}, ends=False)
    else:
        other = settings.label.model_copy(update={"horizon_minutes": 30})
        make("label", settings.model_copy(update={"label": other}), {})
    upstream("train", settings)
    assert made == ["label"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("download", "no archives .*steps.download"),
        ("local", "no archives .*local"),
        ("imported", "no bars .*steps.import_bars"),
    ],
)
def test_real_data_that_is_missing_are_named_and_never_downloaded(
    settings: Settings, made: list[str], source: str, named: str
) -> None:
    real = settings.data.model_copy(update={"source": source})
    settings = settings.model_copy(update={"data": real})
    with pytest.raises(MissingInput, match=named) as told:
        upstream("train", settings)
    assert made == []
    newest = MlflowClient().search_runs(["1"], order_by=["attributes.start_time DESC"])[0]
    assert str(told.value) in newest.data.tags[ERROR_TAG]
    assert newest.info.run_name == run_name("train", settings), "none of MLflow's making"
    _archives(settings)
    if source == "imported":
        _write(data_path("bars", settings) / "2024-01-01.parquet", "somebody's own")
    upstream("train", settings)
    assert made == (["label"] if source == "imported" else ["etl", "label"])


def test_nothing_is_simulated_unasked_among_real_archives(
    settings: Settings, made: list[str]
) -> None:
    """But beside what was simulated there, another symbol may be."""
    settings.data.archives.touch()
    with pytest.raises(ValueError, match=r"data.archives: a folder was expected at .* is a file"):
        upstream("etl", settings)
    settings.data.archives.unlink()
    settings.data.archives.mkdir()
    real = settings.data.archives / "2024-01-01_XRPUSDT_ob500.data.zip"
    real.touch()
    with pytest.raises(MissingInput, match=r"no archives of BTCUSDT \(linear\) at .* unasked"):
        upstream("etl", settings)
    assert made == []
    real.unlink()
    upstream("etl", settings)
    assert made == ["simulate"]
    other = settings.data.model_copy(update={"symbol": "XRPUSDT"})
    upstream("etl", settings.model_copy(update={"data": other}))
    assert made == ["simulate", "simulate"]
