"""What moves the fleet, each in a process of its own: positions straight on the bus, or pings over HTTP."""

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any

import numpy as np

from bench.ui.fleet import EAST, NORTH, SOUTH, WEST, spread

TICKS_PER_SECOND = 5
CONNECTIONS = 32
METRE = 9e-6  # degrees of latitude
STEP_M = 12.0
_processes = multiprocessing.get_context("spawn")


class Places:
    """Vehicles that drive straight on and turn back at the edge of the city."""

    def __init__(self, count: int) -> None:
        self.latitude, self.longitude = spread(count)
        self.heading = np.random.default_rng(1).uniform(0, 360, count)

    def drive(self, which: slice) -> None:
        turn = np.radians(self.heading[which])
        latitude = self.latitude[which] + np.cos(turn) * STEP_M * METRE
        longitude = self.longitude[which] + np.sin(turn) * STEP_M * METRE
        is_out = (latitude < SOUTH) | (latitude > NORTH) | (longitude < WEST) | (longitude > EAST)
        self.heading[which] = np.where(is_out, (self.heading[which] + 150) % 360, self.heading[which])
        self.latitude[which] = np.where(is_out, self.latitude[which], latitude)
        self.longitude[which] = np.where(is_out, self.longitude[which], longitude)

    def rows(self, organisation_id: int, vehicle_ids: list[int], which: slice) -> list[list[Any]]:
        """As one committed batch puts them on the bus."""
        now = time.time()
        columns = (
            np.round(self.latitude[which] * 1e6).astype(int).tolist(),
            np.round(self.longitude[which] * 1e6).astype(int).tolist(),
            (self.heading[which] * 256 / 360).astype(int).tolist(),
        )  # fmt: skip
        return [
            [organisation_id, now, pk, latitude, longitude, heading, 30, 25 + pk % 70, 1]
            for pk, latitude, longitude, heading in zip(vehicle_ids[which], *columns, strict=True)
        ]


def _drive(redis_url: str, organisation_id: int, vehicle_ids: list[int], stop: Event) -> None:
    """Every vehicle once a second, in as many shares as the feed has ticks."""
    import orjson
    import redis

    bus = redis.Redis.from_url(redis_url)
    places, due = Places(len(vehicle_ids)), time.monotonic()
    share = -(-len(vehicle_ids) // TICKS_PER_SECOND)
    turn = 0
    while not stop.is_set():
        which = slice(turn * share, (turn + 1) * share)
        places.drive(which)
        rows = places.rows(organisation_id, vehicle_ids, which)
        for first in range(0, len(rows), 1000):  # as batches are committed
            bus.publish("fc:live", orjson.dumps({"k": "vehicles", "rows": rows[first : first + 1000]}))
        turn = (turn + 1) % TICKS_PER_SECOND
        due = max(due + 1 / TICKS_PER_SECOND, time.monotonic())
        stop.wait(max(0.0, due - time.monotonic()))


@contextlib.contextmanager
def driving(organisation_id: int, vehicle_ids: list[int]) -> Iterator[None]:
    """All of them move once a second meanwhile."""
    from django.conf import settings

    stop = _processes.Event()
    process = _processes.Process(target=_drive, args=(settings.REDIS_URL, organisation_id, vehicle_ids, stop))
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join(20)


# --- telemetry over HTTP ------------------------------------------------------------------------------------------


@dataclass
class Sent:
    """What came of the pings."""

    count: int = 0
    seconds: float = 0.0
    taken: list[float] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)


def ping(key: str, device: str, latitude: float, longitude: float, soc: float = 61.5) -> bytes:
    body = (
        f'{{"device":"{device}","pings":[{{"ts":{time.time():.3f},"lat":{latitude:.6f},"lon":{longitude:.6f},'
        f'"speed_kmh":36,"course":90,"soc":{soc}}}]}}'
    ).encode()
    head = (
        f"POST /ingest/v1/pings HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _send(port: int, key: str, slug: str, count: int, rate: float, stop: Event, results: "Queue[Sent]") -> None:
    import uvloop

    results.put(uvloop.run(_at_rate(port, key, slug, Places(count), rate, stop)))


async def _at_rate(port: int, key: str, slug: str, places: Places, rate: float, stop: Event) -> Sent:
    """Every ping has its moment; one that waits for its turn waits on the clock of the result."""
    sent, began, number = Sent(), time.perf_counter(), 0
    count = len(places.latitude)

    async def worker() -> None:
        nonlocal number
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not stop.is_set():
            mine, number = number, number + 1
            due = began + mine / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            vehicle = mine % count
            places.drive(slice(vehicle, vehicle + 1))
            writer.write(ping(key, f"{slug}-{vehicle}", places.latitude[vehicle], places.longitude[vehicle]))
            answer = await _answer(reader)
            sent.taken.append(time.perf_counter() - due)
            if b'"accepted":1' not in answer:
                sent.refused.append(answer[:200])
        writer.close()

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    sent.count, sent.seconds = len(sent.taken), time.perf_counter() - began
    return sent


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    return await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))


@contextlib.contextmanager
def pinging(port: int, key: str, slug: str, count: int, rate: float) -> Iterator[list[Sent]]:
    """`rate` pings a second meanwhile; the list has the outcome afterwards."""
    stop, results = _processes.Event(), _processes.Queue()
    process = _processes.Process(target=_send, args=(port, key, slug, count, rate, stop, results))
    process.start()
    outcome: list[Sent] = []
    try:
        yield outcome
    finally:
        stop.set()
        outcome.append(results.get(timeout=60))
        process.join(20)
