"""Run a coroutine on the spot: a task is only made for one that really has to wait."""

import asyncio
import functools
import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


def run_until_it_waits(coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T] | None":
    """Start it now; None when it has finished, else the task that goes on with it. Its errors are raised here.

    For sends, of which one in thousands waits (Python 3.12 has eager tasks; we support 3.11). The coroutine must not
    ask for `asyncio.current_task()` before it first waits.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration:
        return None
    return asyncio.get_running_loop().create_task(_go_on(coroutine, awaited))


async def _go_on(coroutine: Coroutine[Any, Any, T], awaited: Any) -> T:
    return await _resumed(coroutine, awaited)


@types.coroutine
def _resumed(coroutine: Coroutine[Any, Any, T], awaited: Any) -> Generator[Any, Any, T]:
    """What the coroutine waits for is handed to the task, what becomes of the wait to the coroutine."""
    while True:
        try:
            yield awaited
        except BaseException as error:
            step = functools.partial(coroutine.throw, error)
        else:
            step = functools.partial(coroutine.send, None)
        try:
            awaited = step()
        except StopIteration as stop:
            result: T = stop.value
            return result
