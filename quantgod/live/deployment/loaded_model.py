"""Load a version into memory and let it predict the newest minute of a window.

A loaded version was checked by this program's code and not only by its own: its files, its
signature, its contract, and its output for its golden rows.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import msgspec
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import PyFuncModel

from quantgod.contracts import CLASSES, FEATURE_SETS, BookShape, Floats, Series
from quantgod.contracts.minute_rows import MinuteRows, as_frame
from quantgod.contracts.panel import Member, Panel
from quantgod.contracts.prediction import Prediction
from quantgod.evaluation.drift import BadReferenceError, Reference, read_reference
from quantgod.live.deployment.loaded_members import (
    CONTRACT_FILE,
    LoadedMembers,
    member_names,
    members_in,
)
from quantgod.registry.chain import PackageError, compare_golden
from quantgod.registry.ownership import OtherSeriesError
from quantgod.registry.registered import BrokenVersionError, VersionError
from quantgod.registry.versions import signature

# MLflow passes a model from code through a global variable, so only one may load at a time.
_LOADING = threading.Lock()


class UnfitVersionError(VersionError):
    """A valid version has other inputs or outputs than this program needs."""


class PredictionError(RuntimeError):
    """A version's answer is not a valid prediction of one minute."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A loaded version.

    Attributes:
        name: of the registered model.
        version: its number.
        window: rows that one prediction needs.
        features: columns of these rows, those of one of `FEATURE_SETS`.
        package_folder: folder of graph, booster, reference and the rest when it was loaded.
        reference: distributions of its features and output; None if it has none.
        book: what it takes of the book; None if it does not look at it.
        ensemble: its members, if it has any: it is asked by `vote`, and all others by `predict`.
        disabled: why members of it are not asked, by name.
    """

    name: str
    version: int
    window: int
    features: tuple[str, ...]
    package_folder: Path
    reference: Reference | None
    _model: PyFuncModel
    book: BookShape | None = None
    ensemble: LoadedMembers | None = None
    disabled: Mapping[str, str] = field(default_factory=dict)

    @property
    def members(self) -> tuple[Member, ...]:
        """Return its members; none of one network."""
        return () if self.ensemble is None else self.ensemble.members

    @property
    def quorum(self) -> int:
        """Return how many members have to speak; 1 of one network."""
        return 1 if self.ensemble is None else self.ensemble.quorum

    @property
    def combiner(self) -> Any:
        """Return the version's own combiner; None of one network."""
        return None if self.ensemble is None else self.ensemble.combiner

    def vote(
        self, rows: pd.DataFrame, weights: Floats | None = None, lacks: str = ""
    ) -> tuple[Panel, Callable[[], Prediction] | None]:
        """Ask its members about the newest minute of `rows`: as many minutes as there are.

        Args:
            rows: at most `window` minutes as `as_frame` returns them; not a number where a column
                is not known.
            weights: (members,); None for those at registration.
            lacks: what the book lacks, if it has to be done without.

        Returns:
            The votes, and what asks the auditor about them; None below the quorum.

        Raises:
            TypeError: of one network.
        """
        if self.ensemble is None:
            raise TypeError(f"{self.name} {self.version} has no members: predict")
        panel, answered = self.ensemble.hear(rows, weights, lacks, self.disabled)
        if answered is None:
            return panel, None
        chain = self.ensemble.chain
        return panel, lambda: _prediction(chain.told(answered), panel)

    def predict(self, rows: pd.DataFrame) -> Prediction:
        """Predict the newest minute of `rows`: `window` minutes as `as_frame` returns them.

        Raises:
            InputError: if rows break the contract, in the version's own words.
            PredictionError: if the answer is not one row of finite numbers, or its action does not
                follow from its class and set.
        """
        said = self._model.predict(rows)
        if not isinstance(said, pd.DataFrame) or len(said) != 1:
            raise PredictionError(f"one row expected, got {said!r:.200}")
        return _prediction(said)


class Fit(NamedTuple):
    """The requirements on a version.

    Attributes:
        series: of the minutes to answer.
        max_bridge_minutes: the longest gap inside a stretch of minutes.
        longest_window: rows that are available.
        book: the snapshots that are taken of the stream; None for none.
    """

    series: Series
    max_bridge_minutes: int
    longest_window: int
    book: BookShape | None = None


def load_model(name: str, version: int, folder: Path, fit: Fit) -> LoadedModel:
    """Load a version from files that `check_files` has passed, and test it.

    Raises:
        OtherSeriesError: if it is of another symbol, market or source.
        UnfitVersionError: for another signature, other features, classes or bridge, a window
            longer than `longest_window`, or other snapshots of the book.
        BrokenVersionError: if it cannot be loaded or does not give its golden output.
    """
    try:
        loaded = _loaded(name, version, folder, fit)
        _warm_up(loaded)
    except VersionError:
        raise
    except (MlflowException, BadReferenceError, PredictionError) as error:
        raise BrokenVersionError(f"{name} {version}: {error}") from error
    except Exception as error:
        # A version's code may raise anything, and its files may contain anything.
        raise BrokenVersionError(f"{name} {version}: {error!r}") from error
    return loaded


def _loaded(name: str, version: int, folder: Path, fit: Fit) -> LoadedModel:
    described = Model.load(str(folder))
    package = folder / described.flavors["python_function"]["artifacts"]["package"]["path"]
    _check_signature(described.signature, member_names(package))
    contract = _read(package / CONTRACT_FILE)
    _check_series(f"{name} {version}", contract, fit.series)
    window, book = _window(contract, fit), _book(contract, fit)
    reference = read_reference(package)
    with _LOADING:
        model = _load(folder)
    features = tuple(contract["features"])
    known = name, version, window, features, package, reference, model, book
    return LoadedModel(*known, _ensemble(package, model))


def _ensemble(package: Path, model: PyFuncModel) -> LoadedMembers | None:
    """Return the members of a version, if it has any.

    Raises:
        UnfitVersionError: if outcomes move their weights, and it does not say which.
    """
    if not (members := members_in(package)):
        return None
    loaded = LoadedMembers(members, model.unwrap_python_model().chain)  # type: ignore[no-untyped-call]
    if loaded.combiner.online is not None and loaded.combiner.outcome is None:
        raise UnfitVersionError(
            "outcomes move its members' weights, and its combiner.json does not say of what label: "
            "register it anew"
        )
    return loaded


def _check_signature(came: ModelSignature | None, members: Sequence[str] = ()) -> None:
    asked = signature(members=members)
    if came in (asked, signature(with_confidence=True, members=members)):
        return
    given = set(came.outputs.input_names()) if came is not None and came.outputs else set()
    if absent := [name for name in asked.outputs.input_names() if name not in given]:
        raise UnfitVersionError(
            f"its answers lack {', '.join(absent)}, so what it would act on is not known, as of "
            "versions from before they abstained themselves: train and register a new one"
        )
    raise UnfitVersionError("its signature is not the one that this program asks for")


def _check_series(name: str, contract: Any, series: Series) -> None:
    came = {field: contract.get(field) for field in msgspec.to_builtins(series)}
    if came != msgspec.to_builtins(series):
        theirs = "{symbol} ({market}, {source})".format(**came)
        whose = "does not say whose it is" if None in came.values() else f"is of {theirs}"
        raise OtherSeriesError(
            f"{name} {whose}, and {series} is to be answered: live.models names a model for each "
            "symbol"
        )


def _window(contract: Any, fit: Fit) -> int:
    """Compare a version's contract with the requirements, and return its window's length."""
    longest_window, told = fit.longest_window, contract.get("feature_set")
    if told not in FEATURE_SETS:
        known = " or ".join(FEATURE_SETS)
        raise UnfitVersionError(f"feature_set: {known} expected, it has {told}")
    expected = {
        "features": [*FEATURE_SETS[told]],
        "classes": [*CLASSES],
        "max_bridge_minutes": fit.max_bridge_minutes,
    }
    for key, value in expected.items():
        if contract.get(key) != value:
            raise UnfitVersionError(f"{key}: {value} expected, it has {contract.get(key)}")
    window = contract.get("window")
    if not isinstance(window, int) or not 0 < window <= longest_window:
        raise UnfitVersionError(f"window: at most {longest_window} rows are kept, got {window!r}")
    return window


def _book(contract: Any, fit: Fit) -> BookShape | None:
    """Return what a version takes of the book, if that is what is taken of the stream."""
    said = contract.get("book")
    if said is None:
        return None
    try:
        asked = BookShape(**said)
    except TypeError:
        known = ", ".join(BookShape._fields)
        raise UnfitVersionError(f"book: {known} expected, it has {said!r:.200}") from None
    if asked != fit.book:
        taken = "none" if fit.book is None else fit.book.in_words()
        sizes = asked.snapshots, asked.snapshots, asked.levels, asked.interval_ms
        names = ("per_minute", "block", "levels", "interval_ms")
        own = ";".join(f"snapshots.{name}={size}" for name, size in zip(names, sizes, strict=True))
        raise UnfitVersionError(
            f"it takes the book as {asked.in_words()}, and this session takes {taken} of the "
            f'stream: start it with --set "{own}", or name a version of the same snapshots'
        )
    return fit.book


def _load(folder: Path) -> PyFuncModel:
    """Load a version, and remove its module afterwards: a process may load hundreds."""
    known = set(sys.modules)
    try:
        model: PyFuncModel = mlflow.pyfunc.load_model(str(folder))
        return model
    finally:
        for name in set(sys.modules) - known:
            if Path(getattr(sys.modules[name], "__file__", None) or "").parent == folder:
                with suppress(KeyError):
                    del sys.modules[name]


def _warm_up(loaded: LoadedModel) -> None:
    """Predict the first golden window as the engine would, and compare.

    Raises:
        PackageError: if the answer is not the registered one.
    """
    body = _read(loaded.package_folder / "golden_input.json")["dataframe_split"]
    golden = pd.DataFrame(**body).iloc[: loaded.window]
    minutes = pd.DatetimeIndex(golden["datetime"]).as_unit("s").asi8 // 60
    books = None if loaded.book is None else np.array(golden["book"].iloc[-1], dtype=np.float64)
    features = golden[[*loaded.features]].to_numpy(np.float64)
    said, told = _asked(loaded, as_frame(MinuteRows(minutes, features), books))
    expected = pd.DataFrame(_read(loaded.package_folder / "golden_output.json")["predictions"])
    compare_golden(told, expected.iloc[:1])
    if said.minute != minutes[-1]:
        raise PackageError("golden_output", f"minute {minutes[-1]} expected, got {said.minute}")


def _asked(loaded: LoadedModel, rows: pd.DataFrame) -> tuple[Prediction, pd.DataFrame]:
    """Ask a version of any kind, with the weights at registration; gives its columns as well.

    Raises:
        PredictionError: if its members make no answer.
    """
    if loaded.ensemble is None:
        said = loaded.predict(rows)
        return said, as_answer(said)
    panel, answered = loaded.ensemble.hear(rows, None, "")
    if answered is None:
        raise PredictionError(f"its members make no answer: {panel.absent}")
    told = loaded.ensemble.chain.told(answered)
    return _prediction(told, panel), told


def as_answer(said: Prediction) -> pd.DataFrame:
    """Return a prediction as one row with the chain's column names."""
    names = [name.lower() for name in CLASSES]
    columns: dict[str, Any] = {
        "datetime": said.minute,
        **{f"base_{name}": value for name, value in zip(names, said.base, strict=True)},
        **{f"prob_{name}": value for name, value in zip(names, said.audited, strict=True)},
        "class": said.label,
        "signal": said.signal,
        "decided_by": said.decided_by,
        **{f"in_set_{name}": holds for name, holds in zip(names, said.in_set, strict=True)},
        "action": said.action,
        "abstention": said.abstention,
        "uncertainty": said.uncertainty,
        **({} if said.confidence is None else {"base_confidence": said.confidence}),
    }
    return pd.DataFrame([columns])


def _prediction(said: pd.DataFrame, panel: Panel | None = None) -> Prediction:
    """Parse the chain's one row and check that it is a possible answer.

    Args:
        said: the row.
        panel: of an ensemble: it acts on no class that its members would not trade on.

    Raises:
        PredictionError: naming what is missing, not a number, or against the rule of the action.
    """
    row = said.iloc[0]
    read, named = _read_row(row)
    numbers = [*read.base, *read.audited, read.uncertainty]
    finite = np.isfinite([*numbers, *([] if read.confidence is None else [read.confidence])]).all()
    if not (read.label >= 0 and named == read.signal and finite):
        wanted = f"finite numbers and class {read.label}"
        raise PredictionError(f"{wanted} expected: {row.to_dict()!r:.500}")
    acts = read.in_set[read.label] and sum(read.in_set) == 1
    if panel is not None:
        acts &= panel.should_trade and panel.direction == read.signal
    waits = read.action != read.signal
    if read.action != (read.signal if acts else "NEUTRAL") or bool(read.abstention) != waits:
        rule = "an action of the decided class alone in its set, or NEUTRAL and the reason"
        raise PredictionError(f"{rule} expected: {row.to_dict()!r:.500}")
    return read


def _read_row(row: pd.Series) -> tuple[Prediction, str]:
    """Return the prediction, and the class name in the row."""
    try:
        numbers = [
            [float(row[f"{kind}_{name.lower()}"]) for name in CLASSES] for kind in ("base", "prob")
        ]
        uncertainty, label = float(row["uncertainty"]), int(row["class"])
        trust = float(row["base_confidence"]) if "base_confidence" in row else None
        minute = int(pd.Timestamp(row["datetime"]).timestamp()) // 60
        signal = CLASSES[label]
        in_set = tuple(_of_type(row[f"in_set_{name.lower()}"], bool, np.bool_) for name in CLASSES)
        names = ("signal", "decided_by", "action", "abstention")
        named, decided_by, action, abstention = (_of_type(row[name], str) for name in names)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise PredictionError(f"{error!r} in {row.to_dict()!r:.300}") from error
    base, audited = (tuple(values) for values in numbers)
    known = minute, base, audited, label, signal, uncertainty, decided_by, in_set
    return Prediction(*known, action, abstention, trust), named


def _of_type(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds):
        raise TypeError(f"{kinds[0].__name__} expected, got {value!r}")
    return kinds[0](value)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
