"""Print progress bars, tables and lines on the terminal."""

from __future__ import annotations

import threading
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
"""Minimal interval of progress lines without a terminal, and the longest that nothing is told."""


@contextmanager
def progress_bar(title: str, *, every: bool = False) -> Iterator[Progress]:
    """Show a progress bar on a terminal, or elsewhere occasional lines; `every` shows each step."""
    console = Console(stderr=True)
    if not console.is_terminal:
        with _reminding(_Lines(console, title, every=every)) as lines:
            yield lines
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

    def __init__(self, console: Console, title: str, *, every: bool) -> None:
        self._console, self._title, self._every = console, title, every
        self._line, self._pause = title, QUIET_SECONDS
        self._moved = self._shown = time.monotonic()

    def __call__(self, done: int, total: int, note: str) -> None:
        self._line, self._pause = f"{self._title}: {done}/{total or '?'} {note}", QUIET_SECONDS
        self._moved = time.monotonic()
        if self._every or done == total or self._moved - self._shown >= QUIET_SECONDS:
            self._show(self._line)

    def remind(self, ended: threading.Event) -> None:
        """Repeat the last step with its seconds, at longer and longer intervals, until `ended`."""
        while not ended.wait(self._moved + self._pause - time.monotonic()):
            if (lasts := time.monotonic() - self._moved) >= self._pause:
                self._pause *= 2
                self._show(f"{self._line} ({lasts:.0f} s)")

    def _show(self, line: str) -> None:
        self._shown = time.monotonic()
        self._console.print(line, highlight=False)


@contextmanager
def _reminding(lines: _Lines) -> Iterator[_Lines]:
    """Let lines tell of long steps for as long as the block takes."""
    ended = threading.Event()
    reminder = threading.Thread(target=lines.remind, args=(ended,), name="reminder", daemon=True)
    reminder.start()
    try:
        yield lines
    finally:
        ended.set()
        reminder.join()


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


def say_stage(name: str, note: str) -> None:
    """Print that a stage begins, or what is known of it."""
    say(f"{name}: {note}" if note else f"[bold]{name}[/bold]")


def remark(text: str) -> None:
    """Print a sentence without markup; a terminal gets it wrapped between words."""
    console = Console()
    console.print(escape(text), soft_wrap=not console.is_terminal)
