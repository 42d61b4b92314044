"""Pushes at a given rate: every one has its moment, and what waits for its turn waits on the clock of the result."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

CONNECTIONS = 64
STREAM_ENDS_AFTER = 2.0


@dataclass
class Outcome:
    """Seconds from the moment a push was due to its answer, and to the client of the stream."""

    committed: list[float] = field(default_factory=list)
    heard: list[float] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    seconds: float = 0.0


Push = tuple[str, bytes]
"""Public id of the connector, and the bytes of the request."""


async def run(port: int, pushes: Iterator[Push], *, rate: float, seconds: float, key: str) -> Outcome:
    """One client follows the stream while `rate` pushes a second go in."""
    outcome = Outcome()
    due_at: dict[str, float] = {}
    ready = asyncio.Event()
    stream = asyncio.create_task(_follow(port, key, due_at, outcome, ready))
    await ready.wait()
    began, count = time.perf_counter() + 0.1, int(rate * seconds)
    numbers = iter(range(count))

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            connector, request = next(pushes)
            due_at[connector] = due
            writer.write(request)
            status, body = await _answer(reader)
            outcome.committed.append(time.perf_counter() - due)
            if status != 200 or b'"status_code":2' in body:
                outcome.refused.append(body[:200])
        writer.close()

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    outcome.seconds = time.perf_counter() - began
    await asyncio.sleep(STREAM_ENDS_AFTER)
    stream.cancel()
    await asyncio.gather(stream, return_exceptions=True)
    return outcome


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    return int(head[9:12]), await reader.readexactly(length)


async def _follow(port: int, key: str, due_at: dict[str, float], outcome: Outcome, ready: asyncio.Event) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=64 * 1024 * 1024)
    writer.write(
        f"GET /api/v1/stream/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    )  # fmt: skip
    async for line in reader:
        if line.startswith(b"data: "):
            ready.set()
            now, message = time.perf_counter(), json.loads(line[6:])
            for change in message.get("changes", ()):
                if (due := due_at.pop(change["connector"], None)) is not None:
                    outcome.heard.append(now - due)


def ocpi_pushes(plugs: list[tuple[str, str, str]], token: str) -> Iterator[Push]:
    """PATCH of one EVSE; every visit turns its status. `plugs`: (connector's public id, location, evse)."""

    def request(location: str, evse: str, status: str, stamp: str) -> bytes:
        body = json.dumps({"status": status, "last_updated": stamp}).encode()
        path = f"/ocpi/2.2.1/emsp/locations/IN/VLT/{location}/{evse}"
        return _request("PATCH", path, body, {"Authorization": f"Token {token}"})

    return _turning(plugs, request)


def hook_pushes(plugs: list[tuple[str, str, str]], secret: str) -> Iterator[Push]:
    """A vendor's signed JSON; every visit turns the status."""

    def request(location: str, evse: str, status: str, stamp: str) -> bytes:
        entry = {"evse": evse, "status": status, "at": stamp}
        body, now = json.dumps({"id": f"{evse}{stamp}", "entries": [entry]}).encode(), str(time.time())
        code = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
        return _request("POST", "/hooks/kaveri", body, {"X-Timestamp": now, "X-Signature": code})

    return _turning(plugs, request)


def _turning(plugs: list[tuple[str, str, str]], request: Callable[[str, str, str, str], bytes]) -> Iterator[Push]:
    turn = 0
    while True:
        status = ("OUTOFORDER", "AVAILABLE")[turn % 2]
        for connector, location, evse in plugs:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{int(time.time() * 1000) % 1000:03d}Z"
            yield connector, request(location, evse, status, stamp)
        turn += 1


def _request(method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
