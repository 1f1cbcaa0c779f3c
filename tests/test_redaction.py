"""No secret of a URL is left in a text, in whatever form either of them is written."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quantgod.settings import without_passwords

MARKS = st.sampled_from("@:/'\"\\=;,#?+!$()[]{}<>|^~`*-._%")
SECRETS = st.lists(st.just("s3cr3t") | MARKS, min_size=1, max_size=6).map("".join)
"""Written as nobody should: without encoding; only a space or `&` ends it in a query."""

SCHEMES = st.sampled_from(["postgresql", "https", "wss", "mysql+pymysql", "redis"])
USERS = st.sampled_from(["me", "", "m%65", "me@corp"])
HOSTS = st.sampled_from(["host", "host:5432", "h.example.org"])
NAMES = st.sampled_from(
    [
        "password",
        "passwd",
        "pwd",
        "pass",
        "token",
        "access_token",
        "api-key",
        "sslpassword",
        "p%61ssword",
        "client_secret",
        "X-Amz-Signature",
        "apikey",
    ]
)
BEFORE = st.sampled_from(["", "user=me&", "sslmode=require&mail=a@b&"])


def cased(text: str, upper: bool) -> str:
    return text.upper() if upper else text


def encoded(text: str, times: int) -> str:
    """As one URL stands in the query of another, that one in a third's, and so on."""
    for _ in range(times):
        text = "".join(sign if sign.isalnum() else f"%{ord(sign):02X}" for sign in text)
    return text


@st.composite
def urls(draw: st.DrawFn, secret: st.SearchStrategy[str] = SECRETS) -> str:
    """A URL with one secret, which holds `s3cr3t` where it is of more than marks."""
    scheme, host, upper = draw(SCHEMES), draw(HOSTS), draw(st.booleans())
    hidden, times = draw(secret), draw(st.sampled_from([0, 0, 0, 1, 2]))
    form = draw(st.sampled_from(["user", "token", "query", "fragment", "connection string"]))
    if form == "user":
        url = f"{scheme}://{draw(USERS)}:{hidden}@{host}/db?x=1"
    elif form == "token":
        url = f"{scheme}://{encoded(hidden, 1)}@{host}/db"
    elif form == "connection string":
        return f"host={host} {cased(draw(NAMES), upper)}={hidden} user=me"
    else:
        mark = "?" if form == "query" else "#"
        name = cased(draw(NAMES), upper)
        url = f"{scheme}://{host}/db{mark}{draw(BEFORE)}{name}={hidden.replace('&', '')}"
    return encoded(cased(url, upper) if form != "user" else url, times)


@given(st.lists(urls(), min_size=1, max_size=3), st.sampled_from([" ", ", and ", "\n"]))
@example(["postgresql://h/db?user=me&password=s3cr3t"], " ")
@example(["postgresql://h:5432/db?password=s3cr3t@s3cr3t"], " ")
@example(["postgresql://h/db?passwd=s3cr3t", "https://s3cr3t@host"], ", ")
@example(["https://me:s3cr3t&password=s3cr3t@host"], " ")
@example(["POSTGRESQL://H/DB?USER=ME&PASSWORD=S3CR3T"], " ")
@example(["https://h/login?next=postgresql%3A%2F%2Fme%3As3cr3t%40host"], " ")
def test_no_secret_is_left_in_a_text(texts: list[str], between: str) -> None:
    text = f"cannot reach {between.join(texts)} (refused)"
    masked = without_passwords(text)
    assert "s3cr3t" not in masked.lower()
    assert masked.startswith("cannot reach ")
    assert masked.endswith(" (refused)")
    assert without_passwords(masked) == masked
    nested = without_passwords({"storage": [text, {"deep": (text,)}], "trials": 3})
    assert "s3cr3t" not in str(nested).lower()
    assert nested["trials"] == 3


@pytest.mark.parametrize(
    "text",
    [
        "wss://fstream.binance.com/public/stream?streams=btcusdt@depth@100ms",
        "https://host:8080/path?limit=1000&symbol=BTCUSDT",
        "sqlite:///mlflow.db",
        "5 of 6 gates passed=5, secretly",
        "train.epochs=3 tokens=5",
        "a mail to me@example.org",
    ],
)
def test_what_holds_no_secret_is_left_as_it_is(text: str) -> None:
    assert without_passwords(text) == text
