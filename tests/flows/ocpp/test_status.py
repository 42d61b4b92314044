"""Rules 20-21: what a connector says, and what the public is shown."""

from datetime import timedelta

import pytest

from stations.models import Charger, Connector, StatusChange
from tests.flows.ocpp.station import ALL_VERSIONS, V16, Station, now, until
from tests.flows.ocpp.world import World


def connector(world: World, charger: Charger, number: int = 1) -> Connector:
    return Connector.objects.get(evse__charger=charger, evse__evse_number=number)


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_20_station_wide_and_in_order(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    for plug in (1, 2):
        await station.status("Available", plug)
    for word, shown in (("Faulted", "faulted"), ("Available", "available"), ("Unavailable", "unavailable")):
        await station.status(word, 0)  # the whole station; 2.x has no such thing, and chargers say it anyway
        for plug in (1, 2):
            await world.shows(charger, shown, plug)
    await station.status("Available", 0)

    said_at = now() + timedelta(seconds=2)  # after what was said without a time
    await station.status("Faulted", 1, said_at)
    await station.status("Available", 1, said_at - timedelta(minutes=5))  # old news, replayed
    assert (await world.shows(charger, "faulted"))["status"] == "faulted"
    if version == V16:
        await station.status("Faulted", 2, errorCode="OtherError", info="door", vendorErrorCode="E-17")
        row = connector(world, charger, 2)
        assert (row.error_code, row.error_info, row.raw_status) == ("OtherError (E-17)", "door", "Faulted")


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_20_flapping_is_debounced(world: World, version: str) -> None:
    flapping, station = await world.ready(version)
    await station.status("Available")
    await world.shows(flapping, "available")
    before = StatusChange.objects.filter(connector=connector(world, flapping)).count()
    for number in range(60):
        await station.status("Available" if number % 2 else "Unavailable")
    await station.status("Faulted")
    await world.shows(flapping, "faulted")  # where it settles is shown
    changes = StatusChange.objects.filter(connector=connector(world, flapping)).count() - before
    assert changes <= 20  # and not every blink of the way there


TABLE_16 = (
    ("Available", "available"), ("Preparing", "occupied"), ("Charging", "charging"), ("SuspendedEV", "occupied"),
    ("SuspendedEVSE", "occupied"), ("Finishing", "occupied"), ("Reserved", "reserved"),
    ("Unavailable", "unavailable"), ("Faulted", "faulted"),
)  # fmt: skip
TABLE_2 = (
    ("Available", "available"), ("Occupied", "occupied"), ("Reserved", "reserved"), ("Unavailable", "unavailable"),
    ("Faulted", "faulted"),
)  # fmt: skip


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_21_the_public_status_follows_the_table(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    for raw, shown in TABLE_16 if version == V16 else TABLE_2:
        await station.status(raw)
        await world.shows(charger, shown)
        assert connector(world, charger).raw_status == raw
    await station.status("Available")
    reference = await station.start(world.tag(), 0)
    if version == V16:
        await station.status("Charging")
    await show_charging(station, reference)
    await world.shows(charger, "charging")  # a session outranks the raw word
    await station.status("Available")
    assert (await world.shows(charger, "charging" if version != V16 else "occupied"))["status"]
    await station.status("Faulted")
    await world.shows(charger, "faulted")  # and a fault outranks the session
    await station.status("Available")
    await station.stop(reference, 100)
    await world.shows(charger, "available")
    station.cut()
    await until(lambda: not world.fresh(charger).is_online, "the lost line to be noticed")
    assert (await world.plug(charger))["status"] == "available"  # grace: a short loss changes nothing
    row = connector(world, charger)
    assert row.raw_status == "Available"


async def show_charging(station: Station, reference: str) -> None:
    if station.is_16:
        return
    await station.meter(reference, 10)
