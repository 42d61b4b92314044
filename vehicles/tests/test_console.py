"""The packets of a watched vehicle beside what became of them; nobody else's, and none while nobody looks."""

import asyncio
import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from vehicles import intake
from vehicles.ais140.server import Server
from vehicles.models import RawPacket, Vehicle
from vehicles.packets import drop_old_packets, watch
from vehicles.registry import KNOWN_SECONDS
from vehicles.tests.conftest import in_thread
from vehicles.tests.factories import make_vehicle

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime.now(UTC).replace(microsecond=0)
URL, PINGS = "/ingest/osmand", "/ingest/v1/pings"


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this test: by the time that a long run comes to it, nobody has looked since this file was read."""
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def van(organisation):
    van = make_vehicle(organisation, device_id="van-1")
    watch(vehicle_id=van.pk, now=NOW)
    return van


def ping(device: str = "van-1", **fields: Any) -> dict[str, Any]:
    return {"device": device, "ts": int(NOW.timestamp()), "lat": 12.9756, "lon": 77.605, **fields}


async def packets() -> list[RawPacket]:
    await intake.console.close()
    return [packet async for packet in RawPacket.objects.order_by("pk")]


async def test_a_packet_stands_beside_its_ping_and_a_refused_one_beside_the_reason(door, van) -> None:
    fields = {"id": "van-1", "timestamp": int(NOW.timestamp()), "lat": 12.9756, "lon": 77.605, "soc": 44}
    await door.get(URL, params=fields)
    await door.get(URL, params=fields)
    await door.get(URL, params={**fields, "lat": 0, "lon": 0})
    await door.get(URL, params={**fields, "lat": "north"})
    first, again, nowhere, broken = await packets()
    assert {packet.vehicle_id for packet in (first, again, nowhere, broken)} == {van.pk}
    assert first.raw.startswith("id=van-1&timestamp=")
    assert (first.outcome[0]["latitude"], first.outcome[0]["soc_percent"]) == (12.9756, 44)
    assert (first.outcome[0]["is_repeat"], again.outcome[0]["is_repeat"]) == (False, True)
    assert datetime.fromisoformat(first.outcome[0]["at"]) == NOW
    assert [(p.outcome[0]["code"], bool(p.outcome[0]["detail"])) for p in (nowhere, broken)] == [
        ("coordinates", True), ("invalid", True),
    ]  # fmt: skip


async def test_nothing_is_kept_while_nobody_looks(tracker, organisation) -> None:
    await in_thread(make_vehicle, organisation, device_id="van-1")
    assert (await tracker.post(PINGS, json=ping())).json()["accepted"] == 1
    assert await packets() == []


async def test_a_batch_is_shown_to_each_watched_vehicle_with_its_own_pings(tracker, organisation, van) -> None:
    await in_thread(make_vehicle, organisation, device_id="van-2")  # nobody watches it
    await tracker.post(PINGS, json={"pings": [ping(), ping("van-2"), ping(lat=99)]})
    [packet] = await packets()
    assert [(p.get("latitude"), p.get("code")) for p in packet.outcome] == [(12.9756, None), (None, "coordinates")]


async def test_what_another_fleet_sends_for_the_device_is_shown_to_nobody(
    tracker, organisation, other_organisation
) -> None:
    theirs = await in_thread(make_vehicle, other_organisation, device_id="theirs")
    await in_thread(watch, vehicle_id=theirs.pk, now=NOW)
    answer = await tracker.post(PINGS, json={"pings": [ping("theirs"), ping("theirs", lat=0, lon=0)]})
    assert answer.json()["accepted"] == 0
    assert await packets() == []


async def test_trackers_that_share_a_connection_see_their_own_packets(door, organisation, other_organisation) -> None:
    lines = []
    for owner, imei in ((organisation, "861359030000001"), (other_organisation, "861359030000002")):
        van = await in_thread(make_vehicle, owner, device_id=imei)
        await in_thread(watch, vehicle_id=van.pk, now=NOW)
        at = NOW.strftime("%d%m%Y,%H%M%S")
        lines.append(f"$,100,MAKER,1.0,NR,01,L,{imei},KA03MX4471,1,{at},12.9756,N,077.6050,E,36.0,90.0,11,900")
        lines.append(f"$LGN,,{imei},3.2,12.9,N,77.6,E")
    server = Server([ipaddress.ip_network("127.0.0.0/8")])
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{lines[0]}\r\n{lines[2]}\r\n".encode())
    async with asyncio.timeout(20):
        while server.counts["stored"] < 2:  # then both are known
            await asyncio.sleep(0.005)
    writer.write("".join(f"{line}\r\n" for line in lines).encode())
    for _ in range(2):
        await asyncio.wait_for(reader.readline(), 20)
    await server.close()
    kept = await packets()
    assert {packet.vehicle_id for packet in kept} == {pk async for pk in Vehicle.objects.values_list("pk", flat=True)}
    async for van in Vehicle.objects.all():
        own = [packet for packet in kept if packet.vehicle_id == van.pk]
        strangers = {"861359030000001", "861359030000002"} - {van.device_id}
        assert not any(imei in packet.raw for packet in own for imei in strangers)
        assert any(packet.outcome[0].get("latitude") == 12.9756 for packet in own)
        assert any(packet.outcome[0].get("kind") == "login" for packet in own)


async def test_a_tracker_that_knows_no_place_is_shown_to_whoever_has_it_now(
    door, organisation, other_organisation, monkeypatch
) -> None:
    imei, seconds = "861359030000001", [0.0]
    monkeypatch.setattr(intake.telemetry.registry, "_clock", lambda: seconds[0])
    server = Server([ipaddress.ip_network("127.0.0.0/8")])
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.start("127.0.0.1", 0))
    vans = []
    for owner in (organisation, other_organisation):
        await Vehicle.objects.aupdate(device_id=None)
        van = await in_thread(make_vehicle, owner, device_id=imei)
        await in_thread(watch, vehicle_id=van.pk, now=NOW)
        seconds[0] += KNOWN_SECONDS
        writer.write(f"$LGN,,{imei},3.2,12.9,N,77.6,E\r\n".encode())
        await asyncio.wait_for(reader.readline(), 20)
        vans.append(van.pk)
    await Vehicle.objects.aupdate(watched_until=None)  # nobody looks any more
    seconds[0] += KNOWN_SECONDS
    writer.write(f"$LGN,,{imei},3.2,12.9,N,77.6,E\r\n".encode())
    await asyncio.wait_for(reader.readline(), 20)
    await server.close()
    assert [(packet.vehicle_id, packet.outcome[0]["kind"]) for packet in await packets()] == [
        (van, "login") for van in vans
    ]


async def test_the_oldest_make_room_and_a_day_is_the_longest(tracker, van) -> None:
    for second in range(60):
        await tracker.post(PINGS, json=ping(ts=int(NOW.timestamp()) - second))
        await intake.console.close()
    assert await RawPacket.objects.acount() == 50
    with time_machine.travel(NOW + timedelta(days=1, hours=1), tick=False):
        assert await in_thread(drop_old_packets, now=datetime.now(UTC)) == 50


async def test_looking_again_is_written_once_in_five_minutes(van) -> None:
    for minutes, until in ((0, 15), (4, 15), (6, 21)):
        await in_thread(watch, vehicle_id=van.pk, now=NOW + timedelta(minutes=minutes))
        assert (await Vehicle.objects.aget()).watched_until == NOW + timedelta(minutes=until)
