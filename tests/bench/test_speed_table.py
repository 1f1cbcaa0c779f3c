"""The tables of results of speed come from `python -m bench --write`, whole or in part."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from bench import running
from bench.__main__ import BENCHES
from bench.goal import TIMES, Figure
from bench.soak import PARTS
from bench.speed_table import HEAD, refreshed, rows_of

RESULTS = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")
EMPTY = "before\n<!-- figures: speed -->\n<!-- end -->\nafter\n"
FAST = Figure("ours over theirs", 1.234, "x", at_most=1.5, here="16 ms")
SLOW = Figure("theirs over ours", 8.99, "x", at_least=10)
PLAIN = Figure("theirs", 13.0, "ms")
MACHINE = "2 cores of X"


def test_a_row_tells_figure_goal_and_what_was_missed_and_figures_without_a_goal_have_none() -> None:
    assert rows_of("read", [FAST, PLAIN, SLOW]) == [
        f"| read | ours over theirs | 1.23 {TIMES} (16 ms) | at most 1.5 {TIMES} |",
        f"| read | theirs over ours | 8.99 {TIMES} | at least 10 {TIMES}, **missed** |",
    ]


def test_rows_of_one_bench_are_replaced_and_those_of_others_stay_in_the_order_of_benches() -> None:
    order = ("read", "serve")
    late = refreshed(EMPTY, "speed", {"serve": rows_of("serve", [SLOW])}, order, MACHINE)
    both = refreshed(late, "speed", {"read": rows_of("read", [FAST])}, order, MACHINE)
    again = refreshed(both, "speed", {"read": rows_of("read", [SLOW])}, order, MACHINE)
    (serve,), (fast,), (slow,) = (
        rows_of(name, [one]) for name, one in (("serve", SLOW), ("read", FAST), ("read", SLOW))
    )
    for text, row in ((both, fast), (again, slow)):
        block = f"{HEAD}\n{row}\n{serve}\n\nMeasured on {MACHINE}."
        assert text == EMPTY.replace("speed -->\n", f"speed -->\n{block}\n")


def test_rows_of_two_machines_do_not_stand_in_one_table() -> None:
    order = ("read", "serve")
    rows = {name: rows_of(name, [FAST]) for name in order}
    text = refreshed(EMPTY, "speed", rows, order, MACHINE)
    with pytest.raises(ValueError, match=r"serve: .* another machine than 64 cores of Y"):
        refreshed(text, "speed", {"read": rows["read"]}, order, "64 cores of Y")
    assert "64 cores of Y." in refreshed(text, "speed", rows, order, "64 cores of Y")


def test_other_work_is_told_for_as_long_as_a_row_was_measured_beside_it() -> None:
    order = ("read", "serve")
    rows = {name: rows_of(name, [FAST]) for name in order}
    busy = refreshed(EMPTY, "speed", rows, order, MACHINE, is_busy=True)
    assert f"on {MACHINE}, some or all of it beside other work." in busy
    half = refreshed(busy, "speed", {"read": rows["read"]}, order, MACHINE)
    assert half == busy
    assert f"on {MACHINE}.\n" in refreshed(half, "speed", rows, order, MACHINE)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "results.md"
    path.write_text(EMPTY, encoding="utf-8")
    monkeypatch.setattr(running, "RESULTS", path)
    return path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    parts = {"read": lambda log: [FAST, PLAIN], "serve": lambda log: [SLOW]}
    return running.run("bench", "about", parts, "speed")


def test_the_command_runs_what_is_named_judges_it_and_fills_the_page_only_if_asked(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "read") == 0
    assert page.read_text(encoding="utf-8") == EMPTY
    assert "Measured on" in capsys.readouterr().out
    assert call(monkeypatch, "--write") == 1
    text = page.read_text(encoding="utf-8")
    assert rows_of("read", [FAST])[0] in text
    assert rows_of("serve", [SLOW])[0] in text
    with pytest.raises(SystemExit):
        call(monkeypatch, "walk")
    assert "no walk; there are read, serve" in capsys.readouterr().err


@pytest.mark.parametrize(("table", "parts"), [("speed", BENCHES), ("soak", tuple(PARTS))])
def test_the_page_tells_of_benches_that_there_are_and_on_what(
    table: str, parts: tuple[str, ...]
) -> None:
    block = RESULTS.partition(f"<!-- figures: {table} -->")[2].partition("<!-- end -->")[0]
    bench, *named = dict.fromkeys(re.findall(r"^\| (\w+) \|", block, re.MULTILINE))
    assert bench == "bench"
    assert named == [part for part in parts if part in named]
    assert table == "soak" or named == list(parts)
    assert "Measured on " in block
