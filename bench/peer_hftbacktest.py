"""The peer, in its own environment: hftbacktest's converter of Bybit's historical archives.

It wants an older numpy, so it cannot share ours. Called with an archive, it prints its seconds of
processor time as JSON. The converter also wants a file of trades; it gets one with a single trade.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from hftbacktest.data.utils.bybithistmktdata import convert

TRADES = "timestamp,symbol,side,size,price\n{seconds},BTCUSDT,Buy,1,60000.1\n"
ROWS_A_LINE = 120
WARM_LINES = 50


def main() -> None:
    """Compile on a few lines, then measure the whole file."""
    archive = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        lines = _lines(archive)
        trades = Path(folder) / "trades.csv.gz"
        ts = json.loads(lines[0])["ts"]
        trades.write_bytes(gzip.compress(TRADES.format(seconds=ts / 1000).encode()))
        warm = Path(folder) / "warm.zip"
        with zipfile.ZipFile(warm, "w") as target:
            target.writestr("warm.data", b"".join(lines[:WARM_LINES]))
        convert(str(warm), str(trades), buffer_size=WARM_LINES * 2_000)
        start = time.process_time()
        convert(str(archive), str(trades), buffer_size=len(lines) * ROWS_A_LINE)
        seconds = time.process_time() - start
    print(json.dumps({"seconds": seconds, "messages": len(lines)}))


def _lines(archive: Path) -> list[bytes]:
    with zipfile.ZipFile(archive) as source:
        return source.read(source.namelist()[0]).splitlines(keepends=True)


if __name__ == "__main__":
    main()
