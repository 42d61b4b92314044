"""Natural batching: whatever queued while the last commit ran is written by the next one."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

ALL_AT_ONCE = 32  # so few that wait are one batch
logger = logging.getLogger(__name__)


class Receipt(Generic[R]):
    """What becomes of an offered item: `tell(result, error)` is called once, right after the commit.

    A future without the loop: nothing is scheduled for it. Whoever offers sets `tell` at once.
    """

    __slots__ = ("_is_done", "tell")

    def __init__(self) -> None:
        self._is_done = False
        self.tell: Callable[[R | None, Exception | None], None] | None = None

    def done(self) -> bool:
        """Told, or withdrawn."""
        return self._is_done

    def cancel(self) -> None:
        """Withdraw the item unless it is being written; nobody is told either way."""
        self._is_done = True

    def set_exception(self, error: Exception) -> None:
        self.set_result(None, error)

    def set_result(self, result: R | None, error: Exception | None = None) -> None:
        self._is_done = True
        if self.tell is None:
            return
        try:
            self.tell(result, error)
        except Exception:  # the others of the batch wait for their answers
            logger.exception("nobody could be told of a write")


class Batcher(Generic[T, R]):
    """Collect items from many tasks, write them together, give each caller its own result after the commit.

    `write` gets items of at most `max_rows` rows together (an item is one row, unless `weigh` says otherwise; the last
    item may exceed it) and returns one result per item, in order. If it raises, every waiting caller of that batch gets
    the exception and the writer lives on; for an error in `bisect_on` (bad data) the batch is halved until only the
    culprits fail. `in_pairs`: a batch that is full may be begun while the one before is written, so that the database
    does not wait for its making; `write` is then called again before it has returned. `submit` waits when `max_queue`
    items are pending, so a slow database pushes back on the sockets instead of dropping anything.
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
        in_halves: bool = False,
        in_pairs: bool = False,
    ) -> None:
        self._write, self.name, self._max_rows, self._max_queue = write, name, max_rows, max_queue
        self._bisect_on, self._weigh, self._in_halves, self._in_pairs = bisect_on, weigh, in_halves, in_pairs
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reset()

    @property
    def waiting(self) -> int:
        """Items that no batch has taken yet."""
        return len(self._queue)

    async def submit(self, item: T) -> R:
        """Queue one item and return what `write` said about it, once durable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        while not self._put(item, future, loop):
            self._room.clear()
            await self._room.wait()
        return await future

    def offer(self, item: T) -> Receipt[R] | None:
        """Queue one item without waiting. None: the queue is full, `submit` it."""
        receipt: Receipt[R] = Receipt()
        return receipt if self._put(item, receipt, asyncio.get_running_loop()) else None

    def _put(self, item: T, to: "_Waiter[R]", loop: asyncio.AbstractEventLoop) -> bool:
        if self._loop is not loop or self._task is None or self._task.done():
            self._start(loop)
        if len(self._queue) >= self._max_queue:
            return False
        self._queue.append((item, to))
        self._rows += self._weigh(item)
        if not self._wake.is_set():
            self._idle.clear()
            self._wake.set()
        return True

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
        self._queue: deque[tuple[T, _Waiter[R]]] = deque()
        self._rows = 0
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
                await self._write_all()
                self._wake.clear()
                self._idle.set()
        finally:
            self._wake.clear()
            self._idle.set()
            _fail(self._take_all(), ConnectionError(f"{self.name} stopped"))

    async def _write_all(self) -> None:
        """Batch after batch, until nobody waits."""
        begun: list[tuple[asyncio.Task[None], list[tuple[T, _Waiter[R]]]]] = []
        try:
            while self._queue:
                batch = self._take()
                if not begun and not self._has_full_batch():
                    await self._flush(batch)
                    continue
                begun.append((asyncio.create_task(self._flush(batch), name=f"batch-{self.name}"), batch))
                while len(begun) > self._has_full_batch():  # the next one may be begun while one is under way
                    await begun[0][0]
                    del begun[0]
        finally:
            for task, batch in begun:
                if task.cancel():  # it may not have taken its first step
                    _fail(batch, ConnectionError(f"{self.name} is stopping"))

    def _has_full_batch(self) -> bool:
        """Of those that wait, and one may be begun before its turn."""
        return self._in_pairs and self._rows >= self._max_rows

    def _take(self) -> list[tuple[T, "_Waiter[R]"]]:
        """The next batch, without those whose caller has gone away (its socket closed, nobody was told anything).

        `in_halves`: of many that wait, half. While it is written, those of the half before are told and come with
        their next. All at once would have database and callers wait for each other in turn, each idle half of the time.
        """
        batch: list[tuple[T, _Waiter[R]]] = []
        waiting = len(self._queue)
        rows, most = 0, max(ALL_AT_ONCE, (waiting + 1) // 2) if self._in_halves else waiting
        while self._queue and rows < self._max_rows and len(batch) < most:
            entry = self._queue.popleft()
            weight = self._weigh(entry[0])
            self._rows -= weight
            if not entry[1].done():
                batch.append(entry)
                rows += weight
        self._room.set()
        return batch

    def _take_all(self) -> list[tuple[T, "_Waiter[R]"]]:
        entries = list(self._queue)
        self._queue.clear()
        self._rows = 0
        self._room.set()
        return entries

    async def _flush(self, batch: list[tuple[T, "_Waiter[R]"]]) -> None:
        if not batch:
            return
        try:
            results = await self._write([item for item, _ in batch])
            if len(results) != len(batch):
                raise ValueError(f"{self.name}: {len(results)} results for {len(batch)} items")
            asyncio.get_running_loop().call_soon(_tell, batch, results)  # the next batch leaves before
        except asyncio.CancelledError:
            _fail(batch, ConnectionError(f"{self.name} is stopping"))
            raise
        except self._bisect_on as error:
            await self._halve(batch, error)
        except Exception as error:
            logger.warning("%s: batch of %d failed: %s", self.name, len(batch), error)
            _fail(batch, error)

    async def _halve(self, batch: list[tuple[T, "_Waiter[R]"]], error: Exception) -> None:
        if len(batch) == 1:
            logger.warning("%s: refused one item: %s", self.name, error)
            return _fail(batch, error)
        middle = len(batch) // 2
        await self._flush(batch[:middle])
        await self._flush(batch[middle:])
        return None


_Waiter = asyncio.Future[R] | Receipt[R]


def _tell(batch: "list[tuple[Any, _Waiter[R]]]", results: Sequence[R]) -> None:
    for (_, future), result in zip(batch, results, strict=True):
        if not future.done():  # the socket may have closed meanwhile
            future.set_result(result)


def _fail(batch: list[tuple[T, "_Waiter[R]"]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
