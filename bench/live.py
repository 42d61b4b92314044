"""Event to browser: from the bus to a frame in each of 200 sockets, next to the same server sending bare frames.

    python -m bench.live [--browsers 200] [--events 60] [--vehicles 1000]

Runs on engines of its own in a temporary folder. The server (uvicorn, one process) has one core to itself, the browsers
another process. A moment after the last frame, one position is published on the bus; the time runs until each socket
has it. Floor: the same server process, told over the same bus, sends a frame of the same size to every socket at once.
"""

import argparse
import asyncio
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
SEED_LATITUDE, QUIET_SECONDS = 12.9, 0.3
_floor_sockets: set[Any] = set()
_floor_task: list[Any] = []


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The served application: our live socket, and beside it the floor."""
    if scope["path"] == "/floor/":
        await _floor(receive, send)
    else:
        await _live()(scope, receive, send)


def _live() -> Any:
    from django.apps import apps

    if not apps.ready:
        import django

        django.setup()
    from dispatch.consumers import live_socket

    return live_socket


async def _floor(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    if not _floor_task:
        _floor_task.append(asyncio.create_task(_fan_out()))
    _floor_sockets.add(send)
    while (await receive())["type"] != "websocket.disconnect":
        pass
    _floor_sockets.discard(send)


async def _fan_out() -> None:
    import redis.asyncio as aioredis
    from django.conf import settings

    client = aioredis.Redis.from_url(settings.REDIS_URL)
    async with client.pubsub(ignore_subscribe_messages=True) as bus:
        await bus.subscribe("fc:bench")
        while True:
            message = await bus.get_message(timeout=5.0)
            for send in [*_floor_sockets] if message else ():
                await send({"type": "websocket.send", "bytes": message["data"]})


# --- the browsers -------------------------------------------------------------------------------------------------


class Browser:
    """Notes when each marked frame arrives."""

    def __init__(self) -> None:
        self.arrived: dict[int, float] = {}
        self.frames = 0
        self.seq = 0

    async def run(self, url: str, headers: dict[str, str], ready: asyncio.Event) -> None:
        import websockets

        origin: Any = f"http://{urlsplit(url).netloc}"
        async with websockets.connect(url, additional_headers=headers, origin=origin, compression=None) as socket:
            if "live" in url:
                await socket.send(json.dumps({"type": "view", "bbox": None, "z": 5, "layers": ["vehicles"]}))
                await socket.recv(decode=False)
            ready.set()
            async for frame in socket:
                now = time.perf_counter()
                if isinstance(frame, bytes) and frame[0] == 0xFC and frame[2] == 2:
                    self.frames += 1
                    self.seq = struct.unpack_from("<I", frame, 4)[0]
                    self.arrived.setdefault(struct.unpack_from("<i", frame, 20)[0], now)
                    if "live" in url:
                        await socket.send(json.dumps({"type": "ack", "seq": self.seq}))


async def measure(url: str, sessions: list[str], events: int, publish: Any) -> dict[str, float]:
    """Publish one marked event at a time; milliseconds until each browser had it."""
    browsers = [Browser() for _ in sessions]
    ready = [asyncio.Event() for _ in sessions]
    tasks = [
        asyncio.create_task(browser.run(url, {"Cookie": f"sessionid={key}"}, event))
        for browser, key, event in zip(browsers, sessions, ready, strict=True)
    ]
    await asyncio.wait_for(asyncio.gather(*(event.wait() for event in ready)), 60)
    taken, lost = [], 0
    for number in range(events):
        await asyncio.sleep(QUIET_SECONDS)
        mark = round(SEED_LATITUDE * 1e6) + number + 1
        started = time.perf_counter()
        publish(mark)
        deadline = started + 5
        while time.perf_counter() < deadline and any(  # noqa: ASYNC110 (an event per arrival would be part of what is measured)
            mark not in browser.arrived for browser in browsers
        ):
            await asyncio.sleep(0.005)
        times = [browser.arrived[mark] - started for browser in browsers if mark in browser.arrived]
        taken += [seconds * 1000 for seconds in times]
        lost += len(browsers) - len(times)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    cuts = statistics.quantiles(taken, n=100)
    return {"p50": cuts[49], "p99": cuts[98], "lost": lost, "frames": len(taken)}


# --- the run ------------------------------------------------------------------------------------------------------


def fill(browsers: int, vehicles: int) -> tuple[list[str], int, int]:
    """People with sessions (six sockets each at most), a fleet; (session keys, organisation, a vehicle)."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore
    from django.utils import timezone

    from fleetcharge.accounts.models import Membership, Organisation, User
    from vehicles.models import Vehicle, VehicleModel, VehicleState

    fleet = Organisation.objects.create(name="Bench", slug="bench")
    keys = []
    for number in range(-(-browsers // 5)):
        user = User.objects.create(email=f"b{number}@bench.example", password="!")
        Membership.objects.create(user=user, organisation=fleet, role="dispatcher")
        session = SessionStore()
        session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session.create()
        keys += [str(session.session_key)] * 5
    model = VehicleModel.objects.create(
        manufacturer="Bench", name="Van", battery_wh=20_000, plugs=["ccs2"], consumption_wh_per_km=140
    )
    rows = Vehicle.objects.bulk_create(
        [Vehicle(organisation=fleet, registration=f"KA 01 {n:04}", model=model) for n in range(vehicles)]
    )
    VehicleState.objects.bulk_create(
        [
            VehicleState(vehicle=row, latitude=13, longitude=77, position_at=timezone.now(), soc_percent=50)
            for row in rows
        ]
    )
    return keys[:browsers], fleet.pk, rows[0].pk


def run(browsers: int, events: int, vehicles: int) -> dict[str, dict[str, float]]:
    from fleetcharge.embedded.ports import random_free_port

    keys, fleet_id, vehicle_id = fill(browsers, vehicles)
    port = random_free_port()
    command = [
        sys.executable, "-m", "uvicorn", "bench.live:application", "--host", "127.0.0.1", "--port", str(port), "--ws",
        "fleetcharge.lib.sockets:LeanWebSocketProtocol", "--lifespan", "off", "--log-level", "error",
    ]  # fmt: skip
    server = subprocess.Popen(command, cwd=ROOT)
    try:
        _wait_for(port)
        return asyncio.run(_both(f"ws://127.0.0.1:{port}", keys, events, fleet_id, vehicle_id))
    finally:
        server.terminate()
        server.wait(15)


async def _both(base: str, keys: list[str], events: int, fleet_id: int, vehicle_id: int) -> dict[str, dict[str, float]]:
    import orjson
    import redis
    from django.conf import settings

    from dispatch import live, wire

    bus = redis.Redis.from_url(settings.REDIS_URL)

    def event(mark: int) -> None:
        row = [fleet_id, time.time(), vehicle_id, mark, 77_000_000, 0, 30, 50, 1]
        bus.publish(live.CHANNEL, orjson.dumps({"k": "vehicles", "rows": [row]}))

    def bare(mark: int) -> None:
        bus.publish("fc:bench", wire.HEADER.pack(0xFC, 1, 2, 1, 1, 1, 1) + struct.pack("<Iiii", 1, mark, 0, 0))

    ours = await measure(f"{base}/ws/live/", keys, events, event)
    return {"ours": ours, "floor": await measure(f"{base}/floor/", keys, events, bare)}


def _wait_for(port: int) -> None:
    import socket

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("the server did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browsers", type=int, default=200)
    parser.add_argument("--events", type=int, default=60)
    parser.add_argument("--vehicles", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleetcharge-bench-") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101 (the engines may run under another uid)
        os.environ |= {"FLEETCHARGE_VAR_DIR": folder, "DJANGO_SETTINGS_MODULE": "fleetcharge.settings"}
        os.environ |= {"FLEETCHARGE_THROW_AWAY": "1", "FLEETCHARGE_LOG_LEVEL": "ERROR"}
        for name in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        from bench.dispatch import with_engines

        figures = with_engines(lambda: run(options.browsers, options.events, options.vehicles))
    ours, floor = figures["ours"], figures["floor"]
    print(f"event to browser, {options.browsers} browsers, {options.events} events, {options.vehicles} vehicles")
    print(f"  live socket   p50 {ours['p50']:6.1f} ms   p99 {ours['p99']:6.1f} ms   lost {ours['lost']:.0f}")
    print(f"  floor         p50 {floor['p50']:6.1f} ms   p99 {floor['p99']:6.1f} ms   lost {floor['lost']:.0f}")
    print(f"  ratio         p50 {ours['p50'] / floor['p50']:6.2f}      p99 {ours['p99'] / floor['p99']:6.2f}")


if __name__ == "__main__":
    main()
