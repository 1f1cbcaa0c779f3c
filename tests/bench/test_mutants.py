from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from bench import mutant_runs, mutants
from bench.mutant_runs import UnsoundError, Verdict, judge, judged
from bench.mutants import Mutant, mutants_of

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
    for module in (mutants, mutant_runs):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
    monkeypatch.setattr(mutant_runs, "WARM", ("pytest",))  # these tests import nothing else
    mutants._text.cache_clear()
    yield tmp_path
    mutants._text.cache_clear()


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
    verdict = judge(project, THING, CODE.replace(before, after), 60)
    assert verdict.is_noticed == bool(by)
    assert verdict.by.startswith(by)
    assert verdict.seconds > 0
    assert (project / THING).read_text() == CODE


def test_a_change_without_an_end_is_told_apart(project):
    verdict = judge(project, THING, CODE.replace("one > other", "[1 for _ in iter(int, 1)]"), 3)
    assert (verdict.is_noticed, verdict.by) == (True, "no end")


FLAKY = """
from pathlib import Path


def test_chance():
    runs = Path("runs")
    runs.write_text(runs.read_text() + "." if runs.exists() else ".")
    assert len(runs.read_text()) not in FAIL
"""


@pytest.mark.parametrize(("fail", "runs", "noticed"), [("{1}", 3, False), ("{1, 2}", 2, True)])
def test_what_fails_once_by_chance_has_noticed_nothing(project, fail, runs, noticed):
    (project / "tests/room/test_thing.py").write_text(FLAKY.replace("FAIL", fail))
    assert bool(mutant_runs.failure(project, ["tests/room/test_thing.py"], 60)) == noticed
    assert len((project / "runs").read_text()) == runs


def test_no_test_runs_twice_and_a_file_without_its_own_has_those_beside_it(project):
    user = project / "quantgod/office/user.py"
    user.parent.mkdir()
    user.write_text("from quantgod.room.thing import twice")
    elsewhere = project / "tests/office/test_hours.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text("from quantgod.office.user import twice")
    (project / "tests/office/test_thinner.py").write_text("from quantgod.room.thinner import x")
    named = ["tests/office/test_hours.py", "tests/room/test_elsewhere.py"]
    assert mutant_runs.tests_of(THING, project) == [
        ["tests/room/test_thing.py", str(THING)],
        [*named, "--ignore=tests/room/test_thing.py"],
        ["tests/room", *(f"--ignore={one}" for one in ("tests/room/test_thing.py", *named))],
    ]
    assert mutant_runs.tests_of(THING.with_name("other.py"), project) == [
        ["tests/room", "quantgod/room/other.py"]
    ]


def test_a_copy_whose_tests_do_not_pass_judges_nothing(project):
    (project / "tests/room/test_elsewhere.py").write_text("import missing")
    with pytest.raises(UnsoundError, match=r"tests/room .* without a change: ERROR .*elsewhere"):
        list(judged([("key", THING, CODE.replace(">", ">="))], workers=1))


def test_a_mutant_is_the_same_after_its_file_grew(project):
    def drawn():
        mutants._text.cache_clear()
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
    mutants._text.cache_clear()
    made = [(one.line, one.change()[3].strip()) for one in mutants_of(THING)]
    assert {line for line, _ in made} == {3}
    assert all("alpha=0.5 if values else 0.25, linewidth=2" in text for _, text in made)
    (project / THING).write_text(
        "def scaled(values):\n    return sized(zip(values, strict=True), size=2)\n"
    )
    mutants._text.cache_clear()
    assert len(list(mutants_of(THING))) == 2  # there is no picture


def test_a_run_goes_on_with_its_draw_and_tries_again_what_survived(project, monkeypatch, capsys):
    noticed = "one >= other"

    def judged_by_text(changes, workers):
        for key, _, text in changes:
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
    mutants._text.cache_clear()
    assert mutants._resumed(path, Console(width=120)) == ([], {})
    assert "no longer there: quantgod/room/thing.py" in capsys.readouterr().out
