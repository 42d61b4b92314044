"""The live channel over a real server, a real bus and a real database."""

from datetime import datetime, timedelta

import pytest
import redis
from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from billing.events import SessionEnded, SessionStarted
from dispatch import live, services, wire
from dispatch.hub import hub
from dispatch.live import send_marks
from dispatch.models import ChargePlan
from dispatch.tests import factories
from dispatch.tests.browser import opened, served, sign_in
from dispatch.wording import Says
from fleetcharge.accounts.models import Membership
from fleetcharge.lib import hints
from fleetcharge.lib.events import publish
from stations.events import ConnectorStatusChanged
from stations.models import Connector
from vehicles import readings
from vehicles.events import VehicleMove, VehiclesMoved
from vehicles.models import Stop, Vehicle

pytestmark = pytest.mark.django_db(transaction=True)
EVERYTHING = {"bbox": None, "z": 5, "layers": ["vehicles", "stations"]}


def in_thread(function):
    from django.db import connections

    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        finally:
            connections.close_all()

    return sync_to_async(call, thread_sensitive=False)


def move(vehicle: Vehicle, **values) -> VehicleMove:
    defaults = {
        "latitude": 12.98, "longitude": 77.60, "speed_kmh": 30.0, "heading_deg": 180.0, "soc_percent": 55.0,
        "is_charging": False, "is_soc_low": False, "at": timezone.now(),
    }  # fmt: skip
    return VehicleMove(vehicle_id=vehicle.pk, organisation_id=vehicle.organisation_id, **{**defaults, **values})


@pytest.fixture
def city(organisation, other_organisation):
    """A vehicle of each fleet, a public site, a private depot of each fleet."""
    network = factories.public_network(organisation, other_organisation)
    now = timezone.now()

    class City:
        mine = factories.vehicle(organisation, at=now - timedelta(seconds=5))
        theirs = factories.vehicle(other_organisation, at=now - timedelta(seconds=5))
        public = factories.location(network)
        plug = factories.connector(public, at=now)
        my_depot = factories.location(factories.source(organisation), organisation=organisation)
        their_depot = factories.location(factories.source(other_organisation), organisation=other_organisation)

    factories.connector(City.my_depot, at=now)
    factories.connector(City.their_depot, at=now)
    return City


async def test_a_fleet_sees_its_own_vehicles_and_depots_and_public_sites_only(city, dispatcher, stranger):
    mine, theirs = await in_thread(sign_in)(dispatcher), await in_thread(sign_in)(stranger)
    async with served() as address, opened(address, mine) as page, opened(address, theirs) as other:
        for watcher in (page, other):
            await watcher.say("hello", v=1, last_alert=0)
            await watcher.say("view", **EVERYTHING)
            await watcher.until(lambda watcher=watcher: watcher.vehicles and watcher.stations)
        await in_thread(publish)(VehiclesMoved((move(city.mine), move(city.theirs))))
        await page.until(lambda: page.vehicles[city.mine.pk][5] == 55)
        await other.until(lambda: other.vehicles[city.theirs.pk][5] == 55)
        assert set(page.vehicles) == {city.mine.pk}
        assert set(page.stations) == {city.public.pk, city.my_depot.pk}
        assert set(other.vehicles) == {city.theirs.pk}
        assert set(other.stations) == {city.public.pk, city.their_depot.pk}


async def test_deltas_on_an_old_snapshot_make_the_new_snapshot(city, organisation, dispatcher):
    more = [await in_thread(factories.vehicle)(organisation, at=timezone.now()) for _ in range(30)]
    key = await in_thread(sign_in)(dispatcher)
    box = [77.5, 12.9, 77.7, 13.1]
    async with served() as address, opened(address, key) as page, opened(address, key) as late:
        await page.say("view", bbox=box, z=12, pad=0.0, layers=["vehicles", "stations"])
        await page.until(lambda: len(page.vehicles) == 31 and page.stations)
        for step in range(1, 6):  # some leave the box and come back, one leaves for good
            places = [12.95 + 0.04 * ((number * step) % 7) for number in range(30)]
            moves = [move(v, latitude=lat, soc_percent=10.0 * step) for v, lat in zip(more, places, strict=True)]
            await in_thread(publish)(VehiclesMoved(tuple(moves)))
        await in_thread(publish)(VehiclesMoved((move(city.mine, latitude=14.0),)))
        await in_thread(Connector.objects.filter(pk=city.plug.pk).update)(status="faulted")
        changed = ConnectorStatusChanged(
            city.plug.pk, city.public.pk, "available", "faulted", "GroundFailure", timezone.now()
        )
        await in_thread(publish)(changed)
        await page.until(lambda: page.stations[city.public.pk][5] == wire.STATION_FAULTED)
        await page.until(lambda: city.mine.pk not in page.vehicles)
        await late.say("view", bbox=box, z=12, pad=0.0, layers=["vehicles", "stations"])
        await late.until(lambda: late.vehicles and late.stations)
        assert len(late.vehicles) < 31
        assert page.vehicles == late.vehicles
        assert page.stations == late.stations
        assert page.seqs == list(range(1, len(page.seqs) + 1))
        assert wire.REMOVE in page.kinds


async def test_nobody_without_a_session_gets_in(city):
    async with served() as address, opened(address, "no-such-session") as page:
        await page.until(lambda: page.close_code)
        assert page.close_code == 4401
        assert page.texts == [{"type": "bye", "code": 4401, "retry_ms": 0}]


async def test_a_page_of_another_host_is_refused(city, dispatcher):
    key = await in_thread(sign_in)(dispatcher)
    async with served() as address, opened(address, key, origin="http://evil.example") as page:
        await page.until(lambda: page.close_code)
        assert page.close_code == 4403
        assert not page.vehicles


async def test_a_seventh_socket_of_one_person_waits(city, dispatcher):
    import contextlib

    key = await in_thread(sign_in)(dispatcher)
    async with served() as address, contextlib.AsyncExitStack() as stack:
        for _ in range(6):
            page = await stack.enter_async_context(opened(address, key))
            await page.say("hello", v=1, last_alert=0)
            await page.until(lambda page=page: page.of_type("welcome"))
        seventh = await stack.enter_async_context(opened(address, key))
        await seventh.until(lambda: seventh.close_code)
        assert seventh.close_code == 4429


async def test_who_goes_on_to_another_fleet_watches_the_last_one_no_longer(
    city, other_organisation, dispatcher, monkeypatch
):
    monkeypatch.setattr("dispatch.consumers.RECHECK_SECONDS", 0.1)
    key = await in_thread(sign_in)(dispatcher)

    @in_thread
    def switch():
        Membership.objects.create(user=dispatcher, organisation=other_organisation, role="dispatcher")
        client = Client()
        client.cookies["sessionid"] = key
        assert client.post("/switch-fleet/", {"organisation": other_organisation.pk}).status_code == 302

    async with served() as address, opened(address, key) as page, opened(address, key) as second:
        await page.say("view", **EVERYTHING)
        await page.until(lambda: city.mine.pk in page.vehicles)
        await switch()
        await page.until(lambda: page.close_code)
        await second.until(lambda: second.close_code)
        assert (page.close_code, second.close_code) == (4409, 4409)
        async with opened(address, key) as again:
            await again.say("view", **EVERYTHING)
            await again.until(lambda: again.vehicles)
            assert set(again.vehicles) == {city.theirs.pk}


async def test_nonsense_is_survived_twice_and_then_refused(city, dispatcher):
    key = await in_thread(sign_in)(dispatcher)
    async with served() as address, opened(address, key) as page:
        await page.socket.send("{not json")
        await page.say("view", bbox=[1, 2])
        await page.say("hello", v=1, last_alert=0)
        await page.until(lambda: page.of_type("welcome"))
        await page.say("dance")
        await page.until(lambda: page.close_code)
        assert page.close_code == 4400


async def test_figures_come_every_second_and_late_positions_change_nothing(city, dispatcher):
    key = await in_thread(sign_in)(dispatcher)
    async with served() as address, opened(address, key) as page:
        await page.say("view", **EVERYTHING)
        await page.until(lambda: page.vehicles)
        newest = timezone.now()
        await in_thread(live.send_moves)([move(city.mine, soc_percent=40.0, at=newest)])
        await in_thread(live.send_moves)([move(city.mine, soc_percent=90.0, at=newest - timedelta(minutes=1))])
        await page.until(lambda: len(page.of_type("kpi")) >= 2)
        assert page.vehicles[city.mine.pk][5] == 40
        figures = page.of_type("kpi")[-1]
        assert figures["vehicles_low"] == 1
        assert figures["chargers_total"] == 2
        assert [len(points) for points in figures["history"].values()] == [10] * 10


async def test_after_a_lost_feed_the_page_catches_up(city, dispatcher):
    from vehicles.models import VehicleState

    key = await in_thread(sign_in)(dispatcher)
    async with served() as address, opened(address, key) as page:
        await page.say("view", **EVERYTHING)
        await page.until(lambda: page.vehicles)
        states = VehicleState.objects.filter(vehicle=city.mine)  # moved while nobody told us
        await in_thread(states.update)(soc_percent=61.0, position_at=timezone.now())
        client = hints._client()
        for connection in await in_thread(client.client_list)("pubsub"):
            await in_thread(client.client_kill)(connection["addr"])
        await page.until(lambda: page.of_type("resync"))
        await page.until(lambda: page.vehicles[city.mine.pk][5] == 61)
        assert hub().listeners


async def test_alerts_arrive_once_missed_ones_too_and_only_at_home(city, organisation, dispatcher, stranger):
    now = timezone.now()

    def warn(key):
        return services.open_alert(
            organisation_id=organisation.pk, kind="no_charger", dedupe_key=key, title=key, severity="bad", now=now,
            vehicle_id=city.mine.pk,
        )  # fmt: skip

    first = await in_thread(warn)("one")
    mine, theirs = await in_thread(sign_in)(dispatcher), await in_thread(sign_in)(stranger)
    async with served() as address, opened(address, mine) as page, opened(address, theirs) as other:
        for watcher in (page, other):
            await watcher.say("hello", v=1, last_alert=0)
            await watcher.say("view", **EVERYTHING)
        await page.until(lambda: [alert["id"] for alert in page.of_type("alert")] == [first.pk])
        second = await in_thread(warn)("two")
        await page.until(lambda: [alert["id"] for alert in page.of_type("alert")] == [first.pk, second.pk])
        await page.until(lambda: page.vehicles[city.mine.pk][-1] & wire.EXCEPTION)
        seen = page.of_type("alert")[-1]["revision"]
        await in_thread(services.close_alert)(alert_id=second.pk, actor=dispatcher, reason="done", now=now)
        await in_thread(services.close_alert)(alert_id=first.pk, actor=dispatcher, reason="done", now=now)
        await page.until(lambda: not page.vehicles[city.mine.pk][-1] & wire.EXCEPTION)
        async with opened(address, mine) as returning:
            await returning.say("hello", v=1, last_alert=seen)
            await returning.until(lambda: len(returning.of_type("alert")) == 2)
            assert [(alert["id"], alert["op"]) for alert in returning.of_type("alert")] == [
                (second.pk, "del"), (first.pk, "del"),
            ]  # fmt: skip
        assert other.of_type("alert") == []


async def test_each_page_hears_of_an_alert_in_its_own_language(city, organisation, dispatcher):
    @in_thread
    def warn(key):
        services.open_alert(
            organisation_id=organisation.pk, kind="money", dedupe_key=key, says=Says("session_held"),
            now=timezone.now(),
        )  # fmt: skip

    await warn("before")
    key = await in_thread(sign_in)(dispatcher)
    async with served() as address, opened(address, key) as hindi, opened(address, key) as english:
        await hindi.say("hello", v=1, last_alert=0, language="hi")
        await english.say("hello", v=1, last_alert=0)
        for page in (hindi, english):
            await page.until(lambda page=page: page.of_type("alert"))
        await warn("while it looks on")
        for page, title in ((hindi, "एक सत्र वित्त विभाग के इंतज़ार में है"), (english, "A session waits for finance")):
            alerts = await page.until(lambda page=page: len(page.of_type("alert")) == 2 and page.of_type("alert"))
            assert [(alert["title"], alert["code"]) for alert in alerts] == [(title, "session_held")] * 2
            assert "words" not in alerts[0]


async def test_what_the_bus_lost_is_told_all_the_same(city, organisation, dispatcher, monkeypatch):
    """Valkey was away for a moment when it was published; the subscription never broke, so nothing else would heal."""
    monkeypatch.setattr("dispatch.hub.CLOCK_SECONDS", 0.2)
    quiet = await in_thread(factories.vehicle)(organisation, soc_percent=50, at=timezone.now())

    @in_thread
    def happen():
        services.open_alert(
            organisation_id=organisation.pk, kind="no_charger", dedupe_key="lost", title="lost", severity="bad",
            now=timezone.now(), vehicle_id=city.mine.pk,
        )  # fmt: skip
        ChargePlan.objects.create(
            organisation=organisation,
            vehicle=quiet,
            trigger="soc_low",
            trigger_key="lost",
            state="accepted",
            soc_percent=50,
        )
        send_marks(organisation.pk, [quiet.pk])

    key = await in_thread(sign_in)(dispatcher)
    async with served() as address, opened(address, key) as page:
        await page.say("hello", v=1, last_alert=0)
        await page.say("view", **EVERYTHING)
        await page.until(lambda: page.vehicles and page.of_type("kpi"))
        monkeypatch.setattr(hints.valkey, "_silent_until", float("inf"))
        await happen()
        await page.until(lambda: [alert["title"] for alert in page.of_type("alert")] == ["lost"])
        await page.until(lambda: page.vehicles[city.mine.pk][-1] & wire.EXCEPTION)
        await page.until(lambda: page.vehicles[quiet.pk][-1] & wire.REROUTED)
        told = len(page.of_type("kpi"))
        await page.until(lambda: len(page.of_type("kpi")) > told + 2)
        assert len(page.of_type("alert")) == 1  # once


async def test_a_snapshot_in_parts_says_where_it_begins(city, organisation, dispatcher, monkeypatch):
    """Or what a socket that died amid one had told would count as part of the next."""
    monkeypatch.setattr(wire, "RECORDS_PER_FRAME", 2)
    for _ in range(4):
        await in_thread(factories.vehicle)(organisation, at=timezone.now())
    key = await in_thread(sign_in)(dispatcher)
    async with served() as address, opened(address, key) as page:
        await page.say("view", **{**EVERYTHING, "layers": ["vehicles"]})
        await page.until(lambda: len(page.vehicles) == 5)
        assert page.flags[:3] == [wire.FIRST_PART, 0, wire.LAST_PART]


async def test_figures_say_how_old_the_newest_position_is(city, dispatcher, stranger):
    from vehicles.models import VehicleState

    mine, theirs = await in_thread(sign_in)(dispatcher), await in_thread(sign_in)(stranger)
    await in_thread(VehicleState.objects.filter(vehicle=city.theirs).delete)()
    async with served() as address, opened(address, mine) as page, opened(address, theirs) as other:
        await page.until(lambda: page.of_type("kpi"))
        held = await in_thread(VehicleState.objects.get)(vehicle=city.mine)
        newest = datetime.fromisoformat(page.of_type("kpi")[-1]["newest_position_at"])
        assert abs(newest - held.position_at) < timedelta(milliseconds=1)
        at = timezone.now()
        await in_thread(live.send_moves)([move(city.mine, at=at)])
        await page.until(lambda: datetime.fromisoformat(page.of_type("kpi")[-1]["newest_position_at"]) > newest)
        await other.until(lambda: other.of_type("kpi"))
        assert other.of_type("kpi")[-1]["newest_position_at"] is None


async def test_a_late_ping_brings_no_vehicle_back_into_service(city, organisation, dispatcher, monkeypatch):
    monkeypatch.setattr("dispatch.hub.CLOCK_SECONDS", 0.2)
    retired = await in_thread(factories.vehicle)(organisation, at=timezone.now())
    key = await in_thread(sign_in)(dispatcher)
    async with served() as address, opened(address, key) as page:
        await page.say("view", **EVERYTHING)
        await page.until(lambda: {retired.pk, city.mine.pk} <= set(page.vehicles))
        await in_thread(Vehicle.objects.filter(pk=retired.pk).update)(is_active=False)
        await page.until(lambda: retired.pk not in page.vehicles)
        await in_thread(live.send_moves)([move(retired), move(city.mine, soc_percent=33.0)])
        await page.until(lambda: page.vehicles[city.mine.pk][5] == 33)
        assert retired.pk not in page.vehicles
        new = await in_thread(factories.vehicle)(organisation, at=timezone.now() - timedelta(seconds=5))
        await in_thread(live.send_moves)([move(new)])
        await page.until(lambda: new.pk in page.vehicles)


async def test_vehicles_out_of_view_are_told_by_their_status(
    city, organisation, dispatcher, other_organisation, monkeypatch
):
    """A list above a map that shows a part of the fleet: charge and state of all, and nothing twice."""
    monkeypatch.setattr("dispatch.consumers.STATUS_SECONDS", 0.1)
    far = await in_thread(factories.vehicle)(organisation, soc_percent=50, latitude=28.6, at=timezone.now())
    key = await in_thread(sign_in)(dispatcher)
    async with served() as address, opened(address, key) as page:
        await page.say("view", bbox=[77.5, 12.9, 77.7, 13.1], z=12, pad=0.0, layers=["vehicles", "stations", "status"])
        await page.until(lambda: far.pk in page.statuses)
        assert set(page.vehicles) == {city.mine.pk}
        assert set(page.statuses) == {city.mine.pk, far.pk}
        assert page.statuses[far.pk] == (50, wire.DRIVING)
        await in_thread(live.send_moves)([move(far, latitude=28.7, soc_percent=12.0, is_soc_low=True)])
        await page.until(lambda: page.statuses[far.pk] == (12, wire.DRIVING | wire.LOW))
        frames = page.kinds.count(wire.STATUS)
        await in_thread(live.send_moves)([move(far, latitude=28.8, soc_percent=12.0, is_soc_low=True)])
        told = len(page.of_type("kpi"))
        await page.until(lambda: len(page.of_type("kpi")) > told + 2)
        assert page.kinds.count(wire.STATUS) == frames
        assert page.seqs == list(range(1, len(page.seqs) + 1))


async def test_without_valkey_figures_go_on(city, organisation, dispatcher, settings):
    key = await in_thread(sign_in)(dispatcher)
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}}
    with pytest.raises(redis.ConnectionError):
        await in_thread(cache.get)("anything")
    async with served() as address, opened(address, key) as page:
        await page.say("hello", v=1, last_alert=0)
        await page.until(lambda: len(page.of_type("kpi")) >= 2)
        assert page.close_code is None


async def test_a_vehicle_in_a_session_charges_whatever_its_tracker_says_or_has_not_said(city, organisation, dispatcher):
    """The strip, the list and the map agree: right after a start no tracker has spoken, and the chargers have."""
    from billing.models import ChargingSession
    from dispatch.figures import current_figures
    from dispatch.pages import CHARGING, DRIVING, OFFLINE, fleet_by_urgency
    from vehicles.models import VehicleState

    now = timezone.now()

    @in_thread
    def begin(vehicle):
        row = ChargingSession.objects.create(
            organisation=organisation, source=city.public.source, connector=city.plug, vehicle=vehicle,
            transaction_ref=str(vehicle.pk), start_key=str(vehicle.pk), started_at=now,
        )  # fmt: skip
        publish(SessionStarted(row.pk, organisation.pk, city.plug.pk, city.public.pk, vehicle.pk, now))
        return row

    @in_thread
    def groups():
        rows = fleet_by_urgency(organisation, now=timezone.now())
        return {row.pk: row.group for row in rows}, current_figures(organisation, now=now)["charging_now"]

    @in_thread
    def end(row):
        ChargingSession.objects.filter(pk=row.pk).update(state="ended", ended_at=now)
        publish(SessionEnded(row.pk, organisation.pk, city.plug.pk, city.public.pk, row.vehicle_id, 0, now))

    silent = await in_thread(factories.vehicle)(organisation, soc_percent=50, at=now - timedelta(hours=2))
    unheard = await in_thread(factories.vehicle)(organisation, soc_percent=50, at=now)
    await in_thread(VehicleState.objects.filter(vehicle=unheard).delete)()
    driving = await in_thread(factories.vehicle)(organisation, soc_percent=50, at=now)
    key = await in_thread(sign_in)(dispatcher)
    async with served() as address, opened(address, key) as page:
        await page.say("view", **EVERYTHING)
        await page.until(lambda: silent.pk in page.vehicles)
        assert page.vehicles[silent.pk][-1] & 0x0F == wire.OFFLINE
        assert (await groups())[0][unheard.pk] == OFFLINE
        rows = [await begin(vehicle) for vehicle in (silent, unheard, driving)]
        await page.until(lambda: page.vehicles[silent.pk][-1] & 0x0F == wire.CHARGING)
        assert page.vehicles[silent.pk][-1] & wire.STALE
        shown, count = await groups()
        assert (shown[silent.pk], shown[unheard.pk], count) == (CHARGING, CHARGING, 3)
        assert shown[driving.pk] == DRIVING  # its card charges somebody else's car
        assert page.vehicles[driving.pk][-1] & 0x0F == wire.DRIVING
        for row in rows:
            await end(row)
        await page.until(lambda: page.vehicles[silent.pk][-1] & 0x0F == wire.OFFLINE)
    assert (await groups())[0][unheard.pk] == OFFLINE


async def test_a_stop_that_is_done_moves_alone_and_no_name_is_read_again(
    city, organisation, dispatcher, stranger, monkeypatch
):
    monkeypatch.setattr("dispatch.hub.CLOCK_SECONDS", 0.2)

    @in_thread
    def stops():
        places = {"latitude": 12.9, "longitude": 77.6}
        return [
            Stop.objects.create(vehicle=city.mine, sequence=n, name=name, **places) for n, name in enumerate("AB", 1)
        ]

    @in_thread
    def names(session_key):
        client = Client()
        client.cookies["sessionid"] = session_key
        return client.get("/api/v1/live/static/").json()

    @in_thread
    def tick_off(stop):
        Stop.objects.filter(pk=stop.pk).update(done_at=timezone.now())

    quiet = await in_thread(factories.vehicle)(organisation, at=timezone.now())
    first, second = await stops()
    mine, theirs = await in_thread(sign_in)(dispatcher), await in_thread(sign_in)(stranger)
    async with served() as address, opened(address, mine) as page, opened(address, theirs) as other:
        static = await names(mine)
        assert {row["id"]: (row["next_stop"] or {}).get("name") for row in static["vehicles"]} == {
            city.mine.pk: "A", quiet.pk: None
        }  # fmt: skip
        for watcher in (page, other):
            await watcher.say("hello", v=1, last_alert=0)
            await watcher.say("view", **EVERYTHING)
            await watcher.until(lambda watcher=watcher: watcher.rev)
        rev = page.rev
        await page.say("details", rev=static["details_rev"])
        await other.say("details", rev=0)
        await other.until(lambda: other.of_type("details"))
        await tick_off(first)
        told = await page.until(lambda: page.of_type("details"))
        assert [[(row["id"], row["next_stop"]["name"]) for row in message["vehicles"]] for message in told] == [
            [(city.mine.pk, "B")]
        ]
        await tick_off(second)
        await page.until(lambda: len(page.of_type("details")) == 2)
        assert page.of_type("details")[-1]["vehicles"][0]["next_stop"] is None
        async with opened(address, mine) as returning:  # from where it was cut off
            await returning.say("hello", v=1, last_alert=0)
            await returning.say("details", rev=static["details_rev"])
            missed = await returning.until(lambda: returning.of_type("details"))
            assert [(row["id"], row["next_stop"]) for row in missed[0]["vehicles"]] == [(city.mine.pk, None)]
        again = await names(mine)
        assert (again["rev"], page.rev) == (static["rev"], rev)
        assert again["details_rev"] == page.of_type("details")[-1]["rev"] != static["details_rev"]
        assert {row["id"] for message in other.of_type("details") for row in message["vehicles"]} == {city.theirs.pk}


async def test_a_charge_that_no_ping_brings_reaches_the_map(city, dispatcher, monkeypatch):
    monkeypatch.setattr("dispatch.hub.CLOCK_SECONDS", 0.2)

    @in_thread
    def word():
        reading = readings.Reading(city.mine.pk, 61.0, timezone.now(), readings.Source.DRIVER)
        readings.take_word(reading, now=timezone.now())

    key = await in_thread(sign_in)(dispatcher)
    async with served() as address, opened(address, key) as page:
        await page.say("view", **EVERYTHING)
        await page.until(lambda: page.vehicles)
        assert page.vehicles[city.mine.pk][5:] == (18, wire.DRIVING | wire.LOW)
        place = page.vehicles[city.mine.pk][:5]
        await word()
        await page.until(lambda: page.vehicles[city.mine.pk][5] == 61)
        assert page.vehicles[city.mine.pk][:5] == place
        assert not page.vehicles[city.mine.pk][-1] & wire.LOW


async def test_a_page_whose_question_could_not_be_answered_comes_again(city, dispatcher, monkeypatch):
    key = await in_thread(sign_in)(dispatcher)

    def rests(*_):
        raise OperationalError("the database rests")

    async with served() as address, opened(address, key) as page:
        await page.say("view", **EVERYTHING)
        await page.until(lambda: page.vehicles)
        monkeypatch.setattr("dispatch.live_reads.alerts_after", rests)
        await page.say("hello", v=1, last_alert=0)
        await page.until(lambda: page.close_code)
        assert page.close_code == 1011
