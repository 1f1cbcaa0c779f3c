"""Ctrl-C ends a step in order, with a line that says what is kept and how to go on."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quantgod.parallel.work import run_all
from quantgod.settings import load_settings

ROOT = Path(__file__).parents[1]
SLOW = """
import sys, time
from steps.options import step

@step("epochs are kept, and the same command goes on")
def main():
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        time.sleep(0.5)
        print("closed", flush=True)

main([])
"""
IGNORED = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"


@contextmanager
def begun(*command: str, line: str) -> Iterator[subprocess.Popen[str]]:
    """A command in a process group of its own, as a terminal has it, once it has told `line`."""
    # What a shell starts in the background ignores Ctrl-C; these shall not inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=pipe, stderr=pipe, start_new_session=True
    ) as process:
        signal.signal(signal.SIGINT, before)
        assert process.stdout is not None
        while line not in (told := process.stdout.readline()):
            assert told, process.communicate()
        yield process


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ([signal.SIGINT], 130),
        ([signal.SIGTERM], 143),
        ([signal.SIGINT, signal.SIGTERM], 130),  # `mlflow run` sends the second
    ],
)
def test_a_step_that_is_stopped_ends_in_order_and_says_what_is_kept(
    signals: list[signal.Signals], code: int
) -> None:
    with begun(sys.executable, "-c", SLOW, line="begun") as process:
        for number in signals:
            process.send_signal(number)
        said, told = process.communicate(timeout=30)
    assert said == "closed\n", "what was under way has ended"
    assert told == "\nStopped: epochs are kept, and the same command goes on\n"
    assert process.returncode == code


@pytest.mark.long
def test_another_ctrl_c_ends_a_step_that_does_not_end() -> None:
    endless = SLOW.replace("time.sleep(0.5)", "print('closing', flush=True); time.sleep(60)")
    with begun(sys.executable, "-c", endless, line="begun") as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None and process.stdout.readline() == "closing\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


@pytest.mark.long
def test_a_step_in_the_background_ignores_ctrl_c_as_ever() -> None:
    short = IGNORED + SLOW.replace("time.sleep(60)", "time.sleep(1)")
    with begun(sys.executable, "-c", short, line="begun") as process:
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("closed\n", "")
    assert process.returncode == 0


@pytest.mark.long
def test_workers_leave_ctrl_c_to_the_command_that_has_started_them() -> None:
    settings = load_settings(ROOT / "conf/full.yaml", {"etl.workers": 2}).etl
    heard = run_all(signal.getsignal, [signal.SIGINT, signal.SIGINT, signal.SIGTERM], settings)
    assert {(done.given, done.result) for done in heard} == {
        (signal.SIGINT, signal.SIG_IGN), (signal.SIGTERM, signal.SIG_DFL),
    }  # fmt: skip
