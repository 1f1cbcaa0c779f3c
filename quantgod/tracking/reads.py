"""The data that each stage reads, and the stages that make it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from quantgod.archive.store import are_imported
from quantgod.settings import Settings, members_of

READS: Final[Mapping[str, tuple[str, ...]]] = {
    "etl": ("archives",),
    "label": ("bars",),
    "features": ("bars",),
    "snapshots": ("bars", "archives"),
    "optimize": ("labels",),
    "train": ("labels",),
    "members": ("labels",),
    "searches": ("labels",),
    "audit": ("labels",),
    "register": ("labels",),
    "evaluate": ("labels",),
    "backtest": ("bars",),
    "compare": ("bars",),
    "leak_audit": ("bars",),
    "gates": ("labels",),
    "forecast": ("candles",),
    "predict": ("candles",),
}
READS_IF_THERE: Final[Mapping[str, tuple[str, ...]]] = {
    "backtest": ("archives",),
    "compare": ("archives",),
    "leak_audit": ("archives",),
    "gates": ("journal",),
}
MADE_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "archives": ("simulate", "download"),
    "bars": ("etl", "import_bars"),
    "candles": ("candles",),
    "labels": ("label",),
    "features": ("features",),
    "snapshots": ("snapshots",),
}
"""The data that a stage reads, what it can do without, and the stages that make it."""

BESIDE_LABELS: Final = ("features", "snapshots")
"""What networks may look at beside labelled bars."""

OF_BARS: Final = frozenset({"tcn_lstm"})
"""Architectures known to look at bars alone, so that `gates` need not load PyTorch to ask."""


def reads(name: str, settings: Settings) -> tuple[str, ...]:
    """Return the data that a stage reads; who reads labels also reads what a network looks at.

    The leak audit makes features anew, of bars, and reads the snapshots alone.
    """
    known = READS.get(name, ())
    if "labels" in known:
        return (*known, *beside_labels(settings))
    if name == "leak_audit" and "snapshots" in beside_labels(settings):
        return (*known, "snapshots")
    return known


def beside_labels(settings: Settings) -> tuple[str, ...]:
    """Return what a network looks at beside labelled bars: `features`, `snapshots`.

    Each is also the name of the stage that makes it. An ensemble looks at what any member does.

    Raises:
        SettingsError: for an unknown network, or one of the book with too short a window.
    """
    if settings.ensemble is not None:
        each = [beside_labels(one) for one in members_of(settings).values()]
        return tuple(name for name in BESIDE_LABELS if any(name in one for one in each))
    if settings.model.name in OF_BARS:
        return ()
    from quantgod.models import zoo  # noqa: PLC0415

    inputs = zoo.inputs(settings.model.name, settings.window.length)
    looks = dict(zip(BESIDE_LABELS, (inputs.has_features, inputs.has_book), strict=True))
    return tuple(name for name, is_seen in looks.items() if is_seen)


def unmakeable(settings: Settings, wanted: Sequence[str]) -> str:
    """Return why `wanted`, of features and snapshots, cannot be made of imported bars; else empty.

    Both are made of archives alone: features read what `etl` keeps of the seconds.
    """
    data, imported = settings.data, settings.data.source == "imported"
    with suppress(OSError, ValueError):
        imported = imported or are_imported(data.market_bars, data.symbol)
    if not (wanted and imported):
        return ""
    lookers = []
    if settings.ensemble is not None:
        each = {name: beside_labels(own) for name, own in members_of(settings).items()}
        lookers = [name for name, looks in each.items() if any(one in wanted for one in looks)]
    who = f" (which {' and '.join(lookers)} look{'s' * (len(lookers) == 1)} at)" if lookers else ""
    return (
        f"{' and '.join(wanted)}{who} cannot be made of the bars at {data.own_bars}, which were "
        "imported and have no archives. A network that looks at bars alone learns from them "
        f"(`model.name: {', '.join(sorted(OF_BARS))}`); others need bars that `etl` makes of "
        "archives (`data.source: download` or `local`), in another folder"
    )
