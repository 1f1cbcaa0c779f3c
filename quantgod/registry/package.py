"""Build the folder that is registered: graph, auditor, contract, golden rows, reference."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from quantgod import served
from quantgod.archive.snapshot_store import read_books, read_snapshot_metadata
from quantgod.archive.store import stored_days
from quantgod.auditor.auditor import CONFIDENCE_FILE, FILES
from quantgod.auditor.meta_features import MetaFeatures
from quantgod.contracts import CLASSES, FEATURE_SET, FEATURES, Series
from quantgod.dataset.learning_table import whole_rows
from quantgod.ensemble.ensemble import Ensemble
from quantgod.evaluation.drift import Reference
from quantgod.files import file_digest, write_json
from quantgod.forecasters.network import Network
from quantgod.registry import chain
from quantgod.registry.chain import COMBINER, MANIFEST, MEMBERS, SERVED, Chain, files_of
from quantgod.registry.export import export_graph
from quantgod.served.contract import Contract
from quantgod.served.request.books import read_blocks
from quantgod.served.request.rows import BOOK, read_rows

CHAIN_FILE = Path(chain.__file__)
SERVED_FOLDER = Path(served.__file__).parent
GOLDEN_BOOKS = 4
"""Windows in the golden rows of a network of the book: at full size each holds 8,000 numbers."""


@dataclass(frozen=True)
class Package:
    """A finished folder.

    Attributes:
        folder: its files.
        code: its chain file, which is registered beside the folder.
        manifest_sha256: digest of `manifest.json`, which holds the digests of all other files.
        export_difference: largest difference between the graph and the torch module.
        series: of its rows.
        feature_set: of the columns that it takes.
        members: of an ensemble; none of one network.
    """

    folder: Path
    code: Path
    manifest_sha256: str
    export_difference: float
    series: Series
    feature_set: str = FEATURE_SET
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class GoldenRows:
    """The rows that test a version: the newest `count` of `bars` that a network can look at.

    Attributes:
        bars: the columns that the network takes (and maybe more) with a sorted UTC index of whole
            minutes.
        count: number of rows; at least a window plus one is used.
        max_bridge_minutes: the longest gap inside a stretch, in training and in serving.
        snapshots: folder of the series' snapshots, for a network of the book; each of those rows
            has a whole block there.
    """

    bars: pd.DataFrame
    count: int
    max_bridge_minutes: int
    snapshots: Path | None = None


def build_package(
    folder: Path,
    base: Network | Ensemble,
    auditor: Path,
    golden: GoldenRows,
    reference: Reference,
    series: Series,
    code: Path = CHAIN_FILE,
) -> Package:
    """Assemble in `folder` (new or empty) all that a version needs except its code.

    The finished chain's output for the golden rows is stored, and compared at every load.

    Args:
        folder: of the package.
        base: network or ensemble; moved to the CPU.
        auditor: folder with the auditor's files.
        golden: real rows.
        reference: for comparison with live rows.
        series: of all rows.
        code: the chain file that goes with the package.

    Raises:
        ValueError: if the folder is not empty, there are too few golden rows, or the exported
            graph differs from the torch module.
        RequestError: if the golden rows break the contract, for example by a non-finite number.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: an empty folder was expected")
    folder.mkdir(parents=True, exist_ok=True)
    contract = _contract(base, golden, series)
    rows = golden_rows(golden, contract.window, contract.features)
    difference = _write_base(folder, base, rows, golden, series)
    for name in (*FILES, CONFIDENCE_FILE):
        if name in FILES or (auditor / name).is_file():
            shutil.copyfile(auditor / name, folder / name)
    write_json(folder / "labels.json", dataclasses.asdict(contract))
    reference.save(folder)
    shutil.copytree(SERVED_FOLDER, folder / SERVED, ignore=shutil.ignore_patterns("__pycache__"))
    few = rows if contract.book is None else rows[1 - contract.window - GOLDEN_BOOKS :]
    _write_golden(folder, _asked(few, golden, contract))
    digests = {name: file_digest(path) for name, path in files_of(folder).items()}
    write_json(folder / MANIFEST, digests | {"chain.py": file_digest(code)})
    manifest, features = file_digest(folder / MANIFEST), contract.feature_set
    members = tuple(base.members) if isinstance(base, Ensemble) else ()
    return Package(folder, code, manifest, difference, series, features, members)


def golden_rows(golden: GoldenRows, window: int, columns: Sequence[str] = FEATURES) -> pd.DataFrame:
    """Return the newest rows of the newest stretch that is long enough, as a request has them.

    Raises:
        ValueError: if no stretch is as long as a window plus one minute.
    """
    least = window + 1
    bars = whole_rows(golden.bars)
    times = pd.DatetimeIndex(bars.index)
    bridge = pd.Timedelta(minutes=golden.max_bridge_minutes + 1)
    run = np.cumsum(np.asarray(times.to_series().diff() > bridge))
    numbers, lengths = np.unique(run, return_counts=True)
    enough = numbers[lengths >= least]
    if not len(enough):
        raise ValueError(
            f"a run of {least} minutes expected, the longest has {max(lengths, default=0)}"
        )
    chosen = bars.loc[run == enough[-1], list(columns)].iloc[-max(golden.count, least) :]
    texts = pd.DatetimeIndex(chosen.index).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows: pd.DataFrame = chosen.reset_index(drop=True)
    rows.insert(0, "datetime", texts)
    return rows


def _asked(rows: pd.DataFrame, golden: GoldenRows, contract: Contract) -> pd.DataFrame:
    """Add the books of the rows that end a window, as nested lists of what the venue gave."""
    if contract.book is None or golden.snapshots is None:
        return rows
    ends = pd.DatetimeIndex(rows["datetime"].iloc[contract.window - 1 :])
    minutes = np.asarray(ends.as_unit("s").asi8 // 60)
    books: list[object] = [None] * (contract.window - 1)
    for date in sorted(set(ends.date)):
        path = golden.snapshots / f"{date.isoformat()}.parquet"
        books += read_books(path, minutes[ends.date == date]).tolist()
    return rows.assign(**{BOOK: pd.Series(books, index=rows.index, dtype=object)})


def _book(base: Network | Ensemble, snapshots: Path | None) -> dict[str, int] | None:
    """Return what a version takes of the book.

    Raises:
        ValueError: for a network of the book without snapshots.
    """
    if base.book is None:
        return None
    if snapshots is None or not (paths := stored_days(snapshots.parent, snapshots.name)):
        who = base.name if isinstance(base, Network) else "a member"
        raise ValueError(f"{who} looks at the book: snapshots expected, got {snapshots}")
    taken, levels = base.book
    interval = read_snapshot_metadata(paths[-1]).interval_ms
    return {"snapshots": taken, "levels": levels, "interval_ms": interval}


def _contract(network: Network | Ensemble, golden: GoldenRows, series: Series) -> Contract:
    return Contract(
        symbol=series.symbol,
        market=series.market,
        source=series.source,
        feature_set=network.inputs.feature_set,
        features=list(network.inputs.columns),
        silent=list(network.silent),
        classes=list(CLASSES),
        window=network.window,
        max_bridge_minutes=golden.max_bridge_minutes,
        base_class_weights=list(network.class_weights),
        book=_book(network, golden.snapshots),
    )


def _write_base(
    folder: Path,
    base: Network | Ensemble,
    rows: pd.DataFrame,
    golden: GoldenRows,
    series: Series,
) -> float:
    """Write the graph of a network, or those of all members with their contracts and combiner."""
    if isinstance(base, Network):
        contract = _contract(base, golden, series)
        return _write_graph(folder, base, _asked(rows, golden, contract), contract)
    worst = []
    for name, network in base.members.items():
        place = folder / MEMBERS / name
        place.mkdir(parents=True)
        own = _contract(network, golden, series)
        worst.append(_write_graph(place, network, _asked(rows, golden, own), own))
        write_json(place / "labels.json", dataclasses.asdict(own))
    write_json(folder / COMBINER, base.combiner.to_json())
    return max(worst)


def _write_graph(folder: Path, network: Network, rows: pd.DataFrame, contract: Contract) -> float:
    minutes, features = read_rows(rows, contract)
    windows = sliding_window_view(features, contract.window, axis=0).swapaxes(1, 2)
    inputs: dict[str, Any] = {"windows": windows[-chain.BATCH :]}
    if (blocks := read_blocks(rows, features, minutes, contract)) is not None:
        inputs[BOOK] = blocks[-chain.BATCH :]
    scaler, views = network.scaler, network.inputs.views
    module = MetaFeatures(network.model, scaler.mean, scaler.std, views)
    return export_graph(module, inputs, folder / "graph.onnx")


def _write_golden(folder: Path, rows: pd.DataFrame) -> None:
    body = rows.to_dict(orient="split", index=False)
    write_json(folder / "golden_input.json", {"dataframe_split": body})
    said = Chain(folder).judge(rows)
    said["datetime"] = [moment.isoformat() for moment in said["datetime"]]
    write_json(folder / "golden_output.json", {"predictions": said.to_dict(orient="records")})
