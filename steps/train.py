"""Train the base network."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import progress_bar, remark, say, say_as_written, show_table, tell
from steps.options import (
    all_settings_from,
    config_options,
    member_option,
    run_option,
    runs_given,
    series_options,
    setting,
    step,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure
    from pandas import DataFrame

    from quantgod.auditor.learner import Learner
    from quantgod.evaluation.validation import ComparedMembers
    from quantgod.forecasters.base_model import TrainedBase
    from quantgod.settings import Settings
    from quantgod.tracking.stage import StageRun
    from quantgod.training.reports import Epoch


@step("checkpoints are kept, and the same command goes on from the last one")
@config_options
@member_option
@run_option("label")
@run_option("features")
@run_option("snapshots")
@run_option("optimize")
@series_options
@setting("--labels", "data.labels", "Folder of the labelled table, where no label run is given.")
@setting("--epochs", "train.epochs", "Epochs at most.")
@setting("--batch-size", "train.batch_size", "Windows a step.")
@setting("--learning-rate", "train.learning_rate", "Learning rate at the start.")
@setting("--seed", "train.seed", "Of weights, order and dropout.")
@setting("--device", "train.device", "auto, cpu or cuda.")
@setting("--workers", "train.workers", "Processes that train folds here; 0 = one a core.")
@setting("--scheduler", "train.scheduler", "Dask scheduler, such as tcp://127.0.0.1:8786.")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Train on the older part of dev and stop by the newer; a killed training goes on.

    Of settings with members each is trained, side by side, unless --member names one.
    """
    runs, (settings, members) = runs_given(options), all_settings_from(config, overrides, options)
    if members:
        _train_members(config, runs, settings, members)
        return
    from quantgod.auditor.learner import Learner
    from quantgod.auditor.reports import Hooks
    from quantgod.dataset.learning_table import learned_from
    from quantgod.dataset.series import table_series, write_series
    from quantgod.evaluation.validation import validation_rows
    from quantgod.parallel.work import check_schedulers
    from quantgod.tracking.chosen import searched_settings
    from quantgod.tracking.stage import stage
    from quantgod.tracking.supply import supply
    from quantgod.training.devices import use_threads
    from quantgod.training.space import check_network

    check_schedulers(settings.train.scheduler)
    check_network(settings, ("model.params",))
    with stage("train", settings, runs, supply("train", settings, config, say)) as run:
        chosen = searched_settings(run, say_as_written)
        use_threads(chosen.train.threads)
        learned = learned_from(run.inputs, say)
        with progress_bar("train") as progress:
            hooks = Hooks(progress=progress)
            learner = Learner(learned, chosen, run.workplace(), hooks, run.inputs)
            trained = learner.base(lambda epoch: run.metrics.log(epoch.metrics(), epoch.epoch))
        for epoch in trained.fit.told_before:  # only the killed run has logged them
            run.metrics.log(epoch.metrics(), epoch.epoch)
        trained.network.save(run.folder("network"))
        run.shows("network")
        write_series(run.folder("network"), table_series(run.inputs["labels"]))
        _warn_of_constants(trained.network.silent)
        _log(run, trained)
        _log_validation(run, validation_rows(learned.table, trained, settings.label))
        if chosen.train.out_of_fold:
            _walk(run, learner, trained)
    tell(run)


def _walk(run: StageRun, learner: Learner, trained: TrainedBase) -> None:
    """Make and log out-of-fold rows, which an audit of the same settings takes."""
    from quantgod.evaluation.common_minutes import OUT_OF_FOLD
    from quantgod.evaluation.metrics import KEY_SCORES
    from quantgod.evaluation.validation import BASE, out_of_fold_rows, row_scores
    from quantgod.tracking.folds import FoldLog, keep_folds, log_folds
    from quantgod.tracking.members import ROWS_FILE

    with progress_bar("folds") as progress:
        hooks = FoldLog(run).hooks(progress)
        walked = replace(learner, hooks=hooks).walk(trained.network)
    keep_folds(run)
    log_folds(run, walked.folds)
    weights, parts = trained.network.class_weights, list(walked.of.parts())
    table = learner.learned.table
    rows = out_of_fold_rows(table, walked.rows, parts, weights, run.settings.label)
    rows.to_parquet(run.folder(OUT_OF_FOLD) / ROWS_FILE, compression="zstd")
    scores = row_scores(rows)
    run.json("out_of_fold_scores", scores)
    run.metrics.log({f"out_of_fold_{name}": scores[BASE][name] for name in KEY_SCORES})


def _train_members(
    config: Path, runs: dict[str, str | None], settings: Settings, members: dict[str, Settings]
) -> None:
    if runs["optimize"] is not None:
        raise click.UsageError("a search is of one member: give --member beside --optimize-run")
    from quantgod.ensemble.checking import check_ensemble
    from quantgod.evaluation.common_minutes import OUT_OF_FOLD, VALIDATION, WORDS
    from quantgod.evaluation.validation import compare_members
    from quantgod.parallel.work import check_schedulers
    from quantgod.tracking.members import SHOWN, read_rows, shown, table_of, train_members
    from quantgod.tracking.stage import stage
    from quantgod.tracking.supply import supply
    from quantgod.training.space import check_members

    check_schedulers(*(own.train.scheduler for own in members.values()))
    check_members(members)
    check_ensemble(settings, members)
    with stage("members", settings, runs, supply("members", settings, config, say)) as run:
        trained = train_members(run, members, config, say_as_written)
        run.json("members", {name: child.info.run_id for name, child in trained.items()})
        with run.scratch() as folder:
            each = {part: read_rows(trained, part, folder) for part in (OUT_OF_FOLD, VALIDATION)}
        compared = {part: compare_members(rows, part) for part, rows in each.items() if rows}
        tables = {part: table_of(part, members, trained, of) for part, of in compared.items()}
        _log_members(run, tables, compared)
    for part, of in compared.items():
        minutes = f"{of.rows:,} minutes {WORDS[part]}, worth {of.effective_rows:,.0f} labels"
        lines = [shown(line) for line in tables[part]]
        show_table(f"Members and baselines on {minutes}", SHOWN, lines)
        for note in of.notes():
            remark(note)
    tell(run)


def _log_members(
    run: StageRun,
    tables: Mapping[str, Sequence[tuple[str, ...]]],
    compared: Mapping[str, ComparedMembers],
) -> None:
    import mlflow
    import pandas as pd

    from quantgod.evaluation import plots
    from quantgod.evaluation.common_minutes import WORDS
    from quantgod.tracking.members import FIGURES, HEADERS

    lines = [line for table in tables.values() for line in table]
    kept = pd.DataFrame(lines, columns=list(HEADERS), dtype=object)
    mlflow.log_table(kept, "members_table.json", run_id=run.run_id)
    told = []
    for part, of in compared.items():
        run.shows(f"figures/{FIGURES[part]}.png")
        colours = dict.fromkeys(of.members, plots.MODEL_COLOURS["base"])
        run.figure(FIGURES[part], plots.comparison(of.models, colours=colours, notes=of.notes()))
        scores = {name: found["macro_f1"].value for name, found in of.models.items()}
        run.metrics.log({f"{part}_{name}_macro_f1": score for name, score in scores.items()})
        each = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
        told.append(f"macro-F1 {WORDS[part]}: {each}")
    run.output()
    notes = dict.fromkeys(note for of in compared.values() for note in of.notes())
    run.headline("; ".join(told), "\n".join(notes))


def _warn_of_constants(silent: Sequence[str]) -> None:
    from quantgod.dataset.scaling import ConstantFeatureWarning

    if silent:
        names = ", ".join(silent)
        text = f"{names}: constant on the training rows; the model is not shown what it becomes"
        warnings.warn(text, ConstantFeatureWarning, stacklevel=2)


def _log(run: StageRun, trained: TrainedBase) -> None:
    from quantgod.contracts import PRIMARY
    from quantgod.evaluation import metrics, plots
    from quantgod.models.zoo import parameter_count
    from quantgod.training.confusion import confusion_matrix

    target, said = trained.validation.target, trained.forecast.tilted[:, PRIMARY]
    parameters = parameter_count(trained.network.model)
    report = metrics.classification_report(target, said)
    # Separate names: `macro_f1` and others are series over the epochs, of which the last is not
    # the best.
    kept = {f"validation_{name}": report[name] for name in metrics.KEY_SCORES}
    run.metrics.log(kept)
    # As metrics, each would be a chart with one point.
    run.param("trained.parameters")(parameters)
    run.param("trained.window")(trained.network.window)
    run.param("trained.best_epoch")(trained.fit.best_epoch)
    run.json("validation", report)
    run.json("history", [epoch.to_json() for epoch in trained.fit.history])
    run.figure("curves", curves(trained.fit.history))
    matrix = confusion_matrix(target, said.argmax(axis=1))
    run.figure("confusion", plots.confusion_matrix(matrix, "Validation"))
    run.figure("reliability", plots.reliability(target, said))
    parts = {"train": trained.train.target, "validation": target}
    run.figure("class_balance", plots.class_balance(parts))
    run.output()
    run.headline(f"validation macro-F1 {report['macro_f1']:.3f}; {parameters:,} parameters")


def _log_validation(run: StageRun, rows: DataFrame) -> None:
    from quantgod.evaluation.common_minutes import VALIDATION
    from quantgod.evaluation.validation import row_scores
    from quantgod.tracking.members import ROWS_FILE

    rows.to_parquet(run.folder(VALIDATION) / ROWS_FILE, compression="zstd")
    run.json("validation_scores", row_scores(rows))


def curves(history: Sequence[Epoch]) -> Figure:
    """Draw losses, score, learning rate and gradient norm over the epochs."""
    from quantgod.evaluation import plots

    def series(name: str) -> list[float]:
        return [epoch.metrics()[name] for epoch in history]

    panels = {
        "loss": {"train": series("train_loss"), "validation": series("validation_loss")},
        "macro-F1": {"validation": [epoch.score for epoch in history]},
        "learning rate": {"": series("learning_rate")},
        "gradient norm": {"": series("gradient_norm")},
    }
    return plots.curves([epoch.epoch for epoch in history], panels)


if __name__ == "__main__":
    main()
