"""The chain as it is served: minute bars in, audited signals out. A copy goes with each version.

MLflow runs it as it stands ("models from code"). It imports nothing of quantgod, no torch and no
pickle; what it shares with training, `served`, lies in its package as a copy. So two versions in
one process each run their own code.

What to post: the column `datetime` (UTC; ISO 8601 text, with `Z`, an offset, or neither) and the
nine features, or all columns that the contract (`labels.json`) lists, at least `window` (720) rows,
oldest minute first. Columns may come in any order; others are ignored. `golden_input.json` of every
version is such a body.

    curl http://127.0.0.1:5000/invocations -H 'Content-Type: application/json' -d '{
      "dataframe_split": {
        "columns": ["datetime", "body", "upper_wick", "lower_wick", "log_ret_close",
                    "volatility", "max_spread", "mean_obi", "mean_deep_obi", "log_volume"],
        "data": [["2025-01-01T00:00:00Z", 1e-4, 2e-4, 0, 1e-4, 2e-5, 1e-6, 0.12, 0.08, 6.4],
                 ...719 more rows, one a minute...]}}'

Back comes one row for each minute that ends a full window: `{"predictions": [{"datetime": ...,
"base_sell": ..., "base_neutral": ..., "base_buy": ..., "prob_sell": ..., "prob_neutral": ...,
"prob_buy": ..., "class": 2, "signal": "BUY", "decided_by": "weights 2:1:2", "in_set_sell": false,
"in_set_neutral": true, "in_set_buy": true, "action": "NEUTRAL", "abstention": "several_classes",
"uncertainty": ..., "base_confidence": ...}, ...]}`. `base_` is what the base model says, `prob_`
what the auditor makes of it. `class` and `signal` are the class with the largest probability times
decision weight; `decided_by` tells the weights where another class is likelier. `in_set_` is the
conformal set: the classes that cannot be ruled out. **`action` is what to act on**: the decided
class where the set holds it and no other, else NEUTRAL, and `abstention` says why (see
`abstentions`). `base_confidence` is how likely the class that the base itself decides on is right:
the largest of `base_` times `base_class_weights` (in `labels.json`). Rows that cannot be judged
come back as status 400 with a `code` and a `reason` that names the row.

A version of the book (`book` in the contract) takes one more column, `book`: in each row that ends
a full window its last snapshots before the minute's close, `interval_ms` apart and oldest first,
each a list of levels, best first, each `[bid price, bid size, ask price, ask size]`, as the venue
gave them. Other rows hold null there; what they hold is not read.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.abc
import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import onnxruntime
import pandas as pd
import xgboost
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import DATA_LOSS, INVALID_PARAMETER_VALUE
from numpy.lib.stride_tricks import sliding_window_view

BATCH = 64
"""Windows in one call of the graph."""

LARGEST = float(np.sqrt(np.finfo(np.float32).max))
"""Standard deviations (1.8e19) beyond which the product of two scaled values leaves float32."""

GOLDEN_TOLERANCE = 1e-6
BOOK, RETURN = "book", "log_ret_close"
MANIFEST = "manifest.json"
NS_PER_MINUTE = 60_000_000_000
READ = slice(0, 14)
"""The meta-features, which the booster reads, among the columns that the graph gives."""

TILTED, VOLATILITY = slice(0, 3), 8
"""Among them: what the base says, tilted by its loss's class weights, and the last minute's."""

HEADS = slice(14, 16)
"""Behind them, of a network that has both heads: its own confidence, and the expected return."""

SERVED = "served"
"""Folder of a package that holds its copy of the code it shares with training."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]
Blocks = npt.NDArray[np.float32]


class InputError(MlflowException):
    """Rows that cannot be judged: over HTTP a 400 whose JSON holds `code` and `reason`."""

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


@dataclass(frozen=True)
class Contract:
    """Whose a version is, and what it was trained to take and to say (`labels.json`).

    It may answer no other symbol, market (linear, spot, inverse) or source (book, candles).
    `silent` features never moved in training: they are asked for, and the network is not shown
    them. Weights are in class order. A version of the book takes `snapshots` of so many `levels` a
    side, `interval_ms` apart; `book` of all others is None.

    The auditor's own class weights and the decision weights stand in `calibrator.json`.
    """

    symbol: str
    market: str
    source: str
    feature_set: str
    features: list[str]
    silent: list[str]
    classes: list[str]
    window: int
    max_bridge_minutes: int
    base_class_weights: list[float]
    book: dict[str, int] | None = None

    @property
    def block(self) -> tuple[int, ...]:
        """Shape of a minute's book: snapshots, levels, 4."""
        asked = self.book or {}
        return asked.get("snapshots", 0), asked.get("levels", 0), 4


class Served(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """What MLflow holds: checks its own files, then judges."""

    def load_context(self, context: Any) -> None:
        """Verify every file and the golden output; this also warms the sessions up.

        Raises:
            PackageError: naming the file, or what differs.
        """
        folder = Path(context.artifacts["package"])
        verify(folder, Path(__file__), (context.model_config or {}).get("manifest_sha256", ""))
        self.chain = Chain(folder)
        self.chain.check_golden()

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Judge each minute that ends a full window; see this file's first lines."""
        return self.chain.judge(model_input)


class Chain:
    """Graph, booster, calibrator and conformal threshold of one version.

    Args:
        folder: the package, as `manifest.json` lists it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calibration = own_module(folder / SERVED, "calibration")
        self.sets = own_module(folder / SERVED, "conformal")
        self.contract = Contract(**_json(folder / "labels.json"))
        self.graph = _session(folder / "graph.onnx")
        self.booster = xgboost.Booster()
        self.booster.load_model(folder / "booster.ubj")
        self.booster.set_param({"nthread": 1})
        self.calibrator = _known(folder / "calibrator.json", "vector_scaling")
        self.conformal = _known(folder / "conformal.json", "least_ambiguous_set")
        self.trust = own_module(folder / SERVED, "confidence")
        trusted = folder / "confidence.json"
        self.trusted = _known(trusted, "logistic") if trusted.is_file() else None
        self.mean, self.std = _trained_on(folder / "reference.json", self.contract.features)
        if self.contract.book is not None:
            self.blocks = own_module(folder / SERVED, "blocks")
            self.rolling = own_module(folder / SERVED, "rolling")

    def judge(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Judge each minute of `rows` that ends a full window.

        Raises:
            InputError: with the code and the row.
        """
        minutes, features = read_rows(rows, self.contract)
        self.check_range(features, minutes)
        meta = self.meta_features(features, self.read_blocks(rows, features, minutes))
        self.check_finite(meta, minutes)
        said = self.said(meta)
        base, trust = said.probabilities, self.confidence(said)
        audited = self.audit(meta)
        chosen, holds, action = self.answers(audited)
        names = [name.lower() for name in self.contract.classes]
        classes = np.asarray(self.contract.classes, dtype=object)
        ends = pd.to_datetime(minutes[self.contract.window - 1 :] * 60, unit="s", utc=True)
        columns: dict[str, Any] = {"datetime": ends}
        columns |= {f"base_{name}": base[:, place] for place, name in enumerate(names)}
        columns |= {f"prob_{name}": audited[:, place] for place, name in enumerate(names)}
        columns["class"] = chosen
        columns["signal"] = classes[chosen]
        columns["decided_by"] = self.decided_by(audited, chosen)
        columns |= {f"in_set_{name}": holds[:, place] for place, name in enumerate(names)}
        columns["action"] = classes[action]
        columns["abstention"] = self.abstentions(chosen, holds, action)
        columns["uncertainty"] = self.calibration.uncertainty(audited)
        if trust is not None:
            columns["base_confidence"] = trust
        return pd.DataFrame(columns)

    def check_range(self, features: Floats, minutes: Integers) -> None:
        """Refuse finite values that float32 arithmetic cannot stand; outliers are answered.

        The graph would make numbers of their overflows that look like any others.

        Raises:
            InputError: `out_of_range`, with the row.
        """
        with np.errstate(over="ignore"):
            wrong = np.argwhere(~(np.abs((features - self.mean) / self.std) <= LARGEST))
        if len(wrong):
            at, column = (int(place) for place in wrong[0])
            name, value = self.contract.features[column], features[at, column]
            raise InputError(
                "out_of_range",
                f"{_row(minutes, at)}: {name} is {value:g}, trained was {self.mean[column]:.3g} "
                f"with a deviation of {self.std[column]:.3g}: float32 overflows "
                f"({len(wrong)} such values in all)",
            )

    def check_finite(self, meta: Floats, minutes: Integers) -> None:
        """Refuse windows whose meta-features overflow: returns that tell prices beyond float32.

        Raises:
            InputError: `out_of_range`, with the row that ends the first such window.
        """
        wrong = np.flatnonzero(~np.isfinite(meta).all(axis=1))
        if len(wrong):
            ends = _row(minutes, int(wrong[0]) + self.contract.window - 1)
            raise InputError(
                "out_of_range",
                f"the window that ends at {ends}: its returns (log_ret_close) make prices that "
                f"float32 cannot hold ({len(wrong)} such windows in all)",
            )

    def read_blocks(self, rows: pd.DataFrame, features: Floats, minutes: Integers) -> Blocks | None:
        """Return what the graph takes of the book of each window; None for a version without.

        Raises:
            InputError: as `read_books`, or `out_of_range` where float32 cannot hold the book.
        """
        if self.contract.book is None:
            return None
        returns = features[:, self.contract.features.index(RETURN)]
        length, first = self.blocks.VOLATILITY_ROWS, self.contract.window - 1
        volatility = self.rolling.deviation(returns, length)[first:]
        books = read_books(rows, minutes, self.contract)
        if len(still := np.flatnonzero(~(volatility > 0))):
            reason = f"the last {length} closes are equal, and prices are scaled by their moves"
            raise InputError("still_prices", f"{_row(minutes, int(still[0]) + first)}: {reason}")
        with np.errstate(over="ignore", invalid="ignore"):
            blocks: Blocks = self.blocks.relative(books)
            reach = np.abs(blocks[..., 0::2]).max(axis=(1, 2, 3)) / volatility
        if len(wrong := np.flatnonzero(~(self.blocks.positive(blocks) & (reach <= LARGEST)))):
            reason = "sizes and prices of its book are beyond what float32 can hold"
            raise InputError("out_of_range", f"{_row(minutes, int(wrong[0]) + first)}: {reason}")
        return blocks

    def meta_features(self, features: Floats, blocks: Blocks | None = None) -> Floats:
        """Run the graph over every full window of `features` (minutes, n); gives (windows, 14).

        Args:
            features: raw columns.
            blocks: of the windows' books, for a version of the book.
        """
        windows = sliding_window_view(features, self.contract.window, axis=0).swapaxes(1, 2)
        given = {"windows": windows} | ({} if blocks is None else {"book": blocks})
        parts = [
            self._ask({name: of[at : at + BATCH] for name, of in given.items()})
            for at in range(0, len(windows), BATCH)
        ]
        # The booster reads float32. Rounded to it here, a window says the same to the bit whatever
        # others it was asked with: the graph's last logarithms depend on the place in the batch.
        with np.errstate(over="ignore"):
            return np.concatenate(parts).astype(np.float32).astype(np.float64)

    def _ask(self, batch: dict[str, npt.NDArray[Any]]) -> Floats:
        """Run the graph over a batch; a window with a book that is alone is asked twice.

        A product with a matrix of one row adds in another order than one with several rows.
        """
        count = len(batch["windows"])
        if count == 1 and BOOK in batch:
            batch = {name: np.repeat(of, 2, axis=0) for name, of in batch.items()}
        whole = {name: np.ascontiguousarray(of) for name, of in batch.items()}
        said: Floats = self.graph.run(None, whole)[0][:count]
        return said

    def said(self, meta: Floats) -> Any:
        """Name what the base says of windows, as `served/confidence.py` takes it."""
        tilted = np.ascontiguousarray(meta[:, TILTED])
        base = self.calibration.untilt(tilted, self.contract.base_class_weights)
        heads = meta[:, HEADS].T if meta.shape[1] > READ.stop else np.full((2, len(meta)), np.nan)
        return self.trust.Statement(tilted, base, *heads, meta[:, VOLATILITY])

    def confidence(self, said: Any) -> Floats | None:
        """How likely the class that the base decides on is right, (n,), where a version tells."""
        if self.trusted is None:
            return None
        found: Floats = self.trust.confidence(said, self.trusted)
        return found

    def audit(self, meta: Floats) -> Floats:
        """Ask the booster what it thinks of meta-features, and calibrate that."""
        read = np.ascontiguousarray(meta[:, READ])
        said: Floats = self.calibration.calibrate(
            self.booster.inplace_predict(read), self.calibrator
        )
        return said

    def answers(self, audited: Floats) -> tuple[Integers, Booleans, Integers]:
        """Decided classes (n,), conformal sets (n, 3) and classes to act on (n,)."""
        decided = self.calibration.decide(audited, self.calibrator["decision_weights"])
        holds = self.sets.conformal_sets(audited, self.conformal["threshold"])
        neutral = self.contract.classes.index("NEUTRAL")
        return decided, holds, self.sets.actions(decided, holds, neutral)

    def decided_by(self, audited: Floats, decided: Integers) -> npt.NDArray[np.object_]:
        """The decision weights where they decided against the likeliest class, else nothing."""
        weights = ":".join(f"{weight:g}" for weight in self.calibrator["decision_weights"])
        likeliest = audited[np.arange(len(decided)), decided] == audited.max(axis=1)
        return np.where(likeliest, "", f"weights {weights}").astype(object)

    def abstentions(
        self, decided: Integers, holds: Booleans, action: Integers
    ) -> npt.NDArray[np.object_]:
        """Why the decided class is not acted on, where it is not; see `served/conformal.py`."""
        has_threshold = self.conformal["reason"] is None
        why: npt.NDArray[np.object_] = self.sets.abstentions(
            decided, holds, action, has_threshold=has_threshold
        )
        return why

    def check_golden(self) -> None:
        """Predict the golden input, whole and its first window alone.

        Raises:
            PackageError: if a number is off by more than 1e-6.
        """
        rows = pd.DataFrame(**_json(self.folder / "golden_input.json")["dataframe_split"])
        expected = pd.DataFrame(_json(self.folder / "golden_output.json")["predictions"])
        compare_golden(self.judge(rows), expected)
        compare_golden(self.judge(rows.iloc[: self.contract.window]), expected.iloc[:1])


def compare_golden(got: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Compare what was predicted with what was registered.

    Raises:
        PackageError: naming the column and by how much it is off; what is no fraction must agree.
    """
    if len(got) != len(expected):
        raise PackageError("golden_output", f"{len(expected)} rows expected, got {len(got)}")
    if absent := [name for name in expected.columns if name not in got.columns]:
        raise PackageError("golden_output", f"{', '.join(absent)} expected beside what is said")
    for name in expected.columns.drop("datetime"):
        said, wanted = got[name].to_numpy(), expected[name].to_numpy()
        if wanted.dtype.kind != "f":
            for one, other in zip(said, wanted, strict=True):
                if one != other:
                    raise PackageError("golden_output", f"{name} is {one}, {other} was expected")
        elif not (off := float(np.abs(said - wanted).max())) <= GOLDEN_TOLERANCE:
            raise PackageError("golden_output", f"{name} is off by {off:.3g}, 1e-6 is allowed")


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


def read_rows(rows: object, contract: Contract) -> tuple[Integers, Floats]:
    """Take epoch minutes and the feature matrix from posted rows.

    The signature names no inputs, so that MLflow hands over what came and converts nothing: true is
    no 1 here, and a text no number.

    Raises:
        InputError: `bad_form`, `missing_column`, `duplicate_column`, `too_few_rows`, `bad_dtype`,
            `bad_datetime`, `not_a_whole_minute`, `not_finite`, `duplicate_minute`, `unsorted` or
            `hole`.
    """
    if not isinstance(rows, pd.DataFrame):
        forms = "dataframe_split or dataframe_records over HTTP, a DataFrame in process"
        raise InputError("bad_form", f"{forms} expected, got {type(rows).__name__}")
    books = () if contract.book is None else (BOOK,)
    needed, given = ("datetime", *contract.features, *books), rows.columns.tolist()
    for code, wrong, what in (
        ("missing_column", [name for name in needed if name not in given], "not given"),
        ("duplicate_column", [name for name in needed if given.count(name) > 1], "given twice"),
    ):
        if wrong:
            raise InputError(code, f"{', '.join(wrong)} {what}")
    if len(rows) < contract.window:
        wanted = f"at least {contract.window} are needed"
        raise InputError("too_few_rows", f"{len(rows)} rows given, {wanted}")
    minutes = _minutes(rows["datetime"])
    features = _matrix(rows, contract.features, minutes)
    _check_order(minutes, contract.max_bridge_minutes)
    return minutes, features


def read_books(rows: pd.DataFrame, minutes: Integers, contract: Contract) -> Floats:
    """Take the book of each row that ends a full window, as the venue gave it.

    Args:
        rows: whose columns `read_rows` has found whole.
        minutes: of the rows.
        contract: of a version of the book.

    Returns:
        (windows, snapshots, levels, 4) of bid price, bid size, ask price, ask size.

    Raises:
        InputError: `no_book`, `book_shape`, `bad_dtype`, `not_finite`, `not_positive` or
            `levels_out_of_order`, with the first such row.
    """
    first = contract.window - 1
    cells = rows[BOOK].tolist()[first:]
    books = np.empty((len(cells), *contract.block))
    for at, cell in enumerate(cells):
        books[at] = _book(cell, contract.block, _row(minutes, first + at))
    for code, wrong, asked in _book_faults(books):
        if wrong.any():
            place = np.argwhere(wrong)[0].tolist()
            where = f"{_row(minutes, first + place[0])}: snapshot {place[1]}, level {place[2]}"
            level = books[tuple(place[:3])].tolist()
            raise InputError(code, f"{where} of its book is {level}, {asked}")
    return books


def _book(cell: object, shape: tuple[int, ...], row: str) -> Floats:
    """Return one posted book; lists are read number by number, since numpy takes true for 1."""
    if cell is None or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell)):
        asked = "{} snapshots of {} levels [bid price, bid size, ask price, ask size]".format(
            *shape
        )
        raise InputError(
            "no_book", f"{row}: {BOOK} is null, {asked} are expected where a window ends"
        )
    try:
        book = np.asarray(cell, dtype=None if isinstance(cell, np.ndarray) else object)
    except ValueError:  # lists of several lengths
        book = np.empty(0)
    if book.shape != shape:
        came = f"of shape {book.shape}" if book.size else "of no one shape"
        raise InputError("book_shape", f"{row}: {BOOK} is {came}, {shape} is expected")
    if book.dtype.kind == "O":
        _check_cells(book, row)
    elif book.dtype.kind not in "fiu":
        raise InputError("bad_dtype", f"{row}: {BOOK} holds {book.dtype}, numbers are expected")
    return np.asarray(book, np.float64)


def _check_cells(book: npt.NDArray[np.object_], row: str) -> None:
    if set(map(type, book.flat)) == {float}:
        return
    for value in book.flat:
        if not _is_number(value):
            code = "not_finite" if value is None else "bad_dtype"
            raise InputError(code, f"{row}: {BOOK} holds {value!r:.50}, numbers are expected")


def _book_faults(books: Floats) -> Iterator[tuple[str, Any, str]]:
    """Yield what may be wrong with levels, and where it is: (windows, snapshots, levels)."""
    yield "not_finite", ~np.isfinite(books).all(axis=-1), "finite numbers are expected"
    yield "not_positive", (books <= 0).any(axis=-1), "prices and sizes above zero are expected"
    bids, asks = books[..., 0], books[..., 2]
    wrong = np.zeros(bids.shape, dtype=np.bool_)
    wrong[..., 1:] = (np.diff(bids) >= 0) | (np.diff(asks) <= 0)
    wrong[..., 0] |= bids[..., 0] >= asks[..., 0]
    asked = "bids that fall and asks that rise from the best on, and bid below ask, are expected"
    yield "levels_out_of_order", wrong, asked


def _minutes(column: pd.Series) -> Integers:
    kind = pd.api.types.infer_dtype(column)
    if kind not in ("string", "datetime64", "datetime"):
        raise InputError("bad_dtype", f"datetime: ISO 8601 text expected, got {kind}")
    times = pd.to_datetime(column, utc=True, format="ISO8601", errors="coerce")
    is_time = times.dt.year.between(1678, 2261)  # what nanoseconds hold
    if kind == "string":
        is_time &= column.str.match(r"\d", na=False)  # pandas takes "now" for a time as well
    unread = np.flatnonzero(~is_time)
    if len(unread):
        at = int(unread[0])
        raise InputError("bad_datetime", f"row {at}: no ISO 8601 time: {column.iloc[at]!r}")
    times = times.dt.as_unit("ns")
    nanoseconds = times.dt.tz_localize(None).to_numpy().astype(np.int64)
    odd = np.flatnonzero(nanoseconds % NS_PER_MINUTE)
    if len(odd):
        at = int(odd[0])
        raise InputError("not_a_whole_minute", f"row {at}: {times.iloc[at].isoformat()}")
    return nanoseconds // NS_PER_MINUTE


def _matrix(rows: pd.DataFrame, features: list[str], minutes: Integers) -> Floats:
    for name in features:
        _check_numbers(rows[name], minutes)
    matrix = rows[features].to_numpy(np.float64, na_value=np.nan)
    bad = np.argwhere(~np.isfinite(matrix))
    if len(bad):
        at, column = (int(place) for place in bad[0])
        place = f"{_row(minutes, at)}: {features[column]} is {matrix[at, column]}"
        raise InputError("not_finite", f"{place} ({len(bad)} such values in all)")
    return matrix


def _check_numbers(column: pd.Series, minutes: Integers) -> None:
    """A column of another type is told by its first value that is no number."""
    if column.dtype.kind in "fiu":
        return
    for at, value in enumerate(column):
        if _is_number(value):
            continue
        is_null = value is None or value is pd.NA
        code, what = ("not_finite", "is null") if is_null else ("bad_dtype", f"is {value!r:.50}")
        asked = "a number of 64 bits is expected"
        raise InputError(code, f"{_row(minutes, at)}: {column.name} {what}, {asked}")
    raise InputError("bad_dtype", f"{column.name}: numbers expected, got {column.dtype}")


def _is_number(value: object) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 2**63
    return isinstance(value, float | np.integer | np.floating)


def _check_order(minutes: Integers, max_bridge_minutes: int) -> None:
    steps = np.diff(minutes)
    for code, wrong in (("duplicate_minute", steps == 0), ("unsorted", steps < 0)):
        if wrong.any():
            at = int(wrong.argmax()) + 1
            raise InputError(code, f"{_row(minutes, at)} follows {_row(minutes, at - 1)}")
    holes = np.flatnonzero(steps - 1 > max_bridge_minutes)
    if len(holes):
        spans = [
            f"{_row(minutes, at)} to {_row(minutes, at + 1)} ({steps[at] - 1} minutes absent)"
            for at in holes[:5]
        ]
        more = f" and {len(holes) - 5} more" if len(holes) > 5 else ""
        allowed = f"at most {max_bridge_minutes} absent minutes are bridged"
        raise InputError("hole", f"{'; '.join(spans)}{more}; {allowed}")


def _row(minutes: Integers, at: int) -> str:
    return f"row {at} ({pd.Timestamp(int(minutes[at]) * 60, unit='s').isoformat()}Z)"


def _trained_on(reference: Path, features: list[str]) -> tuple[Floats, Floats]:
    """Mean and deviation of each feature in training; a version without them refuses no outlier."""
    if not reference.is_file():
        return np.zeros(len(features)), np.full(len(features), np.inf)
    trained = _json(reference)["features"]
    mean, std = ([trained[name][key] for name in features] for key in ("mean", "std"))
    return np.asarray(mean), np.asarray(std)


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # One window at a time is a chain of small steps, which more threads only slow down; a server
    # answers requests side by side.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _known(path: Path, kind: str) -> dict[str, Any]:
    said: dict[str, Any] = _json(path)
    came = (said.get("kind"), said.get("format"))
    if came != (kind, 1):
        raise PackageError(path.stem, f"{kind} of format 1 expected, got {came}")
    return said


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


mlflow.models.set_model(Served())
