"""A fuzzer that reads the description asks whatever it allows, and much that it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quantgod.api import change
from quantgod.api.routes import training
from tests.api.serving import served
from tests.api.test_ensemble import ensemble
from tests.api.test_signals import journal
from tests.registry.shelves import Shelf

__all__ = ["ensemble", "journal"]

FUZZER = "from schemathesis.cli import schemathesis; schemathesis()"
ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")


def fuzz(folder: Path, examples: int, *more: str) -> None:
    """Let it ask; it ends with what it found, if that is anything."""
    with served(folder, manage__requests_per_second=1_000_000) as api:
        bearer = f"Bearer {api.token}"
        known = {"FUZZ_ADDRESS": api.address, "FUZZ_BEARER": bearer}
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        hooks = {"SCHEMATHESIS_HOOKS": "tests.api.fuzz_hooks", "PYTHONPATH": paths}
        command = [sys.executable, "-c", FUZZER, "--config-file", str(CONFIG), "run"]
        asked = ["-H", f"Authorization: {bearer}", "--max-examples", str(examples), *more]
        done = subprocess.run(
            [*command, f"{api.address}/openapi.json", *asked],
            env={**os.environ, **known, **hooks}, cwd=folder, check=False,
            capture_output=True, text=True, timeout=550,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]


@pytest.fixture
def trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for ends at once: what matters here is who may ask for it."""
    for room, command in ((training, "training_command"), (change, "change_command")):
        monkeypatch.setattr(room, command, lambda *_: [sys.executable, "-c", "pass"])


@pytest.mark.long
@pytest.mark.usefixtures("ensemble", "journal", "trains")
def test_it_finds_no_error_of_the_server_and_nothing_that_is_not_described(
    shelf: Shelf, tmp_path: Path
) -> None:
    shelf.put(1)
    fuzz(tmp_path, 5, "--phases", "fuzzing", "--generation-deterministic")


@pytest.mark.long
@pytest.mark.usefixtures("ensemble", "journal", "trains")
def test_it_finds_nothing_in_hundreds_of_requests_to_each_route(
    shelf: Shelf, tmp_path: Path
) -> None:
    shelf.put(1)
    fuzz(tmp_path, 200)
