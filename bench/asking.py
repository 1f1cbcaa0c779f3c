"""Ask a server by a schedule that is fixed beforehand, in a process of its own.

`python -m bench.asking ADDRESS REQUESTS_A_SECOND SECONDS PATH...`, the token on its standard input.
Latency counts from the moment when a request was due: a server that stalls is asked no less for it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

CONNECTIONS, PATIENCE_SECONDS = 32, 20.0


class Asked(NamedTuple):
    """What came of a request: milliseconds from when it was due, and a status, 0 for none."""

    path: str
    status: int
    ms: float


async def ask(
    address: str, token: str, rate: float, seconds: float, paths: Sequence[str]
) -> list[Asked]:
    """Ask for the paths in turn, `rate` times a second."""
    loop = asyncio.get_running_loop()
    async with ClientSession(
        address,
        headers={"Authorization": f"Bearer {token}"},
        connector=TCPConnector(limit=CONNECTIONS),
        timeout=ClientTimeout(PATIENCE_SECONDS),
    ) as session:

        async def one(path: str, due: float) -> Asked:
            try:
                async with session.get(path) as answer:
                    await answer.read()
                    status = answer.status
            except (ClientError, TimeoutError):
                status = 0
            return Asked(path, status, (loop.time() - due) * 1e3)

        begin, asking = loop.time(), []
        for number in range(int(rate * seconds)):
            due = begin + number / rate
            await asyncio.sleep(due - loop.time())
            asking.append(asyncio.create_task(one(paths[number % len(paths)], due)))
        return await asyncio.gather(*asking)


def main() -> None:
    """Ask, and write what came as JSON."""
    address, rate, seconds, *paths = sys.argv[1:]
    token = sys.stdin.readline().strip()
    came = asyncio.run(ask(address, token, float(rate), float(seconds), paths))
    sys.stdout.write(json.dumps(came))


if __name__ == "__main__":
    main()
