"""A version of several members answers with one audited signal, and with each member's vote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.pyfunc import PyFuncModel, scoring_server

from quantgod.contracts import CLASSES, FEATURES, Horizon, Target
from quantgod.dataset.book_blocks import open_all_blocks, row_blocks
from quantgod.dataset.scaling import fit_scaler
from quantgod.ensemble.ensemble import Ensemble, UnlikeMembersError, load_ensemble
from quantgod.evaluation.subject import Outcomes, RawMaterial
from quantgod.forecasters.forecaster import Forecaster
from quantgod.forecasters.network import Network
from quantgod.models import zoo
from quantgod.registry.chain import Answered, Chain, InputError
from quantgod.registry.chain_subject import ChainSubject
from quantgod.registry.members import combiner_of, scores_of
from quantgod.registry.package import GoldenRows, Package, build_package
from quantgod.registry.registered import known_version
from quantgod.registry.semantic_version import parts_of
from quantgod.registry.versions import load_chain
from quantgod.served.combiners.combiner import Combiner
from quantgod.served.combiners.votes import Rules
from quantgod.served.combiners.weights import Hedge
from tests.dataset.books import BLOCK, LEVELS, books_of, store_books
from tests.live.engine.answering import Deployed
from tests.live.engine.voters import Session, loaded, minutes
from tests.registry.conftest import (
    BRIDGE,
    CLASS_WEIGHTS,
    make_store,
    tiny_auditor,
    tiny_network,
    tiny_reference,
    tracked,
)
from tests.registry.shelves import NAME, SERIES
from tests.registry.test_book_version import post
from tests.synthetic import synthetic_bars

LONG, SHORT = 75, 60
MINUTES = 160
COMBINER = Combiner(
    ("near", "book", "far"), "weighted_voting", (0.5, 0.3, 0.2),
    Rules(quorum=2, class_weights=CLASS_WEIGHTS),
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A package of an ensemble, and what it is made of."""

    folder: Path
    bars: pd.DataFrame
    books: np.ndarray
    ensemble: Ensemble
    package: Package

    @property
    def rows(self) -> pd.DataFrame:
        """As a caller posts them, with the venue's books where a window ends."""
        given = [None] * (LONG - 1) + [*self.books[LONG - 1 :]]
        rows = self.bars[list(FEATURES)].reset_index(names="datetime")
        return rows.assign(book=pd.Series(given, index=rows.index, dtype=object))


def members_of(bars: pd.DataFrame) -> dict[str, Network]:
    """Return untrained networks of three shapes: two of bars, one of the book."""
    shapes = {"book": (BLOCK, LEVELS, 4)}
    params = {"width": 16, "pairs": 1}
    of_book = Network(
        zoo.build("book_mlp", params, shapes=shapes, seed=5).eval(), "book_mlp", params, SHORT,
        fit_scaler(bars[list(FEATURES)].to_numpy()), CLASS_WEIGHTS, bars.index[-1].isoformat(),
        book=(BLOCK, LEVELS),
    )  # fmt: skip
    near, far = (tiny_network(bars, window=length) for length in (SHORT, LONG))
    return {"near": near, "book": of_book, "far": far}


def packed(folder: Path, base: Network | Ensemble, bars: pd.DataFrame) -> Package:
    golden = GoldenRows(bars, MINUTES, BRIDGE, folder.parent / "BTCUSDT")
    tiny_auditor().save(folder.parent / "auditor")
    auditor = folder.parent / "auditor"
    return build_package(folder, base, auditor, golden, tiny_reference(bars), SERIES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("ensemble")
    bars = synthetic_bars(MINUTES + 200, seed=3).iloc[-MINUTES:]
    given = books_of(bars["close"].to_numpy())
    store_books(folder, pd.DatetimeIndex(bars.index), given)
    ensemble = Ensemble(members_of(bars), COMBINER)
    package = packed(folder / "package", ensemble, bars)
    books = given.transpose(0, 1, 3, 2, 4).reshape(MINUTES, BLOCK, LEVELS, 4)
    return Made(folder, bars, books, ensemble, package)


@pytest.fixture(scope="module")
def chain(made: Made) -> Chain:
    return Chain(made.package.folder)


@pytest.fixture(scope="module")
def served(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PyFuncModel]:
    store = make_store(made, tmp_path_factory.mktemp("store"))  # type: ignore[arg-type]
    with tracked(store.uri):
        yield load_chain(NAME, store.number)


@pytest.mark.long
def test_its_combiner_is_read_without_loading_it(made: Made, served: PyFuncModel) -> None:
    found = known_version(MlflowClient(), NAME, 1)
    assert combiner_of(found) == made.ensemble.combiner
    assert scores_of(found) == {}, "it was not scored"


def base_of(said: pd.DataFrame, name: str = "base") -> np.ndarray:
    return said[[f"{name}_{label}" for label in ("sell", "neutral", "buy")]].to_numpy(np.float64)


def test_each_member_says_what_its_own_version_would_and_the_mean_is_theirs(
    made: Made, chain: Chain
) -> None:
    said = chain.judge(made.rows)
    assert len(said) == MINUTES - LONG + 1
    each = {}
    for name, network in made.ensemble.members.items():
        alone = Chain(packed(made.folder / f"of_{name}", network, made.bars).folder)
        rows = made.rows.iloc[LONG - network.window :]
        each[name] = base_of(alone.judge(rows))
        np.testing.assert_array_equal(base_of(said, name), each[name])
    mean = sum(weight * each[name] for name, weight in zip(each, (0.5, 0.3, 0.2), strict=True))
    np.testing.assert_allclose(base_of(said), mean, atol=1e-12)
    np.testing.assert_allclose(said[[f"{name}_weight" for name in each]].iloc[0], [0.5, 0.3, 0.2])
    np.testing.assert_allclose(said[[f"{name}_part" for name in each]].sum(axis=1), 1)


def test_what_is_trained_is_what_is_served(made: Made, chain: Chain) -> None:
    blocks = open_all_blocks(made.folder, "BTCUSDT")
    rows = np.arange(LONG - 1, MINUTES)
    forecast = made.ensemble.forecast(made.bars, rows, blocks)
    np.testing.assert_allclose(
        base_of(chain.judge(made.rows)), forecast.probabilities[:, 0], atol=1e-6
    )
    assert isinstance(made.ensemble, Forecaster)
    assert made.ensemble.inputs.columns == FEATURES
    assert (made.ensemble.window, made.ensemble.context) == (LONG, "far")


def test_an_ensemble_comes_back_from_its_folder(made: Made, tmp_path: Path) -> None:
    made.ensemble.save(tmp_path)
    back = load_ensemble(tmp_path)
    assert back.combiner == made.ensemble.combiner
    assert back.card == made.ensemble.card


@pytest.mark.long
def test_one_member_is_audited_as_its_own_version_is(made: Made) -> None:
    network = made.ensemble.members["far"]
    rules = Rules(class_weights=CLASS_WEIGHTS)
    one = Ensemble({"far": network}, Combiner(("far",), "weighted_voting", (1.0,), rules))
    alone, together = (
        Chain(packed(made.folder / name, base, made.bars).folder).judge(made.rows)
        for name, base in (("alone", network), ("together", one))
    )
    for name in ("base", "prob"):
        np.testing.assert_allclose(base_of(alone, name), base_of(together, name), atol=1e-7)
    assert (together["vote"].map(str) != "").all()


@pytest.mark.long
def test_a_member_that_cannot_look_abstains_and_without_a_quorum_there_is_no_answer(
    made: Made, chain: Chain
) -> None:
    rows = made.rows
    blind = rows.assign(book=None)
    said, whole = chain.judge(blind), chain.judge(rows)
    assert said["book_sell"].isna().all()
    np.testing.assert_array_equal(base_of(said, "near"), base_of(whole, "near"))
    two = (0.5 * base_of(whole, "near") + 0.2 * base_of(whole, "far")) / 0.7
    np.testing.assert_allclose(base_of(said), two, atol=1e-12)
    some = rows.copy()
    some.loc[some.index[-3:], "book"] = None
    all_needed = Ensemble(made.ensemble.members, replace(COMBINER, rules=Rules(quorum=3)))
    strict = Chain(packed(made.folder / "strict", all_needed, made.bars).folder)
    left = strict.judge(some)
    assert len(left) == len(whole) - 3
    assert (left["datetime"] == whole["datetime"].iloc[:-3]).all()
    with pytest.raises(InputError, match=r"no_quorum: row .*: of 3 members book cannot say"):
        strict.judge(blind)


@pytest.mark.long
def test_members_heard_of_one_minute_say_what_they_do_among_many(made: Made, chain: Chain) -> None:
    """To the bit; what is not known of a long window leaves the short ones."""
    rows = made.rows.iloc[-LONG:].reset_index(drop=True)
    heard = chain.hear(rows)
    assert heard.absent == ["", "", ""]
    minute = np.array([rows["datetime"].iloc[-1].timestamp() // 60], np.int64)
    told = chain.told(Answered(minute, heard.panel.meta, heard.panel))
    expected = chain.judge(made.rows).iloc[-1:].reset_index(drop=True)
    pd.testing.assert_frame_equal(told, expected, check_exact=True)
    holes = rows.assign(body=rows["body"].where(rows.index > 2))
    cold = chain.hear(holes)
    assert cold.absent == ["", "", "cold: 72 of the 75 rows of its window are known"]
    assert cold.panel.votes.present[:, 0].tolist() == [True, True, False]
    said = cold.panel.votes.probabilities[:2], heard.panel.votes.probabilities[:2]
    np.testing.assert_array_equal(*said)
    blind = chain.hear(rows.tail(SHORT - 1).assign(book=None))
    assert [why.partition(":")[0] for why in blind.absent] == ["cold", "cold", "cold"]
    assert not blind.panel.speaks.any()
    with pytest.raises(TypeError, match="one network has no members"):
        Chain(packed(made.folder / "single", made.ensemble.members["far"], made.bars).folder).hear(
            rows
        )


@pytest.mark.long
def test_what_the_members_would_not_trade_on_is_not_acted_on(made: Made) -> None:
    """With a threshold that no vote reaches every action is NEUTRAL, and says why."""
    never = replace(COMBINER, rules=replace(COMBINER.rules, confidence_threshold=1.0))
    free, held = (
        Chain(packed(made.folder / name, Ensemble(made.ensemble.members, one), made.bars).folder)
        for name, one in (("free", COMBINER), ("held", never))
    )
    free, held = free.judge(made.rows), held.judge(made.rows)
    assert not held["should_trade"].any()
    assert (held["action"] == "NEUTRAL").all()
    alone = held[[f"in_set_{name}" for name in ("sell", "neutral", "buy")]].sum(axis=1) == 1
    moves = alone & (held["signal"] != "NEUTRAL") & (free["abstention"].isin(["", "no_consensus"]))
    assert (held["abstention"][moves] == "no_consensus").all()
    np.testing.assert_array_equal(base_of(free, "prob"), base_of(held, "prob"))


def test_it_is_registered_checked_and_answers_without_torch(
    made: Made, served: PyFuncModel, chain: Chain
) -> None:
    manifest = json.loads((made.package.folder / "manifest.json").read_text())
    assert {"combiner.json", *(f"members/{name}/graph.onnx" for name in COMBINER.members)} < {
        *manifest
    }
    assert not (made.package.folder / "graph.onnx").exists()
    said = served.predict(made.rows)
    pd.testing.assert_frame_equal(said, chain.judge(made.rows))
    outputs = served.metadata.signature.outputs
    assert outputs.input_names() == [*said.columns]
    heavier = replace(COMBINER, weights=(0.6, 0.2, 0.2))
    other = packed(made.folder / "heavier", Ensemble(made.ensemble.members, heavier), made.bars)
    parts = [parts_of(each.folder, each.code, {}) for each in (made.package, other)]
    assert [part for part in parts[0] if parts[0][part] != parts[1][part]] == ["combiner"]


@pytest.mark.long
@pytest.mark.parametrize("moves", [True, False])
def test_weights_move_by_earlier_outcomes_as_by_those_of_the_rows(made: Made, moves: bool) -> None:
    """A version whose weights are fixed is asked of no row but those that are wanted."""
    online = Hedge(rate=3.0) if moves else None
    combiner = replace(COMBINER, online=online, every=5, rules=Rules(class_weights=CLASS_WEIGHTS))
    two = {name: made.ensemble.members[name] for name in ("near", "far")}
    combiner = replace(combiner, members=("near", "far"), weights=(0.5, 0.5))
    folder = packed(made.folder / f"moves_{moves}", Ensemble(two, combiner), made.bars).folder
    subject = ChainSubject("quantgod/1", Chain(folder))
    time_ms = pd.DatetimeIndex(made.bars.index).as_unit("ms").asi8
    came = Outcomes(time_ms, time_ms + 10 * 60_000, np.arange(MINUTES) % 3)
    material = RawMaterial(made.bars[list(FEATURES)].to_numpy(), outcomes=came)
    whole, later = np.arange(LONG - 1, MINUTES), np.arange(120, MINUTES)
    asked: list[int] = []
    at_once = subject.ask(material, whole, lambda done, total, what: asked.append(total))
    after = subject.ask(
        material._replace(earlier=whole[whole < 120]), later,
        lambda done, total, what: asked.append(total),
    )  # fmt: skip
    assert at_once.votes is not None and after.votes is not None
    on_grid = int((time_ms[LONG - 1 : 120] // 60_000 % 5 == 0).sum())
    assert (asked[0], asked[-1]) == (len(whole), len(later) + (on_grid if moves else 0))
    for name in two:
        expected = at_once.votes.weights[name][120 - LONG + 1 :]
        np.testing.assert_array_equal(after.votes.weights[name], expected)
    np.testing.assert_array_equal(after.meta, at_once.meta[120 - LONG + 1 :])
    assert bool(np.ptp(after.votes.weights["near"]) > 0) is moves


def test_what_is_judged_served_and_lived_is_one(
    made: Made, served: PyFuncModel, chain: Chain, tmp_path: Path
) -> None:
    """Scored rows, HTTP answers and the journal of the same minutes, to the bit."""
    ends = np.arange(LONG - 1, LONG + 19)
    subject = ChainSubject("quantgod/1", chain)
    blocks = row_blocks(open_all_blocks(made.folder, "BTCUSDT"), pd.DatetimeIndex(made.bars.index))
    seen = subject.ask(RawMaterial(made.bars[list(FEATURES)].to_numpy(), blocks), ends)
    judged = subject.audited(seen.meta)
    rows = made.rows.iloc[: ends[-1] + 1]
    books = [None if one is None else one.tolist() for one in rows["book"]]
    texts = rows.assign(datetime=rows["datetime"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"), book=books)
    body = {"dataframe_split": texts.to_dict(orient="split", index=False)}
    status, answer = post(scoring_server.init(served), body)
    assert status == 200, answer
    said = pd.DataFrame(answer["predictions"])
    live = Session(tmp_path, Deployed(loaded(made.folder / "package"), None))
    live.play(minutes(ends.tolist()), past=LONG - 1)
    signals, votes = live.signals(), live.votes()
    for name, expected in (("prob", judged), ("base", seen.forecast.probabilities[:, 0])):
        assert base_of(said, name).tobytes() == np.ascontiguousarray(expected).tobytes()
        assert base_of(signals, name).tobytes() == np.ascontiguousarray(expected).tobytes()
    assert seen.votes is not None
    for place, (name, expected) in enumerate(seen.votes.probabilities.items()):
        assert base_of(said, name).tobytes() == np.ascontiguousarray(expected).tobytes()
        for label, column in zip(("sell", "neutral", "buy"), expected.T, strict=True):
            assert [one[place] for one in votes[label]] == column.tolist()
    acted = [CLASSES[one] for one in subject.answers(judged, seen.votes.consent).action]
    assert acted == said["action"].tolist() == signals["action"].tolist()
    assert len({*acted}) > 1


def test_members_of_other_targets_are_refused(made: Made) -> None:
    horizon = Horizon(60, 0.001, -0.001)
    targets = [Target("minute", (horizon,), 0), Target("minute", (replace_steps(horizon),), 0)]
    members = {
        name: replace(network, target=target)
        for (name, network), target in zip(
            made.ensemble.members.items(), [*targets, targets[0]], strict=True
        )
    }
    with pytest.raises(UnlikeMembersError, match=r"near forecasts .* and book .* same step"):
        Ensemble(members, COMBINER)


def replace_steps(horizon: Horizon) -> Horizon:
    return Horizon(horizon.steps + 30, horizon.buy_above, horizon.sell_below)
