"""Members of an ensemble vote live as they do in a batch; who cannot speak abstains."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import CLASSES, FEATURES, PRIMARY
from quantgod.dataset.book_blocks import open_all_blocks, row_blocks
from quantgod.dataset.labels import label
from quantgod.ensemble.ensemble import Ensemble
from quantgod.evaluation.subject import RawMaterial, outcomes_of
from quantgod.live.deployment import deployment, loaded_model
from quantgod.live.deployment.deployment import Deployment
from quantgod.live.deployment.loaded_model import LoadedModel, UnfitVersionError
from quantgod.live.deployment.model_store import Copy
from quantgod.live.engine import voting
from quantgod.live.engine.past_votes import read_past_votes
from quantgod.live.feed.state import BookState
from quantgod.live.journal import Journal, JournalError, read_table
from quantgod.live.view.overview import minute_in_words, symbol_status, votes_metrics
from quantgod.live.view.status import Status
from quantgod.registry.chain import Graph
from quantgod.registry.chain_subject import ChainSubject
from quantgod.registry.registered import VersionError
from quantgod.served.combiners.outcome import Outcome
from quantgod.served.combiners.votes import Votes
from quantgod.served.combiners.weights import Hedge
from quantgod.settings import LabelSettings
from tests.dataset.books import store_books
from tests.live.engine import voters
from tests.live.engine.answering import Deployed, codes
from tests.live.engine.voters import BRIDGE, Session, loaded, minutes
from tests.registry.test_ensemble_version import COMBINER, LONG, SHORT, members_of, packed

CHANCES = [name.lower() for name in CLASSES]
LAST = LONG - 1  # the first row that ends a window of every member
END = LAST + 45
LABEL = LabelSettings(horizon_minutes=5, buy_above=0.0005, sell_below=-0.0005)


MOVING = replace(
    COMBINER, online=Hedge(rate=20.0, delay=2), every=2, outcome=Outcome(5, 0.0005, -0.0005)
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of an ensemble whose weights move, and its books beside it."""
    folder, (bars, books) = tmp_path_factory.mktemp("ensemble"), voters.market()
    store_books(folder, pd.DatetimeIndex(bars.index), books)
    return packed(folder / "package", Ensemble(members_of(bars), MOVING), bars).folder


@pytest.fixture(scope="module")
def model(package: Path) -> LoadedModel:
    return loaded(package)


def session(folder: Path, now: Any, shadow: Any = None, **more: Any) -> Session:
    return Session(folder, Deployed(now, shadow), **more)


@pytest.fixture(scope="module")
def whole(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session over all minutes on which every member can speak, without an end."""
    made = session(tmp_path_factory.mktemp("whole"), model)
    made.play(minutes(range(LAST, END)), past=LAST)
    return made


def lists(votes: pd.DataFrame, *names: str) -> np.ndarray:
    """Columns of lists as one array, (names, minutes, members)."""
    return np.stack([np.stack(votes[name].to_list()) for name in names])


def test_votes_live_are_those_of_the_same_minutes_in_a_batch_to_the_bit(
    whole: Session, package: Path, model: LoadedModel
) -> None:
    bars, _ = voters.market()
    blocks = row_blocks(open_all_blocks(package.parent, "BTCUSDT"), pd.DatetimeIndex(bars.index))
    outcomes = outcomes_of(label(bars, LABEL, BRIDGE))
    material = RawMaterial(bars[list(FEATURES)].to_numpy(), blocks, outcomes)
    rows = np.arange(LAST, END)
    subject = ChainSubject("quantgod/1", model.ensemble.chain)
    seen = subject.ask(material, rows)
    votes, signals = whole.votes(), whole.signals()
    assert len(votes) == len(signals) == len(rows)
    said = lists(votes, *CHANCES).transpose(2, 1, 0)
    for place, (name, expected) in enumerate(seen.votes.probabilities.items()):
        assert votes["members"].iloc[0][place] == name
        assert said[place].tobytes() == np.ascontiguousarray(expected).tobytes()
    base = signals[[f"base_{name}" for name in CHANCES]].to_numpy()
    assert base.tobytes() == seen.forecast.probabilities[:, PRIMARY].tobytes()
    audited = signals[[f"prob_{name}" for name in CHANCES]].to_numpy()
    assert audited.tobytes() == subject.audited(seen.meta).tobytes()
    classes = [CLASSES[one] for one in subject.answers(audited, seen.votes.consent).action]
    assert signals["action"].tolist() == classes
    ensemble = model.ensemble.chain.ensemble
    told = ensemble.said(material.matrix, rows, (rows, material.book(rows)))
    weights, _ = ensemble.combiner.weights_over(
        ensemble.votes(told), *(part[rows] for part in outcomes)
    )
    assert lists(votes, "weight")[0].T.tobytes() == np.ascontiguousarray(weights).tobytes()
    assert len(np.unique(weights[0])) > 5, "outcomes have moved them"
    panel = ensemble.combine(told, weights)
    assert lists(votes, "contribution")[0].T.tobytes() == panel.consensus.contributions.tobytes()
    assert lists(votes, "confidence")[0].T.tobytes() == panel.votes.confidence.tobytes()
    assert votes["agreement"].to_numpy().tobytes() == panel.consensus.agreement.tobytes()


def replayed(journal: Path) -> np.ndarray:
    """The weights (members, minutes) that votes and bars of a journal give."""
    past = read_past_votes(journal, voters.SYMBOL, "quantgod", 1)
    bars = read_table(journal, "BARS").to_pandas().set_index("datetime")
    outcomes = outcomes_of(label(bars[[*FEATURES, "close"]], LABEL, BRIDGE))
    said = np.stack([one.probabilities for one in past], axis=1)
    present = np.stack([one.present for one in past], axis=1)
    votes = Votes(said, *np.zeros((2, *present.shape)), present)
    return MOVING.weights_over(votes, *outcomes)[0]


@pytest.mark.long
def test_a_killed_session_goes_on_with_the_weights_of_one_that_never_ended(
    whole: Session, package: Path, model: LoadedModel, tmp_path: Path
) -> None:
    """`kill -9` after some minutes, while their outcomes are not known yet."""
    played = 23
    command = [sys.executable, "-m", voters.__name__, str(package), str(tmp_path)]
    with subprocess.Popen(
        [*command, str(LAST), str(played)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"answered\n"
        child.send_signal(signal.SIGKILL)
        assert child.wait(10) == -signal.SIGKILL
    again = session(tmp_path, model)
    assert len(again.votes()) == played
    again.play(minutes(range(LAST + played, END)), past=LAST)
    votes, expected = again.votes(), whole.votes()
    assert votes["session"].unique().tolist() == [1, 2]
    assert votes["state"].tolist() == expected["state"].tolist()
    for name in ("weight", "contribution", *CHANCES):
        assert lists(votes, name).tobytes() == lists(expected, name).tobytes(), name
    assert (
        replayed(tmp_path).tobytes() == np.ascontiguousarray(lists(votes, "weight")[0].T).tobytes()
    )
    signals = again.signals().drop(columns=["latency_ms", "session"])
    pd.testing.assert_frame_equal(
        signals, whole.signals().drop(columns=["latency_ms", "session"]), check_exact=True
    )


OFF = {"far": "it lost money"}


@pytest.fixture(scope="module")
def switched(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session whose third member is disabled for some minutes in the middle."""
    made = session(tmp_path_factory.mktemp("switched"), model)

    def switch(place: int) -> None:
        if place in (14, 29):
            made.models.now = replace(model, disabled=OFF if place == 14 else {})

    made.after = switch
    made.play(minutes(range(LAST, END)), past=LAST)
    return made


def test_a_disabled_member_abstains_from_the_next_minute_on_until_it_is_enabled(
    whole: Session, switched: Session, model: LoadedModel
) -> None:
    votes, expected = switched.votes(), whole.votes()
    absent = [each.tolist() for each in votes["absent"]]
    why = "disabled: it lost money"
    assert absent == [[""] * 3] * 15 + [["", "", why]] * 15 + [[""] * 3] * (len(votes) - 30)
    assert len(switched.signals()) == len(votes), "the others answer without it"
    assert codes(switched.notices) == [], "the votes say so each minute"
    off = slice(15, 30)
    said, parts = lists(votes[off], *CHANCES), lists(votes[off], "contribution")
    assert np.isnan(said[:, :, 2]).all() and not parts[0, :, 2].any(), "and never NEUTRAL"
    assert said[..., :2].tobytes() == lists(expected[off], *CHANCES)[..., :2].tobytes()
    assert lists(votes[:15], "weight").tobytes() == lists(expected[:15], "weight").tobytes()
    combiner = model.ensemble.chain.ensemble.combiner
    chances = lists(votes, *CHANCES).transpose(2, 1, 0)
    told = [lists(votes, name)[0].T for name in ("confidence", "expected_return")]
    present = np.array([[not one for one in row] for row in absent]).T
    again = combiner.combine(Votes(chances, *told, present), lists(votes, "weight")[0].T)
    base = switched.signals()[[f"base_{name}" for name in CHANCES]].to_numpy()
    np.testing.assert_allclose(again.probabilities, base, rtol=0, atol=1e-15)
    assert [CLASSES[one] for one in again.direction] == votes["vote"].tolist()


@pytest.mark.long
def test_what_was_disabled_replays_and_goes_on_after_a_restart_to_the_same_bits(
    switched: Session, whole: Session, model: LoadedModel, tmp_path: Path
) -> None:
    expected = switched.votes()
    weights = np.ascontiguousarray(lists(expected, "weight")[0].T)
    assert replayed(switched.folder).tobytes() == weights.tobytes()
    assert expected["state"].tolist() != whole.votes()["state"].tolist(), "it missed outcomes"
    live = session(tmp_path, model)
    for first, last, off in ((0, 15, {}), (15, 22, OFF), (22, 30, OFF), (30, END - LAST, {})):
        live.models.now = replace(model, disabled=off)
        live.play(minutes(range(LAST + first, LAST + last)), past=LAST)
    votes = live.votes()
    assert votes["session"].nunique() == 4
    assert votes["state"].tolist() == expected["state"].tolist()
    for name in ("weight", "contribution", *CHANCES):
        assert lists(votes, name).tobytes() == lists(expected, name).tobytes(), name


def test_a_disabled_member_counts_against_the_quorum_and_is_not_waited_for(
    model: LoadedModel, tmp_path: Path
) -> None:
    off = {"near": "a test", "book": "a test"}
    live = session(tmp_path, replace(model, disabled=off))
    live.play(minutes([SHORT, SHORT + 1]), past=SHORT)
    assert live.engine.symbols[voters.SYMBOL].missing == LONG - SHORT - 2
    assert live.engine.symbols[voters.SYMBOL].cold == {"far": LONG - SHORT - 2}
    assert "VOTES" not in read_table(tmp_path, "BARS").column_names and not live.notices
    live.play(minutes([LAST]), past=LAST)
    (votes,) = live.votes().to_dict("records")
    assert votes["absent"].tolist() == ["disabled: a test", "disabled: a test", ""]
    assert votes["vote"] == "" and not read_table(tmp_path, "SIGNALS").num_rows
    assert codes(live.notices) == ["no_quorum"]
    assert "abstain near (disabled: a test), book (disabled: a test)" in live.notices[0].text


def test_whatever_comes_after_a_minute_its_votes_and_weights_stay(
    whole: Session, model: LoadedModel, tmp_path: Path
) -> None:
    at = 20
    closed = minutes(range(LAST, END))
    changed = [
        one._replace(
            bar=one.bar._replace(close=one.bar.close * 1.01 ** (place % 3), features=other),
            snapshots=one.snapshots * 1.01,
        )
        for place, one in enumerate(closed)
        for other in [closed[-1 - place].bar.features]
    ]
    other = session(tmp_path, model)
    other.play([*closed[:at], *changed[at:]], past=LAST)
    votes, expected = other.votes(), whole.votes()
    assert votes["state"].iloc[at] == expected["state"].iloc[at]
    assert votes["state"].iloc[-1] != expected["state"].iloc[-1]
    for name in ("weight", "contribution", *CHANCES):
        assert lists(votes[:at], name).tobytes() == lists(expected[:at], name).tobytes()


def test_members_warm_up_one_by_one_and_a_quorum_answers(
    model: LoadedModel, tmp_path: Path
) -> None:
    live, states = session(tmp_path, model), []

    def after(place: int) -> None:
        state = live.engine.symbols[voters.SYMBOL]
        states.append((state.missing, state.cold))

    live.after = after
    closed = minutes(range(SHORT - 2, LONG))
    live.play(closed, past=SHORT - 2)
    assert states[0] == (1, {"near": 1, "book": 1, "far": LONG - SHORT + 1})
    assert states[1] == (0, {"far": LONG - SHORT})
    assert states[-1] == (0, {})
    assert [is_answered for _, is_answered in live.told] == [False] + [True] * (len(closed) - 1)
    votes, cold = live.votes(), "cold: 60 of the 75 rows of its window are known"
    assert votes["absent"].iloc[0].tolist() == ["", "", cold]
    assert np.isnan(lists(votes[:1], "sell")[0, 0, 2])
    assert np.isnan(lists(votes[:1], *CHANCES)).sum() == 3
    assert votes["absent"].iloc[-1].tolist() == ["", "", ""]
    assert not live.notices, "the status tells who is cold, and not each minute"


def spoil(patch: pytest.MonkeyPatch, model: LoadedModel, **spoilt: Any) -> None:
    """Let the graphs of members raise, or say what is no number."""
    ensemble, ask = model.ensemble.chain.ensemble, Graph.ask
    names = {
        id(graph): name
        for graph, name in zip(ensemble.graphs, ensemble.combiner.members, strict=True)
    }

    def asked(graph: Graph, given: Any) -> np.ndarray:
        said = spoilt.get(names[id(graph)], 1.0)
        if isinstance(said, Exception):
            raise said
        return ask(graph, given) * said

    patch.setattr(Graph, "ask", asked)


def test_a_member_that_fails_abstains_and_is_told_of_while_the_others_answer(
    whole: Session, model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = session(tmp_path, model)
    spoil(monkeypatch, model, near=RuntimeError("out of nowhere"))
    live.play(minutes([LAST]), past=LAST)
    absent = "failed: RuntimeError('out of nowhere')"
    (votes,) = live.votes().to_dict("records")
    assert votes["absent"].tolist() == [absent, "", ""]
    assert votes["contribution"][0] == 0
    expected = lists(whole.votes()[:1], *CHANCES)[:, 0, 1:]
    assert np.stack([votes[name] for name in CHANCES])[:, 1:].tobytes() == expected.tobytes()
    assert len(live.signals()) == 1
    (told,) = live.notices
    assert (told.level, told.code) == ("warning", "abstains")
    assert told.text.endswith(f"version 1 as Production: near abstains, {absent}")


def test_below_the_quorum_there_is_no_signal_and_never_neutral_in_its_place(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = session(tmp_path, model)
    spoil(monkeypatch, model, near=np.nan, far=np.nan)
    live.play(minutes([LAST]), past=LAST)
    (votes,) = live.votes().to_dict("records")
    why = "failed: it says what is not a number"
    assert (votes["vote"], votes["should_trade"]) == ("", False)
    assert votes["absent"].tolist() == [why, "", why]
    assert not read_table(tmp_path, "SIGNALS").num_rows
    assert [is_answered for _, is_answered in live.told] == [False]
    assert codes(live.notices) == ["abstains", "no_quorum"]
    reason = f"of 3 members abstain near ({why}), far ({why})"
    assert live.notices[1].text.endswith(f"{reason}, so there is no signal")
    state = live.engine.symbols[voters.SYMBOL]
    assert state.lacks == reason
    minute = state.last.bar.minute
    assert minute_in_words("X", minute, state, None, 1).endswith(f"no signal: {reason}")
    assert [*votes_metrics(state.panel, minute)][:4] == [
        "near/weight", "book/weight", "far/weight", "book/sell",
    ]  # fmt: skip
    assert votes_metrics(state.panel, minute + 1) == {}


def test_a_member_of_the_book_abstains_where_snapshots_are_not_whole(
    whole: Session, model: LoadedModel, tmp_path: Path
) -> None:
    live = session(tmp_path, model)
    live.play(minutes(range(LAST, LAST + 3), thin=[LAST + 1]), past=LAST)
    votes, expected = live.votes(), whole.votes()[:3]
    assert [one.tolist() for one in votes["absent"]] == [
        ["", "", ""],
        ["", "no_book: 1 of 8 snapshots of the book have fewer than 3 levels a side", ""],
        ["", "", ""],
    ]
    assert len(live.signals()) == 3
    others = [0, 2]
    said, same = lists(votes, *CHANCES), lists(expected, *CHANCES)
    assert said[:, 1][:, others].tobytes() == same[:, 1][:, others].tobytes()
    assert said[:, 2].tobytes() == same[:, 2].tobytes()


@pytest.mark.long
def test_a_challenger_moves_weights_of_its_own_and_goes_on_with_them_as_champion(
    whole: Session, package: Path, model: LoadedModel, tmp_path: Path
) -> None:
    """The champion's lie fallow while it answers; a swap back finds the older votes' outcomes."""
    other = loaded(package, version=2)
    live = session(tmp_path, model, other)

    def swap(place: int) -> None:
        if place == 19:
            live.models.now, live.models.shadow = other, None

    live.after = swap
    live.play(minutes(range(LAST, END)), past=LAST)
    votes = live.votes()
    assert votes["version"].tolist() == [1] * 20 + [2] * (len(votes) - 20)
    assert live.votes("Challenger")["version"].tolist() == [2] * 20
    assert votes["state"].tolist() == whole.votes()["state"].tolist()
    assert live.votes("Challenger")["state"].tolist() == whole.votes()["state"].tolist()[:20]


def test_the_status_tells_who_is_cold_and_what_each_member_said(
    model: LoadedModel, tmp_path: Path
) -> None:
    live = session(tmp_path, model)
    engine = live.play(minutes([SHORT]), past=SHORT)
    told = symbol_status("X", BookState(is_synced=True), engine.symbols[voters.SYMBOL], "")
    assert told.cold == {"far": LONG - SHORT - 1}
    assert [*told.votes] == ["near", "book", "far"]
    assert told.votes["far"].startswith("cold: 61 of the 75 rows")
    line = Status("t", (told,), 0.0, "0 rows").as_line()
    assert "; cold members: far 14 minutes" in line


def test_a_signal_does_not_wait_for_a_full_disk_for_ever(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(journal: Journal, table: str, row: Any) -> Future[None]:
        return Future() if table == "VOTES" else Journal.append_now(journal, table, row)

    monkeypatch.setattr(voters.OrderedJournal, "append_now", stuck)
    monkeypatch.setattr(voting, "WRITTEN_SECONDS", 0.05)
    live = session(tmp_path, model)
    live.play(minutes([LAST]), past=LAST)
    assert len(live.signals()) == 1
    (told,) = live.notices
    assert (told.level, told.code) == ("error", "not_journaled")
    assert told.text.endswith("its votes are not journaled: not within 0.05 s")


def test_weights_that_move_by_an_unknown_label_are_refused(
    package: Path, model: LoadedModel
) -> None:
    combiner = replace(MOVING, outcome=None)
    chain = SimpleNamespace(ensemble=SimpleNamespace(combiner=combiner))
    held: Any = SimpleNamespace(unwrap_python_model=lambda: SimpleNamespace(chain=chain))
    with pytest.raises(UnfitVersionError, match="does not say of what label: register it anew"):
        loaded_model._ensemble(package, held)
    chain.ensemble.combiner = MOVING
    found = loaded_model._ensemble(package, held)
    assert found is not None and found.members == model.members
    assert [(one.name, one.window, one.columns, one.sees_book) for one in found.members] == [
        ("near", SHORT, 9, False), ("book", SHORT, 9, True), ("far", LONG, 9, False),
    ]  # fmt: skip


def test_earlier_votes_are_read_of_versions_whose_weights_move_and_must_be_readable(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Any = object.__new__(Deployment)
    made.name, made._series, made._bridge = "quantgod", None, BRIDGE
    made._longest_window, made._book = 100, None
    read: list[tuple[str, int]] = []
    made._heard = lambda *version: read.append(version)
    fixed = SimpleNamespace(members=model.members, combiner=SimpleNamespace(online=None))
    alone = SimpleNamespace(members=())
    for version, one in ((7, model), (8, fixed), (9, alone)):
        monkeypatch.setattr(deployment, "load_model", lambda *_, one=one: one)
        copy = Copy(version, "", Path("nowhere"))
        assert asyncio.run(made._loaded(copy)) is one
    assert read == [("quantgod", 7)]

    def torn(name: str, version: int) -> None:
        raise JournalError("VOTES: no readable Parquet file")

    made._heard = torn
    monkeypatch.setattr(deployment, "load_model", lambda *_: model)
    with pytest.raises(VersionError, match=r"quantgod 7: its earlier votes cannot be read: VOTES"):
        asyncio.run(made._loaded(Copy(7, "", Path("nowhere"))))
