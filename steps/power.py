"""Test whether the gates stop models of null markets and pass those of planted signals."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import progress_bar, remark, say, show_table
from steps.options import config_options, given, setting, settings_from, step

if TYPE_CHECKING:
    from quantgod.evaluation.interval_power import DesignOutcome
    from quantgod.gates.power import Power
    from quantgod.settings import CurveSettings, Settings


@step("markets that were judged are kept, and the same command goes on with the others")
@partial(config_options, config="conf/power.yaml")
@setting("--null", "power.null_markets", "Markets with nothing to find.")
@setting("--planted", "power.planted_markets", "Markets with a signal; of a curve: at each place.")
@setting("--workers", "power.workers", "Markets at a time, a process each.")
@setting(
    "--scheduler", "power.scheduler", "A Dask cluster that makes them instead: tcp://HOST:8786."
)
@given("--intervals", "Draw so many cases, and tell how often intervals hold.", metavar="CASES")
def main(config: Path, overrides: tuple[str, ...], intervals: str | None, **options: Any) -> None:
    """Judge models of many markets by the gates; end with 1 if luck passes, or skill does not.

    With a `power.curve` (conf/power_curve.yaml) signals of several strengths and several numbers of
    days are judged. Markets that were judged are kept until code or settings change: who asks for
    more gets them beside those.

    With --intervals no market is made: forecasts whose true scores are known are drawn, and the
    table tells in what share of cases each score's 95 % interval holds the truth, and how wide
    it is. A kind of market that is done stays done: started again, the rest is drawn.
    """
    settings = settings_from(config, overrides, options)
    if intervals is not None:
        _prove_intervals(int(intervals), settings)
        return
    import msgspec

    from quantgod.gates.power import rehearsal_line
    from quantgod.gates.power_figure import verdicts
    from quantgod.registry.rehearsals import run_rehearsals
    from quantgod.tracking.stage import stage

    _check(settings)
    if settings.power.curve is not None:
        _measure_curve(settings, settings.power.curve)
        return
    with stage("power", settings) as run, progress_bar("power") as progress:
        found = run_rehearsals(
            settings, run.workplace(), lambda one: remark(rehearsal_line(one)), progress
        )
        run.json("power", msgspec.to_builtins(found))
        run.figure("verdicts", verdicts(found))
        passed = {kind: found.passes(kind) for kind in ("null", "planted")}
        run.metrics.log({f"{kind}_passed": count for kind, count in passed.items()})
        run.headline(", ".join(f"{count} {kind} passed" for kind, count in passed.items()))
    _show(found)
    if found.problem:
        raise click.ClickException(found.problem)


def _check(settings: Settings) -> None:
    """Refuse networks that could not be built, and a cluster that is away, before anything else."""
    from quantgod.ensemble.checking import check_ensemble
    from quantgod.parallel.work import check_schedulers
    from quantgod.settings import members_of
    from quantgod.training.space import PARAMETERS, check_members, check_network

    check_schedulers(settings.power.scheduler)
    if settings.ensemble is None:
        check_network(settings)
        return
    members = members_of(settings)
    check_ensemble(settings, members)
    check_members(members, PARAMETERS)


def _measure_curve(settings: Settings, curve: CurveSettings) -> None:
    import msgspec

    from quantgod.gates.power import rehearsal_line
    from quantgod.gates.power_curve import curve_problem, share_at_most
    from quantgod.gates.power_curve_figure import curve_figure
    from quantgod.registry.rehearsals import run_rehearsals
    from quantgod.tracking.stage import stage

    with stage("power_curve", settings) as run, progress_bar("curve") as progress:
        found = run_rehearsals(
            settings, run.lasting_place(), lambda one: remark(rehearsal_line(one)), progress
        )
        run.json("power_curve", msgspec.to_builtins(found))
        run.figure("curve", curve_figure(found))
        passed, null = found.passes("null"), len(found.of("null"))
        bound = share_at_most(passed, null)
        run.metrics.log({"null_passed": passed, "null": null, "null_passed_at_most": bound})
        run.headline(f"{passed} of {null} null passed, at most {bound:.2%}")
    _show_curve(found)
    if problem := curve_problem(found, curve):
        raise click.ClickException(problem)


def _show_curve(found: Power) -> None:
    from quantgod.gates.power_curve import NULL_HEAD, PLACE_HEAD, grid, null_rows, place_rows

    show_table("Models that pass", *grid(found))
    show_table("Models by place", PLACE_HEAD, place_rows(found))
    show_table("Null markets", NULL_HEAD, null_rows(found))


def _prove_intervals(cases: int, settings: Settings) -> None:
    import msgspec

    from quantgod.gates.interval_proof import HEAD, JOBS, Proof, prove_all, rows_of
    from quantgod.tracking.stage import stage

    found: list[DesignOutcome] = []
    with stage("intervals", settings) as run, progress_bar("intervals") as progress:
        made = prove_all(cases, settings.power.workers, run.workplace())
        for done, some in enumerate(made, start=1):
            found += some
            progress(done, len(JOBS), some[0].design)
        proof = Proof(cases=cases, found=tuple(found))
        run.json("intervals", msgspec.to_builtins(proof))
        run.metrics.log({"lines": len(proof.proven), "lines_outside": len(proof.outside)})
        run.headline(proof.headline)
    show_table(f"95 % intervals, {cases} cases", HEAD, rows_of(proof.found))
    say(proof.headline)
    if proof.outside:
        raise click.ClickException("intervals that do not hold what they promise")


def _show(found: Power) -> None:
    from quantgod.gates.power import (
        KINDS,
        MOVING,
        ensemble_rows,
        gate_rows,
        loss_rows,
        summary_rows,
    )

    show_table("Gates passed, by kind of market", ["gate", *KINDS], gate_rows(found))
    show_table("Models", ["market", "seeds", "passed"], summary_rows(found))
    if rows := ensemble_rows(found):
        lasting = [f"{strategy} lasts" for strategy in MOVING]
        show_table("Log-loss", *loss_rows(found))
        show_table("Ensembles", ["market", "beats its best member", *lasting], rows)


if __name__ == "__main__":
    main()
