"""A wire between a client and a venue that can lag, be cut, or lead elsewhere: per connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Self

CHUNK = 1 << 16


class Relay:
    """Relays each TCP connection to the port that `route` names by the connection's number, from 1.

    `lags` holds seconds by which what the venue says to a connection is late, and `held` the
    connections to which nothing is passed on until `release`; but for the answer to the handshake.
    """

    def __init__(
        self,
        route: Callable[[int], int],
        lags: dict[int, float] | None = None,
        held: Iterable[int] = (),
    ) -> None:
        self.route, self.lags = route, lags or {}
        self._held = {number: asyncio.Event() for number in held}
        self.count = 0
        self._writers: dict[int, list[asyncio.StreamWriter]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for number in list(self._writers):
            self.cut(number)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self, number: int) -> None:
        """Cut a connection, both ways."""
        for writer in self._writers.pop(number, []):
            writer.transport.abort()

    def release(self, number: int) -> None:
        """Pass on what was held back of a connection, and all that comes."""
        self._held.pop(number).set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        task = asyncio.create_task(self._relay(self.count, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.route(number))
        self._writers[number] = [writer, back]
        lag, held = self.lags.get(number, 0.0), self._held.get(number)
        try:
            await asyncio.gather(_pump(reader, back), _pump(there, writer, lag, held))
        finally:
            self.cut(number)


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    lag: float = 0.0,
    held: asyncio.Event | None = None,
) -> None:
    """Pass bytes on in order, those after the handshake `lag` seconds late, once `held` is set."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def pass_on() -> None:
        writer.write(await handshake)
        if held is not None:
            await held.wait()
        while True:
            due, data = await queue.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                writer.close()
                return
            writer.write(data)

    async with asyncio.TaskGroup() as group:
        handshake = group.create_task(_until_blank_line(reader))
        group.create_task(pass_on())
        await handshake
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                queue.put_nowait((loop.time() + lag, data))
        queue.put_nowait((loop.time() + lag, b""))


async def _until_blank_line(reader: asyncio.StreamReader) -> bytes:
    """The head of a request or of its answer; less where the connection ends before."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except ConnectionError:
        return b""
