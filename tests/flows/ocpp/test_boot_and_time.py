"""Rules 15-19: who is accepted, what a boot means, and whose clock counts."""

import asyncio
import re
from datetime import timedelta

import pytest

from billing.models import ChargingSession
from billing.services import overdue
from dispatch.models import Alert
from ocpp_bridge import commands
from stations.models import Charger
from tests.flows.ocpp.station import ALL_VERSIONS, V16, Refusal, basic, connect, now, until
from tests.flows.ocpp.world import KEY, World
from tests.running import RealtimeNode

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z")


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_15_accepted_pending_and_rejected(world: World, second: RealtimeNode, version: str) -> None:
    """Nothing is said to a charger that is not accepted, but questions of configuration while it is pending."""
    answers = [await (await world.ready(version))[1].boot() for _ in range(12)]
    assert {answer["status"] for answer in answers} == {"Accepted"}
    intervals = {answer["interval"] for answer in answers}
    assert all(270 <= seconds <= 330 for seconds in intervals)
    assert len(intervals) > 1  # a fleet never knocks at once
    reads = "GetConfiguration" if version == V16 else "GetBaseReport"

    pending = world.charger(subprotocols=[version], registration="Pending")
    station = await world.connect(pending, version)
    answer = await station.boot()
    assert answer["status"] == "Pending" and answer["interval"] > 0
    start = await world.command(pending, "RemoteStart", id_token=world.tag(), evse_number=1)
    await world.command(pending, reads)
    await station.next(reads)
    assert set(station.asked) <= {reads}
    assert (await world.outcome(start, "queued"))["state"] == "queued"

    rejected = world.charger(subprotocols=[version], registration="Rejected")
    station = await world.connect(rejected, version)
    assert (await station.boot())["status"] == "Rejected"
    nothing = await world.command(rejected, reads)
    commands.sweep(now=now() + timedelta(hours=30))  # its time runs out
    assert (await world.outcome(nothing))["state"] == "expired"
    assert not station.asked
    with pytest.raises(Refusal, match="SecurityError"):
        await station.authorize("X")

    stranger = f"NEW-{version}"
    headers = basic(stranger, KEY) | {"X-Forwarded-For": "198.51.100.15"}
    station = await connect(f"{second.ocpp}/{stranger}", stranger, versions=(version,), headers=headers)
    assert (await station.boot())["status"] == "Pending"  # this node takes newcomers in
    assert Charger.objects.get(ocpp_identity=stranger).organisation_id == world.fleet.pk
    await station.close()


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_16_a_boot_in_mid_session_loses_nothing(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    tag, began_at = world.tag(), now() - timedelta(minutes=30)
    lost = await station.start(tag, 1000, began_at)
    await station.meter(lost, 6000, began_at + timedelta(minutes=10))
    station.cut()
    station = await world.connect(charger, version)
    await station.boot()
    assert (await world.session(charger))["state"] == "active"  # its stop may still be in the queue
    resumed = await station.start(world.tag(), 6500, began_at + timedelta(minutes=15))
    for minutes in (0, 11):  # doubted at once, ended when no stop comes within ten minutes
        overdue.sweep(now=now() + timedelta(minutes=minutes))
    first, second = await world.sessions(charger)
    assert (first["state"], first["energy_wh"]) == ("ended", 5000)
    assert first["quality"] in ("estimated", "review")
    assert second["state"] == "active"
    await station.stop(lost, 6200, began_at + timedelta(minutes=12))  # here it is after all
    first, second = await world.sessions(charger)
    assert (first["energy_wh"], first["quality"]) == (5200, "billable")
    assert second["state"] == "active"
    await station.stop(resumed, 7000, began_at + timedelta(minutes=20))
    assert [one["energy_wh"] for one in await world.sessions(charger)] == [5200, 500]


async def test_rule_17_a_socket_without_a_boot_goes_on(world: World) -> None:
    await asyncio.gather(*(_go_on_without_a_boot(world, version) for version in ALL_VERSIONS))


async def _go_on_without_a_boot(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    await station.status("Charging" if version == V16 else "Occupied")
    reference = await station.start(world.tag(), 1000)
    station.cut()
    station = await world.connect(charger, version)
    await station.meter(reference, 1500)  # no boot, straight on
    assert (await world.session(charger))["energy_wh"] == 500
    assert world.fresh(charger).registration == "Accepted"
    asked = await station.next("TriggerMessage")
    assert asked["requestedMessage"] == "StatusNotification"


@pytest.mark.parametrize("version", ALL_VERSIONS)
async def test_rule_18_whose_clock_counts(world: World, version: str) -> None:
    charger, station = await world.ready(version)
    heartbeat = await station.call("Heartbeat", {})
    assert INSTANT.fullmatch(heartbeat["currentTime"])
    assert INSTANT.fullmatch((await station.boot())["currentTime"])
    for wrong in (now().replace(year=1970), now() + timedelta(days=3)):
        before = now()
        reference = await station.start(world.tag(), 0, wrong, plug=1)
        session = ChargingSession.objects.filter(charger=charger).latest("pk")
        assert before - timedelta(seconds=1) <= session.started_at <= now() + timedelta(seconds=1)
        await station.stop(reference, 0, wrong)
        session.refresh_from_db()
        assert "clock_not_believed" in session.quality_reasons
    yesterday = now() - timedelta(hours=20)
    reference = await station.start(world.tag(), 0, yesterday, plug=2)
    session = ChargingSession.objects.filter(charger=charger).latest("pk")
    assert session.started_at == yesterday  # an old start is an old start, not a wrong clock
    await station.stop(reference, 0, yesterday + timedelta(minutes=9))
    session.refresh_from_db()
    assert "clock_not_believed" not in session.quality_reasons
    assert not clock_alerts(charger)

    skewed, station = await world.ready(version)
    for _ in range(5):
        await station.status("Available", at=now() + timedelta(seconds=90))
        await station.status("Charging" if version == V16 else "Occupied", at=now() + timedelta(seconds=90))
    skew = await until(lambda: world.fresh(skewed).clock_skew_seconds, "the skew to be measured")
    assert 85 <= skew <= 95
    [title] = await until(lambda: clock_alerts(skewed), "somebody to be called")
    assert re.fullmatch(rf"{skewed.ocpp_identity}: clock is (8[5-9]|9[0-5]) s ahead", title)


def clock_alerts(charger: Charger) -> list[str]:
    """What the dispatch board says of this charger's clock."""
    open_ones = Alert.objects.open().filter(kind=Alert.Kind.CHARGER_MATTER)
    return [title for title in open_ones.values_list("title", flat=True) if f"{charger.ocpp_identity}: clock" in title]


async def test_rule_19_any_frame_is_a_sign_of_life(world: World) -> None:
    charger, station = await world.ready()
    silent, _ = await world.ready()
    Charger.objects.filter(pk=charger.pk).update(last_seen_at=now() - timedelta(minutes=1))  # written once a minute
    spoke_at = now()
    await station.call(*station.metered("", 1000, spoke_at))
    await until(lambda: (world.fresh(charger).last_seen_at or spoke_at) > spoke_at, "life to be noticed")
    assert world.fresh(charger).is_online
    assert world.fresh(silent).is_online  # no heartbeat was ever sent; the line's own ping is enough
