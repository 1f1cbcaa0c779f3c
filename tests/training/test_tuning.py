"""The search: what it tries, what it prunes, and that neither a kill nor a neighbour harms it."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from quantgod.contracts import FEATURES
from quantgod.dataset.samples import samples
from quantgod.dataset.splits import split_test
from quantgod.settings import ModelSettings, Range, SettingsError
from quantgod.training import fitting, study, tuning, tuning_figures
from quantgod.training.best import BestParameters
from quantgod.training.reports import Epoch, Fit
from quantgod.training.space import current_values, joined_space, longest_window
from quantgod.training.study import StudyError, opened_study
from quantgod.training.trial import TrialObjective, pruned_if_it_cannot_run
from quantgod.training.tuning import Search, study_key, tune
from quantgod.training.tuning_figures import history_figure, importance_figure, importances
from tests.evaluation.plots.overlaps import overlapping
from tests.training.processes import started_with_pipe
from tests.training.searches import SPACE, Watcher, search, settings, table

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def finished(found: Search) -> list[optuna.trial.FrozenTrial]:
    return found.study.get_trials(states=FINISHED)


def tried(found: Search) -> list[dict[str, Any]]:
    return [trial.params for trial in finished(found)]


def test_the_first_trial_is_what_the_settings_say_so_none_ends_below_it(tmp_path: Path) -> None:
    watcher = Watcher()
    found = tune(table(), settings(), tmp_path, on_trial=watcher)
    assert watcher.params[0] == {
        "tcn_channels": 8, "lstm_hidden": 8, "lstm_layers": 1, "dropout": 0.2,
        "learning_rate": 0.01, "batch_size": 32, "window_length": 20,
    }  # fmt: skip
    assert found.best.score >= max(epoch.score for epoch in watcher.epochs[0])
    assert found.best.trials == 4
    assert [len(epochs) for epochs in watcher.epochs.values()] == [2, 2, 2, 2]


def test_the_best_parameters_survive_json_and_take_their_places(tmp_path: Path) -> None:
    best = tune(table(), settings(), tmp_path).best
    again = BestParameters.model_validate_json(best.model_dump_json())
    assert again == best
    laid = again.applied_to(settings())
    won = optuna.load_study(
        study_name="quantgod", storage=_journal(tmp_path / "quantgod.journal")
    ).best_params
    assert laid.model.params == {
        **settings().model.params,
        **{name: won[name] for name in ("tcn_channels", "lstm_hidden", "lstm_layers", "dropout")},
    }
    assert (laid.train.learning_rate, laid.window.length) == (
        won["learning_rate"],
        won["window_length"],
    )
    assert laid.train.epochs == settings().train.epochs


def _journal(path: Path) -> optuna.storages.JournalStorage:
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    return optuna.storages.JournalStorage(backend)


def test_a_search_goes_on_to_the_total_as_if_it_had_never_paused(tmp_path: Path) -> None:
    whole = tune(table(), settings(trials=6), tmp_path / "whole")
    tune(table(), settings(trials=2), tmp_path / "paused")
    paused = tune(table(), settings(trials=6), tmp_path / "paused")
    nothing = Watcher()
    again = tune(table(), settings(trials=6), tmp_path / "paused", on_trial=nothing)
    assert len(finished(again)) == 6
    assert nothing.params == {}
    assert tried(paused) == tried(whole)
    assert paused.best == whole.best == again.best


def killed_in(number: int, folder: Path, **optimize: Any) -> None:
    """Search in a process of its own and kill it by SIGKILL within that trial."""
    process, here = started_with_pipe(search, folder, **optimize)
    while here.recv()[0] < number:
        here.send("go on")
    process.kill()
    process.join()
    assert process.exitcode == -9


def test_after_its_hours_a_search_ends_with_what_it_has_and_goes_on_when_given_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock moves by an hour with each look: at the start, and before each trial."""
    hours = itertools.count()
    monkeypatch.setattr(tuning, "monotonic", lambda: 3600.0 * next(hours))
    cut = tune(table(), settings(trials=4, hours=2.5), tmp_path)
    assert cut.best.trials == 2
    assert tune(table(), settings(trials=4, hours=0.001), tmp_path).best.trials == 2, (
        "nothing more begins"
    )
    fresh = tune(table(), settings(trials=4, hours=0.001), tmp_path / "fresh")
    assert fresh.best.trials == 1, "one has to be there to be chosen"
    assert tune(table(), settings(trials=4, hours=None), tmp_path).best.trials == 4


@pytest.mark.long
def test_a_killed_search_tries_the_lost_trial_again_and_ends_at_the_total(
    tmp_path: Path,
) -> None:
    killed_in(2, tmp_path)
    found = tune(table(), settings(), tmp_path)
    states = [trial.state for trial in found.study.trials]
    assert len(finished(found)) == 4
    assert states.count(TrialState.FAIL) == 1
    assert TrialState.RUNNING not in states
    assert found.study.trials[3].params == found.study.trials[2].params


def test_half_a_line_at_the_journal_s_end_is_cut_off(tmp_path: Path) -> None:
    tune(table(), settings(trials=2), tmp_path)
    with (tmp_path / "quantgod.journal").open("ab") as journal:
        journal.write(b'{"op_code":5,"worker_id":"torn')
    (tmp_path / "quantgod.journal.lock").symlink_to(tmp_path / "quantgod.journal")
    assert len(finished(tune(table(), settings(trials=3), tmp_path))) == 3


def test_a_journal_serves_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        opened_study(settings().optimize, tmp_path, first={}),
        pytest.raises(StudyError, match=r"another process is searching.*database URL"),
    ):
        tune(table(), settings(), tmp_path)


def test_a_storage_that_is_neither_a_journal_nor_a_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"optimize\.storage: .* got 'study\.db'"):
        tune(table(), settings(storage="study.db"), tmp_path)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "postgresql://me:secret@host/db",
            r"me:\*\*\*@host/db needs .* install 'psycopg\[binary\]'`",
        ),
        ("mysql://me:secret@host/db", "needs the driver mysqldb.*`pip install mysqlclient`"),
        ("postgres://me:secret@host/db", "that SQLAlchemy knows was expected.*sqlalchemy.dialects"),
    ],
)
def test_a_database_that_cannot_be_used_here_is_refused_by_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    for module in ("psycopg", "MySQLdb"):
        monkeypatch.setitem(sys.modules, module, None)  # as where it is not installed
    with pytest.raises(SettingsError, match=rf"optimize\.storage: .*{said}") as refused:
        tune(table(), settings(storage=url), tmp_path)
    assert "secret" not in str(refused.value)


def test_a_database_that_does_not_answer_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nowhere/study.db"
    with pytest.raises(
        StudyError, match=r"optimize\.storage: .*/study\.db does not answer: unable"
    ):
        tune(table(), settings(storage=url), tmp_path)


@pytest.mark.long
def test_two_processes_join_one_study_by_its_database_url(tmp_path: Path) -> None:
    shared = {"trials": 5, "storage": f"sqlite:///{tmp_path}/study.db"}
    neighbour, there = started_with_pipe(search, tmp_path, **shared)
    there.recv()  # it is in its first trial, and stays there until we are in ours

    class Mine(Watcher):
        def hear(self, number: int, epoch: Epoch) -> None:
            super().hear(number, epoch)
            for _ in range(10):  # as many epochs as there are in all
                there.send("go on")

    mine = Mine()
    found = tune(table(), settings(**shared), tmp_path, on_trial=mine, heartbeat_seconds=1)
    neighbour.join()
    assert neighbour.exitcode == 0
    assert len(finished(found)) == 5
    assert 0 not in mine.params
    assert 1 in mine.params
    assert len({trial.params["learning_rate"] for trial in finished(found)}) == 5


@pytest.mark.long
def test_a_trial_whose_machine_died_is_tried_again_by_another(tmp_path: Path) -> None:
    shared = {"trials": 3, "storage": f"sqlite:///{tmp_path}/study.db"}
    killed_in(1, tmp_path, **shared)
    found = tune(table(), settings(**shared), tmp_path, heartbeat_seconds=1)
    lost = [trial for trial in found.study.trials if trial.state == TrialState.FAIL]
    assert len(lost) == 1
    assert lost[0].params in tried(found)
    assert len(finished(found)) == 3


@pytest.mark.long
def test_a_trial_that_was_lost_before_its_first_heartbeat_is_not_waited_for(
    tmp_path: Path,
) -> None:
    """It is asked for and never run: what a process leaves that is killed in between."""
    shared = {"trials": 2, "storage": f"sqlite:///{tmp_path}/study.db"}
    with (
        opened_study(settings(**shared).optimize, tmp_path, {}, heartbeat_seconds=1) as study,
        pytest.warns(UserWarning, match="supposed to be used with Study.optimize"),
    ):
        assert study.ask().number == 0
    found = tune(table(), settings(**shared), tmp_path, heartbeat_seconds=1)
    assert found.study.trials[0].state == TrialState.FAIL
    assert len(finished(found)) == 2


@pytest.mark.long
@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("cuDNN error: Out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_memory_that_runs_out_prunes_the_trial_and_the_search_goes_on(
    tmp_path: Path, error: Exception
) -> None:
    class Hungry(Watcher):
        def hear(self, number: int, epoch: Epoch) -> None:
            if number == 1:
                raise error

    watcher = Hungry()
    found = tune(table(), settings(trials=3, epochs=1), tmp_path, on_trial=watcher)
    assert [trial.state.name for trial in found.study.trials] == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert isinstance(watcher.ends[1], optuna.TrialPruned)
    assert str(watcher.ends[1]).startswith("out of memory")


def test_any_other_fault_of_a_trial_ends_the_search(tmp_path: Path) -> None:
    def faulty() -> float:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        pruned_if_it_cannot_run(faulty)


def test_a_trial_below_the_median_is_pruned_and_its_watcher_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.5, 0.4, 0.1])
    monkeypatch.setattr(fitting, "fit", lambda *_, **told: _told(next(scores), **told))
    watcher = Watcher()
    wanted = settings(trials=3, startup_trials=2, warmup_steps=2)
    found = tune(table(), wanted, tmp_path, on_trial=watcher)
    assert [trial.state.name for trial in found.study.trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert isinstance(watcher.ends[2], optuna.TrialPruned)
    assert found.study.trials[2].last_step == 2
    assert found.best.score == 0.5


def _told(score: float, on_epoch: Any, **_: Any) -> Fit:
    """A fit that scores as it is bid, for four epochs."""
    for number in range(4):
        on_epoch(Epoch(number, 1.0, 1.0, score, {}, 0.1, 1.0, 1.0, 1.0))
    return Fit(0, score, (), False, None)


def test_every_window_length_is_judged_on_the_same_minutes_and_none_of_the_test_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, list[np.ndarray]] = {}

    def recorded(model: Any, views: Any, train: Any, validation: Any, *_: Any, **told: Any) -> Fit:
        seen[views.shapes["bars"][0]] = [
            train.label_end_ms,
            validation.time_ms,
            validation.label_end_ms,
        ]
        return _told(0.5, **told)

    monkeypatch.setattr(fitting, "fit", recorded)
    tune(table(), settings(trials=8), tmp_path)
    assert seen.keys() == {20, 30}
    assert all(map(np.array_equal, seen[20], seen[30]))
    trained_until, judged_from, judged_until = seen[30]
    assert trained_until.max() < judged_from.min()
    everything = samples(table(), 30, 1)
    untouched = everything.take(split_test(everything, settings().split).other)
    assert judged_until.max() < untouched.time_ms.min()


def test_what_no_trial_reads_may_change_while_a_study_goes_on() -> None:
    here = settings(trials=1)
    train = here.train.model_copy(update={"epochs": here.train.epochs + 1})
    split = here.split.model_copy(update={"folds": here.split.folds + 1})
    window = here.window.model_copy(update={"stride": here.window.stride + 1})
    other = here.model_copy(update={"train": train, "split": split, "window": window})
    assert study_key(table(), other) == study_key(table(), here)
    longer = here.window.model_copy(update={"length": here.window.length + 1})
    assert study_key(table(), here.model_copy(update={"window": longer})) != study_key(
        table(), here
    )


def test_scores_that_other_code_made_are_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(table(), settings(trials=1), tmp_path)
    before = study_key(table(), settings())
    monkeypatch.setattr("quantgod.training.tuning.code_digest", lambda: "another")
    assert study_key(table(), settings()) != before
    with pytest.raises(StudyError, match=r"made with other code \(was"):
        tune(table(), settings(trials=2), tmp_path)


def test_a_study_of_other_bars_or_settings_is_refused(tmp_path: Path) -> None:
    tune(table(), settings(trials=1), tmp_path)
    other = table().copy()
    other.iloc[100, FEATURES.index("mean_obi")] += 0.1
    with pytest.raises(StudyError, match=r"made with other bars \(was"):
        tune(other, settings(trials=2), tmp_path)
    with pytest.raises(StudyError, match="made with other optimize"):
        tune(table(), settings(trials=2, epochs=5), tmp_path)


@pytest.mark.long
def test_a_search_without_a_completed_trial_says_so(tmp_path: Path) -> None:
    class Hungry(Watcher):
        def hear(self, number: int, epoch: Epoch) -> None:
            raise MemoryError

    with pytest.raises(StudyError, match="every trial was pruned"):
        tune(table(), settings(trials=2), tmp_path, on_trial=Hungry())


def test_the_space_is_the_architecture_s_own_narrowed_and_joined() -> None:
    space = joined_space(ModelSettings(name="tcn_lstm"), {"lstm_hidden": [16], "batch_size": [8]})
    assert list(space) == ["batch_size", "dropout", "lstm_hidden", "lstm_layers", "tcn_channels"]
    assert space["lstm_hidden"] == [16]
    assert space["tcn_channels"] == [32, 64, 128]


@pytest.mark.parametrize(
    ("name", "values", "complaint"),
    [
        ("heads", [1], r"optimize\.space\.heads: unknown parameter \(allowed: batch_size"),
        ("lstm_hidden", [0], r"tcn_lstm\.lstm_hidden: .* greater than 0, got 0"),
        ("lstm_hidden", Range(low=16, high=64), r"tcn_lstm\.lstm_hidden: .*integer"),
        ("dropout", [], r"optimize\.space\.dropout: at least one value"),
    ],
)
def test_a_space_that_does_not_fit_is_refused_by_name(
    name: str, values: Any, complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint):
        joined_space(ModelSettings(name="tcn_lstm"), {**SPACE, name: values})


@pytest.mark.parametrize("trials", [1, 2, 6])
def test_figures_are_drawn_of_a_study_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trials: int
) -> None:
    scores = iter(np.linspace(0.3, 0.5, trials))
    monkeypatch.setattr(fitting, "fit", lambda *_, **told: _told(float(next(scores)), **told))
    made = tune(table(), settings(trials=trials), tmp_path).study
    for figure in (history_figure(made), importance_figure(made)):
        assert overlapping(figure) == []
    shares = importances(made)
    assert sum(shares.values()) == pytest.approx(1 if shares else 0)
    assert bool(shares) == (trials > 1)


@pytest.mark.parametrize("failures", [0, 1, 4, 5])
def test_a_database_is_opened_again_up_to_five_times(failures: int) -> None:
    made: list[int] = []

    def make() -> str:
        made.append(1)
        if len(made) <= failures:
            raise OperationalError("", {}, Exception("table exists"))
        return "made"

    if failures == 5:
        with pytest.raises(OperationalError):
            study._tried_again(make)
        assert len(made) == 5
    else:
        assert study._tried_again(make) == "made"
        assert len(made) == failures + 1


@pytest.mark.parametrize("url", ["sqlite:///study.db", "postgresql://host/db"])
def test_a_trial_in_a_database_is_lost_after_three_heartbeats(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    class Kept(study.RDBStorage):
        def __init__(self, url: str, **more: Any) -> None:
            given.update(more, url=url)

    monkeypatch.setattr(study, "RDBStorage", Kept)
    study._database(url, 7)
    assert (given["url"], given["heartbeat_interval"], given["grace_period"]) == (url, 7, 21)
    patient = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    assert given["engine_kwargs"] == {"pool_pre_ping": True, **patient}
    assert given["heartbeat_stale_trial_callback"]._max_retry == 3


def test_each_trial_and_parameter_draws_by_the_seed_and_its_own_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds: list[int] = []

    class Kept(study.TPESampler):
        def __init__(self, seed: int) -> None:
            seeds.append(seed)

    monkeypatch.setattr(study, "TPESampler", Kept)
    sampler = study.SeededTPE(5, {})
    mixed: list[list[int]] = [[], *(list(name.encode()) for name in ("dropout", "batch_size"))]
    for number, more in itertools.product((0, 1, 7), mixed):
        one = trial(number, TrialState.COMPLETE, [0.5])
        one.number = number
        sampler._of(one, *more)
    assert seeds == [
        int(np.random.SeedSequence([5, number, *more]).generate_state(1)[0])
        for number, more in itertools.product((0, 1, 7), mixed)
    ]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(
    ("content", "kept"), [(b"", b""), (b"a\nb\n", b"a\nb\n"), (b"a\nb", b"a\n"), (b"torn", b"")]
)
def test_only_an_incomplete_last_line_is_cut_off(
    content: bytes, kept: bytes, tmp_path: Path
) -> None:
    journal = tmp_path / "study.journal"
    study._tidy(journal)
    assert not journal.exists()
    journal.write_bytes(content)
    study._tidy(journal)
    assert journal.read_bytes() == kept


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (UpdateFinishedTrialError(), True),
        (ValueError("Cannot tell a COMPLETE trial."), True),
        (ValueError("another"), False),
        (KeyError("Cannot tell a"), False),
    ],
)
def test_a_trial_that_another_machine_has_finished_is_passed_over(
    error: Exception, passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def optimize(objective: Any, n_trials: int, catch: Any) -> None:
        assert n_trials == 1
        raise error

    made, objective = optuna.create_study(), object.__new__(TrialObjective)
    monkeypatch.setattr(made, "optimize", optimize)
    if passes:
        tuning._try_one(made, objective)
    else:
        with pytest.raises(type(error)):
            tuning._try_one(made, objective)


def test_a_study_is_named_by_sixteen_letters() -> None:
    assert re.fullmatch("[0-9a-f]{16}", study_key(table(), settings()))


def test_a_range_holds_its_ends_and_a_list_its_values() -> None:
    given, space = settings(), {"learning_rate": Range(low=0.01, high=0.02)}
    for rate, is_held in ((0.01, True), (0.02, True), (0.0099, False), (0.0201, False)):
        train = given.train.model_copy(update={"learning_rate": rate})
        found = current_values(given.model_copy(update={"train": train}), space)
        assert found == ({"learning_rate": rate} if is_held else {})
    assert current_values(given, {"batch_size": [8, 64]}) == {}
    assert current_values(given, {"batch_size": [8, 32]}) == {"batch_size": 32}
    assert longest_window(given, {"window_length": [30, 25]}) == 30
    assert longest_window(given, {}) == 20
    with pytest.raises(SettingsError, match="window_length: a list of lengths was expected"):
        longest_window(given, {"window_length": Range(low=10, high=20)})
    with pytest.raises(SettingsError, match=r"window_length: 15 rows or more .* got \[30, 14\]"):
        longest_window(given, {"window_length": [30, 14]})


def trial(number: int, state: TrialState, scores: list[float], rate: float = 0.1) -> Any:
    return optuna.trial.create_trial(
        state=state,
        value=scores[-1] if state == TrialState.COMPLETE else None,
        params={"learning_rate": rate},
        distributions={"learning_rate": optuna.distributions.FloatDistribution(0.0, 1.0)},
        intermediate_values=dict(enumerate(scores)),
    )


def test_the_history_shows_each_score_and_the_best_so_far() -> None:
    drawn = optuna.create_study(direction="maximize", study_name="s")
    for number, (state, scores) in enumerate(
        [
            (TrialState.COMPLETE, [0.1, 0.4]),
            (TrialState.PRUNED, [0.6, 0.2]),
            (TrialState.PRUNED, []),
            (TrialState.COMPLETE, [0.3]),
            (TrialState.FAIL, [0.9]),
            (TrialState.COMPLETE, [0.5]),
        ]
    ):
        drawn.add_trial(trial(number, state, scores))
    axes: Any = history_figure(drawn).axes[0]
    points = [tuple(np.asarray(line.get_data()).tolist()) for line in axes.lines]
    assert points == [
        ([0, 3, 5], [0.4, 0.3, 0.5]),
        ([1], [0.2]),
        ([0, 3, 5], [0.4, 0.4, 0.5]),
    ]
    assert axes.get_title() == "Study s: 3 trials completed, 1 pruned"
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["completed", "pruned", "best so far"]
    assert all(number == int(number) for number in axes.get_xticks())


@pytest.mark.parametrize("differ", [True, False])
def test_a_parameter_that_never_changed_explains_nothing(differ: bool) -> None:
    drawn = optuna.create_study(direction="maximize")
    for number in range(12):
        rate = 0.05 * number if differ else 0.5
        drawn.add_trial(trial(number, TrialState.COMPLETE, [0.05 * number], rate))
    figure: Any = importance_figure(drawn)
    if differ:
        assert importances(drawn) == {"learning_rate": pytest.approx(1.0)}
        assert [bar.get_width() for bar in figure.axes[0].patches] == [pytest.approx(1.0)]
        assert figure.axes[0].axison
    else:
        assert importances(drawn) == {}
        assert not figure.axes[0].axison
        assert "too few or too alike" in figure.axes[0].texts[0].get_text()


def test_the_most_important_parameter_stands_on_top(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = {"a": 0.5, "b": 0.1, "c": 0.4}
    monkeypatch.setattr(tuning_figures, "importances", lambda study: shares)
    axes: Any = importance_figure(optuna.create_study()).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.1, 0.4, 0.5]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "c", "a"]
