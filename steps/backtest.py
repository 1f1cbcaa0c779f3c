"""Trade what an evaluated model says on the test part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.console import progress_bar, say, tell
from steps.options import judging_options, run_option, setting, settings_given, step, version_option

if TYPE_CHECKING:
    from quantgod.evaluation.backtest import Backtested
    from quantgod.evaluation.evidence import BacktestResult
    from quantgod.tracking.stage import StageRun


@step()
@judging_options
@run_option("etl")
@run_option("optimize")
@run_option("evaluate")
@version_option("Version whose signals are traded; the newest where no evaluate run is given.")
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--bars", "data.bars", "Folder of the bars, where no etl run is given.")
@setting("--archives", "data.archives", "Raw messages, whose books orders meet where they are.")
@setting("--latency", "backtest.latency_ms", "From a minute's close to the exchange, ms.")
@setting("--taker-fee", "backtest.taker_fee", "Share of what is traded.")
def main(
    config: Path | None,
    overrides: tuple[str, ...],
    etl_run: str | None,
    optimize_run: str | None,
    evaluate_run: str | None,
    version: int | None,
    **options: Any,
) -> None:
    """Trade a model's signals against the recorded books, with costs and an account's rules."""
    at_hand, changes = settings_given(config, overrides, options)
    from rich.markup import escape

    from quantgod.archive.store import stored_series
    from quantgod.dataset.series import check_one_series, read_series
    from quantgod.evaluation.backtest import backtest, order_moments
    from quantgod.evaluation.backtest.recorded import archive_books, minute_books
    from quantgod.evaluation.scored_rows import read_scored
    from quantgod.registry.lineage import lineage_of
    from quantgod.registry.own_settings import Judging, judging
    from quantgod.registry.registered import asked_version
    from quantgod.tracking.chosen import trials_of
    from quantgod.tracking.keys import artifacts_of, output_of
    from quantgod.tracking.stage import stage
    from quantgod.tracking.store import connect

    runs = {"etl": etl_run, "optimize": optimize_run, "evaluate": evaluate_run}
    client, by = connect(at_hand.tracking), Judging(at_hand)
    if version is not None or evaluate_run is None or "version" in output_of(evaluate_run):
        found = asked_version(client, at_hand.registry.name, version, evaluate_run)
        lineage = lineage_of(found).runs
        runs = {stage: run_id or lineage.get(stage) for stage, run_id in runs.items()}
        by = judging(found, "backtest", at_hand, changes)
    settings = by.settings
    data, own, horizon = settings.data, settings.backtest, settings.label.horizon_minutes
    with (
        stage("backtest", settings, runs) as run,
        progress_bar("backtest") as progress,
        run.scratch() as folder,
    ):
        scored = artifacts_of(run.needed("evaluate"), "test", folder)
        bars = stored_series(run.inputs["bars"].parent, data.symbol)
        parts = {"scored rows": read_series(scored), "bars": bars}
        check_one_series(parts | {"settings": data.series_from(bars.source)})
        rows = read_scored(scored)
        books = minute_books(run.inputs["bars"].parent, data.symbol, rows, horizon)
        moments = order_moments(rows, books, own, horizon)
        met = archive_books(
            data.archives, data.symbol, moments, books, settings.etl, progress, market=data.market
        )
        trials = trials_of(run.upstream.get("optimize"))
        _log(run, backtest(rows, books, own, horizon, trials, progress, met))
    tell(run)
    if by.otherwise:
        say(escape(f"a trial, which gates pass over: judged by {by.in_words()}"))


def _log(run: StageRun, backtested: Backtested) -> None:
    from quantgod.evaluation.backtest import figures
    from quantgod.evaluation.evidence import BACKTEST_FILE, write_evidence

    result = backtested.result
    write_evidence(run.outbox.artifacts / BACKTEST_FILE, result)
    backtested.write(run.folder("backtest"))
    run.metrics.log(backtested.metrics())
    run.shows("figures/equity.png")
    run.figure("equity", figures.equity_figure(backtested.equity, result))
    run.figure("costs", figures.costs_figure(result))
    run.figure("latency", figures.latency_figure(result.by_latency, result.books))
    run.figure("session", figures.session_figure(result.by_session))
    run.headline(headline(result))
    run.output()


def headline(result: BacktestResult) -> str:
    """What it came to, in a line."""
    from quantgod.evaluation.wording import account_text, share_text

    net = result.net_pnl
    between = f"[{net.low:+,.0f}, {net.high:+,.0f}]" if net.enough else "(too few rows)"
    return (
        f"net {net.value:+,.0f} {between} of {result.trades} trades, "
        f"gross {result.gross_pnl:+,.0f}; deflated Sharpe {result.deflated_sharpe:.2f}, "
        f"drawdown {share_text(result.max_drawdown)}, account: {account_text(result.outcome)}"
    )


if __name__ == "__main__":
    main()
