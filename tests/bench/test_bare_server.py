"""The floor of serving answers as a server of the chain does."""

from __future__ import annotations

import json
import threading
from http.client import HTTPConnection
from http.server import HTTPServer

import pandas as pd

from bench.bare_server import Handler


class Chain:
    """Says when a window ends, and the sum of its column."""

    def predict(self, rows: pd.DataFrame) -> pd.DataFrame:
        ends = pd.to_datetime(rows["datetime"].iloc[-1:], utc=True)
        return pd.DataFrame({"datetime": ends, "sum": [rows["body"].sum()]})


def test_rows_of_a_body_are_judged_and_the_answer_is_json(monkeypatch) -> None:
    monkeypatch.setattr(Handler, "model", Chain(), raising=False)
    rows = {"columns": ["body", "datetime"], "data": [[1.5, "2025-01-01T00:00:00Z"]] * 2}
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        connection.request("POST", "/invocations", json.dumps({"dataframe_split": rows}))
        answer = connection.getresponse()
        said = json.loads(answer.read())
        connection.close()
        server.shutdown()
    assert answer.status == 200
    assert said == {"predictions": [{"datetime": "2025-01-01T00:00:00+00:00", "sum": 3.0}]}
