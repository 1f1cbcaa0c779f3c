"""Judge each feature and probability: stable, different at this venue, or drifted.

Two samples differ if both the population stability index and the Kolmogorov-Smirnov distance exceed
their limits. Each alone gives false alarms on neighbouring minutes: the index when calm hours leave
bins empty, the distance when a slow feature stays on one side for hours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from quantgod.contracts import FEATURES, Floats
from quantgod.evaluation.drift import OUTPUTS, Distribution, Reference, Shift, shift
from quantgod.settings import DriftSettings

COLUMNS: Final = (*FEATURES, *OUTPUTS)
"""The watched columns. Those of members come behind them, and are held against their own past."""

Verdict = Literal["outlier", "stable", "level", "offset", "drift", "unknown"]
"""For one candle, `outlier`: a value far from the reference's mean. For a window:

`stable`: it differs neither from the reference nor from the venue's own past, as far as known.
`level`: a feature differs from the reference by a constant, as `log_volume` does at a venue with
fewer messages, but not from its own past, as far as there is one.
`offset`: it differs from the reference but not from its own past: a property of the venue.
`drift`: it differs from its own past.
`unknown`: too few rows.
"""

STATISTICS: Final = ("value", "z", "psi_reference", "ks_reference", "psi_past", "ks_past")


class DriftRow(NamedTuple):
    """A row of the journal's DRIFT table; None for unknown values.

    Attributes:
        minute: epoch minute of the candle, or the newest minute of the window.
        symbol: of the row.
        name: feature or probability.
        verdict: see `Verdict`.
        value: the candle's, or the window's mean.
        z: its distance from the reference's mean, in the reference's standard deviations.
        psi_reference: population stability index of the window against the reference.
        ks_reference: Kolmogorov-Smirnov distance against the reference.
        psi_past: population stability index against the venue's own past.
        ks_past: Kolmogorov-Smirnov distance against the venue's own past.
        trained: the reference's mean.
    """

    minute: int
    symbol: str
    name: str
    verdict: Verdict
    value: float | None = None
    z: float | None = None
    psi_reference: float | None = None
    ks_reference: float | None = None
    psi_past: float | None = None
    ks_past: float | None = None
    trained: float | None = None


@dataclass(frozen=True, eq=False)
class DriftCheck:
    """Copied rows for one check, which another thread may judge.

    Attributes:
        symbol: of the rows.
        minute: the newest minute.
        window: (n, columns) the newest rows; missing probabilities are NaN.
        past: (m, columns) the rows before them.
        reference: of the answering version, if it has one.
        settings: lengths and limits.
        columns: names, of an ensemble those of its members' probabilities as well.
    """

    symbol: str
    minute: int
    window: Floats
    past: Floats
    reference: Reference | None
    settings: DriftSettings
    columns: tuple[str, ...] = COLUMNS

    def judge(self) -> list[DriftRow]:
        """Return a row for each column. It takes about 20 ms: not for an event loop."""
        return [self._judge(place, name) for place, name in enumerate(self.columns)]

    def _judge(self, place: int, name: str) -> DriftRow:
        window, past = _said(self.window[:, place]), _said(self.past[:, place])
        if len(window) < self.settings.window_minutes / 2:
            return DriftRow(self.minute, self.symbol, name, "unknown")
        kept = None if self.reference is None else _kept(self.reference, name)
        to_reference = None if kept is None else shift(kept.quantiles, window)
        to_past = shift(past, window) if len(past) >= self.settings.window_minutes else None
        mean = float(window.mean())
        found = verdict(to_reference, to_past, self.settings)
        if kept is not None and found in ("offset", "unknown") and self._is_level(kept, window):
            found = "level" if name in FEATURES else found
        row = DriftRow(
            self.minute,
            self.symbol,
            name,
            found,
            mean,
            None if kept is None else abs(mean - kept.mean) / kept.std,
            *(to_reference or (None, None)),
            *(to_past or (None, None)),
        )
        return row if kept is None else row._replace(trained=kept.mean)

    def _is_level(self, kept: Distribution, window: Floats) -> bool:
        """Return whether the window, shifted to the reference's median, resembles the reference."""
        around = float(np.median(kept.quantiles)) + (window - np.median(window))
        return not _differs(shift(kept.quantiles, around), self.settings)


def verdict(to_reference: Shift | None, to_past: Shift | None, settings: DriftSettings) -> Verdict:
    """Return the verdict of the two comparisons; None for one that was not possible."""
    if to_past is not None and _differs(to_past, settings):
        return "drift"
    if to_reference is None:
        return "unknown" if to_past is None else "stable"
    if not _differs(to_reference, settings):
        return "stable"
    return "unknown" if to_past is None else "offset"


def metrics(rows: Iterable[DriftRow]) -> dict[str, float]:
    """Return a check's rows as MLflow metrics: `BTCUSDT/drift/body/psi_past` and so on.

    `BTCUSDT/drift/features` is the number of drifted features.
    """
    said: dict[str, float] = {}
    for row in rows:
        count = f"{row.symbol}/drift/features"
        said[count] = said.get(count, 0.0) + (row.verdict == "drift")
        for statistic in STATISTICS:
            value = getattr(row, statistic)
            if value is not None:
                said[f"{row.symbol}/drift/{row.name}/{statistic}"] = value
    return said


def in_words(rows: Iterable[DriftRow]) -> str:
    """Summarise a check in one line: `drift: body; offset: max_spread`.

    Levels include both numbers: `level differs: log_volume trained 6.4, here 5.1`.
    """
    rows = list(rows)
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.verdict, []).append(row.name)
    told = [word for word in ("drift", "offset", "unknown") if word in found]
    names = {word: "all" if len(found) == 1 else ", ".join(found[word]) for word in told}
    levels = [
        f"level differs: {row.name} trained {row.trained:.3g}, here {row.value:.3g}"
        for row in rows
        if row.verdict == "level"
    ]
    return "; ".join([*(f"{word}: {names[word]}" for word in told), *levels]) or "stable"


def _differs(found: Shift, settings: DriftSettings) -> bool:
    return found.psi > settings.psi_limit and found.ks > settings.ks_limit


def _kept(reference: Reference, name: str) -> Distribution | None:
    """Return what is kept of a column; nothing of what a single member says."""
    return reference.features.get(name) or reference.output.get(name)


def _said(column: Floats) -> Floats:
    return column[~np.isnan(column)]
