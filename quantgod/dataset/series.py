"""Whose rows something was made of: noted beside it, and compared where parts come together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from quantgod.contracts import Series
from quantgod.files import write_json

SERIES_FILE: Final = "series.json"


class SeriesError(ValueError):
    """Parts of several series, or of none that is known."""


def write_series(folder: Path, series: Series) -> None:
    """Note in `folder` of which series its content was made."""
    write_json(folder / SERIES_FILE, msgspec.to_builtins(series))


def read_series(folder: Path) -> Series:
    """Read what `write_series` noted.

    Raises:
        SeriesError: if nothing was noted, or nothing that makes sense.
    """
    path = folder / SERIES_FILE
    try:
        return parse_series(path.read_bytes(), path)
    except FileNotFoundError:
        text = f"{path}: not there, so nobody knows of which symbol and market this was made"
        raise SeriesError(f"{text}: make it again") from None


def parse_series(text: bytes, place: Path) -> Series:
    """Read a series from JSON that stood at `place`.

    Raises:
        SeriesError: if it is none.
    """
    try:
        return msgspec.json.decode(text, type=Series)
    except msgspec.MsgspecError as error:
        raise SeriesError(f"{place}: names no series: {error}") from None


def check_one_series(parts: Mapping[str, Series]) -> Series:
    """See that all parts are of one series, and give it.

    Args:
        parts: by what they are called; one at least.

    Raises:
        SeriesError: naming each part and whose it is.
    """
    if len(set(parts.values())) > 1:
        told = ", ".join(f"{name} of {series}" for name, series in parts.items())
        raise SeriesError(f"parts of several series do not make one model: {told}")
    return next(iter(parts.values()))
