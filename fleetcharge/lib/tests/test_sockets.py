"""The short way for plain frames: what a client sees is what uvicorn's own protocol would have shown it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from fleetcharge.lib.sockets import HEAR, WRITE, WRITE_BYTES, LeanWebSocketProtocol
from tests.prompt_server import PromptServer
from tests.running import port_of_our_own

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
LIMIT_BYTES = 300_000
BYE = b"\x88\x0a\x0f\xa1said bye"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4001, "reason": "said bye"})
        elif message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def eager_echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers texts of even length where they arrive, the others in its own time, and all in order."""
    is_busy = False

    def hear(text: str) -> bool:
        return not is_busy and text != "bye" and len(text) % 2 == 0 and bool(scope["extensions"][WRITE](text))

    async def receive_and_be_busy() -> Any:
        nonlocal is_busy
        is_busy = False
        message = await receive()
        is_busy = True
        await asyncio.sleep(0)  # others arrive meanwhile
        return message

    async def send_and_listen(message: Any) -> None:
        await send(message)
        if message["type"] == "websocket.accept":
            scope["extensions"][HEAR](hear)

    await echo(scope, receive_and_be_busy, send_and_listen)


@contextlib.asynccontextmanager
async def serving(protocol: Any, *, app: Any = echo, deflate: bool = False) -> AsyncIterator[int]:
    port = port_of_our_own()
    config = uvicorn.Config(
        app, port=port, ws=protocol, lifespan="off", log_level="critical", ws_per_message_deflate=deflate,
        ws_max_size=LIMIT_BYTES,
    )  # fmt: skip
    server = PromptServer(config)
    task = asyncio.create_task(server._serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield port
    finally:
        server.leave()
        await task


def frame(kind: int, payload: bytes, *, mask: bytes = b"\x11\x22\x33\x44", is_masked: bool = True) -> bytes:
    size, bit = len(payload), 0x80 if is_masked else 0
    if size < 126:
        head = bytes((kind, bit | size))
    elif size < 65_536:
        head = bytes((kind, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((kind, bit | 127)) + size.to_bytes(8, "big")
    if not is_masked:
        return head + payload
    return head + mask + bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))


async def transcript(port: int, chunks: list[bytes]) -> bytes:
    """Everything the server says until it hangs up; the client says `bye` at the end if it is let."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(frame(0x81, b"bye"))
        await writer.drain()
    heard = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(60):
            while not heard.endswith(BYE) and (more := await reader.read(65_536)):
                heard += more
            writer.write(frame(0x88, b"\x0f\xa1"))  # now, as what it overtakes may be dropped
            heard += await reader.read(-1)
    writer.close()
    return heard


ODDITIES: dict[str, list[bytes]] = {
    "nothing at all": [],
    "empty text": [frame(0x81, b"")],
    "two in one packet": [frame(0x81, b"one") + frame(0x81, b"two")],
    "byte by byte": [bytes((byte,)) for byte in frame(0x81, b"slowly") + frame(0x81, b"x" * 130)],
    "binary": [frame(0x82, b"\x00\xff")],
    "fragments": [frame(0x01, b"a"), frame(0x89, b"ping"), frame(0x00, b"b"), frame(0x80, b"c"), frame(0x81, b"d")],
    "a text within fragments": [frame(0x01, b"a"), frame(0x81, b"b")],
    "a stray continuation": [frame(0x80, b"a")],
    "ping": [frame(0x89, b"are you there"), frame(0x81, b"after")],
    "pong nobody asked for": [frame(0x8A, b"here"), frame(0x81, b"after")],
    "not UTF-8": [frame(0x81, b"\xff\xfe"), frame(0x81, b"after")],
    "not masked": [frame(0x81, b"plain", is_masked=False), frame(0x81, b"after")],
    "long and not masked": [frame(0x81, b"p" * 300, is_masked=False), frame(0x81, b"after")],
    "reserved bit": [frame(0xC1, b"x"), frame(0x81, b"after")],
    "unknown opcode": [frame(0x83, b"x"), frame(0x81, b"after")],
    "65,535 bytes": [frame(0x81, b"m" * 65_535), frame(0x81, b"after")],
    "65,536 bytes": [frame(0x81, b"l" * 65_536), frame(0x81, b"after")],
    "too large": [frame(0x81, b"t" * (LIMIT_BYTES + 1)), frame(0x81, b"after")],
    "close, then more": [frame(0x88, b"\x03\xe8") + frame(0x81, b"after")],
    "a ping of 126 bytes": [frame(0x89, b"p" * 126)],
    "a frame in halves": [frame(0x81, b"whole") + frame(0x81, b"half")[:5], frame(0x81, b"half")[5:]],
}


@pytest.mark.parametrize("app", [echo, eager_echo])
@pytest.mark.parametrize("oddity", sorted(ODDITIES))
async def test_the_wire_looks_as_with_uvicorns_own_protocol(oddity: str, app: Any) -> None:
    async with serving(WebSocketsSansIOProtocol) as stock, serving(LeanWebSocketProtocol, app=app) as lean:
        expected = await transcript(stock, ODDITIES[oddity])
        assert await transcript(lean, ODDITIES[oddity]) == expected


@pytest.mark.parametrize(("app", "kinds"), [(echo, (0x81, 0x81, 0x81, 0x82, 0x89)), (eager_echo, (0x81, 0x81, 0x82))])
async def test_any_cut_of_any_stream_gives_the_same_answers(app: Any, kinds: tuple[int, ...]) -> None:
    """Answered on the spot, a text comes before the pong, or the complaint, that would have overtaken it."""
    chance = random.Random(6455)
    async with serving(WebSocketsSansIOProtocol) as stock, serving(LeanWebSocketProtocol, app=app) as lean:
        for _ in range(60):
            stream = b"".join(
                frame(chance.choice(kinds), b"z" * chance.choice([0, 1, 5, 125])) for _ in range(chance.randint(1, 12))
            )
            if app is echo and chance.random() < 0.3:
                stream += chance.choice(
                    [frame(0xC1, b"odd"), frame(0x81, b"bare", is_masked=False), frame(0x80, b"stray")]
                )
            cuts = sorted(chance.sample(range(len(stream) + 1), min(4, len(stream))))
            chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
            assert await transcript(lean, chunks) == await transcript(stock, chunks), stream


@pytest.mark.parametrize("deflate", [False, True])
async def test_a_library_client_is_served_with_and_without_compression(deflate: bool) -> None:
    async with serving(LeanWebSocketProtocol, deflate=deflate) as port:
        compression = "deflate" if deflate else None
        async with connect(
            f"ws://127.0.0.1:{port}/", compression=compression, max_size=None, open_timeout=60
        ) as client:
            for message in ("", "ü", "x" * 125, "x" * 126, "x" * 65_536, "after", b"\x00\x01", b"b" * 70_000):
                await client.send(message)
                assert await client.recv() == message
            for number in range(300):
                await client.send(str(number))
            assert [await client.recv() for _ in range(300)] == [str(number) for number in range(300)]
            await client.send("bye")
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4001


async def test_bytes_go_out_at_once_or_not_at_all() -> None:
    """A socket that compresses stays on the long way; so does one that has said goodbye."""
    said: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        write = scope["extensions"][WRITE_BYTES]
        said.append(write(b"too early"))
        await send({"type": "websocket.accept"})
        said.extend([write(b"b" * size) for size in (0, 125, 126, 65_536)])
        await send({"type": "websocket.close", "code": 4001})
        said.append(write(b"too late"))

    for compression, expected in ((None, [False, True, True, True, True, False]), ("deflate", [False] * 6)):
        said.clear()
        async with (
            serving(LeanWebSocketProtocol, app=app, deflate=True) as port,
            connect(f"ws://127.0.0.1:{port}/", compression=compression, max_size=None, open_timeout=60) as client,
        ):
            heard = [message async for message in _messages(client)]
        assert said == expected
        assert heard == [b"b" * size for size in (0, 125, 126, 65_536) if compression is None]


async def _messages(client: Any) -> AsyncIterator[bytes]:
    with contextlib.suppress(ConnectionClosed):
        while True:
            yield await client.recv()


async def test_what_is_heard_at_once_never_overtakes_what_waits() -> None:
    async with serving(LeanWebSocketProtocol, app=eager_echo) as port:
        texts = [f"<{number:04d}>" + "x" * (number * 7 % 3) for number in range(500)]
        answers = await transcript(port, [b"".join(frame(0x81, text.encode()) for text in texts)])
    places = [answers.index(text.encode()) for text in texts]
    assert places == sorted(places)
