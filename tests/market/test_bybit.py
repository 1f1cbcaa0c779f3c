from __future__ import annotations

import json

import pytest

from quantgod.contracts import BookUpdate
from quantgod.market.bybit import decode, depth_of, is_echo
from quantgod.market.messages import MessageError

LINE = (
    b'{"topic":"orderbook.500.BTCUSDT","type":"delta","ts":1704067699900,"data":{"s":"BTCUSDT",'
    b'"b":[["60054.30","0.193"],["59296.00","0"]],"a":[["60063.90","2.013"]],"u":7,"seq":9},'
    b'"cts":1704067699898}'
)


def changed(**changes):
    value = json.loads(LINE)
    value["data"] |= changes.pop("data", {})
    return json.dumps(value | changes).encode()


def test_a_message_is_read_to_the_bit():
    bids = [(60054.3, 0.193), (59296.0, 0.0)]
    assert decode(LINE) == BookUpdate("BTCUSDT", 1704067699900, False, 7, bids, [(60063.9, 2.013)])


def test_key_order_white_space_and_unknown_keys_do_not_matter():
    value = json.loads(LINE)
    value["data"] = dict(reversed(value["data"].items())) | {"pu": 6}
    turned = dict(reversed(value.items())) | {"id": "x", "conn": [None, {"deep": 1e5}]}
    assert decode(json.dumps(turned, indent=1).encode() + b"\r") == decode(LINE)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "corrupt_json"),
        (LINE[:-1], "corrupt_json"),
        (LINE + b"}", "corrupt_json"),
        (b"[]", "corrupt_json"),
        (b"\xff\xfe", "corrupt_json"),
        (changed(data={"b": None}), "corrupt_json"),
        (changed(data={"b": [["1", "2", "3"]]}), "corrupt_json"),
        (changed(data={"s": 5}), "corrupt_json"),
        (LINE.replace(b'"a"', b'"aa"'), "corrupt_json"),
        (changed(type="trade"), "bad_type"),
        (changed(type=None), "bad_type"),
        (changed(ts="soon"), "bad_number"),
        (changed(ts=-1), "bad_number"),
        (changed(data={"u": 1.5}), "bad_number"),
        (changed(data={"b": [["1", "nan"]]}), "bad_number"),
        (changed(data={"b": [["1", "inf"]]}), "bad_number"),
        (changed(data={"b": [["1", "-3"]]}), "bad_number"),
        (changed(data={"b": [["1", "1e19"]]}), "bad_number"),
        (changed(data={"b": [["0", "3"]]}), "bad_number"),
        (changed(data={"a": [["-1", "3"]]}), "bad_number"),
        (changed(data={"a": [["one", "3"]]}), "bad_number"),
        (changed(data={"a": [[True, "3"]]}), "bad_number"),
    ],
)
def test_a_line_that_cannot_be_used_is_refused_with_its_reason(line, reason):
    with pytest.raises(MessageError) as refusal:
        decode(line)
    assert refusal.value.reason == reason


def test_the_topic_tells_the_depth_and_anything_else_tells_nothing():
    assert depth_of(LINE) == 500
    assert depth_of(changed(topic="orderbook.50.X")) == 50
    assert depth_of(changed(topic="orderbook.50")) == 50
    assert depth_of(changed(topic="orderbook.99999.X")) == 99_999
    for depth in ("100000", "\u00b2", "\u0663", "-5", "", "5a"):
        assert depth_of(changed(topic=f"orderbook.{depth}.X")) == 0
    for line in (changed(topic="orderbook"), changed(topic="a.b"), changed(topic=5), b"{", b"{}"):
        assert depth_of(line) == 0


def test_a_byte_that_is_no_text_in_a_number_is_refused_and_not_raised() -> None:
    line = (
        b'{"topic":"orderbook.500.BTCUSDT","type":"delta","ts":1,"data":'
        b'{"s":"BTCUSDT","b":[["1.90\xae","1"]],"a":[],"u":2,"seq":3},"cts":1}'
    )
    with pytest.raises(MessageError) as caught:
        decode(line)
    assert caught.value.reason == "corrupt_json"


@pytest.mark.parametrize(
    ("update_id", "last_id", "second", "last_second", "expected"),
    [
        (7, 7, 5, 5, True), (6, 7, 4, 5, True), (8, 7, 5, 5, False), (7, 7, 6, 5, False),
        (1, 1, 5, 5, True), (1, 2, 5, 5, False), (2, 3, 5, 5, True),
    ],
)  # fmt: skip
def test_an_old_id_is_an_echo_within_its_second_unless_ids_began_anew(
    update_id: int, last_id: int, second: int, last_second: int, expected: bool
) -> None:
    assert is_echo(update_id, last_id, second, last_second) is expected
