"""Watch whether live rows still resemble those that the model was made on.

At every candle, a feature more than `z_limit` standard deviations from its mean is an outlier.
Every `every_minutes` of exchange time, the newest `window_minutes` are compared with the reference
of the answering version, and with the `past_minutes` before them. This distinguishes a venue that
never resembled the reference from one that has changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np

from quantgod.contracts import FEATURES, Floats, Integers
from quantgod.contracts.minute_rows import MinuteRows
from quantgod.contracts.panel import chance_names
from quantgod.evaluation.drift import OUTPUTS, Reference, z_scores
from quantgod.live.drift.check import COLUMNS, DriftCheck, DriftRow
from quantgod.settings import DriftSettings

NO_MINUTE: Final = -1


class DriftWarning(NamedTuple):
    """An outlier to log.

    Attributes:
        outlier: the outlier, or the farthest of those held back.
        limit: of outliers, in standard deviations.
        kept_back: number of other outliers of this feature since its last warning.
    """

    outlier: DriftRow
    limit: float
    kept_back: int

    @property
    def text(self) -> str:
        """Return feature, value and z in one line."""
        row = self.outlier
        others = f"; {self.kept_back} more since the last warning" if self.kept_back else ""
        return (
            f"{row.symbol}: {row.name} is {row.value:.6g}, {row.z:.1f} standard deviations from "
            f"its mean (limit {self.limit:g}){others}"
        )


class DriftFindings(NamedTuple):
    """The findings at a candle: log warnings, journal rows, and a due check."""

    warnings: list[DriftWarning]
    outliers: list[DriftRow]
    check: DriftCheck | None


class DriftMonitor:
    """Watches any number of symbols; each keeps its own past, about 1.2 MB with full settings.

    Args:
        settings: limits and lengths.

    Raises:
        ValueError: if the past is shorter than the window, which would prevent comparisons.
    """

    def __init__(self, settings: DriftSettings) -> None:
        if settings.past_minutes < settings.window_minutes:
            raise ValueError(
                f"live.drift.past_minutes: at least window_minutes ({settings.window_minutes}) "
                f"expected, got {settings.past_minutes}"
            )
        self._settings = settings
        self._symbols: dict[str, _Symbol] = {}

    def adopt(self, symbol: str, reference: Reference | None, members: Sequence[str] = ()) -> None:
        """Use the reference of the version that now answers a symbol, if it has one.

        The features' past is kept. The former version's output is forgotten, since it is not
        comparable.

        Args:
            symbol: of the answered minutes.
            reference: of the version.
            members: of the version, whose probabilities are watched as well.
        """
        known = self._of(symbol)
        known.reference = reference
        known.members = tuple(name for one in members for name in chance_names(one))
        known.past.forget_output(len(known.members))

    def remember(self, symbol: str, rows: MinuteRows, output: Floats | None = None) -> None:
        """Add minutes from before this stream, oldest first.

        Minutes at or after the first live minute are dropped when it comes: a replayed recording
            must
        not see its own future.

        Args:
            symbol: of the rows.
            rows: of this venue only.
            output: (n, 3) probabilities of the present version, NaN where missing.

        Raises:
            ValueError: if minutes do not rise, or shapes do not fit.
        """
        known = self._of(symbol)
        if output is None:
            output = np.full((len(rows.minutes), len(OUTPUTS)), np.nan)
        unknown = np.full((len(rows.minutes), len(known.members)), np.nan)
        known.past.take(rows.minutes, np.hstack([rows.features, output, unknown]))

    def on_row(
        self,
        symbol: str,
        minute: int,
        features: Floats,
        output: Sequence[float] | None,
        votes: Mapping[str, float] | None = None,
    ) -> DriftFindings:
        """Add a closed minute's row. This is fast; a returned check is not.

        Args:
            symbol: of the row.
            minute: epoch minute, later than every live one before.
            features: (9,) in the order of `FEATURES`.
            output: the model's probabilities in class order; None without an answer.
            votes: those of its members by `chance_names`, if there are votes.

        Raises:
            ValueError: if the minute is not later than the one before.
        """
        known = self._of(symbol)
        if not known.is_live:
            known.past.forget_from(minute)
            known.is_live = True
        before = known.past.newest
        said = [np.nan] * len(OUTPUTS) if output is None else output
        told = [(votes or {}).get(name, np.nan) for name in known.members]
        known.past.take(np.asarray([minute]), np.concatenate([features, said, told])[None])
        outliers = self._outliers(symbol, minute, features)
        every = self._settings.every_minutes
        due = before != NO_MINUTE and minute // every != before // every
        check = self._check(symbol, minute) if due else None
        return DriftFindings(known.warnings(minute, outliers), outliers, check)

    def _outliers(self, symbol: str, minute: int, features: Floats) -> list[DriftRow]:
        reference = self._of(symbol).reference
        if reference is None:
            return []
        away = z_scores(reference, features)
        return [
            DriftRow(minute, symbol, FEATURES[place], "outlier", float(features[place]), z=float(z))
            for place, z in enumerate(away)
            if z > self._settings.z_limit
        ]

    def _check(self, symbol: str, minute: int) -> DriftCheck:
        length = self._settings.window_minutes
        known = self._of(symbol)
        past = known.past
        window = past.between(minute - length, minute)
        before = past.between(minute - length - self._settings.past_minutes, minute - length)
        columns = (*COLUMNS, *known.members)
        return DriftCheck(symbol, minute, window, before, known.reference, self._settings, columns)

    def _of(self, symbol: str) -> _Symbol:
        if symbol not in self._symbols:
            self._symbols[symbol] = _Symbol(self._settings)
        return self._symbols[symbol]


class _Symbol:
    """One symbol's past, the reference of its version, and its held back outliers."""

    def __init__(self, settings: DriftSettings) -> None:
        self.past = _Past(settings.window_minutes + settings.past_minutes)
        self.reference: Reference | None = None
        self.members: tuple[str, ...] = ()
        self.is_live = False
        self._settings = settings
        self._quiet_until: dict[str, int] = {}
        self._held: dict[str, list[DriftRow]] = {}

    def warnings(self, minute: int, outliers: list[DriftRow]) -> list[DriftWarning]:
        """Hold outliers back until their feature may be warned of again; report the farthest."""
        for row in outliers:
            self._held.setdefault(row.name, []).append(row)
        pause, limit = self._settings.warn_minutes, self._settings.z_limit
        due = [name for name in self._held if minute >= self._quiet_until.get(name, minute)]
        self._quiet_until |= dict.fromkeys(due, minute + pause)
        held = [self._held.pop(name) for name in due]
        return [DriftWarning(max(rows, key=attrgetter("z")), limit, len(rows) - 1) for rows in held]


class _Past:
    """Ring buffer of one symbol's newest rows, at most one per minute."""

    def __init__(self, minutes: int) -> None:
        self.newest = NO_MINUTE
        self._minutes = np.full(minutes, NO_MINUTE, dtype=np.int64)
        self._rows = np.full((minutes, len(COLUMNS)), np.nan)

    def take(self, minutes: Integers, rows: Floats) -> None:
        """Add rows (n, columns) with their minutes.

        Raises:
            ValueError: if minutes do not rise, or shapes do not fit.
        """
        if rows.shape != (len(minutes), count := self._rows.shape[1]):
            raise ValueError(f"minutes (n) and rows (n, {count}) expected, got {rows.shape}")
        order = np.concatenate([[self.newest], minutes])
        late = np.flatnonzero(np.diff(order) <= 0)
        if len(late):
            before, after = order[late[0] : late[0] + 2]
            raise ValueError(f"a minute after {before} expected, got {after}")
        # Each minute has a fixed position, where a newer row replaces an older one.
        places = minutes % len(self._minutes)
        self._rows[places] = rows
        self._minutes[places] = minutes
        self.newest = int(order[-1])

    def between(self, after: int, until: int) -> Floats:
        """Return a copy of the rows of the minutes in (after, until]."""
        return self._rows[(self._minutes > after) & (self._minutes <= until)]

    def forget_from(self, minute: int) -> None:
        self._minutes[self._minutes >= minute] = NO_MINUTE
        self.newest = int(self._minutes.max())

    def forget_output(self, members: int) -> None:
        """Forget what versions have said, and have room for so many columns of members."""
        features = self._rows[:, : len(FEATURES)]
        said = np.full((len(features), len(OUTPUTS) + members), np.nan)
        self._rows = np.hstack([features, said])
