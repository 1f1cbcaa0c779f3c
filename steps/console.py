"""Print progress bars, tables and lines on the terminal."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from quantgod.contracts import Progress
    from quantgod.tracking.stage import StageRun

_RULES = 3
"""Width of a column besides its content: a rule, and a space on either side."""

QUIET_SECONDS = 10.0
"""Minimal interval of progress lines without a terminal."""


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show a progress bar on a terminal, or occasional lines elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console, title)
        return
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=console) as bars:
        task = bars.add_task(title, total=None, note="")

        def report(done: int, total: int, note: str) -> None:
            bars.update(task, completed=done, total=total or None, note=note)

        yield report


class _Lines:
    """Progress as lines for a log file."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._last = time.monotonic()

    def __call__(self, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        if now - self._last < QUIET_SECONDS and done != total:
            return
        self._last = now
        self._console.print(f"{self._title}: {done}/{total or '?'} {note}", highlight=False)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Let this project's own warnings be printed as sentences, without the lines they come from."""
    usual = warnings.formatwarning

    def in_words(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        line: str | None = None,
    ) -> str:
        if category.__module__.partition(".")[0] == "quantgod":
            return f"Warning: {message}\n"
        return usual(message, category, filename, lineno, line)

    warnings.formatwarning = in_words
    try:
        yield
    finally:
        warnings.formatwarning = usual


def show_table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to standard output, without breaking words if the terminal is wide enough."""
    console, table = Console(), Table(title=title)
    lines = [[Text.from_markup(cell).plain for cell in line] for line in (headers, *rows)]
    columns = list(zip(*lines, strict=True))
    widths = _widths(columns, console.width - _RULES * len(columns) - 1)
    for header, width in zip(headers, widths, strict=True):
        table.add_column(header, overflow="fold", width=width)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int] | list[None]:
    """Return column widths: each column's longest word plus a fair share of the rest of `room`."""
    wanted = [max(map(len, cells)) for cells in columns]
    words = [" ".join(cells).split() for cells in columns]
    widths = [max(map(len, told), default=1) for told in words]
    if sum(widths) > room:
        return [None] * len(columns)
    while short := [at for at, width in enumerate(widths) if width < wanted[at]]:
        for at in short[: room - sum(widths)]:
            widths[at] += 1
        if sum(widths) == room:
            break
    return widths


def tell(run: StageRun) -> None:
    """Print a stage's result and its place, as the last lines of its command."""
    from quantgod.tracking.stage import HEADLINE_TAG

    say_as_written(f"{run.name}: {run.tags.get(HEADLINE_TAG, 'done')}")
    for place in (*run.places, f"run {run.run_id}"):
        say_as_written(f"  {place}")


def say_as_written(text: str) -> None:
    """Print a line like `say`, without interpreting markup."""
    say(escape(text))


def say(text: str) -> None:
    """Print a line with markup to standard output, unwrapped so that commands can be copied."""
    Console().print(text, soft_wrap=True)


def remark(text: str) -> None:
    """Print a sentence without markup; a terminal gets it wrapped between words."""
    console = Console()
    console.print(escape(text), soft_wrap=not console.is_terminal)
