"""Run slow work in threads that the end of the process does not wait for."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def beside(call: Callable[[], T]) -> T:
    """Run `call`, which may wait for a server, in a thread that is not joined at the end.

    The threads of the loop's own executor are joined at the end, so a hanging server would delay
    the end of a process for minutes. Native code must still run in that executor: C++ code
    interrupted by the end of the interpreter aborts the process.
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
        with suppress(RuntimeError):  # the loop was closed: nothing waits for the result
            loop.call_soon_threadsafe(answer)

    threading.Thread(target=work, name="beside", daemon=True).start()
    return await future


def _fulfil(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
