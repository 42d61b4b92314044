"""What lies over the map: the places a fleet holds, and how far off a vehicle was that was charged for."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.models import ChargingSession
from dispatch import services
from dispatch.models import Alert, Reservation
from dispatch.tests import factories
from dispatch.tests.factories import HERE, ping
from dispatch.wording import Says

pytestmark = pytest.mark.django_db
ADDRESS = "/api/v1/live/overlays/"


@pytest.fixture
def now():
    return timezone.now().replace(microsecond=0)


@pytest.fixture
def desk(client, dispatcher):
    client.force_login(dispatcher)
    return client


def hold(organisation, now, *, bay="", **fields):
    network = factories.source(organisation)
    plug = factories.connector(factories.location(network, organisation=organisation), at=now)
    type(plug.evse).objects.filter(pk=plug.evse_id).update(physical_reference=bay)
    values = {"state": "confirmed", "starts_at": now, "expires_at": now + timedelta(minutes=20), **fields}
    van = factories.vehicle(organisation, at=now)
    return Reservation.objects.create(organisation=organisation, vehicle=van, connector=plug, id_token="T", **values)


def test_a_place_is_told_with_its_bay_as_people_find_it(desk, organisation, now):
    held = hold(organisation, now, bay="Bay 7", way="soft")
    counted = hold(organisation, now, starts_at=now + timedelta(hours=1), expires_at=now + timedelta(hours=2))
    hold(organisation, now, state="cancelled")
    first, second = desk.get(ADDRESS).json()["reservations"]
    assert first["expires_at"].startswith((now + timedelta(minutes=20)).isoformat()[:19])
    assert (first["number"], first["vehicle_id"], first["bay"], first["way"]) == (held.pk, held.vehicle_id, "7", "soft")
    assert first["station_id"] == held.connector.evse.location_id
    assert (second["number"], second["bay"]) == (counted.pk, "1")


def doubt(organisation, now, *, started_at):
    place = factories.location(factories.source(organisation), organisation=organisation)
    plug, van = factories.connector(place, at=now), factories.vehicle(organisation, at=now)
    session = ChargingSession.objects.create(
        organisation=organisation, source=place.source, connector=plug, vehicle=van, transaction_ref=f"T{van.pk}",
        start_key=f"S{van.pk}", started_at=started_at,
    )  # fmt: skip
    services.open_alert(
        organisation_id=organisation.pk, kind="money", dedupe_key=str(van.pk), says=Says("session_held"),
        vehicle_id=van.pk, session_id=session.pk, now=now,
    )  # fmt: skip
    return van, place


def test_a_doubt_tells_where_the_vehicle_was_when_the_session_began(desk, organisation, now):
    van, place = doubt(organisation, now, started_at=now - timedelta(hours=1))
    ping(van, now - timedelta(hours=1, minutes=20), east_m=5000)
    ping(van, now - timedelta(hours=1, minutes=2), east_m=1000)
    ping(van, now - timedelta(minutes=50))
    (gap,) = desk.get(ADDRESS).json()["gaps"]
    assert (gap["station_id"], gap["alert_id"]) == (place.pk, Alert.objects.get().pk)
    assert (gap["latitude"], gap["longitude"]) == (HERE[0], pytest.approx(HERE[1] + 0.009))
    assert gap["distance_m"] == pytest.approx(977, abs=5)


def test_without_a_position_of_that_time_nothing_is_claimed(desk, organisation, now):
    van, _place = doubt(organisation, now, started_at=now - timedelta(hours=3))
    ping(van, now - timedelta(hours=4))
    ping(van, now - timedelta(hours=2))
    assert desk.get(ADDRESS).json()["gaps"] == []


def test_a_doubt_that_is_settled_is_gone(desk, organisation, now):
    van, _place = doubt(organisation, now, started_at=now - timedelta(hours=1))
    ping(van, now - timedelta(hours=1, minutes=2))
    services.close_alert(alert_id=Alert.objects.get().pk, actor=None, reason="cleared", now=now)
    assert desk.get(ADDRESS).json()["gaps"] == []


def test_strangers_see_none_of_it(client, stranger, organisation, now):
    hold(organisation, now)
    van, _place = doubt(organisation, now, started_at=now - timedelta(hours=1))
    ping(van, now - timedelta(hours=1, minutes=2))
    assert client.get(ADDRESS).status_code == 401
    client.force_login(stranger)
    assert client.get(ADDRESS).json() == {"reservations": [], "gaps": []}


def test_it_takes_the_same_few_queries_for_any_number(desk, organisation, now):
    hold(organisation, now)
    desk.get(ADDRESS)
    with CaptureQueriesContext(connection) as few:
        desk.get(ADDRESS)
    for _ in range(4):
        hold(organisation, now)
    with CaptureQueriesContext(connection) as many:
        assert len(desk.get(ADDRESS).json()["reservations"]) == 5
    assert len(many) == len(few)
