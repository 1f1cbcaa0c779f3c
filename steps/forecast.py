"""Forecast returns of candles: members, ensemble, evaluation, report, version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.console import progress_bar, remark, say, say_as_written, show_table, tell
from steps.options import config_options, setting, settings_from, step, switch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from quantgod.contracts import Candles
    from quantgod.evaluation.evidence import LeakAuditResult
    from quantgod.evaluation.forecasts.run import ForecastRun
    from quantgod.gates import Gate
    from quantgod.settings import Settings
    from quantgod.tracking.stage import StageRun

DEMO = "conf/forecast_demo.yaml"
"""The default settings: simulated candles, small members."""


def forecast_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add document 002's options, by the settings that they override."""
    for option in (
        setting("--coins", "candles.coins", "Symbols, parted by commas: BTCUSDT,ETHUSDT."),
        setting("--epochs", "train.epochs", "Epochs of networks, at most."),
        setting("--members", "forecast.only", "Members to make, parted by commas; all by default."),
        setting("--folds", "forecast.folds", "Folds of the walk forward."),
        setting("--trials", "forecast.tune.trials", "Trials of each member's search; 0: none."),
        setting("--timeout", "forecast.tune.seconds", "Seconds after which no trial begins."),
        setting(
            "--tune-members", "forecast.tune.members", "Members to search for; all by default."
        ),
        setting("--draws", "forecast.draws", "Draws of Monte Carlo dropout."),
        setting("--device", "train.device", "auto, cpu or cuda."),
        setting("--workers", "forecast.workers", "Processes that fit folds side by side."),
        switch("--no-ensemble", "no_ensemble", "Judge each member alone, and register nothing."),
        switch("--no-uncertainty", "no_uncertainty", "Take past widths for those of networks."),
    ):
        command = option(command)
    return command


@step("folds that were fitted are kept, and the same command goes on with the others")
@lambda command: config_options(command, DEMO)
@forecast_options
def main(
    config: Path,
    overrides: tuple[str, ...],
    *,
    no_ensemble: bool,
    no_uncertainty: bool,
    **options: Any,
) -> None:
    """Fit members to candles, walk forward, combine, judge, register, and promote what passes."""
    options["forecast__ensemble__enabled"] = False if no_ensemble else None
    options["forecast__uncertainty"] = False if no_uncertainty else None
    settings = settings_from(config, overrides, options)
    from quantgod.forecasters.candles.checking import check_members
    from quantgod.gates.forecasts import judge_forecasts
    from quantgod.tracking.stage import stage

    check_members(settings)
    with stage("forecast", settings, {}, candles_from(settings, config)) as run:
        _check(run, settings)
        audited = _audited(run, settings)  # a minute; members may take hours
        made = _made(run, settings)
        gates = judge_forecasts(made.evaluation, settings.forecast.gates, audited)
        _log(run, settings, made, gates)
        told = _register(run, settings, made, gates)
    _show(made, gates)
    tell(run)
    say_as_written(told)


def candles_from(
    settings: Settings, config: Path
) -> Callable[[Mapping[str, str]], Mapping[str, str]]:
    """Return a function that fills the store of candles where settings say so, as a child run."""

    def supply(given: Mapping[str, str]) -> Mapping[str, str]:
        from quantgod.tracking.pipeline import resolved_config, run_stage

        if settings.candles.source == "store":
            return given
        say("candles")
        # Yesterday's candles are not those of the day before.
        moves = settings.candles.source == "download" and settings.candles.last_day is None
        children = resolved_config(settings, config)
        run, _ = run_stage("candles", settings, children, {}, fresh=moves)
        return {**given, "candles": run.info.run_id}

    return supply


def coins_of(settings: Settings) -> list[Candles]:
    """Return the stored candles of the settings' coins.

    Raises:
        CandleStoreError: naming a coin that is not stored.
    """
    from quantgod.archive.candles.store import read_candles

    own = settings.candles
    return [
        read_candles(own.folder, own.market, coin, own.interval, own.kind) for coin in own.coins
    ]


def _made(run: StageRun, settings: Settings) -> ForecastRun:
    from quantgod.evaluation.forecasts.run import ForecastHooks, run_forecasts
    from quantgod.training.devices import use_threads

    use_threads(settings.train.threads)

    def on_epoch(part: str, member: str, epoch: Any) -> None:
        if part.startswith("test"):
            named = {f"{member}_{name}": value for name, value in epoch.metrics().items()}
            run.metrics.log(named, epoch.epoch)

    with progress_bar("forecast") as progress:
        hooks = ForecastHooks(on_epoch, progress)
        return run_forecasts(coins_of(settings), settings, run.workplace(), hooks)


def _audited(run: StageRun, settings: Settings) -> LeakAuditResult | None:
    from quantgod.evaluation.evidence import LEAK_AUDIT_FILE, write_evidence
    from quantgod.leakage.candles import audit_candles
    from quantgod.tracking.forecasts import leaks_in_words

    if not settings.forecast.gates.leak_audit:
        return None
    with progress_bar("leak audit") as progress:
        found = audit_candles(coins_of(settings), settings, progress)
    write_evidence(run.outbox.artifacts / LEAK_AUDIT_FILE, found)
    remark(leaks_in_words(found))
    remark(found.scope)
    return found


def _check(run: StageRun, settings: Settings) -> None:
    """Look before hours of work whether coins are long enough, and a version may have this name."""
    from quantgod.evaluation.forecasts.run import check_coins
    from quantgod.registry.daily.registration import check_name

    check_coins(coins_of(settings), settings.forecast)
    if settings.forecast.ensemble.enabled:
        check_name(run.client, settings.forecast.name, settings.candles)


def _log(run: StageRun, settings: Settings, made: ForecastRun, gates: Sequence[Gate]) -> None:
    from quantgod.files import write_json
    from quantgod.report.forecasts.gathered import material_of
    from quantgod.report.forecasts.report import forecast_report
    from quantgod.report.forecasts.training import training_report
    from quantgod.tracking.forecasts import figures_of, headline_of, lineage_of

    how = settings.forecast
    told = made.settings.model_dump(mode="json", include={"candles", "forecast", "train"})
    if made.searched:
        run.json("searched", [vars(one) for one in made.searched])
    market = "a simulated market" if settings.candles.source == "simulate" else ""
    material = material_of(made, how, gates, told, lineage_of(run), market)
    report = forecast_report(material)
    for name, figure in report.figures.items():
        run.figure(name, figure)
    (run.folder("report") / "report.html").write_text(report.html, encoding="utf-8")
    write_json(run.folder("report") / "training_report.json", training_report(material))
    run.shows("report/report.html")
    run.metrics.log(figures_of(made, gates))
    run.headline(headline_of(made, gates))


def _register(run: StageRun, settings: Settings, made: ForecastRun, gates: Sequence[Gate]) -> str:
    """Register a version and promote it if its gates passed; gives what became of it."""
    from quantgod.registry.daily.registration import in_words, promote_forecasts, register_forecasts
    from quantgod.tracking.forecasts import figures_of

    if not settings.forecast.ensemble.enabled:
        run.json("gates", [{"name": one.name, "verdict": one.verdict} for one in gates])
        run.output()
        return (
            f"nothing is registered: without an ensemble members are judged alone, gates ask "
            f"{made.evaluation.subject}"
        )
    with progress_bar("register") as progress:
        progress(0, 2, "packing members and ensemble")
        figures = figures_of(made, gates)
        registered = register_forecasts(run, made, coins_of(settings), gates, figures)
        progress(1, 2, "loading it in a fresh process" if registered.report.passed else "")
        promoted = promote_forecasts(run, registered)
        progress(2, 2, "")
    run.metrics.log({"export_difference": registered.export_difference})
    run.output(name=registered.name, version=str(registered.number))
    return in_words(registered, settings.registry.alias, promoted)


def _show(made: ForecastRun, gates: Sequence[Gate]) -> None:
    from quantgod.tracking.forecasts import COLUMNS, GATES, NOTE, gate_lines, lines_of

    for one in made.searched:
        say(
            f"{one.member}: pinball loss {one.first:.4f} as it is, {one.best:.4f} with "
            f"{one.params or 'that'}, the best of {one.trials} trials"
        )
    show_table("Walk forward, all coins", COLUMNS, lines_of(made.evaluation))
    remark(NOTE)
    show_table("The newest part alone", COLUMNS, lines_of(made.test))
    show_table("Gates", GATES, gate_lines(gates))


if __name__ == "__main__":
    main()
