"""Check whether settings, data, registry and machine fit together."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from quantgod.archive.store import WITHOUT_BOOKS
from quantgod.contracts import FEATURES
from quantgod.dataset.labels import LABEL_COLUMNS, further_horizons
from quantgod.dataset.samples import SEEN, samples
from quantgod.dataset.splits import folds, split_test, split_validation
from quantgod.dataset.table import read_table
from quantgod.models import zoo
from quantgod.planning.at_hand import Inventory, days_asked_for, missing_days
from quantgod.registry.lineage import lineage_of
from quantgod.registry.registered import all_versions
from quantgod.settings import Settings, SettingsError, command, without_passwords
from quantgod.tracking.reads import beside_labels, unmakeable
from quantgod.tracking.stage import data_path
from quantgod.training.devices import choose_device
from quantgod.training.material import train_and_validation
from quantgod.training.space import current_values, joined_space, longest_window
from quantgod.training.study import check_storage

State = Literal["ok", "note", "wrong"]

DOWNLOADED_BYTES: Final = 600_000_000
"""Assumed size of a downloaded day, if none is available."""

MESSAGE_BYTES, CHANGE_BYTES = 30, 13
"""Rough compressed size of a simulated message, and of each of its changes."""

BAR_BYTES: Final = 8_000_000
"""Assumed size of a stored day of bars, if none is available."""

NAMED: Final = 5


class Finding(NamedTuple):
    """The result of one check: `note` is information, `wrong` would end the run."""

    subject: str
    state: State
    text: str


def findings(settings: Settings, have: Inventory, client: MlflowClient) -> list[Finding]:
    """Run all checks, of settings whose network is sound (`check_network`), and return findings."""
    return [
        *_archives(settings, have),
        *_bars(settings, have),
        *_labels(settings, have),
        _enough(settings, have),
        *_network(settings),
        _search(settings),
        *_leak_audit(settings),
        registry_finding(settings, client),
        _device(settings),
        _disk(settings, have),
    ]


def _archives(settings: Settings, have: Inventory) -> Iterator[Finding]:
    place = settings.data.archives
    if not have.archives:
        later = have.bar_rows or have.label_rows
        match settings.data.source:
            case "simulate":
                text, state = f"none at {place}: they are simulated", "ok"
            case "download":
                asked = days_asked_for(settings)
                text = f"none at {place}: `{command('download')}` gets {asked} days"
                state = "ok" if later else "note"
            case _:
                text, state = f"none at {place}", "ok" if later else "wrong"
        yield Finding("archives", state, text)  # type: ignore[arg-type]
        return
    days = tuple(sorted(file.date for file in have.archives))
    missing = missing_days(days)
    text = f"{len(days)} days by name, {days[0]} to {days[-1]}"
    if missing:
        named = ", ".join(map(str, missing[:NAMED]))
        text += f"; {len(missing)} days are missing between: {named}"
    yield Finding("archives", "note" if missing else "ok", text)


def _bars(settings: Settings, have: Inventory) -> Iterator[Finding]:
    if not have.bar_days:
        others = _symbols_in(settings.data.market_bars)
        text = f"none of {settings.data.symbol} at {settings.data.own_bars}: `etl` makes them"
        yield Finding("bars", "note" if others else "ok", f"{text}{others}")
        return
    unread = f"; {have.days_to_read} archives are yet to be read" if have.days_to_read else ""
    full = 1440 * len(have.bar_days)
    yield Finding(
        "bars",
        "ok",
        f"{len(have.bar_days)} days, {have.bar_days[0]} to {have.bar_days[-1]}, {have.bar_rows:,} "
        f"rows, {have.bar_rows / full:.1%} of their minutes{unread}",
    )
    if have.without_books:
        yield Finding("backtest", "note", WITHOUT_BOOKS)


def _labels(settings: Settings, have: Inventory) -> Iterator[Finding]:
    path = data_path("labels", settings)
    if not have.label_rows:
        yield Finding("labels", "ok", f"none at {path}: `label` makes them")
        return
    try:
        table = read_table(path)
    except ValueError as error:
        yield Finding("labels", "wrong", str(error))
        return
    ends = table["label_end"].dropna()
    looks = int((ends.iloc[0] - ends.index[0]) / pd.Timedelta(minutes=1)) if len(ends) else 0
    label = settings.label
    asked = [label.horizon_minutes, *(one.horizon_minutes for one in label.further)]
    held = [looks, *further_horizons(table)]
    text = f"{len(table):,} rows, {len(ends):,} of them labelled"
    if held != asked:
        yield Finding(
            "labels",
            "note",
            f"{text}; they look {_joined(held)} minutes ahead, and the "
            f"settings {_joined(asked)}: `label` makes them anew",
        )
    else:
        yield Finding("labels", "ok", text)


def _joined(minutes: list[int]) -> str:
    return " and ".join(map(str, minutes))


def _symbols_in(bars: Path) -> str:
    held = sorted(item.name for item in bars.iterdir() if item.is_dir()) if bars.is_dir() else []
    return f"; what lies there: {', '.join(held[:NAMED])}" if held else ""


def _enough(settings: Settings, have: Inventory) -> Finding:
    """Split a table of that many minutes as the stages will."""
    if not have.minutes:
        return Finding("rows", "wrong", "there is nothing to learn from")
    window, horizon = settings.window.length, settings.label.horizon_minutes
    asked = f"windows of {window}, labels {horizon} ahead, {settings.split.folds} folds"
    space = joined_space(settings.model, settings.optimize.space)
    lost = zoo.inputs(settings.model.name, window).memory - 1
    try:
        table = whole_table(settings, have.minutes)
        table[SEEN] = np.arange(len(table)) >= lost
        for length, stride in (
            (window, settings.window.stride),
            (longest_window(settings, space), settings.optimize.stride),
        ):
            train, _ = train_and_validation(table, length, stride, settings.split)
            if len(train) < settings.train.every:
                raise ValueError(f"train.every {settings.train.every} of {len(train)} samples")
        taken = samples(table, window, settings.audit.stride)
        dev = split_test(taken, settings.split).train
        for fold in folds(taken, dev, settings.split):
            split_validation(taken, fold.train, settings.audit.stopping_fraction, settings.split)
    except ValueError as error:
        return Finding(
            "rows", "wrong", f"{have.minutes:,} {have.told} are too few for {asked}: {error}"
        )
    independent = have.minutes * settings.split.test_fraction / horizon
    return Finding(
        "rows",
        "ok",
        f"{have.minutes:,} {have.told} do for {asked}; the test part holds about "
        f"{independent:,.0f} labels that do not overlap",
    )


def whole_table(settings: Settings, minutes: int) -> pd.DataFrame:
    """Return a labelled table of one stretch; real ones can only have fewer samples."""
    index = pd.date_range("2024-01-01", periods=minutes, freq="min", tz="UTC", name="datetime")
    horizon = settings.label.longest_minutes
    known = np.arange(minutes) < minutes - horizon
    ends = pd.Series(index + pd.Timedelta(minutes=horizon), index=index)
    zeros = np.zeros(minutes)
    values = dict.fromkeys((*FEATURES, "forward_return"), zeros) | {"close": zeros + 1.0}
    values |= {"run": zeros.astype(np.int32), "target": np.where(known, 1, -1)}
    return pd.DataFrame({**values, "label_end": ends.where(known)}, index)[list(LABEL_COLUMNS)]


def _search(settings: Settings) -> Finding:
    storage = settings.optimize.storage
    try:
        check_storage(storage)
    except SettingsError as error:
        return Finding("search", "wrong", str(error))
    return Finding("search", "ok", f"kept in {without_passwords(storage)}{_not_tried(settings)}")


def _leak_audit(settings: Settings) -> Iterator[Finding]:
    """Yield a finding if no label could cross a border of the leak audit, which it refuses."""
    stride, horizon = settings.leak_audit.stride, settings.label.longest_minutes
    if stride >= horizon:
        yield Finding(
            "leak audit", "wrong",
            f"leak_audit.stride is {stride} minutes and labels reach {horizon} ahead: no label "
            "crosses a border, so that purging cannot be audited; give a shorter stride",
        )  # fmt: skip


def _not_tried(settings: Settings) -> str:
    """Say which of the settings' own values no trial will have."""
    space = joined_space(settings.model, settings.optimize.space)
    apart = sorted(space.keys() - current_values(settings, space).keys())
    return f"; no trial has the settings' own {', '.join(apart)}" if apart else ""


def _network(settings: Settings) -> Iterator[Finding]:
    """Name what the network looks at and the bars cannot give."""
    if why := unmakeable(settings, beside_labels(settings)):
        yield Finding("network", "wrong", why)


def registry_finding(settings: Settings, client: MlflowClient) -> Finding:
    """Check the series of the versions registered under this name."""
    name, symbol = settings.registry.name, settings.data.symbol
    try:
        versions = all_versions(client, name)
        runs = {run for version in versions if (run := lineage_of(version).runs.get("label"))}
        params = [client.get_run(run).data.params for run in runs]
        symbols = {one["data.symbol"] for one in params if "data.symbol" in one}
    except MlflowException as error:
        return Finding("registry", "note", f"it cannot be asked: {error.message}")
    if others := sorted(symbols - {symbol}):
        return Finding(
            "registry",
            "wrong",
            f"{name} holds versions of {', '.join(others)}; give {symbol} a name of its own: "
            "registry.name",
        )
    return Finding("registry", "ok", f"{name} holds {len(versions)} versions")


def _device(settings: Settings) -> Finding:
    try:
        return Finding("device", "ok", f"training on {choose_device(settings.train.device).type}")
    except ValueError as error:
        return Finding("device", "wrong", str(error))


def _disk(settings: Settings, have: Inventory) -> Finding:
    """Check the disk space for archives and bars still to be made."""
    to_come = 0 if have.archives or have.bar_days or have.label_rows else days_asked_for(settings)
    needed = to_come * _archive_bytes(settings) + (have.days_to_read or to_come) * BAR_BYTES
    free = shutil.disk_usage(_existing(settings.data.bars)).free
    text = f"about {needed / 1e9:.1f} GB are needed, {free / 1e9:.0f} GB are free"
    return Finding("disk", "wrong" if needed > free else "ok", text)


def _archive_bytes(settings: Settings) -> float:
    if settings.data.source != "simulate":
        return DOWNLOADED_BYTES
    market = settings.simulate
    return 86_400_000 / market.cadence_ms * (MESSAGE_BYTES + CHANGE_BYTES * market.changes)


def _existing(path: Path) -> Path:
    path = path.resolve()
    return next(parent for parent in (path, *path.parents) if parent.exists())
