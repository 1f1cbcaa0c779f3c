"""What a person at the terminal sees: progress bars, and the table at the end."""

from __future__ import annotations

import time
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
"""What a column takes of a line besides its own width: a rule, and a space on either side."""

QUIET_SECONDS = 10.0
"""Where there is no terminal, a line of progress at most this often."""


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """A bar on the terminal, or now and then a line where output goes to a file."""
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
    """Progress for a log file."""

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


def show_table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to standard output; no word is broken where the terminal has room for all."""
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
    """The longest word of each column, and of what is left of `room` a fair share."""
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
    """Print what a stage found and where that lies: the last lines of its command."""
    from quantgod.tracking.stage import HEADLINE_TAG

    say_as_written(f"{run.name}: {run.tags.get(HEADLINE_TAG, 'done')}")
    for place in (*run.places, f"run {run.run_id}"):
        say_as_written(f"  {place}")


def say_as_written(text: str) -> None:
    """Print a line as `say` does; what looks like markup in it is none."""
    say(escape(text))


def say(text: str) -> None:
    """Print a line to standard output, markup and all; whole, so that a command can be copied."""
    Console().print(text, soft_wrap=True)


def remark(text: str) -> None:
    """Print a sentence as it is written; a terminal gets it in lines that break no word."""
    console = Console()
    console.print(escape(text), soft_wrap=not console.is_terminal)
