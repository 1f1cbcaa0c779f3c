from __future__ import annotations

import json

import pytest

from quantgod.market.binance import BestQuote, DepthEvent, DepthSnapshot, decode, decode_snapshot
from quantgod.market.messages import MessageError

DEPTH = (
    b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161256299,'
    b'"T":1723161256298,"s":"BTCUSDT","U":5123107832006,"u":5123107837557,"pu":5123107831937,'
    b'"b":[["58710.20","0.014"],["61510.90","0.000"]],"a":[["61800.30","2.510"]],"ps":"BTCUSDT"}}'
)
QUOTE = (
    b'{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT",'
    b'"b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256313}}'
)
SNAPSHOT = (
    b'{"lastUpdateId":5123107852948,"E":1723161256501,"T":1723161256493,'
    b'"bids":[["61800.20","2.909"],["61800.10","0.696"]],"asks":[["61800.30","1.5"]]}'
)


def depth(**changes):
    value = json.loads(DEPTH)
    value["data"] |= changes
    return json.dumps(value).encode()


def snapshot(**changes):
    return json.dumps(json.loads(SNAPSHOT) | changes).encode()


def bare(message):
    return json.dumps(json.loads(message)["data"]).encode()


def test_an_event_is_read_to_the_bit():
    assert decode(DEPTH) == DepthEvent(
        "BTCUSDT",
        1723161256298,
        5123107832006,
        5123107837557,
        5123107831937,
        [(58710.2, 0.014), (61510.9, 0.0)],
        [(61800.3, 2.51)],
    )


def test_a_best_quote_and_a_snapshot_are_read_to_the_bit():
    assert decode(QUOTE) == BestQuote("BTCUSDT", 5123107839020, (61800.2, 2.507), (61800.3, 2.51))
    bids, asks = [(61800.2, 2.909), (61800.1, 0.696)], [(61800.3, 1.5)]
    assert decode_snapshot(SNAPSHOT) == DepthSnapshot(5123107852948, 1723161256493, bids, asks)


@pytest.mark.parametrize("message", [DEPTH, QUOTE])
def test_wrapper_key_order_white_space_and_unknown_keys_do_not_matter(message):
    inner = dict(reversed(json.loads(message)["data"].items())) | {"st": 1, "x": [None, {"b": 2}]}
    turned = {"data": inner, "stream": "x", "more": {}}
    assert decode(json.dumps(turned, indent=1).encode() + b"\r\n") == decode(message)
    assert decode(json.dumps(inner).encode()) == decode(message)


@pytest.mark.parametrize(
    "line",
    [
        b'{"stream":"btcusdt@trade","data":{"e":"trade","T":1,"s":"BTCUSDT","p":"1","q":"2"}}',
        b'{"e":"markPriceUpdate","s":"BTCUSDT","p":"1"}',
        b'{"result":null,"id":1}',
        b'{"error":{"code":2,"msg":"Invalid request"},"id":1}',
        b'{"code":-1003,"msg":"Too many requests"}',
    ],
)
def test_other_kinds_acknowledgements_and_errors_are_passed_over(line):
    assert decode(line) is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "corrupt_json"),
        (DEPTH[:-1], "corrupt_json"),
        (DEPTH + b"}", "corrupt_json"),
        (b"[]", "corrupt_json"),
        (b"null", "corrupt_json"),
        (b"\xff\xfe", "corrupt_json"),
        (b'{"stream":"x","data":null}', "corrupt_json"),
        (b'{"stream":"x","data":{}}', "corrupt_json"),
        (b'{"stream":"x","data":[1]}', "corrupt_json"),
        (DEPTH.replace(b'"depthUpdate"', b"5"), "corrupt_json"),
        (DEPTH.replace(b'"pu"', b'"pv"'), "corrupt_json"),
        (bare(DEPTH).replace(b'"pu"', b'"pv"'), "corrupt_json"),
        (QUOTE.replace(b'"B"', b'"BB"'), "corrupt_json"),
        (depth(b=None), "corrupt_json"),
        (depth(a=[["1", "2", "3"]]), "corrupt_json"),
        (depth(s=5), "corrupt_json"),
        (depth(u="soon"), "bad_number"),
        (depth(u=-1), "bad_number"),
        (depth(pu=1.5), "bad_number"),
        (depth(T=4_102_444_800_001), "bad_number"),
        (depth(b=[["1", "nan"]]), "bad_number"),
        (depth(b=[["1", "inf"]]), "bad_number"),
        (depth(b=[["1", "-3"]]), "bad_number"),
        (depth(b=[["1", "1e19"]]), "bad_number"),
        (depth(b=[["0", "3"]]), "bad_number"),
        (depth(a=[["-1", "3"]]), "bad_number"),
        (depth(a=[["one", "3"]]), "bad_number"),
        (depth(a=[["", "3"]]), "bad_number"),
        (depth(a=[[True, "3"]]), "bad_number"),
        (depth(a=[[None, "3"]]), "bad_number"),
        (bare(depth(a=[["NaN", "3"]])), "bad_number"),
        (QUOTE.replace(b"61800.20", b"-1"), "bad_number"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(line, reason):
    with pytest.raises(MessageError) as refused:
        decode(line)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "corrupt_json"),
        (SNAPSHOT[:-1], "corrupt_json"),
        (b'{"code":-1003,"msg":"Too many requests"}', "corrupt_json"),
        (b"<html>502</html>", "corrupt_json"),
        (snapshot(bids=None), "corrupt_json"),
        (snapshot(lastUpdateId=None), "bad_number"),
        (snapshot(bids=[["1", "-1"]]), "bad_number"),
        (snapshot(asks=[["Infinity", "1"]]), "bad_number"),
        (snapshot(asks=[["0.0", "1"]]), "bad_number"),
    ],
)
def test_a_snapshot_that_cannot_be_read_is_refused_with_its_reason(body, reason):
    with pytest.raises(MessageError) as refused:
        decode_snapshot(body)
    assert refused.value.reason == reason
