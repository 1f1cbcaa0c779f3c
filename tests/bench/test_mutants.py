from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bench import mutant_runs, mutants, test_map
from bench.mutant_runs import Change, UnsoundError, Verdict, judge, judged, runs_of
from bench.mutants import Mutant, mutants_of
from bench.test_map import TestMap

ROOT = Path(__file__).parents[2]
THING = Path("quantgod/room/thing.py")
CODE = '''
def is_more(one, other):
    """Doc.

    >>> is_more(3, 4)
    False
    """
    return one > other


def twice(one):
    return one * 2
'''
TESTS = """
from quantgod.room.thing import is_more, twice


def test_more():
    assert is_more(2, 1)
    assert not is_more(1, 1)
"""
ELSEWHERE = """
from quantgod.room.thing import twice


def test_twice():
    assert twice(0) == 0
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one file, its tests, and others of its room."""
    for name, text in {
        "quantgod/room/thing.py": CODE,
        "tests/room/test_thing.py": TESTS,
        "tests/room/test_elsewhere.py": ELSEWHERE,
        "pytest.ini": "[pytest]\naddopts = --doctest-modules\npythonpath = .\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for module in (mutants, mutant_runs, test_map):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
    monkeypatch.setattr(mutant_runs, "WARM", ("pytest",))  # these tests import nothing else
    monkeypatch.chdir(tmp_path)
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    """Files are read once in a run; a test writes them anew."""
    mutants._text.cache_clear()
    test_map._nodes.cache_clear()


class NoMap(TestMap):
    """A map that knows nothing."""

    def __init__(self) -> None:
        """Read nothing."""

    def tests(self, file: Path, line: int) -> None:
        return None

    def seconds(self, name: str) -> float:
        return 0.0

    def is_changed(self, file: Path) -> bool:
        return True


def change(before: str, after: str) -> Change:
    """The project's file with other words, at the line where they stand."""
    line = CODE[: CODE.index(before)].count("\n") + 1
    return Change(THING, line, CODE.replace(before, after))


@pytest.mark.long
@pytest.mark.parametrize(
    ("before", "after", "by"),
    [
        ("one > other", "one >= other", "FAILED tests/room/test_thing.py::test_more"),
        ("one * 2", "one + 2", "FAILED tests/room/test_elsewhere.py::test_twice"),
        ("False", "None", "FAILED quantgod/room/thing.py::"),
        ("one * 2", "one * (2)", ""),
        ("one > other", "one > other or __import__('os')._exit(3)", "pytest ended with 3"),
    ],
)
def test_a_change_is_noticed_by_the_first_test_that_fails(project, before, after, by):
    verdict = judge(project, change(before, after), NoMap())
    assert verdict.is_noticed == bool(by)
    assert verdict.by.startswith(by)
    assert verdict.seconds > 0
    assert (project / THING).read_text() == CODE


@pytest.mark.long
def test_a_change_without_an_end_is_told_apart(project, monkeypatch):
    monkeypatch.setattr(mutant_runs, "LEAST_SECONDS", 3)
    verdict = judge(project, change("one > other", "[1 for _ in iter(int, 1)]"), NoMap())
    assert (verdict.is_noticed, verdict.by) == (True, "no end")


FLAKY = """
from pathlib import Path


def test_chance():
    runs = Path("runs")
    runs.write_text(runs.read_text() + "." if runs.exists() else ".")
    assert len(runs.read_text()) not in FAIL
"""


@pytest.mark.long
@pytest.mark.parametrize(("fail", "runs", "noticed"), [("{1}", 3, False), ("{1, 2}", 2, True)])
def test_what_fails_once_by_chance_has_noticed_nothing(project, fail, runs, noticed):
    (project / "tests/room/test_thing.py").write_text(FLAKY.replace("FAIL", fail))
    assert bool(mutant_runs.failure(project, ["tests/room/test_thing.py"], 60)) == noticed
    assert len((project / "runs").read_text()) == runs


def test_where_nothing_is_known_all_that_name_a_file_or_its_user_and_its_room_run(project):
    user = project / "quantgod/office/user.py"
    user.parent.mkdir()
    user.write_text("from quantgod.room.thing import twice")
    elsewhere = project / "tests/office/test_hours.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text("from quantgod.office.user import twice")
    (project / "tests/office/test_thinner.py").write_text("from quantgod.room.thinner import x")
    (project / "tests/room/test_other.py").write_text("")
    assert [sorted(run) for run in runs_of(THING, 9, NoMap())] == [
        [str(THING), "tests/room/test_thing.py"],
        ["tests/office/test_hours.py", "tests/room/test_elsewhere.py"],
        ["tests/room/test_other.py"],
    ]


USERS = """
import pytest
from quantgod.room import other


@pytest.fixture(scope="module")
def made():
    return other.made(2)


def test_first(made):
    assert made


def test_second(made):
    assert made == 4


def test_neither():
    pass
"""


@pytest.mark.long
def test_a_map_knows_who_runs_a_line(project):
    other = Path("quantgod/room/other.py")
    (project / other).write_text(
        "from quantgod.room.thing import twice\n\n\n"
        "def made(one):\n    if one > 5:\n        return 0\n    return (\n        twice(\n"
        "            one)\n    )\n\n\ndef unused():\n    return 1\n"
    )
    (project / "tests/room/test_users.py").write_text(USERS)
    copied = project / "bench/test_map.py"
    copied.parent.mkdir()
    copied.write_text((ROOT / copied.relative_to(project)).read_text())
    subprocess.run([sys.executable, "-m", "bench.test_map", "quantgod", "tests"], check=True)
    known = TestMap(project)
    more = "tests/room/test_thing.py::test_more"
    assert set(known.tests(THING, 8)) == {
        more,
        "quantgod/room/thing.py::thing.is_more",
    }
    users = "tests/room/test_users.py"
    assert set(known.tests(THING, 12)) == {"tests/room/test_elsewhere.py::test_twice", users}
    assert known.tests(other, 9) == [users], "what a fixture runs is of the whole file"
    assert known.tests(other, 6) == [], "nobody"
    assert known.tests(other, 14) is None, "nothing of this function was seen"
    assert known.seconds(users) > known.seconds(more) > 0
    elsewhere = ["tests/room/test_elsewhere.py::test_twice"]
    assert runs_of(THING, 12, known) == [elsewhere, [users]], "first who names the file"
    (project / "tests/room/test_thing.py").write_text(TESTS + "\n")
    assert ["tests/room/test_thing.py"] in runs_of(THING, 12, known), "newer than the map"
    (project / THING).write_text(CODE + "\n")
    assert known.tests(THING, 8) is None


@pytest.mark.long
def test_a_test_that_fails_without_a_change_judges_nothing(project):
    (project / "tests/room/test_thing.py").write_text("import missing")
    with pytest.raises(UnsoundError, match=r"tests/room/test_thing.py does not pass in a copy"):
        judge(project, change(">", ">="), NoMap())


def test_nothing_is_judged_without_a_map(project):
    with pytest.raises(FileNotFoundError, match=r"make it by python -m bench.test_map"):
        list(judged({"key": change(">", ">=")}, workers=1))


def test_a_mutant_is_the_same_after_its_file_grew(project):
    def drawn():
        forget()
        return {one.change(): one for one in mutants_of(THING) if one.name.endswith("Gt_GtE")}

    ((change, chosen),) = drawn().items()
    assert change[2:] == ("    return one > other", "    return one >= other")
    (project / THING).write_text(f"def more(a, b):\n    return a > b + 1\n{CODE}")
    moved = drawn()[change]
    assert (moved.line, moved.occurrence) == (chosen.line + 2, chosen.occurrence + 1)


def test_the_looks_of_a_picture_are_left_alone_and_what_it_shows_is_not(project):
    (project / THING).write_text(
        "def drawn(values):\n"
        "    figure = blank(10, 2.5 + 0.3 * len(values))\n"
        "    figure.axes.plot(values * 100, alpha=0.5 if values else 0.25, linewidth=2)\n"
    )
    forget()
    made = [(one.line, one.change()[3].strip()) for one in mutants_of(THING)]
    assert {line for line, _ in made} == {3}
    assert all("alpha=0.5 if values else 0.25, linewidth=2" in text for _, text in made)
    (project / THING).write_text(
        "def scaled(values):\n    return sized(zip(values, strict=True), size=2)\n"
    )
    forget()
    assert len(list(mutants_of(THING))) == 2  # there is no picture


def test_a_run_goes_on_with_its_draw_and_tries_again_what_survived(project, monkeypatch, capsys):
    noticed = "one >= other"

    def judged_by_text(changes, workers):
        for key, change in changes.items():
            text = change.text
            yield key, Verdict(noticed in text, "a test" * (noticed in text), 1.0)

    monkeypatch.setattr(mutants, "judged", judged_by_text)
    path = project / "results.jsonl"
    monkeypatch.setattr("sys.argv", ["mutants", f"--results={path}", "room"])
    assert mutants.main() == 1
    out = capsys.readouterr().out
    assert "1 of 4 noticed, 25.0%; 0 had no end" in out
    assert "SURVIVED quantgod/room/thing.py:12 NumberReplacer" in out
    assert "-    return one * 2\n+    return one * 3" in out
    noticed = "one"
    (project / "quantgod/room/other.py").write_text(CODE)  # more to draw from
    assert mutants.main() == 0
    out = capsys.readouterr().out
    assert "4 drawn, 1 noticed before" in out
    assert [line.split()[:2] for line in out.splitlines()[1:4]] == [[n, "noticed"] for n in "234"]
    mutants.main()
    assert "4 drawn, 4 noticed before" in capsys.readouterr().out


def test_a_mutant_whose_line_is_gone_is_said_and_not_counted(project, tmp_path, capsys):
    (chosen, *_) = mutants_of(THING)
    path = tmp_path / "results.jsonl"
    mutants._note(path, [(chosen, None), (Mutant(**vars(chosen)), None)])
    (project / THING).write_text("def none():\n    return None\n")
    forget()
    assert mutants._resumed(path, Console(width=120)) == ([], {})
    assert "no longer there: quantgod/room/thing.py" in capsys.readouterr().out
