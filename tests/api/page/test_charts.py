"""What is drawn of the past hours, and the page's routes without a browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from quantgod.api.page.charts import price_chart, weights_chart
from quantgod.api.page.drawing import HEIGHT, WIDTH, Line, Point, draw
from tests.api.serving import Served
from tests.api.test_signals import FIRST
from tests.later import later
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


def test_addresses_of_the_page_that_lead_nowhere(api: Served) -> None:
    for path in ("/page/files/nothing.js", "/page/files/page.html.j2", "/page/sections/nothing"):
        assert api.get(path).status_code == 404
    assert api.post("/page/nothing", b"").status_code == 404
    again = requests.get(f"{api.address}/page/rollback", headers=api.bearer, allow_redirects=False)
    assert (again.status_code, again.headers["Location"]) == (303, "/")
    assert api.get("/", gates=9).status_code == 200, "of no version"


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
