"""Natural batching: whatever queued while the last commit ran is written by the next one."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger(__name__)


class Batcher(Generic[T, R]):
    """Collect items from many tasks, write them together, give each caller its own result after the commit.

    `write` gets items of at most `max_rows` rows together (an item is one row, unless `weigh` says otherwise; the last
    item may exceed it) and returns one result per item, in order. If it raises, every waiting caller of that batch gets
    the exception and the writer lives on; for an error in `bisect_on` (bad data) the batch is halved until only the
    culprits fail. `submit` waits when `max_queue` items are pending, so a slow database pushes back on the sockets
    instead of dropping anything.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        name: str,
        max_rows: int = 2000,
        max_queue: int = 20_000,
        bisect_on: tuple[type[Exception], ...] = (),
        weigh: Callable[[T], int] = lambda _: 1,
    ) -> None:
        self._write, self.name, self._max_rows, self._max_queue = write, name, max_rows, max_queue
        self._bisect_on, self._weigh = bisect_on, weigh
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reset()

    @property
    def waiting(self) -> int:
        """Items that no batch has taken yet."""
        return len(self._queue)

    async def submit(self, item: T) -> R:
        """Queue one item and return what `write` said about it, once durable."""
        while (future := self.offer(item)) is None:
            self._room.clear()
            await self._room.wait()
        return await future

    def offer(self, item: T) -> "asyncio.Future[R] | None":
        """Queue one item without waiting; the future is its result once durable. None: the queue is full, `submit` it.

        Cancel the future to withdraw an item that is not being written yet.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop or self._task is None or self._task.done():
            self._start(loop)
        if len(self._queue) >= self._max_queue:
            return None
        future: asyncio.Future[R] = loop.create_future()
        self._queue.append((item, future))
        self._wake.set()
        return future

    @property
    def pending(self) -> int:
        """Items waiting for the next commit."""
        return len(self._queue)

    async def close(self) -> None:
        """Write what is queued, then stop; whoever submits later starts it again."""
        if self._loop is not asyncio.get_running_loop() or self._task is None:
            return
        await self._idle.wait()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def _reset(self) -> None:
        self._queue: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._wake, self._room, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not loop:  # tests use one loop each; a process uses one for life
            self._reset()
            self._loop = loop
        self._task = loop.create_task(self._run(), name=f"batcher-{self.name}")

    async def _run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._idle.clear()
                while self._queue:
                    await self._flush(self._take())
                self._wake.clear()
                self._idle.set()
        finally:
            self._idle.set()
            _fail(self._take_all(), ConnectionError(f"{self.name} stopped"))

    def _take(self) -> list[tuple[T, "asyncio.Future[R]"]]:
        """The next batch, without those whose caller has gone away (its socket closed, nobody was told anything)."""
        batch: list[tuple[T, asyncio.Future[R]]] = []
        rows = 0
        while self._queue and rows < self._max_rows:
            entry = self._queue.popleft()
            if not entry[1].done():
                batch.append(entry)
                rows += self._weigh(entry[0])
        self._room.set()
        return batch

    def _take_all(self) -> list[tuple[T, "asyncio.Future[R]"]]:
        entries = list(self._queue)
        self._queue.clear()
        self._room.set()
        return entries

    async def _flush(self, batch: list[tuple[T, "asyncio.Future[R]"]]) -> None:
        if not batch:
            return
        try:
            results = await self._write([item for item, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():  # the socket may have closed meanwhile
                    future.set_result(result)
        except asyncio.CancelledError:
            _fail(batch, ConnectionError(f"{self.name} is stopping"))
            raise
        except self._bisect_on as error:
            await self._halve(batch, error)
        except Exception as error:
            logger.warning("%s: batch of %d failed: %s", self.name, len(batch), error)
            _fail(batch, error)

    async def _halve(self, batch: list[tuple[T, "asyncio.Future[R]"]], error: Exception) -> None:
        if len(batch) == 1:
            logger.warning("%s: refused one item: %s", self.name, error)
            return _fail(batch, error)
        middle = len(batch) // 2
        await self._flush(batch[:middle])
        await self._flush(batch[middle:])
        return None


def _fail(batch: list[tuple[T, "asyncio.Future[R]"]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
