"""Search for the network's parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.console import progress_bar, say, say_as_written, show_table, tell
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
    from quantgod.settings import Settings
    from quantgod.tracking.stage import StageRun
    from quantgod.training.reports import OnEpoch
    from quantgod.training.tuning import OnTrial


@step("trials that finished are kept, and the same command goes on with the others")
@config_options
@member_option
@run_option("label")
@run_option("features")
@run_option("snapshots")
@series_options
@setting("--labels", "data.labels", "Folder of the labelled table, where no label run is given.")
@setting("--trials", "optimize.trials", "Trials in all, those of an earlier start included.")
@setting("--epochs", "optimize.epochs", "Epochs a trial at most.")
@setting("--storage", "optimize.storage", "journal, or a database URL that machines share.")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Optuna over the model's space, judged on the purged validation part; trials as child runs.

    Of settings with members each is searched, side by side, unless --member names one.
    """
    runs, (settings, members) = runs_given(options), all_settings_from(config, overrides, options)
    if members:
        _search_members(config, runs, settings, members)
        return
    from quantgod.dataset.learning_table import learned_from
    from quantgod.tracking.chosen import BEST_FILE
    from quantgod.tracking.stage import stage
    from quantgod.tracking.supply import supply
    from quantgod.training.devices import use_threads
    from quantgod.training.space import check_search
    from quantgod.training.tuning import study_key, tune
    from quantgod.training.tuning_figures import history_figure, importance_figure

    check_search(settings, ("model.params", "optimize.space"))  # before data is made for it
    inputs = supply("optimize", settings, config, say)
    with stage("optimize", settings, runs, inputs) as run:
        use_threads(settings.train.threads)
        table, blocks = learned_from(run.inputs, say)
        folder = settings.data.work / "studies" / study_key(table, settings, blocks)
        with progress_bar("optimize") as progress:
            search = tune(
                table, settings, folder,
                blocks=blocks, on_trial=trial_runs(run), progress=progress,
            )  # fmt: skip
        best = search.best
        run.json(Path(BEST_FILE).stem, best.model_dump(mode="json"))
        run.shows("figures/history.png")
        run.figure("history", history_figure(search.study))
        run.figure("importance", importance_figure(search.study))
        run.metrics.log({"best_macro_f1": best.score, "trials": best.trials})
        run.output()
        cut = best.trials < settings.optimize.trials
        limit = f" (at its limit of {settings.optimize.hours:g} h)" if cut else ""
        run.headline(f"macro-F1 {best.score:.3f} in trial {best.trial} of {best.trials}{limit}")
    tell(run)


def _search_members(
    config: Path, runs: dict[str, str | None], settings: Settings, members: dict[str, Settings]
) -> None:
    import mlflow
    import pandas as pd

    from quantgod.tracking.members import SEARCH_HEADERS, search_members, search_table
    from quantgod.tracking.stage import stage
    from quantgod.tracking.supply import supply
    from quantgod.training.space import check_studies

    check_studies(members)  # before data are made for them
    with stage("searches", settings, runs, supply("searches", settings, config, say)) as run:
        found = search_members(run, members, config, say_as_written)
        run.json("searches", {name: child.info.run_id for name, child in found.items()})
        table = search_table(members, found)
        kept = pd.DataFrame(table, columns=list(SEARCH_HEADERS), dtype=object)
        mlflow.log_table(kept, "searches_table.json", run_id=run.run_id)
        scores = {name: child.data.metrics["best_macro_f1"] for name, child in found.items()}
        run.metrics.log({f"{name}_best_macro_f1": score for name, score in scores.items()})
        run.output()
        told = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
        run.headline(f"best macro-F1 of the validation part: {told}")
    show_table("Searches; `train` takes what they have found", SEARCH_HEADERS, table)
    tell(run)


def trial_runs(run: StageRun) -> OnTrial:
    """Return a listener that makes every trial a child of `run`; a pruned one ends KILLED."""
    from optuna import TrialPruned

    from quantgod.tracking.children import child_run

    @contextmanager
    def on_trial(number: int, params: Mapping[str, Any]) -> Iterator[OnEpoch]:
        with child_run(run, f"trial {number}", params, TrialPruned) as metrics:
            yield lambda epoch: metrics.log(epoch.metrics(), epoch.epoch)

    return on_trial


if __name__ == "__main__":
    main()
