"""Forecast coins from their newest closed candles, and keep a ledger of what comes true."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import progress_bar, say_as_written, show_table, tell
from steps.forecast import DEMO, candles_from
from steps.options import config_options, setting, settings_from, step, values_from

if TYPE_CHECKING:
    from quantgod.live.forecasts.predicting import Predicted
    from quantgod.live.forecasts.version import InPlace
    from quantgod.settings import Settings
    from quantgod.tracking.stage import StageRun

SHOWN = 30
"""Scored forecasts that are printed; all are in the report."""


@step("the ledger is whole, and the same command goes on")
@lambda command: config_options(command, DEMO)
@setting("--coins", "candles.coins", "Coins to forecast, parted by commas; all that it knows.")
@setting("--name", "forecast.name", "Name of the registered model.")
@setting("--alias", "registry.alias", "Alias of the version that forecasts; its case matters.")
@setting("--ledger", "forecast.ledger", "File of what was issued and came true.")
@setting("--from", "candles.source", "What fills the store: download, simulate, bars; or store.")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Issue, score what has matured, advance the weights, and warn; twice a day changes nothing."""
    settings = settings_from(config, overrides, options)
    from quantgod.live.forecasts.version import own_candles, version_in_place
    from quantgod.tracking.stage import stage
    from quantgod.tracking.store import connect

    found = version_in_place(connect(settings.tracking), settings)
    asked = settings.candles.coins if "candles.coins" in values_from(overrides, options) else ()
    coins, settings = found.coins(asked), own_candles(settings, found.chain.contract)
    with stage("predict", settings, {}, candles_from(settings, config)) as run:
        done = _done(settings, found, coins)
        _log(run, settings, found, done)
    _show(done, found)
    tell(run)
    what = "written to" if done.is_changed else "unchanged in"
    say_as_written(f"{len(done.newest)} newest forecasts of {found} are {what} {run.places[-1]}")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _done(settings: Settings, found: InPlace, coins: tuple[str, ...]) -> Predicted:
    from quantgod.live.forecasts.predicting import Asked, predict
    from quantgod.live.forecasts.version import candles_of, further_candles

    how, contract = settings.forecast, found.chain.contract
    asked = Asked(found.whose, coins, how.ledger, how.watch)
    with progress_bar("predict") as progress:
        progress(0, 1, f"{found}")
        known = candles_of(settings, contract, coins)
        matured = further_candles(settings, contract, how.ledger)
        done = predict(found.chain, known, asked, _now, matured)
        progress(1, 1, "")
    return done


def _log(run: StageRun, settings: Settings, found: InPlace, done: Predicted) -> None:
    from quantgod.live.forecasts import shown
    from quantgod.report.forecasts.newest import newest_report

    tables = shown.tables_of(done, found.chain.contract.step_ms)
    fans = list(shown.fans_of(done))
    html, figure = newest_report(f"{found}", found.right, fans, tables, done.warnings, found.market)
    if figure is not None:
        run.figure("fan_chart", figure)
    (run.folder("report") / "report.html").write_text(html, encoding="utf-8")
    run.json("warnings", done.warnings)
    run.metrics.log(shown.figures_of(done))
    run.headline(shown.headline_of(done), "\n".join(done.warnings))
    run.shows("report/report.html")
    run.output(settings.forecast.ledger, name=found.whose.name, version=str(found.whose.version))


def _show(done: Predicted, found: InPlace) -> None:
    from quantgod.live.forecasts import shown

    say_as_written(f"{found}: {found.right}")
    for table in shown.tables_of(done, found.chain.contract.step_ms):
        show_table(table.title, table.head, table.body[-SHOWN:])
    for line in done.warnings:
        click.echo(f"Warning: {line}", err=True)


if __name__ == "__main__":
    main()
