"""The folder that is registered: graph, auditor, contract, golden rows, reference."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from quantgod import served
from quantgod.auditor.auditor import FILES
from quantgod.auditor.meta_features import MetaFeatures
from quantgod.contracts import CLASSES, FEATURE_SET, FEATURES, Series
from quantgod.evaluation.drift import Reference
from quantgod.files import file_digest, write_json
from quantgod.forecasters.network import Network
from quantgod.registry import chain
from quantgod.registry.chain import MANIFEST, SERVED, Chain, Contract, files_of
from quantgod.registry.export import export_graph

CHAIN_FILE = Path(chain.__file__)
SERVED_FOLDER = Path(served.__file__).parent


@dataclass(frozen=True)
class Package:
    """A finished folder.

    Attributes:
        folder: its files.
        code: the chain file it was made for, which is not in it and is registered beside it.
        manifest_sha256: the digest of `manifest.json`, which holds the digest of every other file.
        export_difference: the largest difference seen between the graph and the torch module.
        series: whose rows it was made of.
    """

    folder: Path
    code: Path
    manifest_sha256: str
    export_difference: float
    series: Series


@dataclass(frozen=True)
class GoldenRows:
    """Which rows prove a version: the newest `count` of `bars`.

    Attributes:
        bars: the nine features, maybe more, under a UTC index of whole minutes, sorted.
        count: how many are wanted; at least a window and a minute are taken.
        max_bridge_minutes: the longest hole inside a run of minutes, in training as in serving.
    """

    bars: pd.DataFrame
    count: int
    max_bridge_minutes: int


def build_package(
    folder: Path,
    network: Network,
    auditor: Path,
    golden: GoldenRows,
    reference: Reference,
    series: Series,
    code: Path = CHAIN_FILE,
) -> Package:
    """Assemble all that a version needs, except its code, in `folder` (new or empty).

    What the finished chain says of the golden rows is kept, and compared at every load.

    Args:
        folder: where the package is made.
        network: the base network; it is moved to the CPU.
        auditor: a folder with the auditor's files.
        golden: real rows.
        reference: what live rows will be held against.
        series: whose rows all of it was made of.
        code: the chain file that will travel with the package.

    Raises:
        ValueError: if the folder is not empty, there are too few golden rows, or the exported
            graph differs from the torch module.
        InputError: if the golden rows break the contract, say by a number that is not finite.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: an empty folder was expected")
    folder.mkdir(parents=True, exist_ok=True)
    contract = _contract(network, golden.max_bridge_minutes, series)
    rows = golden_rows(golden, contract.window)
    difference = _write_graph(folder, network, rows, contract)
    for name in FILES:
        shutil.copyfile(auditor / name, folder / name)
    write_json(folder / "labels.json", dataclasses.asdict(contract))
    reference.save(folder)
    shutil.copytree(SERVED_FOLDER, folder / SERVED, ignore=shutil.ignore_patterns("__pycache__"))
    _write_golden(folder, rows)
    digests = {name: file_digest(path) for name, path in files_of(folder).items()}
    write_json(folder / MANIFEST, digests | {"chain.py": file_digest(code)})
    return Package(folder, code, file_digest(folder / MANIFEST), difference, series)


def golden_rows(golden: GoldenRows, window: int) -> pd.DataFrame:
    """Take the newest rows of the newest run that is long enough, as a caller would post them.

    Raises:
        ValueError: if no run is as long as a window and a minute.
    """
    least = window + 1
    times = pd.DatetimeIndex(golden.bars.index)
    bridge = pd.Timedelta(minutes=golden.max_bridge_minutes + 1)
    run = np.cumsum(np.asarray(times.to_series().diff() > bridge))
    numbers, lengths = np.unique(run, return_counts=True)
    enough = numbers[lengths >= least]
    if not len(enough):
        raise ValueError(
            f"a run of {least} minutes expected, the longest has {max(lengths, default=0)}"
        )
    chosen = golden.bars.loc[run == enough[-1], list(FEATURES)].iloc[-max(golden.count, least) :]
    texts = pd.DatetimeIndex(chosen.index).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows: pd.DataFrame = chosen.reset_index(drop=True)
    rows.insert(0, "datetime", texts)
    return rows


def _contract(network: Network, max_bridge_minutes: int, series: Series) -> Contract:
    return Contract(
        symbol=series.symbol,
        market=series.market,
        source=series.source,
        feature_set=FEATURE_SET,
        features=list(FEATURES),
        silent=list(network.silent),
        classes=list(CLASSES),
        window=network.window,
        max_bridge_minutes=max_bridge_minutes,
        base_class_weights=list(network.class_weights),
    )


def _write_graph(folder: Path, network: Network, rows: pd.DataFrame, contract: Contract) -> float:
    _, features = chain.read_rows(rows, contract)
    windows = sliding_window_view(features, contract.window, axis=0).swapaxes(1, 2)
    module = MetaFeatures(network.model, network.scaler.mean, network.scaler.std)
    return export_graph(module, windows[-chain.BATCH :], folder / "graph.onnx")


def _write_golden(folder: Path, rows: pd.DataFrame) -> None:
    body = rows.to_dict(orient="split", index=False)
    write_json(folder / "golden_input.json", {"dataframe_split": body})
    said = Chain(folder).judge(rows)
    said["datetime"] = [moment.isoformat() for moment in said["datetime"]]
    write_json(folder / "golden_output.json", {"predictions": said.to_dict(orient="records")})
