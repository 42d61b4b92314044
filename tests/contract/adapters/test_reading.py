"""What every network promises about its sites, plugs, prices and statuses."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from fleetcharge.accounts.models import Organisation
from stations.belief import freshness_of
from stations.cpo.base import Capability
from stations.models import Connector, Location, NetworkAccess, Source, StatusChange
from stations.tasks import poll_due_sources
from tests.contract.adapters.network import Network, becomes, lacks, needs, only_for, until
from tests.contract.adapters.ubc import UBC

pytestmark = pytest.mark.django_db(transaction=True)
READS = (
    "stations/",
    "connectors/",
    "tariffs/",
    "networks/",
    "connectors/status/",
    "stations/?near=12.97,77.59&min_kw=30",
)

with_a_list = only_for(lambda network: network.slug != "own", "we register our own chargers: nobody lists them")


@with_a_list
def test_a_delivery_brings_sites_with_plugs_power_and_prices(network: Network) -> None:
    assert network.sites().filter(is_removed=False).count() == 3
    source = network.source()
    assert (source.state, source.last_error, source.refused_objects) == ("connected", "", 0)
    for site in network.sites():
        assert (site.city, site.country_code) == ("Bengaluru", "IN")
        assert 12.8 < site.latitude < 13.2
        assert 77.4 < site.longitude < 77.8
    plug = network.plug()
    assert (plug.plug, plug.max_power_w, plug.status, plug.status_reason) == (
        "ccs2", 60_000, "available", "reported by the source"
    )  # fmt: skip
    assert plug.raw_status
    assert plug.tariff is not None
    assert plug.tariff.elements[0]["price_components"][0]["type"] == "ENERGY"
    assert float(plug.tariff.elements[0]["price_components"][0]["price"]) > 10


def this_millisecond() -> datetime:
    """As exact as every peer writes it."""
    now = timezone.now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def everything() -> dict[str, Any]:
    """All that a delivery writes, but when it was heard."""
    sites = Location.objects.order_by("pk").values_list("pk", "public_id", "name", "updated_at", "is_removed")
    plugs = Connector.objects.order_by("pk").values_list("pk", "public_id", "status", "status_at", "tariff_id")
    return {"sites": list(sites), "plugs": list(plugs), "history": StatusChange.objects.count()}


@with_a_list
def test_the_same_again_changes_nothing(network: Network) -> None:
    first = everything()
    heard = network.plug().heard_at
    for _ in range(2):
        assert network.deliver().last_error == ""
    assert everything() == first
    assert network.plug().heard_at > heard  # type: ignore[operator]


@lacks(Capability.PULL)
def test_who_cannot_be_asked_is_never_polled(network: Network) -> None:
    Source.objects.update(next_poll_at=None)
    asked = network.requests
    assert poll_due_sources() == 0
    assert network.requests == asked
    if network.slug == "own":
        assert list(network.adapter().poll(network.source())) == []
    else:
        assert network.poll().last_error_code == "no_poll_plan"
        assert "has no address to poll" in network.source().last_error


@with_a_list
def test_a_bad_object_is_refused_by_name_and_stops_nothing(network: Network) -> None:
    bad = network.spoil()
    network.deliver()
    refused = network.refused()
    assert list(refused) == [bad], refused
    assert refused[bad]
    assert network.source().state == "connected"
    assert network.sites().filter(name__contains="Renamed").count() == 1
    assert network.sites().filter(is_removed=False).count() == 3  # it is listed, so it is there
    assert network.plug(1).status == "available"


@needs(Capability.PUSH, why="UBC's callbacks speak of orders, plugs are looked at by poll")
def test_a_status_comes_with_its_time_and_older_news_is_ignored(network: Network) -> None:
    now = this_millisecond()
    network.tell("faulted", now)
    plug = network.shows("faulted")
    assert plug.status_at == now
    network.tell("available", now - timedelta(minutes=5))
    assert network.plug().status == "faulted"
    assert network.plug().status_at == now
    later = this_millisecond()
    network.tell("available", later)
    assert network.shows("available").status_at == later
    moves = list(StatusChange.objects.filter(connector=plug).order_by("pk").values_list("new", flat=True))
    assert moves[-2:] == ["faulted", "available"]


@lacks(Capability.PUSH)
def test_a_poll_shows_what_has_changed_where_nothing_is_pushed(network: Network) -> None:
    assert isinstance(network, UBC)
    network.change("faulted")
    network.poll()
    assert network.plug().status == "faulted"


@with_a_list
@only_for(lambda network: network.name != "webhook", "a vendor that only pushes lists nothing: it grows old instead")
def test_a_site_that_vanishes_is_hidden_with_its_history_and_comes_back(network: Network) -> None:
    gone = network.plug(1)
    site = gone.evse.location
    history = StatusChange.objects.filter(connector=gone).count()
    network.lose_site()
    site.refresh_from_db()
    assert site.is_removed
    assert network.plug(1).public_id == gone.public_id
    assert StatusChange.objects.filter(connector=gone).count() >= history
    listed = network.client().get("/api/v1/stations/").json()["results"]
    assert site.public_id not in {each["public_id"] for each in listed}
    assert len(listed) == 2
    network.find_site()
    site.refresh_from_db()
    assert not site.is_removed
    assert network.plug(1).public_id == gone.public_id


def test_a_status_grows_old_while_the_peer_is_silent_and_heals(network: Network) -> None:
    def after(minutes: float) -> str:
        return freshness_of(network.plug(), timezone.now() + timedelta(minutes=minutes))

    assert after(0) == "live"
    network.go_silent()
    if network.has(Capability.PULL):
        for _ in range(3):
            network.poll()
        assert network.source().state == "failing"
    assert [after(minutes) for minutes in (11, 31, 25 * 60)] == ["recent", "stale", "none"]
    Connector.objects.update(heard_at=timezone.now() - timedelta(hours=1))
    Source.objects.update(last_push_at=None)
    assert after(0) == "stale"
    shown = network.client().get(f"/api/v1/connectors/{network.plug().public_id}/").json()
    assert shown["freshness"] == "stale"
    network.speak()
    until("it to be believed again", lambda: after(0) == "live")
    assert network.source().state == "connected"


def test_reading_never_asks_the_peer(network: Network) -> None:
    asked = network.requests
    client = network.client()
    for path in READS:
        answer = client.get(f"/api/v1/{path}")
        assert answer.status_code == 200, (path, answer.content)
    plug, site = network.plug(), network.plug().evse.location
    for path in (f"connectors/{plug.public_id}/", f"stations/{site.public_id}/"):
        assert client.get(f"/api/v1/{path}").status_code == 200
    assert network.requests == asked


def make_private(network: Network) -> None:
    Source.objects.update(organisation=network.fleet)
    Location.objects.update(organisation=network.fleet)


def wish(network: Network, organisation: Organisation) -> dict[str, int]:
    van = network.strange_van if organisation == network.stranger else network.van
    return {"vehicle_id": van.pk, "connector_id": network.plugs[0]}


@pytest.mark.parametrize("is_private", [True, False], ids=["private", "public"])
def test_a_stranger_neither_sees_a_private_network_nor_uses_any(network: Network, is_private: bool) -> None:
    if is_private:
        make_private(network)
    elif network.slug == "own":
        pytest.skip("our own chargers are always somebody's")
    NetworkAccess.objects.filter(organisation=network.stranger).delete()
    asked, stranger = network.requests, network.client(network.stranger)
    plug, site = network.plug(), network.plug().evse.location
    seen = 404 if is_private else 200
    assert len(stranger.get("/api/v1/stations/").json()["results"]) == (0 if is_private else 3)
    assert stranger.get(f"/api/v1/stations/{site.public_id}/").status_code == seen
    assert stranger.get(f"/api/v1/connectors/{plug.public_id}/").status_code == seen
    for path in ("reservations/", "session-commands/start/"):
        body = wish(network, network.stranger)
        answer = stranger.post(f"/api/v1/{path}", body, content_type="application/json")
        assert answer.status_code == 404, answer.content
    assert network.requests == asked
    assert network.client().get(f"/api/v1/stations/{site.public_id}/").status_code == 200


def test_a_fleet_sees_none_of_what_another_has_reserved(network: Network) -> None:
    row = becomes(network.reserve(), "confirmed")
    stranger = network.client(network.stranger)
    assert stranger.get("/api/v1/reservations/").json()["results"] == []
    assert stranger.post(f"/api/v1/reservations/{row.number}/cancel/", {}).status_code == 404
    row.refresh_from_db()
    assert row.state == "confirmed"
