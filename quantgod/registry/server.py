"""Run MLflow's scoring server behind a filter that checks request bodies first.

The server takes bodies of any size and in many forms. Some forms change the data (`inputs` turns
true into 1, CSV rounds numbers); others end in errors without a code. The filter passes valid
bodies unchanged, and answers the rest like the chain: status 400 with a `code` and a `reason`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from mlflow.pyfunc import PyFuncModel, scoring_server

from quantgod.registry.chain import InputError

FORMS: Final = ("dataframe_split", "dataframe_records")
SPLIT_KEYS: Final = {"columns", "data", "index"}

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def scoring_app(model: PyFuncModel, body_bytes: int) -> App:
    """Return the server of a loaded version, which takes bodies up to `body_bytes`."""
    return Door(scoring_server.init(model), body_bytes)


class Door:
    """An ASGI application in front of another that checks bodies posted to `/invocations`.

    Args:
        app: answers valid bodies and all other requests.
        body_bytes: maximal length of a body, also in memory.
    """

    def __init__(self, app: App, body_bytes: int) -> None:
        self._app = app
        self._body_bytes = body_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", "/invocations"):
            await self._app(scope, receive, send)
            return
        try:
            body = await self._body(receive)
            _check_type(scope["headers"])
            check_body(body)
        except InputError as error:
            await _answer(error, send)
            return
        again = iter([{"type": "http.request", "body": body}])

        async def replay() -> Message:
            return next(again, None) or await receive()

        await self._app(scope, replay, send)

    async def _body(self, receive: Receive) -> bytes:
        """Return the whole body; one that is too long is still read to its end."""
        parts, length, is_whole = [], 0, False
        while not is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            part = message.get("body", b"")
            length += len(part)
            if length <= self._body_bytes:
                parts.append(part)
            is_whole = not message.get("more_body", False)
        if length > self._body_bytes:
            most = f"at most {self._body_bytes:,} are taken (serve.body_bytes)"
            raise InputError("body_too_large", f"{length:,} bytes posted, {most}")
        return b"".join(parts)


def check_body(body: bytes) -> None:
    """Check that a body is JSON in a form that reaches the chain without loss.

    Raises:
        InputError: `bad_json`, `duplicate_column` (a name twice in a record), or `bad_form`.
    """
    try:
        posted = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InputError("bad_json", f"the body is no JSON: {error}") from None
    forms = [name for name in FORMS if isinstance(posted, dict) and name in posted]
    if len(forms) != 1:
        keys = f"an object with {', '.join(posted)}" if posted else "an empty object"
        keys = keys if isinstance(posted, dict) else "no object"
        asked = f"an object with one of {' and '.join(FORMS)}"
        raise InputError("bad_form", f"{asked} expected, got {keys}")
    (form,) = forms
    table = posted[form]
    problem = _in_split(table) if form == "dataframe_split" else _in_records(table)
    if problem:
        raise InputError("bad_form", f"{form}: {problem}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object, refusing duplicate names: JSON would keep only the last value."""
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]
        raise InputError("duplicate_column", f"{', '.join(twice)} given twice in one object")
    return made


def _in_split(table: Any) -> str:
    """Return what is wrong with `{"columns": [...], "data": [[...], ...]}`; empty if valid."""
    if not isinstance(table, dict) or not {"columns", "data"} <= table.keys() <= SPLIT_KEYS:
        return "columns and data expected"
    names, rows, index = table["columns"], table["data"], table.get("index")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return "a list of names expected as columns"
    if not isinstance(rows, list):
        return "a list of rows expected as data"
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            came = f"{len(row)} values" if isinstance(row, list) else _shown(row)
            return f"row {number}: a list of {len(names)} values expected, got {came}"
    if index is not None and (not isinstance(index, list) or len(index) != len(rows)):
        return f"a list of {len(rows)} entries expected as index"
    return ""


def _in_records(table: Any) -> str:
    """Return what is wrong with `[{"datetime": ..., ...}, ...]`; empty if valid."""
    if not isinstance(table, list):
        return "a list of records expected"
    for number, row in enumerate(table):
        if not isinstance(row, dict):
            return f"row {number}: an object expected, got {_shown(row)}"
    return ""


def _shown(value: Any) -> str:
    return json.dumps(value)[:50]


def _check_type(headers: list[tuple[bytes, bytes]]) -> None:
    given = dict(headers).get(b"content-type", b"").decode("latin-1")
    kind, _, parameters = given.partition(";")
    if kind.strip().lower() != "application/json":
        came = given or "none"
        raise InputError("not_json", f"Content-Type application/json expected, got {came}")
    charset = parameters.strip().lower().replace('"', "")
    if charset not in ("", "charset=utf-8"):
        raise InputError("not_json", f"JSON in UTF-8 expected, got {given}")


async def _answer(error: InputError, send: Send) -> None:
    content = error.serialize_as_json().encode()  # type: ignore[no-untyped-call]
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    status = error.get_http_status_code()  # type: ignore[no-untyped-call]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
