"""Find the files of an import of bars, and whose bars they are by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from shlex import quote
from typing import Final

from quantgod.archive.plan import ArchiveFile, find_archives
from quantgod.archive.price_table import QUOTES, letters_of
from quantgod.contracts import MARKETS
from quantgod.files import files_below
from quantgod.settings import command

SUFFIXES: Final = (".csv", ".csv.gz", ".parquet", ".feather")

FOLDERS_ABOVE: Final = 2
"""How many folders above a file may say whose it is, as in `FILUSDT/1m/2024-01.csv`."""

_A_SYMBOL: Final = re.compile("[A-Z0-9]{2,}(USD[TC]?|PERP)")


def bar_files(sources: Sequence[Path], symbol: str) -> list[Path]:
    """Return the named files, and the files of bars in named folders.

    Raises:
        ValueError: where there is no file of bars, with the command that takes what is there; or
            for files that are named after different symbols, one of which may be `symbol`.
    """
    found: list[Path] = []
    for source in sources:
        if not source.exists():
            raise ValueError(f"a file of bars, or a folder of such, was expected at {source}")
        inside = list(files_below(source)) if source.is_dir() else [source]
        bars = [path for path in inside if path.name.endswith(SUFFIXES)]
        if not bars:
            raise ValueError(_refusal(source, inside))
        found += bars
    _check_one_symbol(found, symbol)
    return found


def files_by_symbol(
    sources: Sequence[Path], symbols: Sequence[str]
) -> tuple[dict[str, list[Path]], list[Path]]:
    """Return the files of candles by the symbol that they are named after, and those of others.

    Args:
        sources: files, and folders of such.
        symbols: which are taken, and one alone also names the files whose names do not. None: all.

    Raises:
        ValueError: where there is no file of a symbol that is taken, or a file's name tells none.
    """
    found: dict[str, list[Path]] = {}
    others = []
    for path in _candle_files(sources):
        named = next((one for one in symbols if _named_after(path, one) == {one}), None)
        own = {named} if named else _named_after(path, "") or {*symbols}
        if len(own) != 1:
            raise ValueError(
                f"{path}: its name does not tell whose candles it holds: give --coins SYMBOL"
            )
        (symbol,) = own
        if symbols and symbol not in symbols:
            others.append(path)
        else:
            found.setdefault(symbol, []).append(path)
    if not found:
        elsewhere = sorted(set[str]().union(*(_named_after(path, "") for path in others)))
        raise ValueError(
            f"files of {', '.join(symbols)} were expected, these are named after "
            f"{', '.join(elsewhere)}: --coins says whose candles are taken, a file's name whose it "
            "holds"
        )
    return found, others


def _candle_files(sources: Sequence[Path]) -> list[Path]:
    """Return the named files, and those in named folders that hold tables or klines."""
    found: list[Path] = []
    for source in sources:
        if not source.exists():
            raise ValueError(f"a file of candles, or a folder of such, was expected at {source}")
        inside = [source]
        if source.is_dir():
            kinds = (*SUFFIXES, ".zip")
            inside = [path for path in files_below(source) if path.name.endswith(kinds)]
            inside = [path for path in inside if not path.name.endswith(".data.zip")]  # books
            if not inside:
                raise ValueError(f"{source}: no file of {', '.join(kinds)} was found")
        found += inside
    return found


def other_symbols(sources: Sequence[Path], symbol: str) -> list[str]:
    """Return the symbols, other than this one, that files are named after.

    A file's own name counts before that of its folder, and that before the folder above.

    Raises:
        ValueError: as `bar_files` does.
    """
    found = set[str]().union(*(_named_after(path, symbol) for path in bar_files(sources, symbol)))
    return sorted(found - {symbol})


def _check_one_symbol(paths: Sequence[Path], symbol: str) -> None:
    """Check that no two files are named after different symbols: prices months apart tell nothing.

    Raises:
        ValueError: naming two files and all symbols.
    """
    named = {path: own for path in paths if (own := _named_after(path, symbol))}
    for one, other in combinations(named, 2):
        if named[one].isdisjoint(named[other]):
            found = sorted(set[str]().union(*named.values()))
            alone = command("import_bars", "--source FILE", f"--symbol {found[0]}")
            raise ValueError(
                f"files of one symbol were expected, and {one} is named after "
                f"{' or '.join(sorted(named[one]))}, {other} after "
                f"{' or '.join(sorted(named[other]))} (in all: {', '.join(found)}): import the "
                f"files of each symbol by a command of their own, `{alone}`"
            )


def _named_after(path: Path, symbol: str) -> set[str]:
    """Return the symbols in a file's name, or else in the name of a folder above it."""
    whole = path.absolute()
    names = (path.name, *(above.name for above in [*whole.parents][:FOLDERS_ABOVE]))
    return next((named for name in names if (named := _symbols_in(name, symbol))), set())


def _symbols_in(name: str, symbol: str) -> set[str]:
    """Return the symbols in a name: only `symbol` if it is among them, written in any way."""
    words = [word for word in re.split("[^A-Z0-9]+", name.upper()) if word]
    pairs = [first + quote for first, quote in pairwise(words) if quote in QUOTES]
    if letters_of(symbol) in {*words, *map("".join, pairwise(words))}:
        return {symbol}
    begins = re.split("[^A-Z0-9]", name)[0]  # of `BTCUSDTs.csv`
    return {one for one in (begins, *words, *pairs) if _A_SYMBOL.fullmatch(one)}


def _refusal(source: Path, files: Sequence[Path]) -> str:
    """Say what is there instead of files of bars, and which command takes it."""
    expected = f"minute bars as {', '.join(SUFFIXES)} were expected at {source}"
    if not files:
        return f"{expected}, and there is no file"
    folder = source if source.is_dir() else source.parent
    if (archive := _an_archive(folder, files)) is not None:
        series = f"--symbol {archive.symbol}", f"--market {archive.market}"
        etl = command("etl", f"--archives {quote(str(folder))}", *series)
        return f"{expected}; {archive.name} is an archive of books: `{etl}` makes bars of it"
    if files[0].suffix == ".zip":
        return f"{expected}; {files[0].name} is to be unpacked first"
    recorded = command("archive_recording", f"--recording {quote(str(files[0]))}")
    return (
        f"{expected}, not {files[0].name}; if it holds recorded messages, `{recorded}` makes "
        f"archives of them, and `{command('etl')}` bars of these"
    )


def _an_archive(folder: Path, files: Sequence[Path]) -> ArchiveFile | None:
    """Return an archive of any market among files of a folder, by its name."""
    archives = (found for market in MARKETS for found in find_archives(folder, market)[0])
    return next((archive for archive in archives if archive.path in files), None)
