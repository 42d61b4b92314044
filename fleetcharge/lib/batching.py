"""Natural batching: whatever queued while the last commit ran is written by the next one."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger(__name__)


class Batcher(Generic[T, R]):
    """Collect items from many tasks, write them together, give each caller its own result after the commit.

    `write` gets at most `max_rows` items and returns one result per item, in order. If it raises, every
    waiting caller of that batch gets the exception and the writer lives on. `submit` waits when `max_queue` items are
    pending, so a slow database pushes back on the sockets instead of dropping anything.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        name: str,
        max_rows: int = 2000,
        max_queue: int = 20_000,
    ) -> None:
        self._write, self.name, self._max_rows = write, name, max_rows
        self._queue: asyncio.Queue[tuple[T, asyncio.Future[R]]] = asyncio.Queue(max_queue)
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def submit(self, item: T) -> R:
        """Queue one item and return what `write` said about it, once durable."""
        self._ensure_running()
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        await self._queue.put((item, future))
        return await future

    @property
    def pending(self) -> int:
        """Items waiting for the next commit."""
        return self._queue.qsize()

    async def close(self) -> None:
        """Write what is queued, then stop."""
        while self._task and not self._task.done() and not self._queue.empty():
            await asyncio.sleep(0.005)
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _ensure_running(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # tests use one loop each; a process uses one for life
            self._queue = asyncio.Queue(self._queue.maxsize)
            self._task, self._loop = None, loop
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run(), name=f"batcher-{self.name}")

    async def _run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self._max_rows and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._flush(batch)

    async def _flush(self, batch: list[tuple[T, "asyncio.Future[R]"]]) -> None:
        try:
            results = await self._write([item for item, _ in batch])
        except asyncio.CancelledError:
            _fail(batch, ConnectionError(f"{self.name} is stopping"))
            raise
        except Exception as error:
            logger.warning("%s: batch of %d failed: %s", self.name, len(batch), error)
            _fail(batch, error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():  # the socket may have closed meanwhile
                future.set_result(result)


def _fail(batch: list[tuple[T, "asyncio.Future[R]"]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
