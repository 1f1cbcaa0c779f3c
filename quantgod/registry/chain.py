"""The chain as it is served: minute bars in, audited signals out. A copy goes with each version.

MLflow runs it as it stands ("models from code"). It imports nothing of quantgod, no torch and no
pickle; what it shares with training and what reads the posted rows, `served`, lies in its package
as a copy. So two versions in one process each run their own code.

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
from collections.abc import Callable, Sequence
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

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

GOLDEN_TOLERANCE = 1e-6
BOOK = "book"
MANIFEST = "manifest.json"
READ = slice(0, 14)
"""The meta-features, which the booster reads, among the columns that the graph gives."""

TILTED, VOLATILITY = slice(0, 3), 8
"""Among them: what the base says, tilted by its loss's class weights, and the last minute's."""

HEADS = slice(14, 16)
"""Behind them, of a network that has both heads: its own confidence, and the expected return."""

COMBINER, MEMBERS = "combiner.json", "members"
"""Of an ensemble: what combines its members, and the folder with one for each."""

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


class ChainModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
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


class Graph:
    """The network of a version, or of a member of one: raw windows in, meta-features out.

    Args:
        folder: with `graph.onnx`.
        contract: what the network takes.
    """

    def __init__(self, folder: Path, contract: Any) -> None:
        self.contract = contract
        self.session = _session(folder / "graph.onnx")

    def meta_features(self, features: Floats, blocks: Blocks | None = None) -> Floats:
        """Run the graph over every full window of `features` (minutes, n); gives (windows, 14).

        Args:
            features: raw columns.
            blocks: of the windows' books, for a network of the book.
        """
        windows = sliding_window_view(features, self.contract.window, axis=0).swapaxes(1, 2)
        return self.ask({"windows": windows} | ({} if blocks is None else {BOOK: blocks}))

    def ask(self, given: dict[str, npt.NDArray[Any]]) -> Floats:
        """Run the graph over windows, batch by batch.

        Args:
            given: `windows` (n, time, columns), and for a network of the book `book`.
        """
        parts = [
            self._batch({name: of[at : at + BATCH] for name, of in given.items()})
            for at in range(0, len(given["windows"]), BATCH)
        ]
        # The booster reads float32. Rounded to it here, a window says the same to the bit whatever
        # others it was asked with: the graph's last logarithms depend on the place in the batch.
        with np.errstate(over="ignore"):
            return np.concatenate(parts).astype(np.float32).astype(np.float64)

    def _batch(self, batch: dict[str, npt.NDArray[Any]]) -> Floats:
        """Run the graph over a batch; a window with a book that is alone is asked twice.

        A product with a matrix of one row adds in another order than one with several rows.
        """
        count = len(batch["windows"])
        if count == 1 and BOOK in batch:
            batch = {name: np.repeat(of, 2, axis=0) for name, of in batch.items()}
        whole = {name: np.ascontiguousarray(of) for name, of in batch.items()}
        said: Floats = self.session.run(None, whole)[0][:count]
        return said


class Ensemble:
    """The graphs of several members and their combiner, which answer as one graph does.

    Args:
        folder: the package.
        own: imports a module of its own copy of `served`.
        contract: of the version: all columns that any member takes, and the longest window.
    """

    def __init__(self, folder: Path, own: Callable[[str], Any], contract: Any) -> None:
        self.contract = contract
        self.panels, kind = own("combiners.panel"), own("contract").Contract
        self.combiner = own("combiners.combiner").Combiner.from_json(_json(folder / COMBINER))
        places = [folder / MEMBERS / name for name in self.combiner.members]
        self.graphs = [Graph(place, kind(**_json(place / "labels.json"))) for place in places]

    def said(
        self, features: Floats, ends: Integers, books: tuple[Integers, Blocks] | None = None
    ) -> list[Floats]:
        """Ask each member about the windows that end at these rows; gives (n, 14) or (n, 16).

        Args:
            features: (rows, columns of the contract) raw.
            ends: (n,) positions of the windows' last rows, rising.
            books: rows that have a book, rising, and their blocks, for members that look at it.
        """
        return [self._said(graph, features, ends, books) for graph in self.graphs]

    def combine(self, said: list[Floats], weights: Floats | None = None) -> Any:
        """Return the panel of what the members say.

        Args:
            said: what `said` returned.
            weights: (members,) or (members, n); None for those at registration.
        """
        contracts = [graph.contract for graph in self.graphs]
        lengths = [contract.window for contract in contracts]
        tilts = [contract.base_class_weights for contract in contracts]
        return self.panels.panel_of(self.combiner, said, tilts, lengths, weights)

    def votes(self, said: list[Floats]) -> Any:
        """Return what the members say as votes."""
        return self.panels.votes_of(said, [one.contract.base_class_weights for one in self.graphs])

    def _said(
        self,
        graph: Graph,
        features: Floats,
        ends: Integers,
        books: tuple[Integers, Blocks] | None,
    ) -> Floats:
        """Ask a member; rows of windows that it cannot look at, or fails on, are no numbers."""
        contract, width, at = graph.contract, READ.stop, np.arange(len(ends))
        columns = [self.contract.features.index(name) for name in contract.features]
        windows = sliding_window_view(features[:, columns], contract.window, axis=0).swapaxes(1, 2)
        first, blocks = contract.window - 1, None
        if contract.book is not None:
            there, given = books or (np.empty(0, np.int64), np.empty(0, np.float32))
            _, at, place = np.intersect1d(ends, there, assume_unique=True, return_indices=True)
            blocks = given[place]
        parts = []
        for begin in range(0, len(at), BATCH):
            some = slice(begin, begin + BATCH)
            asked = {"windows": windows[ends[at[some]] - first]}
            parts.append(graph.ask(asked | ({} if blocks is None else {BOOK: blocks[some]})))
        width = parts[0].shape[1] if parts else width
        said = np.full((len(ends), width), np.nan)
        if parts:
            said[at] = np.concatenate(parts)
        return said


class Heard(NamedTuple):
    """What the members of an ensemble say of one minute.

    Attributes:
        panel: of the window that it ends.
        absent: why each member says nothing, a code and words; empty of one that speaks.
    """

    panel: Any
    absent: list[str]


class Answered(NamedTuple):
    """What a version says of windows before its auditor is asked.

    Attributes:
        ends: (n,) epoch minutes that end them.
        meta: (n, 14), or (n, 16) with both heads.
        panel: of the members of an ensemble; None of one network.
    """

    ends: Integers
    meta: Floats
    panel: Any = None


class Chain:
    """Graph, booster, calibrator and conformal threshold of one version.

    Args:
        folder: the package, as `manifest.json` lists it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        own = partial(own_module, folder / SERVED)
        self.calibration, self.sets, self.trust = map(
            own, ("calibration", "conformal", "confidence")
        )
        self.rows, self.books = own("request.rows"), own("request.books")
        self.contract = own("contract").Contract(**_json(folder / "labels.json"))
        is_one = not (folder / COMBINER).is_file()
        self.graph = Graph(folder, self.contract) if is_one else None
        self.ensemble = None if is_one else Ensemble(folder, own, self.contract)
        self.booster = xgboost.Booster()
        self.booster.load_model(folder / "booster.ubj")
        self.booster.set_param({"nthread": 1})
        self.calibrator = _known(folder / "calibrator.json", "vector_scaling")
        self.conformal = _known(folder / "conformal.json", "least_ambiguous_set")
        trusted = folder / "confidence.json"
        self.trusted = _known(trusted, "logistic") if trusted.is_file() else None
        self.mean, self.std = _trained_on(folder / "reference.json", self.contract.features)

    def judge(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Judge each minute of `rows` that ends a full window.

        Raises:
            InputError: with the code and the row.
        """
        try:
            answered = self.read(rows)
        except self.rows.RequestError as error:
            raise InputError(error.code, error.reason) from None
        return self.told(answered)

    def told(self, answered: Answered) -> pd.DataFrame:
        """Ask the auditor about what the network or the members say; gives the rows of `judge`."""
        ends, meta, panel = answered
        said = self.said(meta)
        base, trust = said.probabilities, self.confidence(said)
        audited = self.audit(meta)
        chosen, holds, action = self.answers(audited, None if panel is None else panel.consent)
        names = [name.lower() for name in self.contract.classes]
        classes = np.asarray(self.contract.classes, dtype=object)
        times = ends.astype("datetime64[m]").astype("datetime64[us]")
        columns: dict[str, Any] = {"datetime": pd.DatetimeIndex(times, tz="UTC")}
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
        if panel is not None:
            columns |= panel.columns()
        return pd.DataFrame(columns)

    def read(self, rows: pd.DataFrame) -> Answered:
        """Read posted rows, and ask the network or the members about every full window.

        Raises:
            RequestError: `served/request/rows.py`'s, with the code and the row.
        """
        minutes, features = self.rows.read_rows(rows, self.contract)
        self.rows.check_range(features, minutes, self.contract.features, self.mean, self.std)
        if self.ensemble is not None:
            return self._read_panel(self.ensemble, rows, minutes, features)
        blocks = self.books.read_blocks(rows, features, minutes, self.contract)
        meta = self.meta_features(features, blocks)
        self.rows.check_windows(meta, minutes)
        return Answered(minutes[self.contract.window - 1 :], meta)

    def _read_panel(
        self, ensemble: Ensemble, rows: pd.DataFrame, minutes: Integers, features: Floats
    ) -> Answered:
        """Ask the members; windows on which they make no answer are left out.

        Raises:
            RequestError: `no_quorum` if no window is left.
        """
        books = None
        if self.contract.book is not None:
            books = self.books.read_some_blocks(rows, features, minutes, self.contract)
        ends = np.arange(self.contract.window - 1, len(minutes))
        panel = ensemble.combine(ensemble.said(features, ends, books))
        if not panel.speaks.any():
            self.rows.refuse_without_quorum(minutes, panel.members, panel.votes.present)
        told = panel.at(panel.speaks)
        return Answered(minutes[ends[panel.speaks]], told.meta, told)

    def hear(self, rows: pd.DataFrame, weights: Floats | None = None) -> Heard:
        """Ask the members of an ensemble about the newest minute alone, as a live session does.

        Each is asked as a version of its own is. One that cannot look at the minute, or fails on
        it, abstains; so there may be fewer rows than the longest window has.

        Args:
            rows: the newest minutes of a stretch, with all columns of the contract; what is not
                known is not a number, and `book` is null where the last row has none.
            weights: (members,); None for those at registration.
        """
        if self.ensemble is None:
            raise TypeError("one network has no members: judge its rows")
        said, absent = [], []
        for graph in self.ensemble.graphs:
            values, why = self._hear(graph, rows)
            said.append(values)
            absent.append(why)
        return Heard(self.ensemble.combine(said, weights), absent)

    def _hear(self, graph: Graph, rows: pd.DataFrame) -> tuple[Floats, str]:
        """Return what a member says of the newest minute, or no numbers and why not."""
        try:
            said = self._ask_alone(graph, rows)
        except self.rows.RequestError as error:
            why = f"{error.code}: {error.reason}"
        except Exception as error:
            why = f"failed: {error!r:.300}"  # a graph may raise anything
        else:
            if np.isfinite(said).all():
                return said, ""
            why = "failed: it says what is not a number"
        return np.full((1, READ.stop), np.nan), why

    def _ask_alone(self, graph: Graph, rows: pd.DataFrame) -> Floats:
        contract = graph.contract
        self.rows.check_warm(rows, contract)
        newest = rows.tail(contract.window)
        minutes, features = self.rows.read_rows(newest, contract)
        places = [self.contract.features.index(name) for name in contract.features]
        trained = self.mean[places], self.std[places]
        self.rows.check_range(features, minutes, contract.features, *trained)
        blocks = self.books.read_blocks(newest, features, minutes, contract)
        return graph.meta_features(features, blocks)

    def meta_features(self, features: Floats, blocks: Blocks | None = None) -> Floats:
        """Return what the graph says of every full window, as `Graph.meta_features`."""
        if self.graph is None:
            raise TypeError("an ensemble has a graph for each member: ask its panel")
        return self.graph.meta_features(features, blocks)

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

    def answers(
        self, audited: Floats, consent: Integers | None = None
    ) -> tuple[Integers, Booleans, Integers]:
        """Decided classes (n,), conformal sets (n, 3) and classes to act on (n,).

        Args:
            audited: (n, 3) calibrated.
            consent: (n,) class that the members of an ensemble would trade on: no other is acted
                on.
        """
        decided = self.calibration.decide(audited, self.calibrator["decision_weights"])
        holds = self.sets.conformal_sets(audited, self.conformal["threshold"])
        neutral = self.contract.classes.index("NEUTRAL")
        action = self.sets.actions(decided, holds, neutral)
        if consent is not None:
            action = np.where(action == consent, action, neutral)
        return decided, holds, action

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


mlflow.models.set_model(ChainModel())
