"""Slow work beside the event loop, which the end of the process does not wait for."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def beside(call: Callable[[], T]) -> T:
    """Run `call`, which may wait for a server, in a thread that the end does not wait for.

    The threads of the loop's own executor are joined at the end; a server that hangs would keep a
    process from ending for minutes. Native code that computes belongs there all the same: C++ that
    is cut off by the end of the interpreter aborts the process.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        try:
            result = call()
        except BaseException as error:
            answer = functools.partial(_fail, future, error)
        else:
            answer = functools.partial(_fulfil, future, result)
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(answer)

    threading.Thread(target=work, name="beside", daemon=True).start()
    return await future


def _fulfil(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
