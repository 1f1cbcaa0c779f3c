"""A version of the book: what its stored blocks say is what it answers to the venue's own books."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.pyfunc import PyFuncModel, scoring_server

from quantgod.contracts import FEATURES
from quantgod.dataset.book_blocks import RowBlocks, open_all_blocks, row_blocks
from quantgod.dataset.inputs import Inputs
from quantgod.dataset.scaling import fit_scaler
from quantgod.ensemble.ensemble import Ensemble
from quantgod.evaluation.importance import BOOK, Plan, permutation_importance
from quantgod.evaluation.subject import MissingBooksError, RawMaterial, material_of
from quantgod.files import file_digest
from quantgod.forecasters.network import Network
from quantgod.gates.champion import JournalTables
from quantgod.models import zoo
from quantgod.registry.chain import BATCH, Chain, InputError
from quantgod.registry.chain_subject import ChainSubject
from quantgod.registry.challenge import Challenge, compare_with_champion
from quantgod.registry.package import CHAIN_FILE, GOLDEN_BOOKS, GoldenRows, Package, build_package
from quantgod.registry.server import scoring_app
from quantgod.registry.versions import load_chain
from quantgod.settings import load_settings
from tests.dataset.books import BLOCK, LEVELS, books_of, store_books
from tests.registry.conftest import (
    BRIDGE,
    CLASS_WEIGHTS,
    make_store,
    tiny_auditor,
    tiny_reference,
    tracked,
)
from tests.registry.shelves import NAME, SERIES
from tests.synthetic import synthetic_bars

WINDOW = 60
POST = {
    "type": "http", "method": "POST", "path": "/invocations", "query_string": b"",
    "headers": [(b"content-type", b"application/json")],
}  # fmt: skip
MINUTES = WINDOW - 1 + BATCH + 1
"""So that the last batch holds one window."""


@dataclass(frozen=True)
class Made:
    """A package of a network of the book, and the rows that it is asked."""

    bars: pd.DataFrame
    books: np.ndarray
    stored: RowBlocks
    network: Network | Ensemble
    package: Package

    @property
    def rows(self) -> pd.DataFrame:
        """As a caller posts them, with the books that the venue gave where a window ends."""
        given = [None] * (WINDOW - 1) + [*self.books[WINDOW - 1 :]]
        rows = self.bars[list(FEATURES)].reset_index(names="datetime")
        return rows.assign(book=pd.Series(given, index=rows.index, dtype=object))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_version(tmp_path_factory.mktemp("book"), LEVELS)


def make_version(
    folder: Path,
    levels: int,
    base: Callable[[pd.DataFrame, int], Network | Ensemble] | None = None,
) -> Made:
    """Build the package of a network of so many levels, or of what `base` makes."""
    bars = synthetic_bars(MINUTES, seed=3)
    given = books_of(bars["close"].to_numpy(), levels=levels)
    snapshots = store_books(folder, pd.DatetimeIndex(bars.index), given)
    network = (base or of_the_book)(bars, levels)
    tiny_auditor().save(folder / "auditor")
    package = build_package(
        folder / "package", network, folder / "auditor",
        GoldenRows(bars, MINUTES, BRIDGE, snapshots), tiny_reference(bars), SERIES,
    )  # fmt: skip
    stored = row_blocks(open_all_blocks(folder, "BTCUSDT"), pd.DatetimeIndex(bars.index))
    books = given.transpose(0, 1, 3, 2, 4).reshape(MINUTES, BLOCK, levels, 4)
    return Made(bars, books, stored, network, package)


def of_the_book(bars: pd.DataFrame, levels: int) -> Network:
    """A small untrained network whose heads are wide enough to add in another order when alone."""
    params = {"width": 64, "pairs": 1}
    shapes = Inputs(WINDOW, ("book",), (BLOCK, levels)).shapes
    model = zoo.build("book_mlp", params, shapes=shapes, seed=5)
    scaler = fit_scaler(bars[list(FEATURES)].to_numpy())
    until = bars.index[-1].isoformat()
    return Network(
        model.eval(), "book_mlp", params, WINDOW, scaler, CLASS_WEIGHTS, until,
        book=(BLOCK, levels),
    )  # fmt: skip


@pytest.fixture(scope="module")
def chain(made: Made) -> Chain:
    return Chain(made.package.folder)


@pytest.fixture(scope="module")
def served(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PyFuncModel]:
    store = make_store(made, tmp_path_factory.mktemp("store"))  # type: ignore[arg-type]
    with tracked(store.uri):
        yield load_chain(NAME, store.number)


def test_the_contract_and_the_golden_rows_hold_the_book(made: Made) -> None:
    folder = made.package.folder
    contract = json.loads((folder / "labels.json").read_text())
    assert contract["book"] == {"snapshots": BLOCK, "levels": LEVELS, "interval_ms": 100}
    asked = json.loads((folder / "golden_input.json").read_text())["dataframe_split"]
    assert asked["columns"] == ["datetime", *FEATURES, "book"]
    books = [row[-1] for row in asked["data"]]
    assert books[: WINDOW - 1] == [None] * (WINDOW - 1) and len(books) == WINDOW - 1 + GOLDEN_BOOKS
    assert np.array_equal(books[WINDOW - 1 :], made.books[-GOLDEN_BOOKS:]), "as the venue gave them"
    assert made.package.export_difference <= 1e-6


def test_stored_blocks_say_what_the_venues_books_are_answered_with_to_the_bit(
    made: Made, chain: Chain
) -> None:
    """Alone, in sevens, in whole batches with one left over."""
    rows, ends = made.rows, np.arange(WINDOW - 1, MINUTES)
    said = chain.judge(rows)
    names = ["sell", "neutral", "buy"]
    judged = chain.meta_features(made.bars[list(FEATURES)].to_numpy(), made.stored(ends))
    assert np.array_equal(said[[f"prob_{name}" for name in names]], chain.audit(judged))
    assert said["base_buy"].nunique() == len(ends)
    for count in (1, 7):
        for begin in range(0, len(ends) - count + 1, count):
            part = chain.judge(rows[begin : begin + WINDOW - 1 + count].reset_index(drop=True))
            pd.testing.assert_frame_equal(
                part, said[begin : begin + count].reset_index(drop=True), check_exact=True
            )


def test_a_subject_asks_for_what_the_chain_answers_and_times_it(made: Made, chain: Chain) -> None:
    subject, ends = ChainSubject("quantgod/1", chain), np.array([70, 71, 72, 80, 99])
    material = RawMaterial(made.bars[list(FEATURES)].to_numpy(), made.stored)
    assert subject.block == (BLOCK, LEVELS)
    said = subject.audited(subject.ask(material, ends).meta)
    answered = chain.judge(made.rows).iloc[ends - WINDOW + 1]
    columns = [f"prob_{name}" for name in ("sell", "neutral", "buy")]
    assert np.array_equal(said, answered[columns])
    assert (subject.answer_times(made.bars, ends, made.stored) > 0).all()


def test_a_subject_is_asked_with_blocks_of_its_own_shape_alone(made: Made, chain: Chain) -> None:
    subject, blocks = ChainSubject("quantgod/1", chain), made.stored.blocks
    found = material_of(subject, made.bars, blocks)
    assert found.book is not None and np.array_equal(found.book.places, made.stored.places)
    with pytest.raises(MissingBooksError, match=r"quantgod/1 takes blocks of \(8, 3\).* got none"):
        material_of(subject, made.bars)
    subject.block = (8, 4)
    with pytest.raises(MissingBooksError, match=r"takes blocks of \(8, 4\) .* of \(8, 3\)"):
        material_of(subject, made.bars, blocks)


def test_importance_exchanges_books_alone_for_the_group_of_the_book(
    made: Made, chain: Chain
) -> None:
    """The columns of the bars are no views of this network: they move the auditor alone."""
    subject, ends = ChainSubject("quantgod/1", chain), np.arange(WINDOW - 1, MINUTES)
    material, target = material_of(subject, made.bars, made.stored.blocks), np.arange(len(ends)) % 3
    found = permutation_importance(subject, material, ends, target, Plan(20, 1, 1), 20.0)
    base = found.models["base"]
    assert base[BOOK].log_loss_by_repeat[0] != 0
    assert base["volume"].log_loss_by_repeat == (0.0,)


def test_another_book_is_another_answer(made: Made, chain: Chain) -> None:
    rows = made.rows[-WINDOW:].reset_index(drop=True)
    other = made.books[-1].copy()
    other[..., 1] *= np.linspace(1, 3, LEVELS)
    moved = rows.assign(book=[None] * (WINDOW - 1) + [other])
    assert chain.judge(moved)["base_buy"][0] != chain.judge(rows)["base_buy"][0]


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records"])
def test_the_server_answers_posted_books_as_the_chain_does(
    made: Made, chain: Chain, served: PyFuncModel, form: str
) -> None:
    body = json.loads((made.package.folder / "golden_input.json").read_text())
    rows = pd.DataFrame(**body["dataframe_split"])
    expected = chain.judge(rows)
    posted = body if form == "dataframe_split" else {form: rows.to_dict(orient="records")}
    for app in (scoring_server.init(served), scoring_app(served, 1_000_000)):
        status, answer = post(app, posted)
        assert status == 200, answer
        said = pd.DataFrame(answer["predictions"])
        assert said["prob_buy"].tolist() == expected["prob_buy"].tolist()
        assert said["action"].tolist() == expected["action"].tolist()


def test_a_server_answers_a_book_that_cannot_be_judged_with_400(
    made: Made, served: PyFuncModel
) -> None:
    body = json.loads((made.package.folder / "golden_input.json").read_text())
    body["dataframe_split"]["data"][-1][-1][0][0][1] = True
    for app in (scoring_server.init(served), scoring_app(served, 1_000_000)):
        status, answer = post(app, body)
        assert (status, answer["code"]) == (400, "bad_dtype")
        assert answer["message"].endswith("book holds True, numbers are expected")


def test_a_champion_of_the_book_is_not_compared_on_rows_without_books(
    made: Made, served: PyFuncModel
) -> None:
    nothing = JournalTables(pd.DataFrame(), pd.DataFrame())
    challenge = Challenge(NAME, 99, 1, pd.DataFrame(), made.bars, None, nothing)
    found = compare_with_champion(challenge, load_settings(Path("conf/demo.yaml")))
    assert found.test.problem == (
        f"{NAME} 1 takes blocks of (8, 3) snapshots and levels of the book, and the rows hold none"
    )


def post(app: Any, posted: Any) -> tuple[int, Any]:
    """Send a body to an ASGI application as a server does."""
    waiting = iter([{"type": "http.request", "body": json.dumps(posted).encode()}])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(waiting, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(POST, receive, send))
    return sent[0]["status"], json.loads(b"".join(part.get("body", b"") for part in sent))


def level(value: Any) -> Any:
    def spoil(book: list[Any]) -> Any:
        book[2][1][3] = value
        return book

    return spoil


def swapped(book: list[Any]) -> Any:
    book[2][0], book[2][1] = book[2][1], book[2][0]
    return book


def third(book: list[Any]) -> Any:
    del book[2][1][3]
    return book


def crossed(book: list[Any]) -> Any:
    book[2][0][0] = book[2][0][2]
    return book


PLACE = r"row 60 \(2024-01-01T01:00:00Z\): "
WRONG = [
    (lambda book: None, "no_book", PLACE + "book is null, 8 snapshots of 3 levels"),
    (lambda book: float("nan"), "no_book", PLACE),
    (lambda book: book[1:], "book_shape", PLACE + r"book has 7 snapshots, 8 are .* 8 snapshots of"),
    (lambda book: np.array(book[1:]), "book_shape", PLACE + "book has 7 snapshots, 8 are expected"),
    (lambda book: np.array(book)[:, :2], "book_shape", PLACE + "snapshot 0 of book has 2 levels"),
    (lambda book: [*book[:-1], book[0][:2]], "book_shape", PLACE + "snapshot 7 of book has 2 lev"),
    (lambda book: [*book[:-1], "full"], "book_shape", PLACE + "snapshot 7 of book is 'full', a l"),
    (
        lambda book: "much",
        "book_shape",
        PLACE + "book is 'much', a list of 8 snapshots is expected",
    ),
    (lambda book: 5, "book_shape", PLACE + "book is 5, a list of 8 snapshots is expected"),
    (lambda book: np.array(5.0), "book_shape", PLACE + "book is array.5.., a list of 8"),
    (lambda book: {"bids": []}, "book_shape", PLACE + "book is {'bids': ..}, a list of 8 snapsho"),
    (lambda book: [], "book_shape", PLACE + "book has 0 snapshots, 8 are expected"),
    (
        level([1.0]),
        "book_shape",
        PLACE + r"snapshot 2, level 1, number 3 of book is \[1.0\], a num",
    ),
    (third, "book_shape", PLACE + "snapshot 2, level 1 of book has 3 numbers, 4 are expected"),
    (level("1.5"), "bad_dtype", PLACE + "book holds '1.5', numbers are expected"),
    (level(True), "bad_dtype", PLACE + "book holds True"),
    (level(10**400), "bad_dtype", PLACE),
    (level(None), "not_finite", PLACE + "book holds null, numbers are expected"),
    (level(float("nan")), "not_finite", PLACE + "snapshot 2, level 1 of its book is .*nan.*finite"),
    (level(float("inf")), "not_finite", PLACE),
    (level(0.0), "not_positive", PLACE + "snapshot 2, level 1 .*above zero are expected"),
    (level(-1.0), "not_positive", PLACE),
    (swapped, "levels_out_of_order", PLACE + "snapshot 2, level 1 of its book is .*bids that fall"),
    (crossed, "levels_out_of_order", PLACE + "snapshot 2, level 0"),
    (level(1e39), "out_of_range", PLACE + "sizes and prices of its book are beyond"),
    (level(1e-60), "out_of_range", PLACE),
]


@pytest.mark.parametrize(("spoil", "code", "reason"), WRONG, ids=range(len(WRONG)))
def test_a_book_that_cannot_be_judged_is_named_with_its_row(
    made: Made, chain: Chain, spoil: Any, code: str, reason: str
) -> None:
    """Whether it came as lists or as an array, as far as an array can hold it."""
    rows = made.rows[: WINDOW + 1].reset_index(drop=True)
    wrong = spoil(made.books[WINDOW].tolist())
    forms = [wrong]
    if isinstance(wrong, list) and code in ("not_positive", "levels_out_of_order", "out_of_range"):
        forms.append(np.array(wrong))
    for form in forms:
        rows.at[WINDOW, "book"] = form
        with pytest.raises(InputError, match=f"{code}: {reason}") as told:
            chain.judge(rows)
        assert told.value.code == code


def test_an_array_of_no_numbers_and_rows_without_the_column_are_refused(
    made: Made, chain: Chain
) -> None:
    rows = made.rows[:WINDOW]
    with pytest.raises(InputError, match="missing_column: book not given"):
        chain.judge(rows.drop(columns="book"))
    for odd in (made.books[0].astype(str), made.books[0] > 0):
        rows.at[WINDOW - 1, "book"] = odd
        with pytest.raises(InputError, match=r"bad_dtype: .* book holds .*, numbers are expected"):
            chain.judge(rows)


def test_what_a_row_holds_that_ends_no_window_is_not_read(made: Made, chain: Chain) -> None:
    rows = made.rows[:WINDOW]
    rows.at[0, "book"], rows.at[1, "book"] = "much", [1, [2]]
    pd.testing.assert_frame_equal(chain.judge(rows), chain.judge(made.rows[:WINDOW]))


def test_whole_numbers_are_numbers(made: Made, chain: Chain) -> None:
    """As JSON has them of a size of two contracts."""
    rows = made.rows[:WINDOW]
    book = made.books[WINDOW - 1].tolist()
    book[2][1][3] = 2.0
    rows.at[WINDOW - 1, "book"] = book
    expected = chain.judge(rows)
    book[2][1][3] = 2
    pd.testing.assert_frame_equal(chain.judge(rows), expected, check_exact=True)


def test_a_window_whose_price_never_moved_is_refused(made: Made, chain: Chain) -> None:
    rows = made.rows[: WINDOW + 1].assign(log_ret_close=0.0)
    rows.loc[0, "log_ret_close"] = 1e-4
    with pytest.raises(InputError, match=rf"still_prices: {PLACE}the last 60 closes are equal"):
        chain.judge(rows)


def test_a_network_of_the_book_without_snapshots_is_refused(made: Made, tmp_path: Path) -> None:
    golden = GoldenRows(made.bars, MINUTES, BRIDGE)
    with pytest.raises(ValueError, match="book_mlp looks at the book: snapshots expected"):
        build_package(tmp_path, made.network, tmp_path, golden, tiny_reference(made.bars), SERIES)


def test_its_copy_of_the_code_that_reads_books_is_verified(made: Made) -> None:
    manifest = json.loads((made.package.folder / "manifest.json").read_text())
    for name in ("served/blocks.py", "served/request/books.py"):
        assert manifest[name] == file_digest(CHAIN_FILE.parents[1] / name)
