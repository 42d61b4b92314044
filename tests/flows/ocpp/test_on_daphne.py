"""The smoke part of the suite on Daphne, which stays a supported server."""

import pytest

from tests.flows.ocpp.station import ALL_VERSIONS, V16, basic, refused, until
from tests.flows.ocpp.test_rpc import FAULTS_2, FAULTS_16, expect
from tests.flows.ocpp.world import World


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_a_session_on_daphne(on_daphne: World, version: str) -> None:
    world = on_daphne
    charger, station = await world.ready(version)
    tag = world.tag()
    assert await station.authorize(tag) == "Accepted"
    reference = await station.start(tag, 1000)
    await station.meter(reference, 1400)
    row = await world.command(charger, "TriggerMessage", message="StatusNotification")
    await station.next("TriggerMessage")
    assert (await world.outcome(row))["state"] == "accepted"
    await station.stop(reference, 1900)
    session = await world.session(charger)
    assert (session["state"], session["energy_wh"]) == ("ended", 900)
    for fault in FAULTS_16 if version == V16 else FAULTS_2:
        await expect(station, *fault)
    assert "currentTime" in await station.call("Heartbeat", {})


async def test_refusals_on_daphne_are_403_and_the_log_has_the_reason(on_daphne: World) -> None:
    world = on_daphne
    charger = world.charger()
    headers = basic(charger.ocpp_identity, "wrong") | {"X-Forwarded-For": "198.51.100.77"}
    assert await refused(f"{world.ocpp}/{charger.ocpp_identity}", headers=headers) == 403
    assert await refused(f"{world.ocpp}/NOBODY-77", headers=headers) == 403
    assert "wrong_key" in world.log()
    assert "unknown_charger" in world.log()


async def test_takeover_between_daphne_and_uvicorn(on_daphne: World) -> None:
    world = on_daphne
    charger, here = await world.ready()
    there = await world.connect(charger, at=world.system.ocpp)
    assert await here.closed() in (1008, 4000)
    assert "currentTime" in await there.call("Heartbeat", {})
    there.cut()
    await until(lambda: not world.fresh(charger).is_online, "the loss to be noticed")
