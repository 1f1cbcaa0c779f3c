"""Train the auditor out of fold, and report on the test part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.console import progress_bar
from steps.options import config_options, run_option, setting, settings_from, step

if TYPE_CHECKING:
    from quantgod.auditor.audit import AuditResult
    from quantgod.evaluation.bootstrap import Comparison
    from quantgod.evaluation.holdout import Holdout
    from quantgod.tracking.stage import StageRun


ROWS_SHOWN = 1_000
"""Rows of the contributions' figure; exact tree SHAP of a year's test part would take minutes."""


@step()
@config_options
@run_option("label")
@run_option("optimize")
@run_option("train")
@setting("--labels", "data.labels", "Folder of the labelled table, where no label run is given.")
@setting("--folds", "split.folds", "Walk-forward folds.")
@setting("--epochs", "audit.epochs", "Epochs at most in a fold.")
def main(
    config: Path,
    overrides: tuple[str, ...],
    label_run: str | None,
    optimize_run: str | None,
    train_run: str | None,
    **options: Any,
) -> None:
    """Walk forward over dev, fit booster and calibrator, score base beside auditor on the test."""
    settings = settings_from(config, overrides, options)
    from quantgod.auditor.audit import audit
    from quantgod.auditor.out_of_fold import Recipe
    from quantgod.auditor.reports import Hooks
    from quantgod.dataset.splits import split_test
    from quantgod.dataset.table import read_table
    from quantgod.dataset.windows import samples
    from quantgod.evaluation.holdout import read_holdout, score_holdout
    from quantgod.tracking.chosen import chosen_settings
    from quantgod.tracking.keys import artifacts_of
    from quantgod.tracking.stage import stage
    from quantgod.training.devices import use_threads
    from quantgod.training.weights import load_network

    runs = {"label": label_run, "optimize": optimize_run, "train": train_run}
    with stage("audit", settings, runs) as run, progress_bar("audit") as progress:
        with run.scratch() as folder:
            network = load_network(artifacts_of(run.needed("train"), "network", folder))
        chosen = chosen_settings(settings, optimize_run)
        use_threads(chosen.train.threads)
        table = read_table(run.inputs["labels"])
        taken = samples(table, network.window, chosen.audit.stride)
        dev = split_test(taken, chosen.split).train
        recipe = Recipe(chosen.model, chosen.train, chosen.audit, chosen.split, network.window)
        hooks = Hooks(
            on_epoch=lambda fold, epoch: run.metrics.log(
                {f"fold_{fold}_{name}": value for name, value in epoch.metrics().items()},
                epoch.epoch,
            ),
            progress=progress,
        )
        result = audit(table, taken, dev, recipe, run.workplace(), hooks)
        result.auditor.save(run.folder("auditor"))
        holdout = read_holdout(table, chosen, network, result, progress)
        scores = score_holdout(holdout, chosen, network.class_weights, progress)
        _log(run, result, holdout, scores)


def _log(run: StageRun, result: AuditResult, holdout: Holdout, scores: Comparison) -> None:
    from quantgod.contracts import META_FEATURES
    from quantgod.evaluation import metrics, plots

    result.rows.to_parquet(run.folder("out_of_fold") / "rows.parquet")
    run.json("folds", [vars(report) for report in result.folds])
    run.json("test", {"models": _plain(scores.models), "differences": _plain(scores.differences)})
    for model, found in scores.models.items():
        run.metrics.log({f"test_{model}_{score}": item.value for score, item in found.items()})
    run.metrics.log(
        {"test_rows": len(holdout.target), "test_rows_effective": holdout.effective_rows}
    )
    if result.held_out is not None:
        kept = result.held_out
        for when, said in (("before", kept.before), ("after", kept.after)):
            report = metrics.classification_report(kept.target, said)
            names = ("log_loss", "brier", "ece")
            run.metrics.log({f"calibration_{when}_{name}": report[name] for name in names})
    shown = holdout.meta[:: max(1, len(holdout.meta) // ROWS_SHOWN)]
    contributions = result.auditor.contributions(shown)
    gain = dict(zip(META_FEATURES, result.auditor.gain().tolist(), strict=True))
    both = {"base": holdout.base, "auditor": holdout.audited}
    run.figure("comparison", plots.comparison(scores.models))
    run.figure("reliability", plots.reliability(holdout.target, both))
    run.figure("importance", plots.importance(gain, "gain"))
    run.figure("contributions", plots.contributions(contributions, shown, META_FEATURES))
    decided = result.auditor.decide(holdout.audited)
    run.figure(
        "confusion", plots.confusion_matrix(metrics.confusion_matrix(holdout.target, decided))
    )
    base, auditor = scores.models["base"]["macro_f1"], scores.models["auditor"]["macro_f1"]
    run.headline(
        f"test macro-F1: base {base.value:.3f} [{base.low:.3f}, {base.high:.3f}], "
        f"auditor {auditor.value:.3f} [{auditor.low:.3f}, {auditor.high:.3f}]"
    )
    run.output()


def _plain(found: Any) -> dict[str, dict[str, list[float]]]:
    return {
        model: {score: list(interval) for score, interval in scores.items()}
        for model, scores in found.items()
    }


if __name__ == "__main__":
    main()
