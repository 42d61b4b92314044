"""Natural batching: durable before answered, one bad item harms nobody, a slow writer pushes back."""

import asyncio
from collections.abc import Sequence

import pytest

from fleetcharge.lib.batching import Batcher


class Store:
    """A writer that can be held, and refuses what it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.refuses: set[int] = set()

    async def write(self, items: Sequence[int]) -> list[int]:
        await self.open.wait()
        if self.refuses & set(items):
            raise ValueError("bad item")
        self.batches.append(list(items))
        return [item * 10 for item in items]


@pytest.fixture
async def store() -> Store:
    return Store()


async def submitted(batcher: Batcher[int, int], items: Sequence[int]) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(batcher.submit(item)) for item in items]
    while any(task.get_coro().cr_await is None for task in tasks):  # type: ignore[union-attr]
        await asyncio.sleep(0)
    return tasks


async def test_each_caller_gets_its_own_result(store: Store) -> None:
    batcher = Batcher(store.write, name="t")
    assert await asyncio.gather(*map(batcher.submit, range(5))) == [0, 10, 20, 30, 40]
    await batcher.close()


async def test_what_queues_during_a_write_is_the_next_batch(store: Store) -> None:
    batcher = Batcher(store.write, name="t")
    store.open.clear()
    first = await submitted(batcher, [1])
    rest = await submitted(batcher, [2, 3, 4])
    store.open.set()
    await asyncio.gather(*first, *rest)
    assert store.batches == [[1], [2, 3, 4]]
    await batcher.close()


async def test_of_many_that_wait_half_is_written_while_the_others_are_told(store: Store) -> None:
    """Else all callers end in one batch, and come again only when it is written: nobody works at the same time."""
    began: list[int] = []
    told: list[int] = []
    told_before: list[int] = []

    async def write(items: Sequence[int]) -> list[int]:
        began.append(len(items))
        told_before.append(len(told))
        await asyncio.sleep(0)  # a database takes its time
        return await store.write(items)

    batcher = Batcher(write, name="t", in_halves=True)
    store.open.clear()
    for item in range(201):
        receipt = batcher.offer(item)
        assert receipt is not None
        receipt.tell = lambda result, _: told.append(result or 0)
    store.open.set()
    await batcher.close()
    assert told == [item * 10 for item in range(201)]
    assert began == [101, 50, 32, 18]
    assert told_before == [0, 0, 101, 151]  # the next leaves for the database first


class Turns:
    """A writer that makes a batch ready, and then waits for its turn at the database, as for a connection."""

    def __init__(self) -> None:
        self.ready: list[list[int]] = []
        self.written: list[list[int]] = []
        self.database = asyncio.Lock()
        self.refuses = -1

    async def write(self, items: Sequence[int]) -> list[int]:
        self.ready.append(list(items))
        async with self.database:
            await asyncio.sleep(0)
            if self.refuses in items:
                raise ValueError("bad item")
            self.written.append(list(items))
        return [item * 10 for item in items]

    async def until_ready(self, count: int) -> None:
        while len(self.ready) < count:
            await asyncio.sleep(0)


async def with_two_begun(turns: Turns, max_rows: int, count: int) -> tuple[Batcher[int, int], list[asyncio.Task[int]]]:
    """While the caller has the database."""
    batcher = Batcher(turns.write, name="t", max_rows=max_rows, in_pairs=True)
    tasks = await submitted(batcher, range(count))
    await turns.until_ready(2)
    return batcher, tasks


async def test_in_pairs_a_full_batch_is_made_ready_while_the_one_before_is_written() -> None:
    turns = Turns()
    async with turns.database:
        batcher, tasks = await with_two_begun(turns, 2, 7)
        await asyncio.sleep(0)
        assert turns.ready == [[0, 1], [2, 3]]  # two at most
    assert await asyncio.gather(*tasks) == [item * 10 for item in range(7)]
    assert turns.written == [[0, 1], [2, 3], [4, 5], [6]]
    await batcher.close()


async def test_in_pairs_those_that_fill_no_batch_wait_for_the_one_before() -> None:
    turns = Turns()
    batcher = Batcher(turns.write, name="t", max_rows=5, in_pairs=True)
    async with turns.database:
        tasks = await submitted(batcher, [1])
        tasks += await submitted(batcher, [2, 3, 4])
        assert turns.ready == [[1]]
    await asyncio.gather(*tasks)
    assert turns.written == [[1], [2, 3, 4]]
    await batcher.close()


async def test_in_pairs_a_batch_that_fails_harms_neither_the_one_before_nor_the_one_behind() -> None:
    turns = Turns()
    turns.refuses = 2
    batcher = Batcher(turns.write, name="t", max_rows=2, in_pairs=True, bisect_on=(ValueError,))
    tasks = await submitted(batcher, range(6))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [outcome for outcome in outcomes if not isinstance(outcome, Exception)] == [0, 10, 30, 40, 50]
    assert isinstance(outcomes[2], ValueError)
    assert await batcher.submit(7) == 70
    await batcher.close()


async def test_in_pairs_whoever_waits_is_told_when_the_loop_ends() -> None:
    turns = Turns()
    async with turns.database:
        batcher, tasks = await with_two_begun(turns, 1, 4)
        assert batcher._task is not None
        batcher._task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 4
    assert turns.written == []


async def test_batches_are_bounded(store: Store) -> None:
    batcher = Batcher(store.write, name="t", max_rows=2)
    await asyncio.gather(*map(batcher.submit, range(5)))
    assert max(map(len, store.batches)) == 2
    await batcher.close()


async def test_a_failed_write_fails_its_callers_and_the_writer_lives(store: Store) -> None:
    batcher = Batcher(store.write, name="t")
    store.refuses = {1}
    with pytest.raises(ValueError, match="bad item"):
        await batcher.submit(1)
    assert await batcher.submit(2) == 20
    await batcher.close()


async def test_only_the_culprit_fails_when_the_batch_may_be_halved(store: Store) -> None:
    batcher = Batcher(store.write, name="t", bisect_on=(ValueError,))
    store.refuses = {3}
    results = await asyncio.gather(*map(batcher.submit, range(6)), return_exceptions=True)
    assert [isinstance(result, ValueError) for result in results] == [False, False, False, True, False, False]
    assert sorted(item for batch in store.batches for item in batch) == [0, 1, 2, 4, 5]
    await batcher.close()


async def test_a_caller_that_went_away_neither_kills_the_writer_nor_is_written(store: Store) -> None:
    batcher = Batcher(store.write, name="t")
    store.open.clear()
    held = await submitted(batcher, [1])
    gone, stays = await submitted(batcher, [2, 3])
    gone.cancel()
    held[0].cancel()  # its write is on the way: the result has nobody to go to
    await asyncio.sleep(0)
    store.open.set()
    assert await stays == 30
    assert store.batches == [[1], [3]]
    await batcher.close()


async def test_a_full_queue_makes_the_next_caller_wait(store: Store) -> None:
    batcher = Batcher(store.write, name="t", max_queue=2)
    store.open.clear()
    tasks = await submitted(batcher, [1])
    tasks += await submitted(batcher, [2, 3, 4, 5])
    assert batcher.pending == 2
    store.open.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40, 50]
    await batcher.close()


async def test_a_writer_that_answers_too_little_fails_loudly() -> None:
    async def forgetful(items: Sequence[int]) -> list[int]:
        return []

    batcher: Batcher[int, int] = Batcher(forgetful, name="t")
    with pytest.raises(ValueError):
        await batcher.submit(1)
    await batcher.close()


async def test_close_writes_what_is_queued(store: Store) -> None:
    batcher = Batcher(store.write, name="t")
    store.open.clear()
    tasks = await submitted(batcher, [1])
    tasks += await submitted(batcher, [2])
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    store.open.set()
    await closing
    assert [task.result() for task in tasks] == [10, 20]


def test_each_event_loop_gets_a_writer_of_its_own() -> None:
    async def echo(items: Sequence[int]) -> Sequence[int]:
        return items

    batcher: Batcher[int, int] = Batcher(echo, name="t")
    for number in (1, 2):
        assert asyncio.run(batcher.submit(number)) == number


async def test_an_offer_is_told_once_it_is_durable_and_not_when_it_was_withdrawn(store: Store) -> None:
    batcher = Batcher(store.write, name="t")
    store.open.clear()
    told: list[tuple[int | None, Exception | None]] = []
    receipts = [batcher.offer(item) for item in (1, 2, 3)]
    for receipt in receipts:
        assert receipt is not None
        receipt.tell = lambda result, error: told.append((result, error))
    assert receipts[1] is not None
    receipts[1].cancel()
    assert told == []
    store.open.set()
    await batcher.close()
    assert told == [(10, None), (30, None)]
    assert store.batches == [[1, 3]]


async def test_one_who_cannot_be_told_harms_nobody(store: Store) -> None:
    def broken(result: int | None, error: Exception | None) -> None:
        raise RuntimeError("no")

    batcher = Batcher(store.write, name="t")
    told: list[Exception | None] = []
    store.refuses = {1}
    for item, tell in ((1, broken), (2, lambda _, error: told.append(error))):
        receipt = batcher.offer(item)
        assert receipt is not None
        receipt.tell = tell
    await batcher.close()
    assert len(told) == 1
    assert isinstance(told[0], ValueError)


async def test_an_offer_to_a_full_queue_is_declined(store: Store) -> None:
    batcher = Batcher(store.write, name="t", max_queue=1)
    store.open.clear()
    assert batcher.offer(1) is not None
    assert batcher.offer(2) is None
    store.open.set()
    await batcher.close()
    assert store.batches == [[1]]
