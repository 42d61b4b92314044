"""A thousand browsers on one realtime process, ten changes a second: how late, and at what share of a core."""

import asyncio
import gc
import os
import struct
import time
from collections.abc import Callable
from typing import Any, cast

import orjson

from bench.pings import cpu_seconds
from bench.ui.fleet import Fleet
from bench.ui.report import Report, at_percent
from bench.ui.system import System, running

HZ, MOVED, SECONDS, WARM_SECONDS = 10, 100, 12.0, 3.0
AT_ONCE = 50
MARK = 12_000_000  # the latitude of the first vehicle counts up from here, in micro-degrees
VIEW = b'{"type":"view","bbox":null,"z":9,"layers":["vehicles","stations"]}'
HELLO = b'{"type":"hello","v":1,"proto":1,"last_alert":0,"language":"en"}'


class Marks:
    """When each change was published, and how long each browser waited for it."""

    def __init__(self) -> None:
        self.published: list[float] = []
        self.waited: list[float] = []
        self.frames = self.size = 0


class Client(asyncio.Protocol):
    """One browser: bare frames on a bare socket, as a client library would be slower than what is measured."""

    def __init__(self, address: bytes, session: str, marker: bytes, marks: Marks) -> None:
        self._address, self._session, self._marker, self._marks = address, session, marker, marks
        self._buffer = b""
        self._is_open = False
        self._seen = 0
        self.seq = 0
        self.why_closed = b""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(
            b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
            b"Cookie: sessionid=%s\r\n\r\n" % (self._address, self._session.encode())
        )

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        buffer = self._buffer + data if self._buffer else data
        if not self._is_open:
            head, end, buffer = buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            self._begin(head)
        at = 0
        while (frame := _frame(buffer, at)) is not None:
            kind, start, at = frame
            if kind == 2:
                self._take(buffer[start:at], now)
            elif kind == 8:
                self.why_closed = buffer[start:at]
            elif kind == 9:
                self._transport.write(b"\x8a" + bytes([0x80 | at - start]) + b"\0\0\0\0" + buffer[start:at])
        self._buffer = buffer[at:]

    def _begin(self, head: bytes) -> None:
        self._is_open = True
        if b" 101 " not in head:
            self.why_closed = head
            self._set_ready()
        elif self._marker:
            self.say(HELLO)
            self.say(VIEW)
        else:
            self._set_ready()

    def _take(self, frame: bytes, now: float) -> None:
        self.seq = int.from_bytes(frame[4:8], "little")
        if frame[2] == 1:
            self._set_ready()
        elif frame[2] == 2:
            self._marks.frames += 1
            self._marks.size = len(frame)
            self._count(frame, now)

    def _count(self, frame: bytes, now: float) -> None:
        """A frame with a later mark tells of those before it, too."""
        at = _place_of(self._marker, frame) if self._marker else 16
        if at < 0:
            return
        newest = int.from_bytes(frame[at + 4 : at + 8], "little") - MARK
        published = self._marks.published
        if newest > len(published):  # where it was before the first mark, told again: its state changed
            return
        self._marks.waited += [now - published[number] for number in range(self._seen, min(newest, len(published)))]
        self._seen = max(self._seen, newest)

    def _set_ready(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def begin_counting(self, number: int) -> None:
        self._seen = number

    @property
    def seen(self) -> int:
        return self._seen

    def say(self, text: bytes) -> None:
        head = bytes([0x81, 0x80 | len(text)]) if len(text) < 126 else b"\x81\xfe" + len(text).to_bytes(2, "big")
        self._transport.write(head + b"\0\0\0\0" + text)

    def connection_lost(self, error: Exception | None) -> None:
        self.why_closed = self.why_closed or b"lost"
        self._set_ready()

    def close(self) -> None:
        self._transport.abort()


def _place_of(marker: bytes, frame: bytes) -> int:
    """Where the record of this id begins, -1 when there is none; the same bytes within another record are no id."""
    at = frame.find(marker, 16)
    while at >= 0 and at % 16:
        at = frame.find(marker, at + 1)
    return at


def _frame(buffer: bytes, at: int) -> tuple[int, int, int] | None:
    """(opcode, where its payload begins, where it ends) of the frame at `at`, once it is whole."""
    if len(buffer) < at + 2:
        return None
    size, start = buffer[at + 1], at + 2
    if size >= 126:
        start = at + (4 if size == 126 else 10)
        if len(buffer) < start:
            return None
        size = int.from_bytes(buffer[at + 2 : start], "big")
    return (buffer[at] & 15, start, start + size) if len(buffer) >= start + size else None


Publish = Callable[[int], tuple[str, bytes]]
"""The message on the bus that carries a mark, and its channel."""


def _moves(fleet: Fleet) -> Publish:
    def message(mark: int) -> tuple[str, bytes]:
        now, drift = time.time(), mark - MARK
        rows: list[list[Any]] = [[fleet.organisation_id, now, fleet.vehicle_ids[0], mark, 77_600_000, 0, 30, 50, 1]]
        rows += [
            [fleet.organisation_id, now, pk, 12_900_000 + 997 * n + drift, 77_600_000 + 611 * n, n % 256, 30, 50, 1]
            for n, pk in enumerate(fleet.vehicle_ids[1:MOVED])
        ]
        return "fc:live", orjson.dumps({"k": "vehicles", "rows": rows})

    return message


def _bare(mark: int) -> tuple[str, bytes]:
    header = struct.pack("<BBBBIII", 0xFC, 1, 2, 1, 1, 1, MOVED)
    return "fc:bench", header + struct.pack("<Ii", 1, mark) + bytes(16 * MOVED - 8)


async def _open(system: System, path: bytes, fleet: Fleet, marker: bytes, marks: Marks, clients: list[Client]) -> None:
    """One after the other joins `clients`."""
    loop, turn = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)

    async def one(session: str) -> None:
        async with turn:
            create: Any = lambda: Client(path, session, marker, marks)  # noqa: E731
            _, client = await loop.create_connection(create, "127.0.0.1", system.realtime_port)
            await client.ready
            clients.append(client)

    await asyncio.wait_for(asyncio.gather(*(one(session) for session in fleet.sessions)), 300)
    if refused := [client.why_closed for client in clients if client.why_closed]:
        raise SystemExit(f"{len(refused)} browsers were refused: {refused[0][:200]!r}")


async def _acknowledge(clients: list[Client]) -> None:
    """Each once a second, never all at once, as pages do."""
    for number in range(10**9):
        for client in clients[number % HZ :: HZ]:
            client.say(b'{"type":"ack","seq":%d}' % client.seq)
        await asyncio.sleep(1 / HZ)


async def measure(system: System, path: bytes, fleet: Fleet, marker: bytes, publish: Publish) -> dict[str, float]:
    """Latency in milliseconds of every change at every browser; the process's share of a core meanwhile."""
    import redis
    from django.conf import settings

    marks, clients = Marks(), list[Client]()
    bus = redis.Redis.from_url(settings.REDIS_URL)
    talk = asyncio.create_task(_acknowledge(clients)) if marker else None
    await _open(system, path, fleet, marker, marks, clients)
    due, number, last = time.perf_counter(), 0, int(HZ * (WARM_SECONDS + SECONDS))
    began = used = 0.0
    while number < last:
        if number == int(HZ * WARM_SECONDS):
            marks.waited.clear()
            marks.frames, began, used = 0, time.perf_counter(), cpu_seconds(system.realtime_pid)
        channel, message = publish(MARK + number + 1)
        marks.published.append(time.perf_counter())
        bus.publish(channel, message)
        number += 1
        due += 1 / HZ
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    busy = (cpu_seconds(system.realtime_pid) - used) / (time.perf_counter() - began)
    await asyncio.sleep(1.0)
    if talk:
        talk.cancel()
    lost = sum(last - client.seen for client in clients)
    for client in clients:
        client.close()
    waited = [seconds * 1000 for seconds in marks.waited]
    return {
        "p50": at_percent(waited, 50), "p99": at_percent(waited, 99), "cpu": busy * 100, "lost": lost,
        "rate": marks.frames / SECONDS, "size": marks.size,
    }  # fmt: skip


def fan_out(report: Report, fleet: Fleet, *, goal_ms: float, goal_percent: float) -> None:
    """Ours, and the same server told over the same bus to send frames of that size to everybody."""
    import uvloop

    cores = sorted(os.sched_getaffinity(0))
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        floor = _pinned(cores, lambda system: uvloop.run(measure(system, b"/floor/", fleet, b"", _bare)))
        marker = fleet.vehicle_ids[0].to_bytes(4, "little")
        ours = _pinned(cores, lambda system: uvloop.run(measure(system, b"/ws/live/", fleet, marker, _moves(fleet))))
    finally:
        gc.enable()
    for name, told in (("floor: bare frames", floor), ("live sockets", ours)):
        late, work = "p50 {p50:.0f} ms   p99 {p99:.0f} ms", "{rate:,.0f} frames/s of {size:.0f} bytes"
        report.says(name, f"{late}   {work}   {{cpu:.0f}} % of a core   lost {{lost:.0f}}".format(**told))
    report.figure("change to browser p99", ours["p99"], "ms", at_most=goal_ms, floor=floor["p99"])
    report.figure("realtime process, share of a core", ours["cpu"], "%", at_most=goal_percent, floor=floor["cpu"])
    report.figure("changes lost", ours["lost"], "", at_most=0)


def _pinned(cores: list[int], work: Callable[[System], dict[str, float]]) -> dict[str, float]:
    """The servers have one core, the browsers the other."""
    with running(core=cores[0]) as system:
        os.sched_setaffinity(0, {cores[-1]})
        try:
            return work(system)
        finally:
            os.sched_setaffinity(0, set(cores))
