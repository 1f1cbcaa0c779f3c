"""Messages of workers come in order while they work, and abandoned workers end."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from quantgod.parallel import heartbeat
from quantgod.parallel.heartbeat import AbandonedError, Message, Reporter, listening


def test_messages_of_each_worker_come_in_order_and_none_is_left_out(tmp_path: Path) -> None:
    told: list[Message] = []
    with listening(tmp_path, told.append) as place:
        one, other = Reporter(place, "one"), Reporter(place, "other")
        for number in range(50):
            one.report({"of": "one", "number": number})
            other.report({"of": "other", "number": number, "text": "a\nb é"})
        with (place / "one.jsonl").open("a") as half:
            half.write('{"half a line')
    for name in ("one", "other"):
        assert [each["number"] for each in told if each["of"] == name] == list(range(50))
    assert list(tmp_path.iterdir()) == []


def test_messages_come_while_the_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "LOOK_SECONDS", 0.01)
    told: list[Message] = []
    with listening(tmp_path, told.append) as place:
        Reporter(place, "one").report({"number": 1})
        until = time.monotonic() + 30
        while not told and time.monotonic() < until:
            time.sleep(0.01)
        assert told == [{"number": 1}]


def test_what_the_hearer_raises_is_raised_at_the_end(tmp_path: Path) -> None:
    def refuse(message: Message) -> None:
        raise ValueError(json.dumps(message))

    with pytest.raises(ValueError, match='"number": 1'), listening(tmp_path, refuse) as place:
        Reporter(place, "one").report({"number": 1})


def test_a_worker_ends_when_the_command_has_ended_or_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(tmp_path, lambda _message: None) as place:
        reporter = Reporter(place, "one")
    with pytest.raises(AbandonedError, match="has ended"):
        reporter.report({})

    clock = [100.0]
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: clock[0])
    killed = tmp_path / "killed"
    killed.mkdir()
    reporter = Reporter(killed, "one")
    (killed / "pulse").write_text("1")
    for pulse in ("1", "2"):  # it beats, so the minute begins anew
        (killed / "pulse").write_text(pulse)
        clock[0] += 40.0
        reporter.report_now_and_then({})
    clock[0] += 40.0
    reporter.report_now_and_then({})
    clock[0] += 0.5
    reporter.report_now_and_then({})  # within a second of the last: nothing is told
    assert len((killed / "one.jsonl").read_text().splitlines()) == 3
    clock[0] += 21.0
    with pytest.raises(AbandonedError, match="was killed"):
        reporter.report_now_and_then({})
