"""Train the auditor, on what base models say out of fold; the test part is not looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.console import progress_bar, say, tell
from steps.options import config_options, run_option, setting, settings_from, step

if TYPE_CHECKING:
    from quantgod.auditor.audit import AuditResult
    from quantgod.evaluation.out_of_fold import OutOfFold
    from quantgod.tracking.stage import StageRun
    from quantgod.training.reports import Epoch


CHARTED = ("validation_loss", "macro_f1")
"""What a fold draws over its epochs; five folds with all of it would be 65 charts."""
COMPARED = ("unfitted_base", "unfitted_auditor")
"""Of the out-of-fold scores those of the same rows, by which runs are compared."""
ROWS_SHOWN = 1_000
"""Rows of the contributions' figure; exact tree SHAP of a year's last fold would take minutes."""


@step("finished folds and checkpoints are kept, and the same command goes on from there")
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
    """Walk forward over dev, fit booster and calibrator, score base beside auditor out of fold."""
    settings = settings_from(config, overrides, options)
    from rich.markup import escape

    from quantgod.auditor.audit import audit
    from quantgod.auditor.out_of_fold import Recipe
    from quantgod.auditor.provenance import assert_untrained
    from quantgod.auditor.reports import Hooks
    from quantgod.dataset.series import check_one_series, read_series, write_series
    from quantgod.dataset.splits import split_test
    from quantgod.dataset.table import read_table, table_series
    from quantgod.dataset.windows import samples
    from quantgod.evaluation.out_of_fold import score_out_of_fold
    from quantgod.tracking.chosen import chosen_settings, replaced
    from quantgod.tracking.keys import artifacts_of
    from quantgod.tracking.stage import stage
    from quantgod.tracking.supply import supply
    from quantgod.training.devices import use_threads
    from quantgod.training.weights import load_network

    runs = {"label": label_run, "optimize": optimize_run, "train": train_run}
    inputs = supply("audit", settings, config, say)
    with stage("audit", settings, runs, inputs) as run, progress_bar("audit") as progress:
        with run.scratch() as folder:
            trained = artifacts_of(run.needed("train"), "network", folder)
            network, own = load_network(trained), read_series(trained)
        labelled = table_series(run.inputs["labels"])
        series = check_one_series({"network": own, "labels": labelled})
        chosen = chosen_settings(settings, run.upstream.get("optimize"))
        if by_search := replaced(settings, chosen):
            say(escape(f"replaced by the search: {by_search}"))
        use_threads(chosen.train.threads)
        table = read_table(run.inputs["labels"])
        taken = samples(table, network.window, chosen.audit.stride)
        split = split_test(taken, chosen.split)
        assert_untrained(network.trained_until, taken.minute(int(split.other[0])))
        recipe = Recipe(chosen.model, chosen.train, chosen.audit, chosen.split, network.window)
        told: list[dict[str, Any]] = []

        def on_epoch(fold: int, epoch: Epoch) -> None:
            told.append({"fold": fold, **epoch.to_json()})
            charted = {f"fold_{fold}_{name}": epoch.metrics()[name] for name in CHARTED}
            run.metrics.log(charted, epoch.epoch)

        hooks = Hooks(on_epoch=on_epoch, progress=progress)
        result = audit(table, taken, split.train, recipe, run.workplace(), hooks)
        result.auditor.save(run.folder("auditor"))
        write_series(run.folder("auditor"), series)
        run.json("fold_epochs", told)
        _log(run, result, score_out_of_fold(result, network.class_weights))
    tell(run)


def _log(run: StageRun, result: AuditResult, unfitted: OutOfFold) -> None:
    from quantgod.contracts import META_FEATURES
    from quantgod.evaluation import metrics, plots

    result.rows.to_parquet(run.folder("out_of_fold") / "rows.parquet")
    run.json("folds", [vars(report) for report in result.folds])
    run.json("out_of_fold", unfitted.scores)
    compared = [(name, score) for name in COMPARED for score in metrics.KEY_SCORES]
    run.metrics.log(
        {
            **{f"oof_{name}_{score}": unfitted.scores[name][score] for name, score in compared},
            "oof_rows": len(result.rows),
            "oof_unfitted_rows": len(unfitted.target),
            "oof_unfitted_rows_effective": unfitted.effective_rows,
            "conformal_threshold": result.auditor.conformal.threshold,
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
    confusion = metrics.confusion_matrix(unfitted.target, decided)
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
