"""The public interface for other programs: `import quantgod` offers these names.

model = quantgod.load_version("quantgod", "Production", store="sqlite:///mlflow.db")
bars = quantgod.read_bars("data/bars", "BTCUSDT")
answers = model.predict(bars.iloc[-800:])
signals = quantgod.read_journal("data/live/binance", "SIGNALS")
features = quantgod.make_features(prices)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PyFuncModel

from quantgod.archive.price_features import features_of
from quantgod.archive.store import load_bars
from quantgod.contracts import FEATURES, MS_PER_MINUTE
from quantgod.live.journal import read_table
from quantgod.registry.registered import VersionError
from quantgod.registry.versions import load_chain
from quantgod.served.contract import Contract
from quantgod.tracking.relocation import database

MAX_BRIDGE_MINUTES = 5
PRICES = ("open", "high", "low", "close")


class Version:
    """A registered version whose files and golden output have been verified.

    Attributes:
        name: of the registered model.
        contract: the version's series, its inputs and its outputs.
    """

    def __init__(self, name: str, model: PyFuncModel) -> None:
        self.name = name
        self._model = model
        self.contract: Contract = model.unwrap_python_model().chain.contract  # type: ignore[no-untyped-call]

    def predict(self, bars: pd.DataFrame) -> pd.DataFrame:
        """Predict each minute that ends a full window.

        Args:
            bars: the columns of the contract (the nine features, as `read_bars` returns them, and
                maybe the 112, and `book` where it asks for books), oldest minute first, with a
                column `datetime` or an index of times in UTC; other columns are ignored.

        Returns:
            A row for each answered minute, with the columns that `docs/serving.md` lists.

        Raises:
            ValueError: for anything but a DataFrame.
            MlflowException: with the same code and reason as over HTTP.
        """
        if not isinstance(bars, pd.DataFrame):
            raise ValueError(
                "a DataFrame of the nine features was expected, a row a minute, as `read_bars` "
                f"gives it; got {type(bars).__name__}"
            )
        rows = bars if "datetime" in bars else bars.rename_axis("datetime").reset_index()
        book = () if getattr(self.contract, "book", None) is None else ("book",)
        wanted = [name for name in ("datetime", *self.contract.features, *book) if name in rows]
        return pd.DataFrame(self._model.predict(rows[wanted]))


def load_version(name: str, at: int | str = "Production", store: str | None = None) -> Version:
    """Load a version by number or alias, and verify it.

    Args:
        name: of the registered model.
        at: number (also as text) or alias; an alias is case-sensitive.
        store: MLflow's tracking URI; default is MLflow's own.

    Raises:
        VersionError: if there is no such store or version, or its files are not those registered.
    """
    _check_store(mlflow.get_tracking_uri() if store is None else store)
    if store is not None:
        mlflow.set_tracking_uri(store)
    return Version(name, load_chain(name, int(at) if str(at).isdecimal() else at))


def _check_store(uri: str) -> None:
    """Refuse an SQLite store that does not exist: MLflow would create an empty one."""
    file = database(uri)
    if file is not None and not file.is_file():
        raise VersionError(f"{uri}: a store that exists was expected, there is no file {file}")


def read_bars(
    folder: str | Path, symbol: str, market: str = "linear", columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read minute bars stored by `etl` or `import_bars`.

    Args:
        folder: the store, `data.bars` in the settings.
        symbol: such as BTCUSDT.
        market: linear, spot or inverse.
        columns: of the 810 of a bar; default is the nine features and `close`.

    Returns:
        Bars under a UTC index `datetime`, the minutes' starts.

    Raises:
        StoreError: if they are not there, naming what is.
    """
    return load_bars(Path(folder) / market, symbol, columns)


def make_features(
    prices: pd.DataFrame, max_bridge_minutes: int = MAX_BRIDGE_MINUTES
) -> pd.DataFrame:
    """Compute those of the nine features that prices determine; features of the book are left out.

    Args:
        prices: `open`, `high`, `low`, `close` of minutes, under an increasing UTC index.
        max_bridge_minutes: a longer gap ends a stretch.

    Returns:
        These features, without the first minute of each stretch.

    Raises:
        ValueError: for an unusable column or time, for no rows, or for a minute with impossible
            prices, naming the first.
    """
    if not isinstance(prices.index, pd.DatetimeIndex) or prices.index.tz is None:
        raise ValueError(f"an index of times in UTC was expected, got {prices.index.dtype}")
    if missing := [name for name in PRICES if name not in prices]:
        raise ValueError(f"columns open, high, low, close were expected, {missing} are not there")
    stamps = prices.index.as_unit("ms").asi8
    if (stamps % MS_PER_MINUTE).any() or (np.diff(stamps) <= 0).any():
        raise ValueError("whole minutes were expected, each later than the one before it")
    _check_prices(prices)
    minutes = prices.set_axis(stamps // MS_PER_MINUTE)
    found = features_of(minutes, None, max_bridge_minutes)
    frame = pd.DataFrame(found.values, index=prices.index, columns=list(FEATURES))
    return frame.loc[found.has_row].drop(columns=list(found.lacks))


def _check_prices(prices: pd.DataFrame) -> None:
    if prices.empty:
        raise ValueError("at least one minute was expected, there is no row")
    values = prices[list(PRICES)].to_numpy(np.float64)
    sound = (np.isfinite(values) & (values > 0)).all(axis=1)
    sound &= (values[:, 1] >= values.max(axis=1)) & (values[:, 2] <= values.min(axis=1))
    if not sound.all():
        row = int(sound.argmin())
        came = ", ".join(f"{name} {value}" for name, value in zip(PRICES, values[row], strict=True))
        raise ValueError(
            f"row {row} ({prices.index[row]}): {came}; finite prices above zero were expected, "
            "none above the high, none below the low"
        )


def read_journal(folder: str | Path, table: str) -> pd.DataFrame:
    """Read a table of a live session's journal, also while it is being written.

    Args:
        folder: of the journal.
        table: `BARS`, `SIGNALS`, `DRIFT` or `EVENTS`.

    Returns:
        Its rows in order of arrival, with `datetime` (UTC) and `session`.

    Raises:
        JournalError: if there is no such journal or table, naming what there is.
    """
    rows: pd.DataFrame = read_table(Path(folder), table).to_pandas()
    return rows
