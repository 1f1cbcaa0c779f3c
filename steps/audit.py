"""Train the auditor on out-of-fold forecasts of base models; the test part is not used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.console import progress_bar, say, say_as_written, tell
from steps.options import (
    config_options,
    member_option,
    run_option,
    runs_given,
    series_options,
    setting,
    settings_from,
    step,
)

if TYPE_CHECKING:
    from quantgod.auditor.audit import AuditResult
    from quantgod.evaluation.out_of_fold import OutOfFold
    from quantgod.settings import Settings
    from quantgod.tracking.stage import StageRun


COMPARED = ("unfitted_base", "unfitted_auditor")
"""The out-of-fold scores on the same rows, by which runs are compared."""
ROWS_SHOWN = 1_000
"""Rows in the figure of contributions; exact tree SHAP of a year's last fold takes minutes."""


@step("finished folds and checkpoints are kept, and the same command goes on from there")
@config_options
@member_option
@run_option("label")
@run_option("features")
@run_option("snapshots")
@run_option("optimize")
@run_option("train")
@run_option("members")
@series_options
@setting("--labels", "data.labels", "Folder of the labelled table, where no label run is given.")
@setting("--folds", "split.folds", "Walk-forward folds.")
@setting("--epochs", "audit.epochs", "Epochs at most in a fold.")
@setting("--workers", "train.workers", "Processes that train folds here; 0 = one a core.")
@setting("--scheduler", "train.scheduler", "Dask scheduler, such as tcp://127.0.0.1:8786.")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Walk forward over dev, fit booster and calibrator, score base beside auditor out of fold."""
    runs, settings = runs_given(options), settings_from(config, overrides, options)
    if settings.ensemble is not None:
        _audit_ensemble(settings, config, runs)
        return
    from quantgod.auditor.learner import Learner
    from quantgod.dataset.learning_table import learned_from
    from quantgod.dataset.series import check_one_series, table_series, write_series
    from quantgod.evaluation.out_of_fold import score_out_of_fold
    from quantgod.parallel.work import check_schedulers
    from quantgod.tracking.chosen import searched_settings
    from quantgod.tracking.folds import FoldLog, fetch_folds, folds_taken, log_folds
    from quantgod.tracking.stage import stage
    from quantgod.tracking.stage_outputs import train_output
    from quantgod.tracking.supply import supply
    from quantgod.training.devices import use_threads

    check_schedulers(settings.train.scheduler)
    inputs = supply("audit", settings, config, say)
    with stage("audit", settings, runs, inputs) as run, progress_bar("audit") as progress:
        with run.scratch() as folder:
            network, own = train_output(run, folder)
        labels = run.inputs["labels"]
        series = check_one_series({"network": own, "labels": table_series(labels)})
        chosen = searched_settings(run, say_as_written)
        use_threads(chosen.train.threads)
        learned, hooks = learned_from(run.inputs, say), FoldLog(run).hooks(progress)
        fetch_folds(run)
        learner = Learner(learned, chosen, run.workplace(), hooks, run.inputs)
        result = learner.audit(network)
        result.auditor.save(run.folder("auditor"))
        write_series(run.folder("auditor"), series)
        log_folds(run, result.folds)
        _log(run, result, score_out_of_fold(result, network.class_weights))
        if taken := folds_taken(run, result.folds):
            say(taken)
    tell(run)


def _audit_ensemble(settings: Settings, config: Path, runs: dict[str, str | None]) -> None:
    """Walk over all members, combine them, and audit what they say together."""
    from quantgod.dataset.series import write_series
    from quantgod.evaluation.out_of_fold import score_out_of_fold
    from quantgod.parallel.work import check_schedulers
    from quantgod.tracking.ensembles import ENSEMBLE, trained_members
    from quantgod.tracking.folds import FoldLog, log_folds
    from quantgod.tracking.stage import stage
    from quantgod.tracking.supply import supply

    check_schedulers(settings.train.scheduler)
    inputs = supply("audit", settings, config, say)
    with stage("audit", settings, runs, inputs) as run, progress_bar("audit") as progress:
        members = trained_members(run, FoldLog(run).hooks(progress), say)
        made = members.learner.audit(members.networks)
        made.ensemble.save(run.folder(ENSEMBLE))
        made.audit.auditor.save(run.folder("auditor"))
        write_series(run.folder("auditor"), members.series)
        log_folds(run, made.audit.folds)
        weights = made.ensemble.combiner.now
        run.json("weights", dict(zip(made.ensemble.members, weights.tolist(), strict=True)))
        say(f"{made.left_out:,} minutes out of fold lack a member or an answer")
        _log(run, made.audit, score_out_of_fold(made.audit, made.ensemble.class_weights))
    tell(run)


def _log(run: StageRun, result: AuditResult, unfitted: OutOfFold) -> None:
    from quantgod.contracts import META_FEATURES
    from quantgod.evaluation import metrics, plots
    from quantgod.training.confusion import confusion_matrix

    result.rows.to_parquet(run.folder("out_of_fold") / "rows.parquet")
    rows = {"rows": len(result.rows), "unfitted_rows": len(unfitted.target)}
    threshold = {"conformal_threshold": result.auditor.conformal.threshold}
    run.json("out_of_fold", {"scores": unfitted.scores, **rows, **threshold})
    compared = [(name, score) for name in COMPARED for score in metrics.KEY_SCORES]
    run.metrics.log(
        {
            **{f"oof_{name}_{score}": unfitted.scores[name][score] for name, score in compared},
            "oof_unfitted_rows_effective": unfitted.effective_rows,
            **({} if (trust := result.auditor.confidence) is None else trust.metrics()),
        }
    )
    shown = unfitted.meta[:: max(1, len(unfitted.meta) // ROWS_SHOWN)]
    contributions = result.auditor.contributions(shown)
    gain = dict(zip(META_FEATURES, result.auditor.gain().tolist(), strict=True))
    both = {"base": unfitted.base, "auditor": unfitted.audited}
    run.shows("figures/reliability.png")
    run.figure("reliability", plots.reliability(unfitted.target, both))
    run.figure("importance", plots.importance(gain, "gain"))
    run.figure("contributions", plots.contributions(contributions, shown, META_FEATURES))
    decided = result.auditor.decide(unfitted.audited)
    confusion = confusion_matrix(unfitted.target, decided)
    run.figure("confusion", plots.confusion_matrix(confusion, "Out of fold"))
    base, auditor = unfitted.scores["unfitted_base"], unfitted.scores["unfitted_auditor"]
    run.headline(
        f"out-of-fold macro-F1: base {base['macro_f1']:.3f}, auditor {auditor['macro_f1']:.3f} "
        f"on {len(unfitted.target)} rows worth {unfitted.effective_rows:.0f}"
        + ("" if (why := result.auditor.conformal.reason) is None else f"; always abstains: {why}")
    )
    run.output()


if __name__ == "__main__":
    main()
