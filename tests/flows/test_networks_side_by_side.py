"""The networks of the demo city at once, each over its own protocol and a real socket: seen, stopped, and healed."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from billing.models import CDR
from billing.tasks import sweep_roaming, sweep_unrated
from dispatch.live_reads import station_rows
from dispatch.models import Alert
from dispatch.tasks import sweep_alerts
from fleetcharge.accounts.models import Organisation, Scope, User
from fleetcharge.accounts.services import create_api_key
from fleetcharge.celery import app as celery
from fleetcharge.demo.city import City
from fleetcharge.demo.control import Control, mount
from fleetcharge.demo.cpo import FILE_NAME, Cpo, Peering
from fleetcharge.demo.others import Peers
from fleetcharge.demo.partners import Partner
from fleetcharge.demo.records import records_of
from fleetcharge.demo.seeding import seed_demo
from stations import webhooks
from stations.belief import freshness_of
from stations.cpo.ocpi.models import RoamingCDR
from stations.cpo.ubc import webhook as ubc_webhook
from stations.cpo.webhooks import route as hooks
from stations.models import Connector, Location, Source
from stations.news import announcer
from stations.registry_models import Claim, Duplicate
from stations.tasks import poll_source
from stations.tests.serving import serve
from tests.running import port_of_our_own

pytestmark = pytest.mark.django_db(transaction=True)
SITES = {"namma-own": 4, "voltgrid": 75 + 3, "cityplug": 10 - 1, "surya": 8, "kaveri": 6}
"""VoltGrid lists three sites of CityPlug too; one of them is plainly the same, and shown once."""
OTHERS = ("voltgrid", "cityplug", "surya", "kaveri")


async def doors(scope: Any, receive: Any, send: Any) -> None:
    """Our side as asgi.py puts it together, as far as networks call it."""
    routes = {"ubc": ubc_webhook.ubc, "ocpi": webhooks.ocpi, "hooks": hooks.hooks}
    await routes[scope["path"].split("/")[1]](scope, receive, send)


class Town:
    """The simulated networks on one port, with a loop of their own for what they push."""

    def __init__(self, port: int, var: Path, ours: str) -> None:
        self.port, self.base = port, f"http://127.0.0.1:{port}"
        self.manifest = seed_demo(seed=7, chargers=4, vehicles=2, demo_port=port, var=var, now=timezone.now())
        self.city = City(self.manifest, timezone.now(), seed=7, speed=8)
        self.http = httpx.AsyncClient(timeout=60)
        path = var / FILE_NAME
        volt = Cpo(self.city.network, self.base, path, Peering.load(path, self.manifest.token_a), self.http)
        volt.partner = Partner(self.city.cityplug)
        volt.records = records_of(self.manifest, self.city.network, var, timezone.now())
        self.peers = Peers(self.city, self.manifest, self.base, var, volt, ours)
        control = Control(self.city, dict, lambda: None, self.peers.doors)
        self.application = mount(control, self.peers.doors["voltgrid"], self.peers.doors)

    def push(self) -> None:
        """Let CityPlug tell the status of a few bays, and Kaveri of one plug."""

        async def once() -> None:
            async with httpx.AsyncClient(timeout=60) as http:
                assert await self.peers.cityplug._push_stale(http)
                assert await self.peers.kaveri.push_changes(http)

        self.peers.kaveri.change("KVR-001-1", "in use", timezone.now())
        self.peers.cityplug.stale = set(list(self.city.cityplug.bays)[:3])
        asyncio.run(once())

    def switch(self, name: str, *, is_running: bool) -> None:
        body = {"network": name, "is_running": is_running}
        assert httpx.post(f"{self.base}/control/network", json=body).json() == body


@pytest.fixture
def town(settings: Any, tmp_path: Path) -> Iterator[Town]:
    celery.conf.task_always_eager = True
    settings.OCPI_ALLOW_PRIVATE_HOSTS = True
    port = port_of_our_own()
    with serve(doors) as ours:
        settings.PUBLIC_BASE_URL = ours
        town = Town(port, tmp_path, ours)
        with serve(town.application, port):
            yield town
    celery.conf.task_always_eager = False
    webhooks.threads.close()
    ubc_webhook.threads.close()
    hooks.threads.close()
    announcer.close()


def source(slug: str) -> Source:
    return Source.objects.get(slug=slug)


def freshness(slug: str, minutes: float = 0) -> set[str]:
    """Of the plugs that only this network tells of."""
    rows = Connector.objects.filter(evse__location__source__slug=slug, evse__location__is_removed=False)
    rows = rows.exclude(evse__location__in=Duplicate.objects.filter(state="merged").values("kept"))
    rows = rows.select_related("evse__charger", "evse__location__source")
    now = timezone.now() + timedelta(minutes=minutes)
    return {freshness_of(row, now) for row in rows}


def on_the_map(slug: str, minutes: float) -> set[int]:
    """What the live map's records say of its sites then: 0 live, 1 recent, 2 stale, 3 never heard of late."""
    twice = Duplicate.objects.filter(state="merged").values("kept")  # another network vouches for them too
    sites = Location.objects.filter(source__slug=slug, is_removed=False).exclude(pk__in=twice)
    places = list(sites.values_list("pk", flat=True))
    with time_machine.travel(timezone.now() + timedelta(minutes=minutes)):
        return {row[5] >> 4 for row, _ in station_rows(places)}


def poll(slug: str) -> None:
    poll_source(source(slug).pk)


def alerts(fleet: Organisation) -> list[str]:
    sweep_alerts()
    return list(Alert.objects.filter(organisation=fleet, kind="network_down").values_list("title", flat=True))


def test_every_network_is_seen_and_one_that_stops_decays_raises_one_alert_and_heals(town: Town) -> None:
    for slug in OTHERS:
        poll(slug)
        assert source(slug).state == "connected", source(slug).last_error
    shown = {slug: Location.objects.filter(source__slug=slug, is_removed=False).count() for slug in SITES}
    assert shown == SITES
    assert source("cityplug").kind == "ocpi-2.1.1"
    assert {slug: freshness(slug) for slug in OTHERS} == {slug: {"live"} for slug in OTHERS}
    known = set(Connector.objects.exclude(evse__charger__isnull=False).values_list("status", flat=True))
    assert known >= {"available", "charging"}
    town.push()
    assert source("cityplug").last_push_at is not None
    taken = Connector.objects.get(evse__uid="KVR-001-1")
    assert (taken.status, taken.raw_status) == ("charging", "in use")

    fleet = Organisation.objects.get(slug="namma-logistics")
    for name in ("cityplug", "surya"):
        town.switch(name, is_running=False)
        for _ in range(3):
            poll(name)
        assert source(name).state == "failing"
    assert set(alerts(fleet)) == {"CityPlug does not answer", "Surya Charge does not answer"}
    poll("cityplug")
    assert len(alerts(fleet)) == 2  # however often it fails, one each
    assert (freshness("cityplug", 6), freshness("cityplug", 31)) == ({"recent"}, {"stale"})
    assert freshness("voltgrid", 4) == {"live"}

    for name in ("cityplug", "surya"):
        town.switch(name, is_running=True)
    Source.objects.filter(slug="cityplug").update(last_push_at=timezone.now() - timedelta(minutes=2))
    town.push()
    due_at = source("cityplug").next_poll_at
    assert due_at and due_at <= timezone.now()  # it spoke: it is looked at without waiting
    poll("cityplug")
    poll("surya")
    assert {source("cityplug").state, source("surya").state} == {"connected"}
    assert len(alerts(fleet)) == 2
    assert not Alert.objects.open().filter(kind="network_down").exists()
    assert freshness("cityplug") == freshness("surya") == {"live"}


@pytest.mark.parametrize("name", OTHERS)
def test_each_network_alone_decays_raises_one_alert_per_fleet_and_heals(town: Town, name: str) -> None:
    """Every fleet may charge at every network of the city, the vendor's too."""
    others = [slug for slug in OTHERS if slug != name]
    for slug in OTHERS:
        poll(slug)
    sweep_alerts()
    assert not Alert.objects.filter(kind="network_down").exists()
    assert on_the_map(name, 0) == {0}

    town.switch(name, is_running=False)
    for _ in range(4):
        poll(name)
    sweep_alerts()
    sweep_alerts()
    told = Alert.objects.filter(kind="network_down").order_by("organisation__slug")
    assert list(told.values_list("organisation__slug", flat=True)) == ["deccan-cabs", "namma-logistics"]
    assert told.filter(closed_at=None).count() == 2
    assert (on_the_map(name, 6), on_the_map(name, 31), on_the_map(name, 25 * 60)) == ({1}, {2}, {3})
    assert {slug: source(slug).state for slug in others} == dict.fromkeys(others, "connected")
    assert not Connector.objects.available(timezone.now() + timedelta(minutes=31)).filter(
        evse__location__source__slug=name
    ).exists()  # fmt: skip

    town.switch(name, is_running=True)
    poll(name)
    sweep_alerts()
    assert source(name).state == "connected"
    assert on_the_map(name, 0) == {0}
    assert (told.count(), told.filter(closed_at=None).count()) == (2, 0)


def test_a_restart_of_the_city_keeps_every_connection(town: Town, tmp_path: Path) -> None:
    for slug in ("cityplug", "surya"):
        poll(slug)
    again = Peers(town.city, town.manifest, town.base, tmp_path, town.peers.doors["voltgrid"].application, "")  # type: ignore[arg-type]
    for name, door in town.peers.doors.items():
        door.application = again.doors[name].application if name != "voltgrid" else door.application
    for slug in ("cityplug", "surya"):
        poll(slug)
        assert source(slug).last_error == ""


def test_twice_listed_sites_and_a_dear_record_are_seen_as_rows(town: Town, client: Client) -> None:
    """What an operator and finance find after the first minute: a merge with its reasons, two questions, a dispute."""
    for slug in OTHERS:
        poll(slug)
    pairs = list(Duplicate.objects.order_by("-score"))
    assert [pair.state for pair in pairs] == ["merged", "waiting", "waiting"]
    assert all({pair.kept.source.slug, pair.other.source.slug} == {"voltgrid", "cityplug"} for pair in pairs)
    kept = pairs[0].kept
    assert set(Claim.objects.filter(object_id=kept.pk, kind="location").values_list("source__slug", flat=True)) >= {
        "voltgrid", "cityplug"
    }  # fmt: skip
    client.force_login(User.objects.get(email="operator@fleetcharge.example"))
    queue = client.get("/admin/stations/duplicate/?state__exact=waiting").content.decode()
    assert all(pair.other.name in queue for pair in pairs[1:])
    page = client.get(f"/admin/stations/location/{kept.pk}/change/").content.decode()
    assert "CityPlug" in page

    sweep_roaming()
    sweep_unrated()
    fleet = Organisation.objects.get(slug="namma-logistics")
    assert RoamingCDR.objects.count() == CDR.objects.filter(organisation=fleet, roaming_cdr__isnull=False).count() == 3
    key = create_api_key(organisation=fleet, name="finance", scopes=list(Scope.values))[1]
    checks = client.get("/api/v1/price-checks/", headers={"X-API-Key": key}).json()["results"]
    assert sorted(row["state"] for row in checks) == ["agrees", "agrees", "differs"], checks
    disputed = next(row for row in checks if row["state"] == "differs")
    dispute = client.get(f"/api/v1/price-checks/{disputed['id']}/dispute/?as=csv", headers={"X-API-Key": key})
    assert dispute.status_code == 200
    assert "Energy" in dispute.content.decode()
    assert disputed["difference_paise"] == round(26.2 * 3.5 * 100)
