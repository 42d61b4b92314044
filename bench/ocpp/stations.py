"""The clients: chargers on bare asyncio protocols, as a client library would be slower than the servers measured."""

import asyncio
import base64
import gc
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

KEY = "00112233445566778899aabbccddeeff"
START = 1_790_000_000  # readings begin here, one second apart per socket
_DAY = time.strftime("%Y-%m-%dT", time.gmtime(START))


class Station(asyncio.Protocol):
    """One charger: opens, sends text frames (masked with zeros), hands every answer and every CALL to a callback."""

    def __init__(self, number: int, heard: Callable[["Station", bytes], None]) -> None:
        self.number, self._heard = number, heard
        self._buffer = b""
        self._is_open = False
        self.refusal = b""
        self.count = 0
        self._sent: deque[float] = deque()
        loop = asyncio.get_running_loop()
        self.opened, self.closed = loop.create_future(), loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        identity = f"BENCH-{self.number}"
        credentials = base64.b64encode(f"{identity}:{KEY}".encode()).decode()
        self._transport.write(
            f"GET /ocpp/{identity} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
            f"Sec-WebSocket-Protocol: ocpp1.6\r\nAuthorization: Basic {credentials}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open and not self._read_head():
            return
        while len(self._buffer) >= 2:
            length, start = self._buffer[1], 2
            if length == 126:
                length, start = int.from_bytes(self._buffer[2:4], "big"), 4
            if len(self._buffer) < start + length:
                return
            kind, payload = self._buffer[0] & 15, self._buffer[start : start + length]
            self._buffer = self._buffer[start + length :]
            if kind == 1:
                self._heard(self, payload)
            elif kind == 9:
                self._transport.write(b"\x8a" + bytes([0x80 | len(payload)]) + b"\0\0\0\0" + payload)

    def _read_head(self) -> bool:
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return False
        if b" 101 " not in head:
            self.refusal = head
        self._is_open, self._buffer = True, rest
        if not self.opened.done():
            self.opened.set_result(None)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self.opened, self.closed):
            if not future.done():
                future.set_result(None)

    def send(self, payload: bytes) -> None:
        self._sent.append(time.perf_counter())
        size = len(payload)
        head = b"\x81" + (bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big"))
        self._transport.write(head + b"\0\0\0\0" + payload)

    def waited(self) -> float:
        """Seconds since the oldest message without an answer was sent; answers come in order."""
        return time.perf_counter() - self._sent.popleft()

    def send_sample(self, transaction: int) -> None:
        self.count += 1
        self.send(meter_values(self.number, transaction, self.count))

    def close(self) -> None:
        self._transport.close()


def meter_values(number: int, transaction: int, count: int) -> bytes:
    """A CALL with three sampled values, as a DC charger sends each minute; every one is new to the server."""
    minutes, second = divmod(count, 60)
    hour, minute = divmod(minutes, 60)
    return (
        f'[2,"{number}-{count}","MeterValues",{{"connectorId":1,"transactionId":{transaction},"meterValue":'
        f'[{{"timestamp":"{_DAY}{hour % 24:02d}:{minute:02d}:{second:02d}.{count % 1000:03d}Z","sampledValue":['
        f'{{"value":"{count * 10}","context":"Sample.Periodic","measurand":"Energy.Active.Import.Register",'
        f'"location":"Outlet","unit":"Wh"}},'
        f'{{"value":"48000.0","context":"Sample.Periodic","measurand":"Power.Active.Import","unit":"W"}},'
        f'{{"value":"61","context":"Sample.Periodic","measurand":"SoC","location":"EV","unit":"Percent"}}'
        f"]}}]}}]"
    ).encode()


async def connect(
    port: int, numbers: range, heard: Callable[[Station, bytes], None], *, at_once: int = 200
) -> list[Station]:
    """Open sockets, a bounded number of handshakes at a time."""
    loop = asyncio.get_running_loop()
    turn = asyncio.Semaphore(at_once)

    async def open_one(number: int) -> Station:
        async with turn:
            _, station = await loop.create_connection(lambda: Station(number, heard), "127.0.0.1", port)
            await station.opened
            return station

    stations = list(await asyncio.gather(*(open_one(number) for number in numbers)))
    refused = [station.refusal for station in stations if station.refusal]
    if refused:
        raise SystemExit(f"{len(refused)} handshakes were refused: {refused[0][:200]!r}")
    return stations


async def close(stations: list[Station]) -> None:
    for station in stations:
        station.close()
    await asyncio.wait_for(asyncio.gather(*(station.closed for station in stations)), 60)


def collect_no_garbage() -> None:
    """A pause of the clients would count as one of the server, whichever it is."""
    gc.collect()
    gc.freeze()
    gc.disable()


def is_answer(payload: bytes) -> bool:
    """False for the server's own CALLs, which are not part of a race."""
    return not payload.startswith(b"[2,")


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
    numbers = range(count)
    chargers: Any = Charger.objects.bulk_create(
        Charger(
            organisation=fleet, location=place, ocpp_identity=f"BENCH-{number}", auth_key_hash=secret,
            registration=Charger.Registration.ACCEPTED, last_boot_at=timezone.now(),
        )
        for number in numbers
    )  # fmt: skip
    evses = EVSE.objects.bulk_create(EVSE(location=place, charger=charger) for charger in chargers)
    connectors = Connector.objects.bulk_create(Connector(evse=evse, max_power_w=60_000) for evse in evses)
    ChargingSession.objects.bulk_create(
        ChargingSession(
            organisation=fleet, source=source, charger=chargers[number], connector=connectors[number],
            started_at=timezone.now(), transaction_ref=str(number + 1), start_key=f"bench-{number}", meter_start_wh=0,
        )
        for number in numbers
    )  # fmt: skip
    return [number + 1 for number in numbers]


def make_api_key() -> str:
    """Of the fleet, for commands."""
    from fleetcharge.accounts.models import Organisation, Scope
    from fleetcharge.accounts.services import create_api_key

    fleet = Organisation.objects.get(slug="bench")
    return create_api_key(organisation=fleet, name="bench", scopes=[Scope.DISPATCH_WRITE])[1]
