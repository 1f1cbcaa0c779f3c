"""Walk forward: fit members fold by fold, and forecast what comes after each border."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from quantgod.contracts import Floats, Integers, Progress, silent
from quantgod.dataset.candles.folds import TEST, Fold, folds_of
from quantgod.dataset.candles.table import CandleTable
from quantgod.files import atomic_path, write_json
from quantgod.forecasters.candles.learn import Learned, learn
from quantgod.forecasters.candles.member import Hooks
from quantgod.parallel.heartbeat import Message, Reporter, listening
from quantgod.parallel.work import Crash, Workers, run_all
from quantgod.served.candles.members import Said
from quantgod.served.candles.scaling import RobustScale
from quantgod.settings import FLOORS, ForecastSettings, Settings
from quantgod.training.reports import Epoch

_PARTS = 1000


class MemberError(RuntimeError):
    """Members of a fold could not be fitted; names the fold and the reason."""


@dataclass(frozen=True)
class Part:
    """A fold of some coins: all of them where they are pooled, else one."""

    fold: Fold
    coins: tuple[int, ...]
    label: str


@dataclass(frozen=True, eq=False)
class FittedPart:
    """What the members of a part said of its judged rows.

    Attributes:
        part: which.
        said: mean (rows, members, horizons), quantiles (..., levels).
        scale: of the features that were chosen.
        told: what is worth to know of each member's fit, by its name.
        learned: the members themselves, of the newest part alone.
    """

    part: Part
    said: Said
    scale: RobustScale
    told: dict[str, Any]
    learned: Learned | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the features that were chosen."""
        return self.scale.columns


@dataclass(frozen=True, eq=False)
class Forward:
    """Members' forecasts out of fold and on the test part, in order of date and coin.

    Attributes:
        members: names, the floors first.
        folds: in order; the last is the test part.
        parts: of folds and coins.
        rows: (n,) positions in the table.
        mean: (n, members, horizons).
        quantiles: (n, members, horizons, levels).
    """

    members: tuple[str, ...]
    folds: tuple[Fold, ...]
    parts: tuple[FittedPart, ...]
    rows: Integers
    mean: Floats
    quantiles: Floats

    @property
    def newest(self) -> tuple[FittedPart, ...]:
        """Return the members that are judged on the test part, and served."""
        return tuple(part for part in self.parts if part.learned is not None)


OnEpoch = Callable[[str, str, Epoch], None]


def unheard(part: str, member: str, epoch: Epoch) -> None:
    """Ignore an epoch."""


def split(table: CandleTable, how: ForecastSettings) -> list[Fold]:
    """Return the folds of the settings."""
    return folds_of(
        table, how.horizons, how.window,
        folds=how.folds, test_fraction=how.test_fraction, stopping_fraction=how.stopping_fraction,
    )  # fmt: skip


def walk_forward(
    table: CandleTable,
    settings: Settings,
    place: Path,
    on_epoch: OnEpoch = unheard,
    progress: Progress = silent,
    folds: Sequence[Fold] | None = None,
) -> Forward:
    """Fit the members of every fold and forecast its judged rows.

    Args:
        table: all rows.
        settings: forecast and train are read.
        place: folder of what a killed run goes on from.
        on_epoch: called with the part, the member and each epoch of its training.
        progress: over all parts.
        folds: by default those of the settings.

    Raises:
        EmptyPartError: if there are too few candles.
        MemberError: naming the fold that failed.
    """
    how = settings.forecast
    folds = split(table, how) if folds is None else folds
    parts = list(_parts(table, folds, pooled=how.pooled))
    heard = _Heard(len(parts), on_epoch, progress)
    with listening(place.resolve(), heard.hear) as messages:
        fit = partial(
            _fit, table=table, settings=settings, place=place.resolve(), messages=messages
        )
        fitted: dict[str, FittedPart] = {}
        # The newest, which are the longest, begin first.
        with closing(run_all(fit, parts[::-1], Workers(how.workers))) as made:
            for one in made:
                if isinstance(one.result, Crash):
                    raise MemberError(f"{one.given.label}: {one.result.error}")
                fitted[one.given.label] = one.result
    return _joined(table, how, folds, [fitted[part.label] for part in parts])


def _parts(table: CandleTable, folds: Sequence[Fold], *, pooled: bool) -> Iterator[Part]:
    for fold in folds:
        if pooled:
            yield Part(fold, tuple(range(len(table.coins))), fold.name)
            continue
        for coin, name in enumerate(table.coins):
            own = [
                rows[table.coin[rows] == coin] for rows in (fold.train, fold.stopping, fold.judged)
            ]
            if len(own[2]) and len(own[0]) and len(own[1]):  # a coin may be younger than a fold
                kept = replace(fold, train=own[0], stopping=own[1], judged=own[2])
                yield Part(kept, (coin,), f"{fold.name} {name}")


def _fit(
    part: Part, table: CandleTable, settings: Settings, place: Path, messages: Path
) -> FittedPart:
    reporter = Reporter(messages, part.label.replace(" ", "-"))
    folder = place / part.label.replace(" ", "-")

    def on_epoch(member: str, epoch: Epoch) -> None:
        told = {"part": part.label, "member": member, "epoch": epoch.to_json()}
        reporter.report(told)

    def progress(done: int, total: int, note: str) -> None:
        share = _PARTS * done // max(1, total)
        reporter.report_now_and_then({"part": part.label, "done": share, "note": note})

    if (kept := _read(folder, part)) is not None:
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    learned = learn(table, part.fold, settings, Hooks(folder, on_epoch, progress))
    said = learned.forecast(table, part.fold.judged)
    told = {name: member.told for name, member in learned.members.items()}
    newest = part.fold.name == TEST
    found = FittedPart(part, said, learned.scale, told, learned if newest else None)
    if not newest:
        _keep(folder, found)
    return found


def _keep(folder: Path, found: FittedPart) -> None:
    """Write what is needed of a fold but its members, which nobody asks again."""
    with atomic_path(folder / "said.safetensors") as target:
        save_file(found.said._asdict(), target)
    write_json(folder / "told.json", {"scale": found.scale.to_json(), "told": found.told})


def _read(folder: Path, part: Part) -> FittedPart | None:
    if not (folder / "told.json").is_file():
        return None
    kept = json.loads((folder / "told.json").read_text(encoding="utf-8"))
    said = Said(**load_file(folder / "said.safetensors"))
    return FittedPart(part, said, RobustScale.from_json(kept["scale"]), kept["told"])


def _joined(
    table: CandleTable, how: ForecastSettings, folds: Sequence[Fold], parts: Sequence[FittedPart]
) -> Forward:
    rows = np.concatenate([one.part.fold.judged for one in parts])
    order = np.lexsort((table.coin[rows], table.date[rows]))
    mean, quantiles = (
        np.concatenate([getattr(one.said, name) for one in parts])[order]
        for name in ("mean", "quantiles")
    )
    members = (*FLOORS, *how.chosen)
    return Forward(members, tuple(folds), tuple(parts), rows[order], mean, quantiles)


class _Heard:
    """Adds up the progress of all parts, and passes epochs on."""

    def __init__(self, parts: int, on_epoch: OnEpoch, progress: Progress) -> None:
        self._total, self._on_epoch, self._progress = parts * _PARTS, on_epoch, progress
        self._done: dict[str, int] = {}

    def hear(self, message: Message) -> None:
        if "epoch" in message:
            self._on_epoch(message["part"], message["member"], Epoch(**message["epoch"]))
            return
        self._done[message["part"]] = message["done"]
        self._progress(sum(self._done.values()), self._total, message["note"])
