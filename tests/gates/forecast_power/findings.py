"""What an experiment may have found."""

from __future__ import annotations

from quantgod.evaluation.forecasts.claims import Claim
from quantgod.evaluation.forecasts.coverage import Covered
from quantgod.evaluation.intervals import Interval
from quantgod.gates import Gate
from quantgod.gates.forecast_power.power import Finding, Kind, Look

AHEAD = {1: "1 day", 7: "7 days", 30: "30 days"}


def look(steps: int, mean: float, width: float, *, enough: bool = True) -> Look:
    """Skills whose low ends are these."""
    skill = Interval(mean + 0.02, mean, mean + 0.04, enough)
    held = tuple(
        Covered(promised=share, issued=Interval(share - 0.01, share - 0.02, share))
        for share in (0.5, 0.8, 0.95)
    )
    return Look(
        ahead=AHEAD[steps],
        is_gated=steps < 30,
        mean=Claim(steps=steps, looks=60, skill=skill),
        width=Interval(width + 0.01, width, width + 0.02, enough),
        coverage=held,
    )


def finding(
    kind: Kind = "null", seed: int = 1000, mean: int | None = None, width: int | None = None
) -> Finding:
    """Skill of mean and width at these horizons, and at no other."""
    looks = tuple(
        look(steps, 0.01 if steps == mean else -0.01, 0.01 if steps == width else -0.01)
        for steps in AHEAD
    )
    gates = tuple(
        Gate(f"pinball_skill_{steps}", "0.1", "> 0", None if steps == 30 else steps == width, "")
        for steps in AHEAD
    )
    return Finding(kind=kind, seed=seed, looks=looks, gates=gates, seconds=12.3)
