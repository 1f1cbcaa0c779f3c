"""What is drawn of the past hours, and the page's routes without a browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from quantgod.api.page.charts import price_chart, weights_chart
from quantgod.api.page.drawing import HEIGHT, WIDTH, Line, Point, draw
from quantgod.live.engine.journal_rows import bar_row
from quantgod.live.journal import Journal
from quantgod.live.view.status_file import STATUS_FILE
from quantgod.tracking.orphans import process_tag
from tests.api.serving import Served, served
from tests.api.test_signals import FIRST
from tests.later import later
from tests.live.engine.answering import minute_without
from tests.registry.shelves import Shelf

VALUES = st.lists(st.none() | st.floats(-1e9, 1e9), min_size=1, max_size=50)


@given(VALUES, st.integers(1, 30))
def test_every_value_is_drawn_inside_and_a_minute_without_one_parts_the_line(
    values: list[float | None], step: int
) -> None:
    points = [Point(FIRST + step * n, value) for n, value in enumerate(values)]
    drawing = draw([Line("one", points)])
    known = [value is not None for value in values]
    if drawing is None:
        assert not any(known)
        return
    places = re.findall(r"([ML])([\d.]+) ([\d.]+)h0", drawing.paths["one"])
    assert len(places) == sum(known)
    assert all(0 <= float(x) <= WIDTH and 0 < float(y) < HEIGHT for _, x, y in places)
    before = [False, *known[:-1]]
    joined = [was and step == 1 for was, now in zip(before, known, strict=True) if now]
    assert [pen == "L" for pen, *_ in places] == joined
    assert 2 <= len(drawing.heights) <= 6 and len(drawing.times) <= 5
    assert all(0 <= tick.at <= 100 for tick in drawing.times)


def bar(minute: int, close: float | None) -> dict[str, Any]:
    return {"minute": FIRST + minute, "close": close}


def signal(minute: int, action: str | None) -> dict[str, Any]:
    chances = {"prob_sell": 0.1, "prob_neutral": 0.3, "prob_buy": 0.6}
    return {"minute": FIRST + minute, "action": action, **chances}


def test_a_mark_stands_at_the_close_of_each_minute_that_is_acted_on() -> None:
    bars = [bar(0, 100.0), bar(1, None), bar(2, 102.0), bar(3, 101.0)]
    signals = [signal(n, action) for n, action in enumerate(("BUY", "BUY", "SELL", "NEUTRAL"))]
    chart = price_chart("X", bars, signals)
    assert chart is not None
    (first, low, buy), (second, high, sell) = chart.drawing.marks
    assert (first, round(second, 1)) == (0.0, 66.7) and low > high, "102 stands above 100"
    assert (buy.said, sell.said) == ("21:20 BUY 0.60", "21:22 SELL 0.10")
    assert chart.summary.endswith("between 100 and 102. Acted on: 1 BUY, 1 SELL.")
    assert chart.rows == [
        ("21:23", "101", "NEUTRAL 0.30"), ("21:22", "102", "SELL 0.10"),
        ("21:21", "no row", "BUY 0.60"), ("21:20", "100", "BUY 0.60"),
    ]  # fmt: skip
    assert price_chart("X", [bar(0, None)], []) is None
    assert price_chart("X", bars, [signal(0, None)]) is not None, "of an old session"


def test_weights_are_shares_and_a_member_that_comes_later_has_none_before() -> None:
    votes = [
        {"minute": FIRST, "members": ["a", "b"], "weight": [1.0, 3.0]},
        {"minute": FIRST + 1, "members": ["a", "b", "c"], "weight": [1.0, 0.0, 1.0]},
        {"minute": FIRST + 2, "members": ["a", "b", "c"], "weight": [0.0, 0.0, None]},
    ]
    chart = weights_chart("X", votes)
    assert chart is not None and list(chart.drawing.paths) == ["a", "b", "c"]
    assert chart.rows == [
        ("21:22", "-", "-", "-"),
        ("21:21", "0.500", "0.000", "0.500"),
        ("21:20", "0.250", "0.750", "-"),
    ]
    assert weights_chart("X", []) is None
    longer = weights_chart("X", votes, (FIRST, FIRST + 4))
    assert longer is not None and "L250.0 " in longer.drawing.paths["a"], "the axis of the price"


def test_addresses_of_the_page_that_lead_nowhere(api: Served) -> None:
    for path in ("/page/files/nothing.js", "/page/files/page.html.j2", "/page/sections/nothing"):
        assert api.get(path).status_code == 404
    assert api.post("/page/nothing", b"").status_code == 404
    again = requests.get(f"{api.address}/page/rollback", headers=api.bearer, allow_redirects=False)
    assert (again.status_code, again.headers["Location"]) == (303, "/")
    assert api.get("/", gates=9).status_code == 200, "of no version"


def test_without_a_model_it_says_what_makes_one(shelf: Shelf, tmp_path: Path) -> None:
    with served(tmp_path, registry__name="nothing") as api:
        page = api.get("/").text
    for told in ("No version of nothing is registered yet", "make demo CONFIG=conf/demo.yaml"):
        assert told in page
    assert "python -m steps.live" in page


def test_what_is_not_of_the_last_bar_or_of_an_ended_session_is_told_as_the_past(
    shown: Served, journal: Journal
) -> None:
    def live() -> str:
        return shown.get("/page/sections/live").text

    now = live()
    assert "none for the last bar" not in now and 'data-announce="BTCUSDT: BUY"' in now
    assert "drift: near/sell</details>" in now, "all that the monitor has said"
    assert '<dd class="good">synced' in now and 'data-runs="yes"' in now
    journal.append_now("BARS", bar_row("BTCUSDT", minute_without(FIRST + 10))).result(10)
    later = live()
    assert "none for the last bar</strong>, which has no row (gap); the last was BUY" in later
    assert "which is not the last bar" in later and 'data-announce="BTCUSDT: no signal"' in later
    status = shown.settings.live.own_journal / STATUS_FILE
    another = process_tag().rpartition("/")[0] + "/1.00"  # of this number, that began long ago
    status.write_text(status.read_text().replace(process_tag(), another))
    ended = live()
    assert "it has ended" in ended and 'data-runs="no"' in ended
    assert "was synced" in ended and 'class="good"' not in ended and 'class="past"' in ended


def test_a_refused_form_keeps_that_nothing_was_ticked(shown: Served) -> None:
    own = {"data": "seen=x", "headers": shown.bearer, "timeout": 30}
    own["headers"] |= {"Content-Type": "application/x-www-form-urlencoded"}
    assert '" checked>' in shown.get("/").text
    refused = requests.post(f"{shown.address}/page/change", **own).text
    assert "Not done" in refused and '" checked>' not in refused


@pytest.mark.parametrize(
    ("action", "form", "status", "said"),
    [
        ("promote", "version=x&seen=y", 422, "version: "),
        ("rollback", "seen=x&reason=%3Cb%3E", 412, "&lt;b&gt;"),
        *later(
            ("promote", "version=1&alias=z", 422, "alias: "),
            ("promote", "", 422, "version: "),
            ("cancel", "", 409, "no job is running"),
            ("train", "architecture=%2D%2Dhelp", 422, "architecture: "),
            ("train", "architecture=linear&epochs=0", 422, "epochs: "),
        ),
    ],
)
def test_a_form_of_another_form_is_refused_with_the_reason(
    action: str, form: str, status: int, said: str, api: Served, shelf: Shelf
) -> None:
    shelf.put(1)
    shelf.put(2)
    before = api.tag()
    sent = api.bearer | {"Content-Type": "application/x-www-form-urlencoded"}
    answer = requests.post(f"{api.address}/page/{action}", form, headers=sent, timeout=30)
    assert answer.status_code == status
    assert said in answer.text and "Not done" in answer.text and "<b>" not in answer.text
    assert api.tag() == before
