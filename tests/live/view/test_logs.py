"""Lines for people, JSON for machines, and no password in either."""

from __future__ import annotations

import io
import json
import logging
import warnings

import pytest

from quantgod.live.view.logs import logging_to, say

SECRET = "hun'ter2\"\\"


@pytest.mark.parametrize("kind", ["text", "json"])
def test_no_password_of_a_url_is_logged(kind) -> None:
    out = io.StringIO()
    with logging_to(kind, out):
        url = f"wss://me:{SECRET}@host/stream"
        say(logging.WARNING, "retry", f"no connection to {url}", url=url)
    assert "me:***@host" in out.getvalue()
    assert "hun" not in out.getvalue()


def test_a_json_line_has_its_code_and_values() -> None:
    out = io.StringIO()
    with logging_to("json", out):
        say(logging.ERROR, "gap", "update 7 expected, got 9", symbol="BTCUSDT", lost=2)
    (line,) = out.getvalue().splitlines()
    said = json.loads(line)
    assert said.pop("time").endswith("+00:00")
    assert said == {
        "level": "error",
        "code": "gap",
        "text": "update 7 expected, got 9",
        "symbol": "BTCUSDT",
        "lost": 2,
    }


def test_what_others_say_meanwhile_comes_in_the_same_form() -> None:
    out = io.StringIO()
    theirs = logging.getLogger("mlflow.store")
    before = logging.getLogger("mlflow").handlers[:]
    with logging_to("json", out):
        theirs.info("nothing that matters")
        theirs.warning("no artifacts at %s", "wss://me:hunter2@host/")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("kept in the outbox", stacklevel=1)
    assert logging.getLogger("mlflow").handlers == before
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert (first["code"], first["text"]) == ("mlflow.store", "no artifacts at wss://me:***@host/")
    assert second["level"] == "warning"
    assert "kept in the outbox" in second["text"]


def test_after_the_block_nothing_is_written() -> None:
    out = io.StringIO()
    with logging_to("text", out):
        say(logging.INFO, "start", "now")
    say(logging.INFO, "late", "nobody listens")
    assert out.getvalue().count("\n") == 1


def test_a_logger_has_its_own_ways_back_after_the_block_whoever_else_listens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Levels, handlers and whether others hear of it, of this program and of other loggers."""
    names = ("quantgod.live", "mlflow", "alembic", "py.warnings")
    heard: list[str] = []
    root = logging.Handler()
    root.emit = lambda record: heard.append(record.name)  # type: ignore[method-assign]
    monkeypatch.setattr(logging.getLogger(), "handlers", [root])

    def ways() -> list[tuple[object, ...]]:
        loggers = map(logging.getLogger, names)
        return [(one.handlers[:], one.propagate, one.level) for one in loggers]

    for level, propagate in ((logging.DEBUG, True), (logging.ERROR, False)):
        for name in names:
            monkeypatch.setattr(logging.getLogger(name), "propagate", propagate)
            monkeypatch.setattr(logging.getLogger(name), "level", level)
        before = ways()
        with logging_to("text"):
            for name in names:
                logging.getLogger(name).warning("said")
                logging.getLogger(name).debug("too much")
            logging.getLogger("mlflow").info("too much")
            say(logging.INFO, "start", "now")
        assert ways() == before
        told = capsys.readouterr().err.splitlines()
        assert [line.split(" ", 1)[1] for line in told] == [
            *["warning said"] * 4,
            "info    start: now",
        ]
    assert heard == [], "nobody else hears of it meanwhile"
    assert logging._warnings_showwarning is None, "warnings are shown as before"  # type: ignore[attr-defined]
