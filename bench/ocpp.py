"""OCPP MeterValues per second: durable, without a database, and the `ocpp` package's example server, in one run.

    python -m bench.ocpp [--seconds 6] [--sockets 200]

The server has one core to itself, the client the other, PostgreSQL shares both (its own cluster with fsync on, in a
temporary folder). Each socket is a closed loop: the next MeterValues leaves when the last one is answered. The client
speaks WebSocket itself on bare asyncio protocols, as a client library would be slower than the servers measured.
"""

import argparse
import asyncio
import base64
import contextlib
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
KEY = "00112233445566778899aabbccddeeff"
START = 1_790_000_000  # readings begin here, one second apart per socket


# --- the servers --------------------------------------------------------------------------------------------------


async def without_database(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Our endpoint with a batch writer that writes nothing: codec, validation, normaliser, batching remain."""
    await _endpoint(scope, receive, send)


async def durable(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Our endpoint as it is."""
    await _endpoint(scope, receive, send)


async def _endpoint(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await _application()(scope, receive, send)


def _application() -> Any:
    if "app" not in _cache:
        import django

        django.setup()
        from ocpp_bridge import writers
        from ocpp_bridge.routing import websocket_routes

        if os.environ.get("BENCH_WITHOUT_DATABASE"):
            writers.meter_writer._write = _write_nothing
        _freeze()
        _cache["app"] = websocket_routes[0][1]
    return _cache["app"]


_cache: dict[str, Any] = {}


async def _write_nothing(messages: Any) -> list[bool]:
    return [True] * len(messages)


def _freeze() -> None:
    """As the realtime process does."""
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def example_server(port: int) -> None:
    """The pattern of the `ocpp` package's own example (examples/v16/central_system.py): websockets, @on, validation."""
    import websockets
    from ocpp.routing import on
    from ocpp.v16 import ChargePoint, call_result
    from ocpp.v16.enums import Action

    class Station(ChargePoint):  # type: ignore[misc]
        @on(Action.meter_values)  # type: ignore[untyped-decorator]
        async def on_meter_values(self, **fields: Any) -> Any:
            return call_result.MeterValues()

    async def connected(connection: Any) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            await Station(connection.request.path.strip("/"), connection).start()

    async with websockets.serve(
        connected, "127.0.0.1", port, subprotocols=[websockets.Subprotocol("ocpp1.6")], compression=None
    ):
        await asyncio.Future()


@contextlib.contextmanager
def server(name: str, port: int, core: int) -> Iterator[int]:
    """One of the three servers, pinned to one core; yields its pid."""
    command = [
        sys.executable, "-m", "uvicorn", f"bench.ocpp:{name}", "--host", "127.0.0.1", "--port", str(port),
        "--log-level", "error", "--loop", "uvloop", "--ws", "websockets-sansio", "--lifespan", "off",
        "--ws-per-message-deflate", "false",
    ]  # fmt: skip
    if name == "example":
        command = [sys.executable, "-m", "bench.ocpp", "--example-on", str(port)]
    environment = os.environ | ({"BENCH_WITHOUT_DATABASE": "1"} if name == "without_database" else {})
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


# --- the client ---------------------------------------------------------------------------------------------------


class Station(asyncio.Protocol):
    """One charger in a closed loop; masks with zeros, reads frames shorter than 64 KiB."""

    def __init__(self, number: int, transaction: int, latencies: list[float], failures: list[bytes]) -> None:
        self._number, self._latencies, self._failures = number, latencies, failures
        self._frame = _frame_maker(number, transaction)
        self._count = 0
        self._buffer = b""
        self._is_open = self.is_stopping = False
        loop = asyncio.get_running_loop()
        self.opened, self.done = loop.create_future(), loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        identity = f"BENCH-{self._number}"
        credentials = base64.b64encode(f"{identity}:{KEY}".encode()).decode()
        self._transport.write(
            f"GET /ocpp/{identity} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
            f"Sec-WebSocket-Protocol: ocpp1.6\r\nAuthorization: Basic {credentials}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            if b" 101 " not in head:
                self._failures.append(head)
            self._is_open, self._buffer = True, rest
            self.opened.set_result(None)
        while len(self._buffer) >= 2:
            length, start = self._buffer[1], 2
            if length == 126:
                length, start = int.from_bytes(self._buffer[2:4], "big"), 4
            if len(self._buffer) < start + length:
                return
            kind, payload = self._buffer[0] & 15, self._buffer[start : start + length]
            self._buffer = self._buffer[start + length :]
            if kind == 1:
                self._answered(payload)

    def _answered(self, payload: bytes) -> None:
        if not payload.startswith(b"[3,"):
            if payload.startswith(b"[2,"):  # the server asks for something; not part of this race
                return
            self._failures.append(payload)
        self._latencies.append(time.perf_counter() - self._sent_at)
        self.send()

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self.opened, self.done):
            if not future.done():
                future.set_result(None)

    def send(self) -> None:
        if self.is_stopping:
            self._transport.close()
            return
        self._count += 1
        self._sent_at = time.perf_counter()
        self._transport.write(self._frame(self._count))


def _frame_maker(number: int, transaction: int) -> Any:
    """MeterValues with three sampled values, as a DC charger sends each minute."""
    base = time.strftime("%Y-%m-%dT", time.gmtime(START))

    def frame(count: int) -> bytes:
        minutes, second = divmod(count, 60)
        hour, minute = divmod(minutes, 60)
        payload = (
            f'[2,"{number}-{count}","MeterValues",{{"connectorId":1,"transactionId":{transaction},"meterValue":'
            f'[{{"timestamp":"{base}{hour % 24:02d}:{minute:02d}:{second:02d}.{count % 1000:03d}Z","sampledValue":['
            f'{{"value":"{count * 10}","context":"Sample.Periodic","measurand":"Energy.Active.Import.Register",'
            f'"location":"Outlet","unit":"Wh"}},'
            f'{{"value":"48000.0","context":"Sample.Periodic","measurand":"Power.Active.Import","unit":"W"}},'
            f'{{"value":"61","context":"Sample.Periodic","measurand":"SoC","location":"EV","unit":"Percent"}}'
            f"]}}]}}]"
        ).encode()
        return b"\x81\xfe" + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload

    return frame


async def load(port: int, transactions: list[int], seconds: float, pid: int) -> dict[str, Any]:
    """Messages per second, latencies and CPU of the server over a closed loop of `len(transactions)` sockets."""
    latencies: list[float] = []
    failures: list[bytes] = []
    loop = asyncio.get_running_loop()
    stations = [
        (await loop.create_connection(lambda n=n, t=t: Station(n, t, latencies, failures), "127.0.0.1", port))[1]  # type: ignore[misc]
        for n, t in enumerate(transactions)
    ]
    await asyncio.gather(*(station.opened for station in stations))
    for station in stations:
        station.send()
    await asyncio.sleep(1)  # validators compile, statements are prepared
    warm, used, began = len(latencies), cpu_seconds(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed, used = time.perf_counter() - began, cpu_seconds(pid) - used
    measured = latencies[warm:]
    for station in stations:
        station.is_stopping = True
    await asyncio.wait_for(asyncio.gather(*(station.done for station in stations)), 30)
    cuts = statistics.quantiles(measured, n=100)
    return {
        "rate": len(measured) / elapsed, "count": len(latencies), "failures": failures, "busy": used / elapsed,
        "p50_ms": cuts[49] * 1000, "p99_ms": cuts[98] * 1000,
    }  # fmt: skip


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- the run ------------------------------------------------------------------------------------------------------


def make_chargers(count: int) -> list[int]:
    """Migrated tables, chargers with an active session each; returns the transaction ids."""
    from django.core.management import call_command
    from django.utils import timezone

    from billing.models import ChargingSession
    from fleetcharge.accounts.models import Organisation
    from fleetcharge.lib import crypto
    from stations.models import EVSE, Charger, Connector, Location, Source

    call_command("migrate", verbosity=0)
    fleet = Organisation.objects.create(name="Bench", slug="bench")
    source = Source.objects.create(slug="bench", name="Bench", kind=Source.Kind.OWN_OCPP, organisation=fleet)
    place = Location.objects.create(source=source, name="Bench", latitude=12.97, longitude=77.59)
    secret = crypto.keyed_hash(KEY, purpose=Charger.KEY_PURPOSE)
    for number in range(count):
        charger = Charger.objects.create(
            organisation=fleet, location=place, ocpp_identity=f"BENCH-{number}", auth_key_hash=secret
        )
        evse = EVSE.objects.create(location=place, charger=charger)
        connector = Connector.objects.create(evse=evse, max_power_w=60_000)
        ChargingSession.objects.create(
            organisation=fleet, source=source, charger=charger, connector=connector, started_at=timezone.now(),
            transaction_ref=str(number + 1), start_key=f"bench-{number}", meter_start_wh=0,
        )  # fmt: skip
    return [number + 1 for number in range(count)]


def stored_readings() -> int:
    from billing.models import MeterValue

    return MeterValue.objects.count()


def measure(seconds: float, sockets: int) -> int:
    """Run the three servers and print them; 1 when an acknowledged reading is missing or doubled."""
    import uvloop

    from fleetcharge.embedded.ports import random_free_port

    transactions = make_chargers(sockets)
    cores = sorted(os.sched_getaffinity(0))
    server_core, client_core = cores[0], cores[-1]
    os.sched_setaffinity(0, {client_core})
    results: dict[str, dict[str, Any]] = {}
    for name in ("without_database", "durable", "example"):
        port = random_free_port()
        with server(name, port, server_core) as pid:
            results[name] = uvloop.run(load(port, transactions, seconds, pid))
    titles = {"without_database": "ours, no database", "durable": "ours, durable", "example": "`ocpp` package example"}
    for name, result in results.items():
        cpu_us = result["busy"] / result["rate"] * 1e6
        print(
            f"{titles[name]:24}{result['rate']:9,.0f} msg/s   p50 {result['p50_ms']:6.1f}   "
            f"p99 {result['p99_ms']:6.1f} ms   server {result['busy']:4.0%} of a core, {cpu_us:4.0f} us/msg"
        )
    rate = results["durable"]["rate"]
    _verdict("durable / no database", rate / results["without_database"]["rate"], 0.4)
    _verdict("durable / package example", rate / results["example"]["rate"], 10)
    cost = {name: result["busy"] / result["rate"] for name, result in results.items()}
    ratio = cost["example"] / cost["durable"]
    print(f"server CPU per message, package example / durable: {ratio:.1f} (of use when the machine is busy)")
    lost = results["durable"]["count"] - stored_readings()
    failures = [failure for result in results.values() for failure in result["failures"]]
    print(f"acknowledged but not stored, or doubled: {lost}; refused: {len(failures)} {failures[:1] or ''}")
    return int(bool(lost or failures))


def _verdict(name: str, ratio: float, goal: float) -> None:
    print(f"{name:28}{ratio:6.2f}   goal {goal:g}: {'reached' if ratio >= goal else 'NOT reached'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=re.split(r"\n", __doc__ or "")[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="of each load phase")
    parser.add_argument("--sockets", type=int, default=200)
    parser.add_argument("--example-on", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.example_on:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(example_server(options.example_on))
        return 0
    with tempfile.TemporaryDirectory(prefix="fleetcharge-bench-") as var:
        Path(var).chmod(0o755)
        for variable in ("DATABASE_URL", "REDIS_URL", "FLEETCHARGE_THROW_AWAY"):
            os.environ.pop(variable, None)
        os.environ["FLEETCHARGE_VAR_DIR"] = var
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetcharge.settings")
        import django

        django.setup()
        try:
            return measure(options.seconds, options.sockets)
        finally:
            from fleetcharge.embedded import release_engines

            release_engines()


if __name__ == "__main__":
    raise SystemExit(main())
