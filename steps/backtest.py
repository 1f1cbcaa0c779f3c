"""Trade an evaluated model's signals on the test part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.console import progress_bar, say_as_written, tell
from steps.options import (
    judging_options,
    member_option,
    run_option,
    runs_given,
    series_options,
    setting,
    settings_given,
    step,
    version_option,
)

if TYPE_CHECKING:
    from quantgod.backtest import Backtest
    from quantgod.evaluation.evidence import BacktestResult
    from quantgod.tracking.stage import StageRun


@step()
@judging_options
@member_option
@run_option("etl")
@run_option("optimize")
@run_option("members")
@run_option("evaluate")
@version_option("Version whose signals are traded; the newest where no evaluate run is given.")
@series_options
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--bars", "data.bars", "Folder of the bars, where no etl run is given.")
@setting("--archives", "data.archives", "Raw messages, whose books orders meet where they are.")
@setting("--latency", "backtest.latency_ms", "From a minute's close to the exchange, ms.")
@setting("--taker-fee", "backtest.taker_fee", "Share of what is traded.")
def main(
    config: Path | None, overrides: tuple[str, ...], version: int | None, **options: Any
) -> None:
    """Trade a model's signals against the recorded books, with costs and an account's rules."""
    runs = runs_given(options)
    at_hand, changes = settings_given(config, overrides, options)
    from quantgod.registry.own_settings import Judging, judging_lineage
    from quantgod.registry.registered import asked_version
    from quantgod.registry.trading import trade
    from quantgod.tracking.keys import output_of
    from quantgod.tracking.stage import stage
    from quantgod.tracking.store import connect

    client, by, scored = connect(at_hand.tracking), Judging(at_hand), runs["evaluate"]
    if version is not None or scored is None or "version" in output_of(scored):
        found = asked_version(client, at_hand.registry.name, version, scored)
        by, runs = judging_lineage(found, "backtest", runs, at_hand, changes)
    with stage("backtest", by.settings, runs) as run, progress_bar("backtest") as progress:
        _log(run, trade(run, progress))
    tell(run)
    if by.otherwise:
        say_as_written(f"gates pass over this run: judged by {by.in_words()}")


def _log(run: StageRun, backtested: Backtest) -> None:
    from quantgod.backtest import figures
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
    """Return the key figures in one line."""
    from quantgod.evaluation.wording import account_text, share_text

    net = result.net_pnl
    between = f"[{net.low:+,.0f}, {net.high:+,.0f}]" if net.enough else f"({net.lacks})"
    return (
        f"net {net.value:+,.0f} {between} of {result.trades} trades, "
        f"gross {result.gross_pnl:+,.0f}; deflated Sharpe {result.deflated_sharpe:.2f}, "
        f"drawdown {share_text(result.max_drawdown)}, account: {account_text(result.outcome)}"
    )


if __name__ == "__main__":
    main()
