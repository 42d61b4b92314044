"""Coroutines that are run on the spot."""

import asyncio

import pytest

from fleetcharge.lib.eager import run_until_it_waits


async def test_what_never_waits_is_done_at_once() -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("a")

    assert run_until_it_waits(work()) is None
    assert done == ["a"]


async def test_what_waits_goes_on_as_a_task_and_keeps_its_result() -> None:
    gate = asyncio.Event()
    steps: list[str] = []

    async def work() -> int:
        steps.append("before")
        await gate.wait()
        await asyncio.sleep(0)
        steps.append("after")
        return 7

    task = run_until_it_waits(work())
    assert task is not None and steps == ["before"]
    gate.set()
    assert await task == 7
    assert steps == ["before", "after"]


async def test_an_error_before_the_first_wait_is_raised_here() -> None:
    async def work() -> None:
        raise ValueError("at once")

    with pytest.raises(ValueError, match="at once"):
        run_until_it_waits(work())


async def test_a_cancelled_task_cancels_what_it_went_on_with() -> None:
    gate = asyncio.Event()
    ended: list[bool] = []

    async def work() -> None:
        try:
            await gate.wait()
        finally:
            ended.append(True)

    task = run_until_it_waits(work())
    assert task is not None
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]
