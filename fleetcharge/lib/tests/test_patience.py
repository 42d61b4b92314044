"""uvicorn with our HTTP protocol: how long a request head may take, also of a later request of the same connection."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from fleetcharge.lib.asgi import send_json
from fleetcharge.lib.patience import ImpatientProtocol

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def _app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send_json(send, 200, {})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(ImpatientProtocol, "head_seconds", 30.0)
    monkeypatch.setattr(ImpatientProtocol, "waiting", 0)
    server = uvicorn.Server(uvicorn.Config(_app, http=ImpatientProtocol, lifespan="off", log_level="error"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        yield listening.getsockname()[1]
        server.should_exit = True
        await serving


async def _answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(30):
        return await reader.readuntil(b"\r\n\r\n{}")


async def _end(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionError):
            return await reader.read()
    return b""


async def test_whole_heads_and_those_in_parts_are_answered_on_one_connection(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for parts in ([REQUEST], [REQUEST[:9], REQUEST[9:]], [REQUEST + REQUEST], [REQUEST]):
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)  # so that parts may come one by one
        for _ in range(b"".join(parts).count(REQUEST)):
            assert b" 200 " in await _answer(reader)
        assert ImpatientProtocol.waiting == 0
    writer.close()


@pytest.mark.parametrize(
    ("is_first", "begun"), [(True, b""), (True, REQUEST[:9]), (False, REQUEST[:9]), (False, REQUEST[:-1])]
)
async def test_who_does_not_finish_a_head_is_disconnected(
    port: int, is_first: bool, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_first:
        monkeypatch.setattr(ImpatientProtocol, "head_seconds", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    if not is_first:
        writer.write(REQUEST)
        await _answer(reader)
        monkeypatch.setattr(ImpatientProtocol, "head_seconds", 0.2)
    writer.write(begun)
    assert await _end(reader) == b""
    assert ImpatientProtocol.waiting == 0
    writer.close()


async def test_who_finishes_it_in_time_stays(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST + REQUEST[:9])
    await _answer(reader)
    assert ImpatientProtocol.waiting == 1
    writer.write(REQUEST[9:])
    await _answer(reader)
    assert ImpatientProtocol.waiting == 0
    writer.close()
