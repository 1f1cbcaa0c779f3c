"""Run the whole pipeline: archives, bars, labels, search, training, audit, gates, promotion."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from steps.check import show_estimate
from steps.console import progress_bar, say, say_as_written, say_stage, show_table
from steps.options import (
    config_options,
    member_option,
    series_options,
    setting,
    settings_from,
    step,
    switch,
)

if TYPE_CHECKING:
    from quantgod.settings import Settings
    from quantgod.tracking.pipeline import StageRuns


@step("stages that finished are kept, and the same command goes on with the others")
@config_options
@member_option
@switch("--fresh", "fresh", "Run every stage, also those with an equal finished run.")
@setting("--source", "data.source", "simulate, download, local (archives) or imported (bars).")
@series_options
def main(config: Path, overrides: tuple[str, ...], *, fresh: bool, **options: Any) -> None:
    """Run every stage as a child run; a stage that has an equal finished run is skipped."""
    settings = settings_from(config, overrides, options)
    from quantgod.archive.store import WITHOUT_BOOKS, stored_series, without_books
    from quantgod.registry.ownership import check_name
    from quantgod.tracking.pipeline import failed_gates, resolved_config, run_stages, stages
    from quantgod.tracking.stage import HEADLINE_TAG, stage
    from quantgod.tracking.summary import description, key_figures

    _check(settings)
    tell_how_long(settings)
    with stage("main", settings) as parent:
        # `register` would refuse too, but only after hours of training.
        data, series = settings.data, settings.data.series
        if data.source == "imported":
            series = stored_series(data.market_bars, data.symbol)
            if without_books(data.market_bars, data.symbol):
                say(WITHOUT_BOOKS)
        check_name(parent.client, settings.registry.name, series)
        children = resolved_config(settings, config)
        made = run_stages(stages(settings), settings, children, {}, say_stage, fresh=fresh)
        done = made.runs
        failed = failed_gates(done["gates"])
        ended = f"not promoted: {failed}" if failed else done["promote"].data.tags[HEADLINE_TAG]
        parent.json("stages", made.ids)
        parent.metrics.log(key_figures(done))
        headline = f"{ended}; {len(done)} stages, {len(made.found)} of them unchanged"
        parent.headline(headline, description(done))
    with _suggesting(children, config):
        _summary(settings, children, made)
    say_as_written(ended)


def _check(settings: Settings) -> None:
    """Refuse what a later stage would refuse, after hours."""
    from quantgod.ensemble.checking import check_ensemble
    from quantgod.parallel.work import check_schedulers
    from quantgod.settings import members_of
    from quantgod.tracking.reads import beside_labels, unmakeable
    from quantgod.tracking.stage import MissingInput
    from quantgod.training.space import check_members, check_search

    members = {} if settings.ensemble is None else members_of(settings)
    check_ensemble(settings, members)
    check_members(members)
    if not members:
        check_search(settings)
    schedulers = (one.train.scheduler for one in (settings, *members.values()))
    check_schedulers(settings.etl.scheduler, *schedulers)
    if why := unmakeable(settings, beside_labels(settings)):
        raise MissingInput(f"main: {why}")


def _suggesting(children: Path, config: Path) -> AbstractContextManager[None]:
    """Let suggested commands name the children's file if it alone holds all that was given."""
    from quantgod.settings import repeating

    return nullcontext() if children == config else repeating(str(children))


def tell_how_long(settings: Settings) -> None:
    """Announce a run of more than an hour before it starts."""
    from quantgod.planning.at_hand import at_hand
    from quantgod.planning.work import is_surely_short

    have = at_hand(settings)
    if is_surely_short(settings, have.minutes):
        return
    from quantgod.planning.estimate import long_estimate

    with progress_bar("estimate", every=True) as progress:
        found = long_estimate(settings, have, progress)
    if found is not None:
        show_estimate(found)


def _summary(settings: Settings, config: Path, made: StageRuns) -> None:
    from quantgod.settings import command
    from quantgod.tracking.summary import HEADERS, stage_rows

    done = made.runs
    show_table("quantgod", HEADERS, stage_rows(done, made.found))
    kept = done["evaluate"].info.artifact_uri.removeprefix("file://")
    say("Try next:")
    say(f"  {kept}/report/report.html     the report, in a browser")
    say(f"  make ui CONFIG={config}     compare the runs in the browser")
    if "promote" not in done:
        run = done["register"].info.run_id
        force = command("promote", f"--register-run {run} --force true --reason 'why'")
        say_as_written(f"  {force}     deploy it nevertheless, recorded")
        return
    name, symbol = settings.registry.name, settings.data.symbol
    served = f"make serve CONFIG={config} MODEL={name}@{settings.registry.alias}"
    say(f"  {served}     serve it on 127.0.0.1:5001")
    say(
        "  curl http://127.0.0.1:5001/invocations -H 'Content-Type: application/json' "
        f"-d @{quote(str(settings.example))}"
    )
    own = f"data.symbol={symbol};live.symbols=[{symbol}];registry.name={name}"
    is_own = settings.live.symbols == (symbol,)  # the file that the command names says so
    others = [] if is_own else [f"--set {quote(own)}"]
    live = command("live", *others, "--exchange simulated", "--max-candles 10")
    say_as_written(f"  {live}     let it speak, offline")
    say(f"  make page CONFIG={config}     a live session, and the page that manages it")
    say("(in a shell of its environment: source .venv/bin/activate)")


if __name__ == "__main__":
    main()
