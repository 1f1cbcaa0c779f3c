"""Combine the members of the ensemble in place otherwise: a new version, through the gates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from steps.console import say_as_written, say_stage, show_table
from steps.options import config_options, given, setting, settings_from, step


class ChangeRefused(click.ClickException):
    """Gates stop the new version."""


@step("what is in place stays in place, and the same command goes on with the other stages")
@config_options
@setting("--name", "registry.name", "Name of the registered model.")
@setting("--alias", "registry.alias", "Alias of the version to change; its case matters.")
@given("--weight", "MEMBER=NUMBER; several are parted by ','.")
@given("--strategy", "How the members' forecasts become one (docs/models.md).")
@given("--enable", "Members that are to vote again, parted by ','.")
@given("--disable", "Members that are to have no vote, parted by ','.")
@given("--reason", "Why; it is recorded beside the change itself.")
@given("--seen", "Head of the ledger that this was decided on; else what it is now.")
def main(
    config: Path,
    overrides: tuple[str, ...],
    weight: str | None,
    strategy: str | None,
    enable: str | None,
    disable: str | None,
    reason: str | None,
    seen: str | None,
    **options: Any,
) -> None:
    """Combine the members' stored forecasts otherwise, and deploy that if its gates pass.

    Members are not trained again. Ends with 1, and the version before in place, if a gate fails.
    """
    at_hand = settings_from(config, overrides, options)
    from quantgod.registry.changing import MADE, EnsembleChange, deploy_change, plan_change
    from quantgod.tracking.keys import output_of
    from quantgod.tracking.pipeline import failed_gates, resolved_config, run_stages
    from quantgod.tracking.stage import stage
    from quantgod.tracking.store import connect
    from quantgod.tracking.summary import HEADERS, description, key_figures, stage_rows

    asked = EnsembleChange(_weights(weight), strategy, _enabled(enable, disable))
    plan = plan_change(connect(at_hand.tracking), at_hand, asked, seen)
    why = ": ".join(filter(None, (plan.asked.in_words(), reason)))
    with stage("change", plan.settings, plan.runs) as run:
        children = resolved_config(plan.settings, config)
        made = run_stages(MADE, plan.settings, children, plan.runs, say_stage)
        version = output_of(made.ids["register"], "version")["version"]
        failed = failed_gates(made.runs["gates"])
        said = f"version {version} is not promoted: {failed}"
        if not failed:
            said = deploy_change(run.client, plan, int(version), made.ids["gates"], why)
        run.json("stages", made.ids)
        run.metrics.log(key_figures(made.runs))
        run.output(version=version, over=str(plan.over), failed=failed)
        run.headline(f"{why}: {said}", description(made.runs))
    show_table("quantgod", HEADERS, stage_rows(made.runs, made.found))
    if failed:
        raise ChangeRefused(said)
    say_as_written(said)


def _weights(text: str | None) -> dict[str, float]:
    try:
        said = (one.partition("=") for one in _parts(text))
        return {name.strip(): float(number) for name, _, number in said}
    except ValueError:
        raise click.BadParameter(
            f"MEMBER=NUMBER expected, got {text!r}", param_hint="--weight"
        ) from None


def _enabled(enable: str | None, disable: str | None) -> dict[str, bool]:
    both = set(_parts(enable)) & set(_parts(disable))
    if both:
        raise click.UsageError(f"{', '.join(sorted(both))}: either --enable or --disable")
    return dict.fromkeys(_parts(enable), True) | dict.fromkeys(_parts(disable), False)


def _parts(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


if __name__ == "__main__":
    main()
