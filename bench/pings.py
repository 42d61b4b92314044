"""Telemetry: durable pings per second through the real realtime process, beside a raw ASGI route that does nothing.

    python -m bench.pings [--seconds 6]

The server has one core to itself, this client the other, PostgreSQL shares both (its own cluster with fsync on, in a
temporary folder). Every acknowledged ping is counted again in the table at the end.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from fleetcharge import serve

VEHICLES = 1_000
CONNECTIONS = 256  # with one ping on its way each
BATCH = 100
ROOT = Path(__file__).resolve().parent.parent


async def floor(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The floor: read the body, answer a constant of the size of ours."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    body = b'{"accepted":1,"duplicate":0,"late":0,"rejected":[],"warnings":[]}'
    headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Sender(asyncio.Protocol):
    """One keep-alive connection in a closed loop: the next request leaves when the answer is here."""

    def __init__(
        self, next_request: Callable[[], bytes], latencies: list[float], failures: list[bytes], wanted: bytes
    ) -> None:
        self._next_request, self._latencies, self._failures = next_request, latencies, failures
        self._wanted = wanted
        self._buffer = b""
        self.is_stopping = False
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        self._buffer = b""
        self._latencies.append(time.perf_counter() - self._sent_at)
        if not head.startswith(b"HTTP/1.1 200") or self._wanted not in body:
            self._failures.append(head[:40] + body[:120])
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        if self.is_stopping:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(self._next_request())


def _content_length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


class Requests:
    """Pings of a fleet in motion: each vehicle 1 cm further and 10 ms later every time."""

    def __init__(self, key: str, per_request: int) -> None:
        self._per_request, self._count = per_request, 0
        self._start = time.time() - 500
        self._head = (
            f"POST /ingest/v1/pings HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()

    def __call__(self) -> bytes:
        vehicle, turn = self._count % VEHICLES, self._count // VEHICLES
        self._count += 1
        first = turn * self._per_request
        pings = ",".join(self._ping(n, vehicle) for n in range(first, first + self._per_request))
        body = f'{{"device":"bench-{vehicle}","pings":[{pings}]}}'.encode()
        return b"%s%d\r\n\r\n%s" % (self._head, len(body), body)

    def _ping(self, number: int, vehicle: int) -> str:
        place = f'"lat":{12.97 + number * 1e-7:.7f},"lon":{77.5 + vehicle * 1e-4:.7f}'
        at = f'"ts":{self._start + number / 100:.3f}'
        return f'{{{at},{place},"speed_kmh":3.6,"course":90,"soc":61.5,"odo_km":1200.5,"acc":5}}'


async def load(
    port: int, next_request: Callable[[], bytes], connections: int, seconds: float, wanted: bytes = b'"rejected":[]'
) -> dict[str, Any]:
    """Requests per second and latencies of a closed loop; an answer without `wanted` is a failure."""
    latencies: list[float] = []
    failures: list[bytes] = []
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    senders = [
        (await loop.create_connection(lambda: Sender(next_request, latencies, failures, wanted), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    for sender in senders:
        sender.is_stopping = True
    await asyncio.gather(*(sender.done for sender in senders))
    elapsed = time.perf_counter() - began
    cuts = statistics.quantiles(latencies, n=100)
    return {
        "rate": len(latencies) / elapsed,
        "count": len(latencies),
        "p50_ms": cuts[49] * 1000,
        "p99_ms": cuts[98] * 1000,
        "failures": failures,
    }


@contextlib.contextmanager
def server(application: str, port: int, core: int) -> Iterator[int]:
    """uvicorn as production runs it, pinned to one core; yields its pid."""
    *flags, _ours = serve.command(serve.arguments(["realtime", "--port", str(port)]), {})
    command = [*flags, application]
    process = subprocess.Popen(command, cwd=ROOT, preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    try:
        _wait_for(port)
        yield process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def _wait_for(port: int) -> None:
    import socket

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def make_fleet() -> str:
    """Migrated tables, one fleet, one key; returns the key."""
    from django.core.management import call_command

    from fleetcharge.accounts.models import Organisation, Scope
    from fleetcharge.accounts.services import create_api_key
    from vehicles.models import Vehicle, VehicleModel

    call_command("migrate", verbosity=0)
    organisation = Organisation.objects.create(name="Bench", slug="bench")
    model = VehicleModel.objects.get(name="Ace EV")
    Vehicle.objects.bulk_create(
        Vehicle(organisation=organisation, model=model, registration=f"KA01B{n}", device_id=f"bench-{n}")
        for n in range(VEHICLES)
    )
    return create_api_key(organisation=organisation, name="bench", scopes=[Scope.TELEMETRY_WRITE])[1]


def stored_pings() -> int:
    from vehicles.models import Position

    return Position.objects.count()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(seconds: float) -> int:
    """Run everything and print it; 1 when a ping was lost or doubled."""
    import uvloop

    from fleetcharge.embedded.ports import random_free_port

    cores = sorted(os.sched_getaffinity(0))
    server_core, client_core = cores[0], cores[-1]
    key = make_fleet()
    os.sched_setaffinity(0, {client_core})
    single, batch = Requests(key, 1), Requests(key, BATCH)
    batch._start += 200  # other instants than the single ones
    port = random_free_port()
    with server("bench.pings:floor", port, server_core):
        bare = uvloop.run(load(port, Requests(key, 1), CONNECTIONS, seconds))
        bare_batch = uvloop.run(load(port, Requests(key, BATCH), 32, seconds / 2))
    port = random_free_port()
    with server("fleetcharge.asgi:application", port, server_core) as pid:
        uvloop.run(load(port, single, 32, 1))  # first contact: registry, prepared statements
        before = stored_pings()
        used = cpu_seconds(pid)
        ones = uvloop.run(load(port, single, CONNECTIONS, seconds))
        used = (cpu_seconds(pid) - used) / seconds
        after_ones = stored_pings()
        many = uvloop.run(load(port, batch, 32, seconds))
        after_many = stored_pings()
    print(_line("raw ASGI no-op", "req/s  ", bare["rate"], bare))
    print(_line(f"raw ASGI no-op, {BATCH} a request", "pings/s", bare_batch["rate"] * BATCH, bare_batch))
    busy = f"   {ones['rate'] / bare['rate']:.2f} of the floor, server core {used:.0%} busy"
    print(_line("single pings, durable", "pings/s", ones["rate"], ones) + busy)
    ratio = many["rate"] / bare_batch["rate"]
    print(_line(f"batches of {BATCH}, durable", "pings/s", many["rate"] * BATCH, many) + f"   {ratio:.2f} of the floor")
    failures = ones["failures"] + many["failures"]
    lost = ones["count"] - (after_ones - before) + many["count"] * BATCH - (after_many - after_ones)
    print(f"acknowledged but not stored, or doubled: {lost}; refused: {len(failures)} {failures[:1] or ''}")
    print(f"goal of 15,000 single pings/s:   {_verdict(ones['rate'], 15_000)}")
    print(f"goal of 100,000 batched pings/s: {_verdict(many['rate'] * BATCH, 100_000)}")
    return int(bool(lost or failures))


def _line(name: str, unit: str, rate: float, result: dict[str, Any]) -> str:
    return f"{name:32}{rate:10,.0f} {unit}   p50 {result['p50_ms']:5.1f}   p99 {result['p99_ms']:5.1f} ms"


def _verdict(rate: float, goal: float) -> str:
    return "reached" if rate >= goal else "NOT reached"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each load phase")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="fleetcharge-bench-") as var:
        Path(var).chmod(0o755)
        for variable in ("DATABASE_URL", "REDIS_URL", "FLEETCHARGE_THROW_AWAY"):
            os.environ.pop(variable, None)
        os.environ["FLEETCHARGE_VAR_DIR"] = var
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetcharge.settings")
        import django

        django.setup()
        try:
            return measure(seconds)
        finally:
            from fleetcharge.embedded import release_engines

            release_engines()


if __name__ == "__main__":
    raise SystemExit(main())
