"""Read posted books: the snapshots before each window's end, as the venue gave them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from .. import rolling
from ..blocks import VOLATILITY_ROWS, positive, relative
from ..contract import Contract
from .rows import BOOK, LARGEST, Floats, Integers, RequestError, is_number, row_name, shown

PARTS = ("snapshot", "level", "number")
"""What a book is a list of, each of the next."""

RETURN = "log_ret_close"

Blocks = npt.NDArray[np.float32]


def read_blocks(
    rows: pd.DataFrame, features: Floats, minutes: Integers, contract: Contract
) -> Blocks | None:
    """Return what the graph takes of the book of each window; None for a version without.

    Args:
        rows: as posted.
        features: of the rows, as `read_rows` has read them.
        minutes: of the rows.
        contract: of the version.

    Raises:
        RequestError: as `read_books`, or `still_prices`, or `out_of_range` where float32 cannot
            hold the book.
    """
    if contract.book is None:
        return None
    ends = np.arange(contract.window - 1, len(rows))
    volatility = _volatility(features, contract)
    books = read_books(rows, minutes, contract, ends)
    if len(still := np.flatnonzero(~(volatility[ends] > 0))):
        last = f"the last {VOLATILITY_ROWS} closes are equal"
        reason = f"{last}, and prices are scaled by their moves"
        raise RequestError("still_prices", f"{row_name(minutes, int(ends[still[0]]))}: {reason}")
    return _relative(books, volatility, minutes, ends)


class SomeBlocks(NamedTuple):
    """What graphs take of the book of some windows.

    Attributes:
        ends: (n,) positions of the rows that end them.
        blocks: (n, snapshots, levels, 4).
    """

    ends: Integers
    blocks: Blocks


def read_some_blocks(
    rows: pd.DataFrame, features: Floats, minutes: Integers, contract: Contract
) -> SomeBlocks:
    """Return what graphs take of the books that there are, where prices have moved.

    Raises:
        RequestError: as `read_blocks`, of the books that are given.
    """
    given, volatility = given_books(rows, contract), _volatility(features, contract)
    books = read_books(rows, minutes, contract, given)
    moves = volatility[given] > 0
    ends = given[moves]
    return SomeBlocks(ends, _relative(books[moves], volatility, minutes, ends))


def _volatility(features: Floats, contract: Contract) -> Floats:
    """Return the deviation of the returns up to each row, (rows,)."""
    returns = features[:, contract.features.index(RETURN)]
    found: Floats = rolling.deviation(returns, VOLATILITY_ROWS)
    return found


def _relative(books: Floats, volatility: Floats, minutes: Integers, ends: Integers) -> Blocks:
    """Return books (n, snapshots, levels, 4) with prices relative to the mid, as graphs take them.

    Raises:
        RequestError: `out_of_range`, with the first row whose book float32 cannot hold.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        blocks: Blocks = relative(books)
        reach = np.abs(blocks[..., 0::2]).max(axis=(1, 2, 3)) / volatility[ends]
    if len(wrong := np.flatnonzero(~(positive(blocks) & (reach <= LARGEST)))):
        reason = "sizes and prices of its book are beyond what float32 can hold"
        raise RequestError("out_of_range", f"{row_name(minutes, int(ends[wrong[0]]))}: {reason}")
    return blocks


def given_books(rows: pd.DataFrame, contract: Contract) -> Integers:
    """Return the positions of the rows that end a full window and have a book."""
    first = contract.window - 1
    has_book = [not _is_null(cell) for cell in rows[BOOK].tolist()[first:]]
    return np.flatnonzero(has_book) + first


def read_books(
    rows: pd.DataFrame, minutes: Integers, contract: Contract, ends: Integers | None = None
) -> Floats:
    """Return the book of each row that ends a full window, as the venue gave it.

    Args:
        rows: whose columns `read_rows` has found whole.
        minutes: of the rows.
        contract: of a version of the book.
        ends: positions of the rows to read; None for all that end a full window.

    Returns:
        (windows, snapshots, levels, 4) of bid price, bid size, ask price, ask size.

    Raises:
        RequestError: `no_book`, `book_shape`, `bad_dtype`, `not_finite`, `not_positive` or
            `levels_out_of_order`, with the first such row.
    """
    at_rows = range(contract.window - 1, len(rows)) if ends is None else ends.tolist()
    cells = rows[BOOK].tolist()
    books = np.empty((len(at_rows), *contract.block))
    for at, row in enumerate(at_rows):
        books[at] = _book(cells[row], contract.block, row_name(minutes, row))
    for code, wrong, asked in _book_faults(books):
        if wrong.any():
            place = np.argwhere(wrong)[0].tolist()
            row = row_name(minutes, at_rows[place[0]])
            where = f"{row}: snapshot {place[1]}, level {place[2]}"
            level = books[tuple(place[:3])].tolist()
            raise RequestError(code, f"{where} of its book is {level}, {asked}")
    return books


def _book(cell: object, shape: tuple[int, ...], row: str) -> Floats:
    """Return one posted book; lists are read number by number, since numpy takes true for 1."""
    asked = "{} snapshots of {} levels [bid price, bid size, ask price, ask size]".format(*shape)
    if _is_null(cell):
        raise RequestError(
            "no_book", f"{row}: {BOOK} is null, {asked} are expected where a window ends"
        )
    if misfit := _misfit(cell, shape):
        raise RequestError("book_shape", f"{row}: {misfit}; {asked} are a book")
    book = np.asarray(cell, dtype=None if isinstance(cell, np.ndarray) else object)
    if book.dtype.kind == "O":
        _check_cells(book, row)
    elif book.dtype.kind not in "fiu":
        raise RequestError("bad_dtype", f"{row}: {BOOK} holds {book.dtype}, numbers are expected")
    return np.asarray(book, np.float64)


def _is_null(cell: object) -> bool:
    return cell is None or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell))


def _misfit(value: object, shape: tuple[int, ...], place: tuple[int, ...] = ()) -> str:
    """Return where a book first differs from its shape and how; empty if it does not.

    >>> _misfit([[[1, 2]], [[1]]], (2, 1, 2))
    'snapshot 1, level 0 of book has 1 numbers, 2 are expected'
    """
    if isinstance(value, np.ndarray) and value.shape == shape:
        return ""
    where = ", ".join(f"{part} {at}" for part, at in zip(PARTS, place, strict=False))
    where = f"{where} of {BOOK}" if where else BOOK
    if not shape:
        is_one = not isinstance(value, list | tuple | np.ndarray)
        return "" if is_one else f"{where} is {shown(value)}, a number is expected"
    parts = f"{PARTS[len(place)]}s"
    if not isinstance(value, list | tuple | np.ndarray) or getattr(value, "shape", None) == ():
        return f"{where} is {shown(value)}, a list of {shape[0]} {parts} is expected"
    if len(value) != shape[0]:
        return f"{where} has {len(value)} {parts}, {shape[0]} are expected"
    found = (_misfit(one, shape[1:], (*place, at)) for at, one in enumerate(value))
    return next(filter(None, found), "")


def _check_cells(book: npt.NDArray[np.object_], row: str) -> None:
    if set(map(type, book.flat)) == {float}:
        return
    for value in book.flat:
        if not is_number(value):
            code = "not_finite" if value is None else "bad_dtype"
            raise RequestError(code, f"{row}: {BOOK} holds {shown(value)}, numbers are expected")


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
