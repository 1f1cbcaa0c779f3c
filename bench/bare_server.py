"""The least that serves a version over HTTP: the floor of `bench.serving`, on the same chain.

It reads JSON, asks, and writes JSON. It checks nothing and does one thing at a time.
"""

from __future__ import annotations

import argparse
import json
from http.server import BaseHTTPRequestHandler, HTTPServer

import pandas as pd
from mlflow.pyfunc import PyFuncModel

from quantgod.registry.versions import load_chain


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    wbufsize = -1  # head and body leave together
    model: PyFuncModel

    def do_GET(self) -> None:
        """Say that it is there."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Judge the rows of `dataframe_split`."""
        posted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = pd.DataFrame(self.model.predict(pd.DataFrame(**posted["dataframe_split"])))
        records = said.assign(datetime=said["datetime"].map(pd.Timestamp.isoformat))
        self._answer(json.dumps({"predictions": records.to_dict("records")}).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing of a request."""

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve a version until ended."""
    parser = argparse.ArgumentParser(prog="python -m bench.bare_server", description=__doc__)
    parser.add_argument("--model", required=True, help="NAME/VERSION")
    parser.add_argument("--port", type=int, required=True)
    asked = parser.parse_args()
    name, _, version = asked.model.rpartition("/")
    Handler.model = load_chain(name, int(version))
    HTTPServer(("127.0.0.1", asked.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
