"""Over HTTP as in process: what cannot be judged is a 400 with a code and a reason."""

from __future__ import annotations

import json
import os
import shlex
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import click
import pandas as pd
import psutil
import pytest
import uvicorn
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

import steps.serve
import steps.ui
from quantgod.contracts import FEATURES
from quantgod.registry.chain import InputError
from quantgod.registry.port import WIDTH, listening_on
from quantgod.registry.server import scoring_app
from quantgod.registry.versions import load_chain
from tests.registry.conftest import NAME, WINDOW, Parts, Store, tracked
from tests.servers import free_port
from tests.stores import fresh_store

BODY_BYTES = 1_000_000
JSON = "application/json"


@pytest.fixture(scope="module")
def port(registered: Store) -> Iterator[int]:
    """A real server on a real socket, in a thread."""
    chosen = free_port()
    with tracked(registered.uri):
        app = scoring_app(load_chain(NAME, registered.number), BODY_BYTES)
        server = uvicorn.Server(uvicorn.Config(app, port=chosen, log_level="error"))
        running = threading.Thread(target=server.run)
        running.start()
        while not server.started:
            time.sleep(0.01)
        yield chosen
        server.should_exit = True
        running.join()


@pytest.fixture(scope="module")
def body(parts: Parts) -> dict[str, Any]:
    """A window of rows in the form of `dataframe_split`."""
    text = (parts.package.folder / "golden_input.json").read_text(encoding="utf-8")
    rows: dict[str, Any] = json.loads(text)["dataframe_split"]
    return {**rows, "data": rows["data"][:WINDOW]}


def post(port: int, content: str | bytes, kind: str = JSON) -> tuple[int, dict[str, Any]]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("POST", "/invocations", content, {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def refused(port: int, content: str | bytes, kind: str = JSON) -> tuple[str, str]:
    """The code and the reason of a body that is refused."""
    status, answer = post(port, content, kind)
    assert status == 400, answer
    assert answer["message"] == f"{answer['code']}: {answer['reason']}", "and not the posted rows"
    return answer["code"], answer["reason"]


def records(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(body["columns"], row, strict=True)) for row in body["data"]]


def test_both_forms_say_what_the_chain_says_in_process(
    port: int, store: Store, body: dict[str, Any]
) -> None:
    expected = load_chain(NAME, store.number).predict(pd.DataFrame(**body)).iloc[0].to_dict()
    for form in ({"dataframe_split": body}, {"dataframe_records": records(body)}):
        status, answer = post(port, json.dumps(form), "application/json; charset=utf-8")
        assert status == 200, answer
        (said,) = answer["predictions"]
        assert pd.Timestamp(said.pop("datetime")) == expected["datetime"]
        assert said == {name: value for name, value in expected.items() if name != "datetime"}


WRONG = [
    True, False, "0.5", "abc", "", [1.0], {"a": 1}, None, float("nan"), float("inf"), 10**400,
    1e300,
]  # fmt: skip


def code_of(value: Any) -> str:
    if value == 1e300:
        return "out_of_range"
    is_number = isinstance(value, float | int) and not isinstance(value, bool)
    return "not_finite" if value is None or (is_number and value != 10**400) else "bad_dtype"


def test_what_is_no_number_is_refused_in_whatever_form_it_comes(
    port: int, body: dict[str, Any]
) -> None:
    """A whole column or some cells of it; the first row that is wrong is named, as in process."""
    everywhere = range(WINDOW)

    @settings(max_examples=40, deadline=None)
    @given(
        feature=st.sampled_from(FEATURES),
        value=st.sampled_from(WRONG),
        rows=st.one_of(st.just(everywhere), st.lists(st.integers(0, WINDOW - 1), min_size=1)),
        in_records=st.booleans(),
    )
    @example(feature="body", value=True, rows=everywhere, in_records=False)
    @example(feature="body", value="0.5", rows=everywhere, in_records=False)
    @example(feature="lower_wick", value="abc", rows=[20], in_records=True)
    @example(feature="lower_wick", value=None, rows=everywhere, in_records=True)
    @example(feature="mean_obi", value=1e300, rows=[20], in_records=False)
    def refuses(feature: str, value: Any, rows: Any, in_records: bool) -> None:
        changed = {**body, "data": [[*row] for row in body["data"]]}
        for row in rows:
            changed["data"][row][body["columns"].index(feature)] = value
        form = ("dataframe_records", records) if in_records else ("dataframe_split", dict)
        code, reason = refused(port, json.dumps({form[0]: form[1](changed)}))
        assert code == code_of(value)
        assert feature in reason and f"row {min(rows)} (" in reason
        assert value is not None or (f"{feature} is null" in reason and "None" not in reason)

    refuses()


def spoilt(body: dict[str, Any], **changes: Any) -> str:
    return json.dumps({"dataframe_split": {**body, **changes}})


def test_columns_that_are_missing_or_doubled_are_refused(port: int, body: dict[str, Any]) -> None:
    columns = body["columns"]
    missing = spoilt(body, columns=["else" if name == "body" else name for name in columns])
    assert refused(port, missing) == ("missing_column", "body not given")
    twice = spoilt(body, columns=[*columns, "body"], data=[[*row, 0.1] for row in body["data"]])
    assert refused(port, twice) == ("duplicate_column", "body given twice")
    record = json.dumps(records(body)[0])
    doubled = record.removesuffix("}") + ', "body": 1.0}'
    posted = '{"dataframe_records": [' + ",".join([doubled] * WINDOW) + "]}"
    assert refused(port, posted) == ("duplicate_column", "body given twice in one object")
    fewer = {"dataframe_records": [{"datetime": row["datetime"]} for row in records(body)]}
    code, reason = refused(port, json.dumps(fewer))
    assert code == "missing_column" and reason.startswith("body, upper_wick")


def test_other_forms_and_types_are_refused(port: int, body: dict[str, Any]) -> None:
    data = body["data"]
    for content, code, reason in [
        (json.dumps({"instances": records(body)}), "bad_form", "got an object with instances"),
        (json.dumps({"inputs": {"body": [0.1]}}), "bad_form", "got an object with inputs"),
        (json.dumps({"dataframe_split": body, "dataframe_records": []}), "bad_form", "one of"),
        ("[]", "bad_form", "got no object"),
        ("{}", "bad_form", "got an empty object"),
        ('"dataframe_split"', "bad_form", "got no object"),
        ("{", "bad_json", "the body is no JSON"),
        (b"\xff\xfe{}", "bad_json", "the body is no JSON"),
        ("[" * 100_000, "bad_json", "the body is no JSON"),
        ("", "bad_json", "the body is no JSON"),
        (spoilt(body, data=[*data[:3], data[3][1:]]), "bad_form", "row 3: a list of 10 values"),
        (spoilt(body, data=[*data[:3], None]), "bad_form", "10 values expected, got null"),
        (spoilt(body, data={}), "bad_form", "a list of rows"),
        (spoilt(body, columns=[1]), "bad_form", "a list of names"),
        (spoilt(body, index=[1]), "bad_form", "a list of 720 entries expected as index"),
        (spoilt(body, more=1), "bad_form", "columns and data expected"),
        (json.dumps({"dataframe_split": [1]}), "bad_form", "columns and data expected"),
        (json.dumps({"dataframe_records": [1]}), "bad_form", "row 0: an object expected, got 1"),
        (json.dumps({"dataframe_records": [None]}), "bad_form", "an object expected, got null"),
        (spoilt(body, data=[[None, *row[1:]] for row in data]), "bad_dtype", "null in every row"),
        (
            spoilt(body, data=[*data[:3], [None, *data[3][1:]], *data[4:]]),
            "bad_datetime",
            "row 3: no ISO 8601 time: null",
        ),
        (json.dumps({"dataframe_records": {}}), "bad_form", "a list of records"),
        (json.dumps({"dataframe_records": []}), "missing_column", "datetime, body"),
        (spoilt(body, data=[]), "too_few_rows", "0 rows given, at least 720"),
    ]:  # fmt: skip
        came = refused(port, content)
        assert came[0] == code and reason in came[1], (content[:80], came)
    table = pd.DataFrame(**body).to_csv(index=False)
    assert refused(port, table, "text/csv")[0] == "not_json"
    assert refused(port, spoilt(body), "application/json; charset=latin-1")[0] == "not_json"
    assert refused(port, spoilt(body), "application/vnd.apache.parquet")[0] == "not_json"


def test_a_body_is_taken_up_to_its_limit_and_not_a_byte_more(
    port: int, body: dict[str, Any]
) -> None:
    sound = spoilt(body)
    assert post(port, sound + " " * (BODY_BYTES - len(sound)))[0] == 200
    for size in (BODY_BYTES + 1, 40 * BODY_BYTES):
        code, reason = refused(port, sound + " " * (size - len(sound)))
        assert code == "body_too_large"
        assert reason == (
            f"{size:,} bytes posted, at most {BODY_BYTES:,} are taken (serve.body_bytes)"
        )


def test_other_pages_are_the_servers_own(port: int) -> None:
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", "/ping")
        assert connection.getresponse().status == 200


def test_in_process_what_is_no_table_is_refused_too(store: Store, body: dict[str, Any]) -> None:
    model = load_chain(NAME, store.number)
    for rows in ({"body": [1.0]}, [[1.0]], pd.DataFrame(**body)["body"]):
        with pytest.raises(InputError.__bases__[0]) as caught:
            model.predict(rows)
        assert "bad_form: dataframe_split or dataframe_records" in str(caught.value)


def test_the_step_serves_what_it_is_told_to_on_loopback(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []

    def run(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        (listener,) = sockets
        with socket.create_connection(listener.getsockname()):
            heard.extend((*listener.getsockname(), server.config.app._body_bytes))

    monkeypatch.setattr(uvicorn.Server, "run", run)
    chosen = free_port()
    arguments = ["--model", f"{NAME}/{store.number}", "--port", str(chosen), "--body-bytes", "77"]
    done = CliRunner().invoke(steps.serve.main, arguments)
    assert done.exit_code == 0, done.output
    assert heard == ["127.0.0.1", chosen, 77]
    assert done.output.endswith(f"on http://127.0.0.1:{chosen}/invocations\n")
    wrong = CliRunner().invoke(steps.serve.main, ["--model", "quantgod"])
    assert wrong.exit_code == 1
    assert "NAME@ALIAS or NAME/VERSION expected, got 'quantgod'" in wrong.output


@pytest.mark.parametrize("step", [steps.serve.main, steps.ui.main])
def test_a_port_that_is_taken_is_told_with_who_has_it_before_its_address_is(
    step: click.Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And before anything is loaded: there is no such model."""
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("MLflow was started"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = f"tracking.uri={fresh_store(tmp_path)};tracking.artifacts={tmp_path}"
    with listening_on(0) as listener:
        taken = str(listener.getsockname()[1])
        own = psutil.Process().cmdline()
        done = CliRunner().invoke(step, ["--port", taken, "--set", store])
        assert done.exit_code == 1
        (line,) = done.output.splitlines()
        assert line.startswith(f"Error: PortInUseError: port {taken} is in use by `")
        assert line.endswith(f"` (process {os.getpid()}): choose another with --port")
        assert f"`{shlex.join(own)[:WIDTH]}`" in line, "the command of this process"
    listening_on(int(taken)).close()
