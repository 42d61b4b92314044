"""Trackers on real sockets: what they send is stored, answered or refused, and an emergency is heard at once."""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import django.db
import psycopg
import pytest
import pytest_asyncio

from vehicles import alarms, intake
from vehicles.ais140 import server as server_module
from vehicles.ais140.packets import decode
from vehicles.ais140.server import UNREADABLE_ALLOWED, Server
from vehicles.events import TrackerAlarmCleared, TrackerAlarmRaised
from vehicles.fixes import CLOCK_CORRECTED, LATE, Fix
from vehicles.models import Position, TrackerAlarm, UnknownDevice, VehicleState
from vehicles.tests.conftest import in_thread
from vehicles.tests.factories import make_vehicle

pytestmark = pytest.mark.django_db(transaction=True)
PACKETS = (Path(__file__).parent / "samples" / "ais140_packets.txt").read_text().splitlines()
LOCAL = [ipaddress.ip_network("127.0.0.0/8")]
IMEI, NOW = "861359030000001", datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LOGIN = f"$LGN,,{IMEI},3.2,12.9,N,77.6,E"


@pytest_asyncio.fixture
async def listen(door: Any) -> AsyncIterator[Callable[..., Any]]:
    """Starts servers; `door` lets go of the process's connections afterwards."""
    servers: list[Server] = []

    async def start(networks: Any = LOCAL, **patience: float) -> tuple[Server, int]:
        server = Server(networks, **patience)
        servers.append(server)
        return server, await server.start("127.0.0.1", 0)

    yield start
    for server in servers:
        await server.close()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """What ingest takes for now. The event loop keeps its own clock: its timers are under test."""

    def move_to(at: datetime) -> None:
        monkeypatch.setattr(intake, "time", SimpleNamespace(time_ns=lambda: round(at.timestamp() * 1e6) * 1000))
        monkeypatch.setattr(server_module, "now", lambda: at)

    move_to(NOW)
    return move_to


@pytest.fixture
def van(organisation):
    return make_vehicle(organisation, device_id=IMEI)


def packet(
    at: str = "21112026,120000",
    *,
    fix: int = 1,
    kind: str = "NR",
    place: str = "12.9756,N,077.6050,E",
    status: str = "L",
) -> str:
    rest = "36.0,90.0,11,900,1.2,0.8,AIRTEL,1,1,13"
    return f"$,100,MAKER,1.0,{kind},01,{status},{IMEI},KA03MX4471,{fix},{at},{place},{rest}"


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not (await answer if asyncio.iscoroutine(answer := condition()) else answer):
            await asyncio.sleep(0.005)


async def say(port: int, *lines: str, end: str = "\r\n") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write((end.join(lines) + end).encode())
    await writer.drain()
    return reader, writer


async def test_every_kept_packet_is_parsed_or_refused_with_a_reason(listen, organisation) -> None:
    decoded = [decode(line) for line in PACKETS]
    for imei in {item.imei for item in decoded}:
        await in_thread(make_vehicle, organisation, device_id=imei)
    server, port = await listen()
    fixes = [item.fix for item in decoded if isinstance(item.fix, Fix)]
    reader, writer = await say(port, *PACKETS)
    logins = [await asyncio.wait_for(reader.readline(), 20) for _ in range(4)]
    await until(lambda: sum(server.counts.values()) == 37 + 32)
    assert all(line.startswith(b"$LGN21112026") for line in logins)
    # The live ones are years old by their clocks, so these are wrong; three are history, and years old by their word.
    assert server.counts == {
        "login": 4, "health": 1, "position": 26, "emergency": 6, "stored": 24, "too_old": 3, "no_fix": 5,
    }  # fmt: skip
    assert len(fixes) == 27
    assert not await Position.objects.filter(fix_at__gt=NOW).aexists()
    assert await TrackerAlarm.objects.filter(is_late=True).acount() == 2
    writer.close()


async def test_each_kept_position_is_stored_when_it_is_new(listen, organisation, clock) -> None:
    """The same packets, each on the day it was sent."""
    server, port = await listen()
    for line in PACKETS:
        item = decode(line)
        if not isinstance(item.fix, Fix):
            continue
        await in_thread(make_vehicle, organisation, device_id=item.imei)
        clock(datetime.fromtimestamp(item.fix.at_us / 1e6, UTC))
        before = sum(server.counts.values())
        _, writer = await say(port, line)
        await until(lambda before=before: sum(server.counts.values()) == before + 2)
        writer.close()
        row = await Position.objects.aget()
        assert (row.latitude, row.longitude) == (round(item.fix.latitude, 7), round(item.fix.longitude, 7))
        await in_thread(start_anew)
    assert server.counts["stored"] == 27


def start_anew() -> None:
    from vehicles.models import Vehicle
    from vehicles.tests.conftest import empty_positions

    empty_positions()
    Vehicle.objects.all().delete()
    intake.telemetry.registry.forget()


async def test_a_packet_without_a_fix_moves_no_vehicle(listen, van) -> None:
    server, port = await listen()
    await say(port, packet(fix=0), packet())
    await until(lambda: server.counts["stored"] == 1)
    assert server.counts["no_fix"] == 1
    state = await VehicleState.objects.aget(vehicle=van)
    assert (state.position_at, state.latitude, state.speed_kmh, state.soc_percent) == (NOW, 12.9756, 36, None)


async def test_an_emergency_is_heard_at_once_without_a_fix_a_clock_or_a_line_end(listen, van, recorder) -> None:
    _, port = await listen()
    sos = f"$,EPB,EMR,{IMEI},SP,00,00,0000,00,00,00,V,000.000000,N,000.000000,E,000.0,0.0,0.0,N,KA03MX4471,0,d34679e1,*"
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sos.encode())
    await until(lambda: recorder)
    writer.write(f"{sos}\r\n{sos}\r\n".encode())  # trackers repeat it
    writer.write(
        f"$,EPB,SEM,{IMEI},NM,21112026120000,A,12.9756,N,077.6050,E,900,0.1,0.0,G,KA03MX4471,N.A,*\r\n".encode()
    )
    await until(lambda: len(recorder) == 2)
    raised, cleared = recorder
    assert (type(raised), raised.vehicle_id, raised.kind) == (TrackerAlarmRaised, van.pk, "emergency")
    assert (type(cleared), cleared.vehicle_id, cleared.kind) == (TrackerAlarmCleared, van.pk, "emergency")
    alarm = await TrackerAlarm.objects.aget()
    assert (alarm.is_late, alarm.latitude, alarm.cleared_at is not None) == (False, None, True)
    writer.close()


async def test_an_emergency_from_history_is_kept_and_told_to_nobody(listen, van, recorder) -> None:
    server, port = await listen()
    await say(port, packet("21112026,114500", kind="EA", status="H"))
    await until(lambda: server.counts["stored"] == 1)
    assert (await TrackerAlarm.objects.aget()).is_late
    assert recorder == []


async def test_an_emergency_that_a_lagging_clock_dates_back_is_told_and_ended(listen, van, recorder) -> None:
    _, port = await listen()
    await say(port, packet("18112026,120000", kind="EA"))
    await until(lambda: recorder)
    over = f"$,EPB,SEM,{IMEI},NM,18112026120000,A,12.9756,N,077.6050,E,900,0.1,0.0,G,KA03MX4471,N.A,*"
    await say(port, over)
    await until(lambda: len(recorder) == 2)
    alarm = await TrackerAlarm.objects.aget()
    assert (alarm.is_late, alarm.raised_at, alarm.cleared_at) == (False, NOW, NOW)


async def test_the_button_pressed_again_is_told_again(listen, van, recorder, clock) -> None:
    server, port = await listen()
    for second, at in enumerate(("120000", "120030", "120131")):
        clock(datetime(2026, 11, 21, 12, int(at[2:4]), int(at[4:]), tzinfo=UTC))
        await say(port, packet(f"21112026,{at}", kind="EA"))
        await until(lambda second=second: server.counts["stored"] == second + 1)
    assert [event.at.minute for event in recorder] == [0, 1]


@pytest.mark.parametrize("day", ["18112026", "24112026", "01012020"])
async def test_a_clock_that_is_off_neither_ages_packets_nor_puts_them_in_the_future(listen, van, day) -> None:
    server, port = await listen()
    newest = packet(f"{day},120000", place="12.9757,N,077.605,E")
    await say(port, packet(f"{day},110000", status="H"), packet(f"{day},115950"), newest)
    await until(lambda: server.counts["stored"] == 3)
    stored = [row async for row in Position.objects.order_by("fix_at")]
    assert [(NOW - row.fix_at).total_seconds() for row in stored] == [3600, 10, 0]
    assert [(row.flags & CLOCK_CORRECTED, row.flags & LATE) for row in stored] == [(1, LATE), (1, 0), (1, 0)]
    state = await VehicleState.objects.aget(vehicle=van)
    assert (state.position_at, state.latitude) == (NOW, 12.9757)


async def test_history_with_a_right_clock_stays_where_it_was(listen, van) -> None:
    server, port = await listen()
    await say(port, packet("21112026,090000", status="H"), packet())
    await until(lambda: server.counts["stored"] == 2)
    first = await Position.objects.order_by("fix_at").afirst()
    assert (first.fix_at, first.flags & LATE, first.flags & CLOCK_CORRECTED) == (NOW - timedelta(hours=3), LATE, 0)


async def test_an_unclaimed_tracker_is_remembered_and_answered(listen) -> None:
    server, port = await listen()
    reader, _ = await say(port, LOGIN, "$,HBT,*", packet())
    assert (await reader.readline()).startswith(b"$LGN")
    assert await reader.readline() == b"$HBT*\r\n"
    await until(lambda: server.counts["unknown_device"] == 1)
    row = await UnknownDevice.objects.aget()
    assert (row.device_id, row.organisation_id, row.messages) == (IMEI, None, 1)
    assert await Position.objects.acount() == 0


async def test_an_imei_is_not_believed_from_anywhere(listen, van) -> None:
    server, port = await listen([ipaddress.ip_network("10.0.0.0/8")])
    reader, _ = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    assert server.counts == {"turned_away": 1}
    assert await Position.objects.acount() == 0


async def test_who_drips_a_packet_or_says_nothing_is_let_go(listen) -> None:
    _, port = await listen(packet_seconds=0.2, idle_seconds=0.2)
    slow, slow_writer = await asyncio.open_connection("127.0.0.1", port)
    slow_writer.write(b"$,100,MAK")
    silent, _ = await asyncio.open_connection("127.0.0.1", port)
    assert await asyncio.wait_for(asyncio.gather(slow.read(), silent.read()), 20) == [b"", b""]


async def test_who_speaks_another_language_is_let_go(listen) -> None:
    server, port = await listen()
    reader, _ = await say(port, *["GET / HTTP/1.1"] * (UNREADABLE_ALLOWED + 1))
    assert await asyncio.wait_for(reader.read(), 20) == b""
    assert server.counts["not_ais140"] == UNREADABLE_ALLOWED + 1


@pytest.fixture
def impatient(monkeypatch) -> None:
    monkeypatch.setattr(server_module, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(server_module, "LONGEST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(server_module, "ROOM_SECONDS", 0.001)


def failing(times: int, error: Exception, work: Any) -> Any:
    """The same work, which fails so many times before it is done."""
    left = iter([error] * times)

    def tried(*args: Any, **kwargs: Any) -> Any:
        for failure in left:
            raise failure
        return work(*args, **kwargs)

    return tried


async def test_while_the_database_is_away_nothing_is_read_and_then_all_is_stored(
    listen, van, monkeypatch, impatient, recorder
) -> None:
    """However often it fails, and wherever: at the vehicle, the alarm or the position."""
    server, port = await listen()
    away, telemetry = psycopg.OperationalError("connection refused"), intake.telemetry
    monkeypatch.setattr(telemetry, "submit", failing(9, away, telemetry.submit))
    monkeypatch.setattr(telemetry.registry, "find", failing(3, away, telemetry.registry.find))
    monkeypatch.setattr(
        alarms, "raise_alarm", failing(3, django.db.OperationalError("the server is starting up"), alarms.raise_alarm)
    )
    await say(port, packet("21112026,115950"), packet(kind="EA"))
    await until(lambda: server.counts["stored"] == 2)
    assert server.counts["waits"] == 9 + 2 + 1  # the connect page asks once, the alarm's thread tries twice by itself
    assert await Position.objects.acount() == 2
    assert len(recorder) == 1


async def test_a_tracker_with_more_than_it_lived_through_is_slowed_down_and_loses_nothing(
    listen, van, monkeypatch, impatient
) -> None:
    server, port = await listen()
    answers = iter([True, False, False, True])

    async def has_room(imei: str, count: int) -> bool:
        return next(answers)

    monkeypatch.setattr(server_module, "has_room", has_room)
    await say(port, packet("21112026,115950"), packet())
    await until(lambda: server.counts["stored"] == 2)
    assert server.counts["slowed_down"] == 2


async def test_a_packet_that_the_database_can_never_take_takes_no_other_with_it(listen, van, monkeypatch) -> None:
    server, port = await listen()
    submit = intake.telemetry.submit

    async def choosy(delivery: Any) -> Any:
        if any(fix.latitude > 13 for fix in delivery.fixes):
            raise psycopg.DataError("smallint out of range")
        return await submit(delivery)

    monkeypatch.setattr(intake.telemetry, "submit", choosy)
    await say(port, packet("21112026,115940"), packet("21112026,115950", place="13.1,N,077.6,E"), packet())
    await until(lambda: server.counts["stored"] == 2)
    assert server.counts["not_stored"] == 1
    assert await Position.objects.acount() == 2


class Stuck:
    """A database that takes nothing until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_asked, self.go_on, submit = asyncio.Event(), asyncio.Event(), intake.telemetry.submit

        async def slow(delivery: Any) -> Any:
            self.is_asked.set()
            await self.go_on.wait()
            return await submit(delivery)

        monkeypatch.setattr(intake.telemetry, "submit", slow)


async def sent_while_stuck(server: Server, port: int, stuck: Stuck, *before: str) -> asyncio.StreamWriter:
    """One packet is being stored, two more are read behind it."""
    _, writer = await say(port, *before, packet("21112026,115940"))
    await stuck.is_asked.wait()
    writer.write(f"{packet('21112026,115950')}\r\n{packet()}".encode())  # the last without its line end
    reader = next(iter(server._tasks.values()))
    await until(lambda: reader._buffer.endswith(packet().encode()))
    return writer


@pytest.mark.parametrize("before", [[], [LOGIN]], ids=["silent", "owed an answer"])
async def test_what_was_sent_before_the_connection_broke_is_stored(listen, van, monkeypatch, before) -> None:
    server, port = await listen()
    stuck = Stuck(monkeypatch)
    writer = await sent_while_stuck(server, port, stuck, *before)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    reader = next(iter(server._tasks.values()))
    writer.transport.abort()  # with a reset
    await until(lambda: reader._is_over)
    stuck.go_on.set()
    await until(lambda: server.counts["stored"] == 3)
    assert await Position.objects.acount() == 3


async def test_a_live_emergency_that_we_read_late_is_told(listen, van, monkeypatch, clock, recorder) -> None:
    server, port = await listen()
    stuck = Stuck(monkeypatch)
    _, writer = await say(port, packet())
    await stuck.is_asked.wait()
    pressed = packet("21112026,120500", kind="EA") + "\r\n"
    writer.write(pressed.encode())
    reader = next(iter(server._tasks.values()))
    await until(lambda: reader._buffer.endswith(pressed.encode()))
    clock(NOW + timedelta(minutes=30))
    stuck.go_on.set()
    await until(lambda: server.counts["stored"] == 2)
    alarm = await TrackerAlarm.objects.aget()
    assert (alarm.is_late, alarm.raised_at) == (False, NOW + timedelta(minutes=5))
    assert [event.at for event in recorder] == [alarm.raised_at]


async def test_what_was_read_is_stored_before_we_stop(listen, van, monkeypatch) -> None:
    server, port = await listen()
    stuck = Stuck(monkeypatch)
    await sent_while_stuck(server, port, stuck)
    closing = asyncio.ensure_future(server.close())
    await asyncio.sleep(0)
    assert not closing.done()
    stuck.go_on.set()
    await closing
    assert (server.counts["stored"], await Position.objects.acount()) == (3, 3)


async def test_what_cannot_be_stored_before_we_stop_is_told(listen, van, monkeypatch, caplog) -> None:
    monkeypatch.setattr(server_module, "FAREWELL_SECONDS", 0.01)
    server, port = await listen()
    await sent_while_stuck(server, port, Stuck(monkeypatch))
    await server.close()
    assert server.counts["lost_at_exit"] == 1
    assert "1 trackers" in caplog.text


@pytest.fixture
def recorder() -> Any:
    """Alarms that were told."""
    from fleetcharge.lib.events import _handlers

    heard: list[Any] = []
    kinds = (TrackerAlarmRaised, TrackerAlarmCleared)
    before = {kind: _handlers.get(kind, []) for kind in kinds}
    for kind in kinds:
        _handlers[kind] = [heard.append]
    yield heard
    for kind in kinds:
        _handlers[kind] = before[kind]
