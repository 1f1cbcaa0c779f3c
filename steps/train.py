"""Train the base network."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.console import progress_bar, say, say_as_written, tell
from steps.options import (
    config_options,
    member_option,
    run_option,
    runs_given,
    setting,
    settings_from,
    step,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from quantgod.forecasters.base_model import TrainedBase
    from quantgod.tracking.stage import StageRun
    from quantgod.training.reports import Epoch


@step("checkpoints are kept, and the same command goes on from the last one")
@config_options
@member_option
@run_option("label")
@run_option("optimize")
@setting("--labels", "data.labels", "Folder of the labelled table, where no label run is given.")
@setting("--epochs", "train.epochs", "Epochs at most.")
@setting("--batch-size", "train.batch_size", "Windows a step.")
@setting("--learning-rate", "train.learning_rate", "Learning rate at the start.")
@setting("--seed", "train.seed", "Of weights, order and dropout.")
@setting("--device", "train.device", "auto, cpu or cuda.")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Train on the older part of dev and stop by the newer; a killed training goes on."""
    runs, settings = runs_given(options), settings_from(config, overrides, options)
    from quantgod.dataset.series import table_series, write_series
    from quantgod.dataset.table import read_table
    from quantgod.forecasters.base_model import train_base
    from quantgod.forecasters.network import save_network
    from quantgod.tracking.chosen import searched_settings
    from quantgod.tracking.stage import stage
    from quantgod.tracking.supply import supply
    from quantgod.training.devices import use_threads

    with stage("train", settings, runs, supply("train", settings, config, say)) as run:
        chosen = searched_settings(run, say_as_written)
        use_threads(chosen.train.threads)
        with progress_bar("train") as progress:
            trained = train_base(
                read_table(run.inputs["labels"]),
                chosen,
                checkpoint=run.workplace() / "checkpoint.safetensors",
                on_epoch=lambda epoch: run.metrics.log(epoch.metrics(), epoch.epoch),
                progress=progress,
            )
        for epoch in trained.fit.told_before:  # only the killed run has logged them
            run.metrics.log(epoch.metrics(), epoch.epoch)
        save_network(run.folder("network"), trained.network)
        run.shows("network")
        write_series(run.folder("network"), table_series(run.inputs["labels"]))
        _warn_of_constants(trained.network.silent)
        _log(run, trained)
    tell(run)


def _warn_of_constants(silent: Sequence[str]) -> None:
    from quantgod.dataset.scaling import ConstantFeatureWarning

    if silent:
        names = ", ".join(silent)
        text = f"{names}: constant on the training rows; the model is not shown what it becomes"
        warnings.warn(text, ConstantFeatureWarning, stacklevel=2)


def _log(run: StageRun, trained: TrainedBase) -> None:
    from quantgod.evaluation import metrics, plots
    from quantgod.models.zoo import parameter_count
    from quantgod.training.confusion import confusion_matrix

    target, said = trained.validation.target, trained.probabilities
    parameters = parameter_count(trained.network.model)
    report = metrics.classification_report(target, said)
    # Separate names: `macro_f1` and others are series over the epochs, of which the last is not
    # the best.
    kept = {f"validation_{name}": report[name] for name in metrics.KEY_SCORES}
    run.metrics.log(kept)
    # As metrics, each would be a chart with one point.
    run.param("trained.parameters")(parameters)
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
