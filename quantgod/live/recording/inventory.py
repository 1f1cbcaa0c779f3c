"""List recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from quantgod.archive.inventory import Holding, of_minutes
from quantgod.contracts import Integers
from quantgod.live.journal import JournalError
from quantgod.live.journal.reader import read_batches

_NS_PER_MINUTE = 60_000_000_000


def held_recordings(folder: Path) -> list[Holding]:
    """Return the recordings of `collect` in a folder, by symbol.

    A minute counts if a message arrived in it, by the local clock. `{exchange}` in the folder's
    name stands for all exchanges.
    """
    name = folder.name.replace("{exchange}", "*")
    folders = sorted(entry for entry in folder.parent.glob(name) if entry.is_dir())
    return [holding for folder in folders for holding in _of_folder(folder)]


def _of_folder(folder: Path) -> list[Holding]:
    minutes: dict[str, list[Integers]] = {}
    try:
        for batch in read_batches(folder, "RAW", ("received_ns", "symbol")):
            for symbol, own in _by_symbol(batch).items():
                minutes.setdefault(symbol, []).append(own)
    except JournalError as error:
        return [Holding(folder.name, "", "", "", 0, 0.0, "", str(error))]
    return [
        of_minutes(folder.name, symbol, np.unique(np.concatenate(parts)))
        for symbol, parts in sorted(minutes.items())
    ]


def _by_symbol(batch: pa.RecordBatch) -> dict[str, Integers]:
    received = batch.column("received_ns").to_numpy() // _NS_PER_MINUTE
    symbols = np.asarray(batch.column("symbol").to_pylist())
    return {str(symbol): np.unique(received[symbols == symbol]) for symbol in np.unique(symbols)}
