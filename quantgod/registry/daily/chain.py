"""Forecasts of candles as they are served. A copy of this file goes with each version.

MLflow runs it as it stands ("models from code"). It imports nothing of quantgod, no torch and no
pickle; what it shares with training, `served`, lies in its package as a copy. What it checks itself
by stands here as in the chain of minute bars, since each goes alone with its versions.

What to post: closed candles of one or more of the version's coins in the columns `symbol`, `time`
(open time; ISO 8601 text in UTC, or epoch milliseconds), `open`, `high`, `low`, `close`, `volume`,
oldest first, at least `rows` (in `contract.json`) of each coin without a hole. Columns may come in
any order, others are ignored. `golden_input.json` of every version is such a body.

    curl http://127.0.0.1:5000/invocations -H 'Content-Type: application/json' -d '{
      "dataframe_split": {
        "columns": ["symbol", "time", "open", "high", "low", "close", "volume"],
        "data": [["BTCUSDT", "2026-01-01T00:00:00Z", 87000, 88100, 86500, 87900, 12345.6],
                 ...317 more rows, one a day...]}}'

Back comes one row for each coin and horizon of its newest candle: `symbol`, `datetime` (its close:
when the forecast is issued), `due` (the close that is forecast), `horizon` (candles ahead),
`close`, `expected_return` (log return), `return_q2.5` ... `return_q97.5` (its quantiles),
`price_q2.5` ... (those of the price), `up_probability`, `regime`, and of each member, `stacking`
and `equal_weights` `NAME_return` (the log return that it expects itself) and `NAME_weight`. Candles
that cannot be used come back as status 400 with a `code` and a `reason`.

That answer goes by the ensemble as it was registered. `Chain.issue_from` leads it on: it absorbs
what has come true since, and issues date by date, as the walk of training did.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.abc
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import lightgbm
import mlflow
import numpy as np
import numpy.typing as npt
import onnxruntime
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import DATA_LOSS, INVALID_PARAMETER_VALUE
from safetensors.numpy import load_file

GOLDEN_TOLERANCE = 1e-6
MANIFEST = "manifest.json"
CONTRACT, TIMELINE, REGIMES = "contract.json", "timeline.json", "regimes.json"
GOLDEN_INPUT, GOLDEN_OUTPUT = "golden_input.json", "golden_output.json"
PARTS = "parts"
"""Folder with one of each set of members: of all coins, or of one."""

PART, SCALE = "part.json", "scale.json"
PLAIN, TREES, NETWORK = "plain.json", "trees.json", "network.json"
"""Of a member, one of these: what it is."""

GRAPH, MASKS = "network.onnx", "masks.safetensors"
SERVED = "served"
"""Folder of a package that holds its copy of the code it shares with training."""

Floats = npt.NDArray[np.float64]


class InputError(MlflowException):
    """Candles that cannot be used: over HTTP a 400 whose JSON holds `code` and `reason`."""

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        self.reason = reason
        kind = INVALID_PARAMETER_VALUE
        super().__init__(self.message, error_code=kind, code=code, reason=reason)

    @property
    def message(self) -> str:
        """Code and reason, whatever it is set to: MLflow's server would add the posted rows."""
        return f"{self.code}: {self.reason}"

    @message.setter
    def message(self, _: str) -> None:
        pass


class PackageError(MlflowException):
    """A version whose files were changed, or that no longer gives its golden output."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}", error_code=DATA_LOSS, code=code, reason=reason)
        self.code = code


class ChainModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """What MLflow holds: checks its own files, then forecasts."""

    def load_context(self, context: Any) -> None:
        """Verify every file and the golden output.

        Raises:
            PackageError: naming the file, or what differs.
        """
        folder = Path(context.artifacts["package"])
        verify(folder, Path(__file__), (context.model_config or {}).get("manifest_sha256", ""))
        self.chain = Chain(folder)
        self.chain.check_golden()

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Forecast from each coin's newest candle; see this file's first lines."""
        return self.chain.forecast(model_input)


class Chain:
    """Members and ensemble of one version.

    Args:
        folder: the package, as `manifest.json` lists it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        own = partial(own_module, folder / SERVED)
        self.requests, self.quantiles = own("request.candles"), own("candles.quantiles")
        self.refused = own("request.rows").RequestError
        self.timelines = own("candles.timeline")
        self.regimes, self.live_module = own("candles.regimes"), own("candles.live")
        self.contract = own("candles.contract").Contract(**_json(folder / CONTRACT))
        self.experts = own("candles.state").experts_of(self.contract.members)
        read = partial(_part, own=own, members=self.contract.members)
        parts = [read(place) for place in sorted((folder / PARTS).iterdir())]
        self.live = self.live_module.Live(self.contract, parts, _json(folder / REGIMES))
        self.registered = self.timeline_of(_json(folder / TIMELINE))

    def timeline_of(self, told: Mapping[str, Any]) -> Any:
        """Return the timeline that its `to_json` told, to go on with by `issue_from`."""
        return self.timelines.Timeline.from_json(told)

    def forecast(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the forecasts of each coin's newest candle, by the ensemble as registered.

        Raises:
            InputError: with the code and the row or coin.
        """
        pasts = self._read(rows)
        with self._refusing():
            self.requests.check_newest(pasts, self.contract)
            dated = self.live.newest(self.registered, pasts)
            answered = [int(coin) for one in dated for coin in one.coins]
            self.requests.check_answered(pasts, answered, self.contract)
        return self.table(dated)

    def issue_from(self, timeline: Any, rows: pd.DataFrame) -> tuple[list[Any], Any]:
        """Go on from a timeline's last date to the newest candle that all posted coins have.

        Asked again with the timeline that it returns and the same candles, it issues nothing and
        changes nothing; in several steps it gives what it gives in one.

        Args:
            timeline: `registered`, or one that this returned; it is left as it is.
            rows: as `forecast` takes them, `contract.back` of each coin or more up to the first
                date to come. Where a coin has a hole it gets no forecast until a window is whole
                again, and outcomes across the hole stay unknown.

        Returns:
            What was issued, a `served.candles.live.Dated` for each date, which `table` tells; and
            the timeline after it.

        Raises:
            InputError: with the code and the row or coin.
        """
        pasts = self._read(rows)
        first = self.live_module.last_date(timeline) + 1
        with self._refusing():
            self.requests.check_reach(pasts, self.contract, first)
        issued, ahead = self.live.issue_from(timeline, pasts)
        return issued, ahead

    def table(self, dated: Sequence[Any]) -> pd.DataFrame:
        """Return a row for each date, coin and horizon, in this order."""
        return pd.DataFrame([row for one in dated for row in self._rows(one)])

    def check_golden(self) -> None:
        """Forecast from the golden input.

        Raises:
            PackageError: if a number is off by more than 1e-6.
        """
        rows = pd.DataFrame(**_json(self.folder / GOLDEN_INPUT)["dataframe_split"])
        expected = pd.DataFrame(_json(self.folder / GOLDEN_OUTPUT)["predictions"])
        self.compare(self.forecast(rows), expected)

    @staticmethod
    def compare(got: pd.DataFrame, expected: pd.DataFrame) -> None:
        """Compare answers to the golden input with those that were registered."""
        compare_golden(got, expected)

    def _read(self, rows: pd.DataFrame) -> Any:
        with self._refusing():
            return self.requests.read_candles(rows, self.contract)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Tell what own code refuses as MLflow's server tells it."""
        try:
            yield
        except self.refused as error:
            raise InputError(error.code, error.reason) from None

    def _rows(self, dated: Any) -> Iterator[dict[str, Any]]:
        for at, coin in enumerate(dated.coins):
            for steps, issued in zip(self.contract.horizons, dated.issued, strict=True):
                yield {
                    "symbol": self.contract.coins[coin],
                    "datetime": self._moment(dated.date + 1),
                    "due": self._moment(dated.date + 1 + steps),
                    "horizon": steps,
                    "close": float(dated.close[at]),
                    **self._told(dated, issued.take(slice(at, at + 1)), at, steps),
                }

    def _told(self, dated: Any, issued: Any, at: int, steps: int) -> dict[str, Any]:
        """Return what was issued of one coin, in log returns and prices."""
        close, sigma = dated.close[at : at + 1], dated.sigma[at : at + 1]
        wide = float(sigma[0] * np.sqrt(steps))
        levels = [f"{100 * level:g}" for level in self.quantiles.LEVELS]
        prices = self.quantiles.prices(close, sigma, steps, issued.quantiles)[0]
        regime, names = int(issued.regime[0]), self.regimes.NAMES
        told: dict[str, Any] = {"expected_return": float(issued.mean[0]) * wide}
        told |= dict(zip(map("return_q{}".format, levels), issued.quantiles[0] * wide, strict=True))
        told |= dict(zip(map("price_q{}".format, levels), prices, strict=True))
        told["up_probability"] = float(self.quantiles.up_probability(issued.quantiles)[0])
        told["regime"] = names[regime] if regime >= 0 else "unknown"
        for place, name in enumerate(self.experts):
            told[f"{name}_return"] = float(issued.means[0, place]) * wide
            told[f"{name}_weight"] = float(issued.weights[0, place])
        return told

    def _moment(self, date: int) -> str:
        """Return the open time of a date as text."""
        moment = pd.Timestamp(int(date) * self.contract.step_ms, unit="ms")
        return f"{moment.isoformat()}Z"


def _part(place: Path, own: Callable[[str], Any], members: Sequence[str]) -> Any:
    """Return the members in a folder, in their order, and which coins they speak of."""
    scale = own("candles.scaling").RobustScale.from_json(_json(place / SCALE))
    speakers = [_member(place / name, own) for name in members]
    return own("candles.live").Part(tuple(_json(place / PART)["coins"]), scale, speakers)


def _member(place: Path, own: Callable[[str], Any]) -> Any:
    """Return a member by the file that says what it is.

    Raises:
        PackageError: if none does.
    """
    readers = {PLAIN: _plain, TREES: _trees, NETWORK: _network}
    for name, read in readers.items():
        if (place / name).is_file():
            return read(place, _json(place / name), own)
    expected = f"one of {', '.join(readers)} expected in {place.name}"
    raise PackageError("missing_file", expected)


def _plain(place: Path, told: Mapping[str, Any], own: Callable[[str], Any]) -> Any:
    module = own("candles.members")
    return {"floor": module.Floor, "linear": module.Linear}[told["kind"]].from_json(told)


def _trees(place: Path, told: Mapping[str, Any], own: Callable[[str], Any]) -> Any:
    boosters = [
        [partial(_asked, lightgbm.Booster(model_file=str(place / name))) for name in each]
        for each in told["files"]
    ]
    return own("candles.members").Trees(told["rows"], boosters)


def _asked(booster: lightgbm.Booster, features: npt.NDArray[np.float32]) -> Floats:
    return np.asarray(booster.predict(features, num_threads=1), np.float64)


def _network(place: Path, told: Mapping[str, Any], own: Callable[[str], Any]) -> Any:
    masks = None
    if told["draws"]:
        masks = own("candles.mc_dropout").masks_of(load_file(place / MASKS))
    return own("candles.network").Network(_session(place / GRAPH), told["objective"], masks)


def compare_golden(got: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Compare what was predicted with what was registered.

    Raises:
        PackageError: naming the column and by how much it is off; what is no fraction must agree.
    """
    if len(got) != len(expected):
        raise PackageError("golden_output", f"{len(expected)} rows expected, got {len(got)}")
    if absent := [name for name in expected.columns if name not in got.columns]:
        raise PackageError("golden_output", f"{', '.join(absent)} expected beside what is said")
    for name in expected.columns:
        said, wanted = got[name].to_numpy(), expected[name].to_numpy()
        if wanted.dtype.kind != "f":
            for one, other in zip(said, wanted, strict=True):
                if one != other:
                    raise PackageError("golden_output", f"{name} is {one}, {other} was expected")
        elif not (off := _off(said, wanted)) <= GOLDEN_TOLERANCE:
            raise PackageError("golden_output", f"{name} is off by {off:.3g}, 1e-6 is allowed")


def _off(said: Floats, wanted: Floats) -> float:
    """Return by how much numbers differ at most, over their size where that is above one."""
    return float((np.abs(said - wanted) / np.maximum(1.0, np.abs(wanted))).max())


def verify(folder: Path, code: Path, manifest_sha256: str) -> None:
    """Compare every file with the manifest, and that with the digest it was registered under.

    Raises:
        PackageError: naming the file that is missing, unknown or changed.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise PackageError("missing_file", f"{MANIFEST} is not in the package")
    if sha256(manifest) != manifest_sha256:
        raise PackageError("changed_file", f"{MANIFEST} is not the one that was registered")
    expected = _json(manifest)
    found = {name: path for name, path in files_of(folder).items() if name != MANIFEST}
    found["chain.py"] = code
    for name in sorted(expected.keys() | found.keys()):
        if name not in found or not found[name].is_file():
            raise PackageError("missing_file", f"{name} is not in the package")
        if sha256(found[name]) != expected.get(name):
            raise PackageError("changed_file", f"{name} is not the one that was registered")


def files_of(folder: Path) -> dict[str, Path]:
    """Every file of a package by its path within."""
    files = (path for path in folder.rglob("*") if not path.is_dir())
    return {path.relative_to(folder).as_posix(): path for path in files}


class _Copy(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of one copy of `served`, by names that no other copy has.

    It leaves no compiled files behind, which nobody would have verified, and needs the folder no
    more: an equal copy elsewhere may ask for a module that the first one never did.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self._files = {
            ".".join((name, *path.relative_to(folder).with_suffix("").parts)): path
            for path in folder.rglob("*.py")
        }
        self._files = {key.removesuffix(".__init__"): path for key, path in self._files.items()}
        self._sources = {key: path.read_bytes() for key, path in self._files.items()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if (file := self._files.get(fullname)) is None:
            return None
        is_package = file.name == "__init__.py"
        return importlib.util.spec_from_loader(
            fullname, self, origin=str(file), is_package=is_package
        )

    def exec_module(self, module: ModuleType) -> None:
        file = self._files[module.__name__]
        exec(compile(self._sources[module.__name__], str(file), "exec"), module.__dict__)


def own_module(folder: Path, name: str) -> ModuleType:
    """Import a module of a package's own copy of `served`; equal copies are imported once."""
    copies = sorted(files_of(folder).items())
    text = "\n".join(f"{path} {sha256(file)}" for path, file in copies)
    package = f"served_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if package not in sys.modules:
        sys.meta_path.append(_Copy(package, folder))
    return importlib.import_module(f"{package}.{name}")


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # As the chain of minute bars: more threads only slow down a chain of small steps.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


mlflow.models.set_model(ChainModel())
