"""Count what forecasters of candles have found in series whose truth is known.

- Of null series, whose returns are independent and of one volatility, skill of the mean must be
  claimed of none, at no horizon.
- Momentum is found where skill of the mean is claimed at a gated horizon, at the same level.
- Clusters of volatility are found where the low end of the pinball skill over the random walk, as
  the gate has it, is above 0 at a gated horizon. That random walk is corrected by its matured
  forecasts, so that knowing how fat tails are is no skill.

Pinball skill on a null series is counted and is no false claim: an average over weeks is a noisy
measure of a volatility that never changes, and who averages longer does beat it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, get_args

import msgspec
import numpy as np

from quantgod.contracts import Floats
from quantgod.evaluation.forecasts.claims import Claim
from quantgod.evaluation.forecasts.coverage import Covered
from quantgod.evaluation.forecasts.evaluate import ForecastEvaluation
from quantgod.evaluation.forecasts.outcomes import RANDOM_WALK
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.wording import ahead_text
from quantgod.gates.power import Count, count_gates, gate_table
from quantgod.gates.report import Gate
from quantgod.settings import ForecastPowerSettings, Settings, SettingsError, with_values

Kind = Literal["null", "momentum", "clusters"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

SEEDS_APART: Final = 1_000
"""How far the seeds of one kind lie behind those of the kind before it."""


class Series(NamedTuple):
    """A series of the experiment: candles of all coins, of one seed."""

    kind: Kind
    seed: int

    @property
    def name(self) -> str:
        """Return a name like `momentum-2003`."""
        return f"{self.kind}-{self.seed}"

    def settings(self, settings: Settings) -> Settings:
        """Return the experiment's settings with this seed, and with what is planted alone."""
        how = settings.forecast_power
        own = {
            "seed": self.seed,
            "momentum": how.momentum if self.kind == "momentum" else 0.0,
            "clusters": how.clusters if self.kind == "clusters" else 0.0,
            "regimes": 0.0,
        }
        return with_values(settings, {f"candles.simulate.{key}": own[key] for key in own})


def series_of(settings: Settings) -> list[Series]:
    """Return all series of the experiment; who asks for fewer gets a part of the same.

    Raises:
        SettingsError: if there are more looks than intervals are widened for, or more series of a
            kind than seeds.
    """
    how, horizons = settings.forecast_power, len(settings.forecast.horizons)
    if (looks := how.null_series * horizons) > how.looks:
        raise SettingsError(
            f"forecast_power.looks: at least {looks} expected, for {how.null_series} null series "
            f"at {horizons} horizons, got {how.looks}"
        )
    counts = {kind: _asked(how, kind) for kind in KINDS}
    if max(counts.values()) > SEEDS_APART:
        raise SettingsError(f"forecast_power: at most {SEEDS_APART} series of a kind: {counts}")
    return [
        Series(kind, how.first_seed + SEEDS_APART * place + number)
        for place, kind in enumerate(KINDS)
        for number in range(counts[kind])
    ]


def _asked(how: ForecastPowerSettings, kind: Kind) -> int:
    return int(getattr(how, f"{kind}_series"))


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was found at one horizon.

    Attributes:
        ahead: how far it looks, in words.
        is_gated: whether gates judge it.
        mean: whether skill of the mean is claimed.
        width: pinball skill over the random walk.
        coverage: of the central intervals.
    """

    ahead: str
    is_gated: bool
    mean: Claim
    width: Interval
    coverage: tuple[Covered, ...]

    @property
    def beats_width(self) -> bool:
        """Return whether there is enough data and the low end of the width's skill is above 0."""
        return self.width.enough and self.width.low > 0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a forecaster has found in one series.

    Attributes:
        kind: of the series.
        seed: of the series.
        looks: by horizon.
        gates: all gates with their verdicts.
        seconds: duration.
    """

    kind: Kind
    seed: int
    looks: tuple[Look, ...]
    gates: tuple[Gate, ...]
    seconds: float

    @property
    def found(self) -> bool:
        """Return whether something is claimed of a null series, or what is planted is found."""
        if self.kind == "null":
            return any(look.mean.is_made for look in self.looks)
        gated = [look for look in self.looks if look.is_gated]
        if self.kind == "momentum":
            return any(look.mean.is_made for look in gated)
        return any(look.beats_width for look in gated)


def finding_of(
    series: Series, evaluation: ForecastEvaluation, gates: Sequence[Gate], settings: Settings,
    seconds: float,
) -> Finding:  # fmt: skip
    """Return what an evaluation has found in a series."""
    gated = settings.forecast.gates.horizons
    looks = []
    for one, claim in zip(evaluation.horizons, evaluation.claims, strict=True):
        scores = one.models[evaluation.subject]
        looks.append(
            Look(
                ahead=ahead_text(one.steps * evaluation.step_ms),
                is_gated=one.steps in gated,
                mean=claim,
                width=scores.pinball_skill[RANDOM_WALK],
                coverage=scores.coverage,
            )
        )
    return Finding(
        kind=series.kind, seed=series.seed, looks=tuple(looks), gates=tuple(gates),
        seconds=round(seconds, 1),
    )  # fmt: skip


class ForecastPower(msgspec.Struct, frozen=True, kw_only=True):
    """The whole experiment.

    Attributes:
        findings: one of each series, in the order of `series_of`.
        found_in: share of the series of a kind in which what is planted must be found.
    """

    findings: tuple[Finding, ...]
    found_in: float

    def of(self, kind: Kind) -> tuple[Finding, ...]:
        """Return the findings of one kind of series."""
        return tuple(one for one in self.findings if one.kind == kind)

    def count(self, kind: Kind) -> Count:
        """Return in how many series of a kind something was found, and how many there are."""
        found = self.of(kind)
        return Count(sum(one.found for one in found), len(found))

    @property
    def wrong(self) -> list[str]:
        """Return what is claimed where there is nothing, and what is planted and not found."""
        wrong = [
            f"skill of the mean is claimed {look.ahead} ahead of a null series, seed {one.seed}"
            for one in self.of("null")
            for look in one.looks
            if look.mean.is_made
        ]
        for kind in KINDS[1:]:
            found, judged = self.count(kind)
            if found < self.found_in * judged:
                wrong.append(
                    f"{kind} found in {found} of {judged} series, in a share of "
                    f"{self.found_in:g} expected"
                )
        return wrong

    @property
    def headline(self) -> str:
        """Return one line: what was found of each kind."""
        told = {kind: self.count(kind) for kind in KINDS}
        claimed = told.pop("null")
        found = ", ".join(f"{kind} found in {n.passed} of {n.judged}" for kind, n in told.items())
        return f"skill of the mean claimed of {claimed.passed} of {claimed.judged} null; {found}"


HEAD: Final = (
    "series", "ahead", "count", "mean claimed", "skill of the mean", "width above 0",
    "skill of the width", "in 50 %", "in 80 %", "in 95 %",
)  # fmt: skip
SERIES_HEAD: Final = ("series", "found", "ahead", "mean, widened", "width", "in 80 %", "in 95 %")


def summary_rows(power: ForecastPower) -> list[tuple[str, ...]]:
    """Return a row of each kind and horizon, as `HEAD` names it; skills and shares are medians."""
    rows = []
    for kind in KINDS:
        for looks in zip(*(one.looks for one in power.of(kind)), strict=True):
            shares = [[one.issued.value for one in look.coverage] for look in looks]
            rows.append((
                kind, looks[0].ahead, str(len(looks)),
                str(sum(look.mean.is_made for look in looks)),
                _middle([look.mean.skill.value for look in looks]),
                str(sum(look.beats_width for look in looks)),
                _middle([look.width.value for look in looks]),
                *(f"{share:.1%}" for share in np.median(np.array(shares), axis=0)),
            ))  # fmt: skip
    return rows


def gate_rows(power: ForecastPower) -> list[list[str]]:
    """Return one row per gate: its name, and how many series of each kind passed it."""
    return gate_table([count_gates(one.gates for one in power.of(kind)) for kind in KINDS])


def series_rows(power: ForecastPower) -> list[tuple[str, ...]]:
    """Return a row of each series and horizon, as `SERIES_HEAD` names it."""
    return [
        (
            Series(one.kind, one.seed).name, "yes" if one.found else "no", look.ahead,
            _interval(look.mean.skill), _interval(look.width),
            *(f"{covered.issued.value:.1%}" for covered in look.coverage[1:]),
        )
        for one in power.findings
        for look in one.looks
    ]  # fmt: skip


def finding_line(one: Finding) -> str:
    """Return `momentum 2003: found, mean +6.37% [+3.73%, +8.94%] 1 day ahead, ..., 21 s`."""
    verdict = ("claimed" if one.kind == "null" else "found") if one.found else "nothing found"
    skills = [
        f"{'width' if one.kind == 'clusters' else 'mean'} "
        f"{_interval(look.width if one.kind == 'clusters' else look.mean.skill)} {look.ahead} ahead"
        for look in one.looks
        if look.is_gated
    ]
    return f"{one.kind} {one.seed}: {verdict}, {', '.join(skills)}, {one.seconds:.0f} s"


def _middle(skills: Sequence[float]) -> str:
    found: Floats = np.quantile(skills, [0.5, 0.0, 1.0])
    return f"{found[0]:+.1%} ({found[1]:+.1%} to {found[2]:+.1%})"


def _interval(found: Interval) -> str:
    told = f"{found.value:+.2%} [{found.low:+.2%}, {found.high:+.2%}]"
    return told if found.enough else f"{found.value:+.2%} (too few)"
