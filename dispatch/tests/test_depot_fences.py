"""A depot's own geofence: drawn by itself, as wide as the depot, and the fleet's to change or remove."""

from datetime import UTC, datetime

import pytest

from dispatch.depot import tasks
from dispatch.depot.models import Depot
from dispatch.tests import factories
from stations.models import Location
from vehicles.geofences import services
from vehicles.models import Geofence
from vehicles.tests.test_api import client_of

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)


@pytest.fixture
def depot(organisation) -> Depot:
    place = factories.location(factories.source(organisation), organisation=organisation)
    factories.charger(place, organisation)
    return Depot.objects.create(location=place, organisation=organisation)


def drawn() -> list[tuple[str, int | None, str]]:
    return list(Geofence.objects.drawn().order_by("pk").values_list("name", "radius_m", "depot"))


def test_each_depot_has_one_as_wide_as_it_is(depot, organisation) -> None:
    tasks.plan_nights()
    tasks.plan_nights()
    place = depot.location
    assert drawn() == [(place.name, 400, place.public_id)]
    fence = Geofence.objects.get()
    assert fence.geometry["coordinates"] == [place.longitude, place.latitude]
    answer = client_of(organisation).put(f"/api/v1/depots/{place.public_id}/", {"radius_m": 10})
    assert answer.status_code == 200
    assert drawn() == [(place.name, 20, place.public_id)]


def test_what_the_fleet_has_drawn_or_removed_stays_so(depot, organisation) -> None:
    tasks.plan_nights()
    fence = Geofence.objects.get()
    services.change(geofence_id=fence.pk, name="Gate", geometry=fence.geometry, radius_m=60)
    client_of(organisation).put(f"/api/v1/depots/{depot.location.public_id}/", {"radius_m": 900})
    tasks.plan_nights()
    assert drawn() == [("Gate", 60, depot.location.public_id)]
    services.remove(geofence_id=fence.pk, now=NOW)
    tasks.plan_nights()
    assert drawn() == []


def test_a_name_that_is_taken_gets_the_id_of_the_site(depot, organisation) -> None:
    place = Location.objects.get()
    point = {"type": "Point", "coordinates": [77.6, 12.9]}
    services.draw(organisation_id=organisation.pk, name=place.name.upper(), geometry=point, radius_m=200)
    tasks.plan_nights()
    assert drawn()[1][0] == f"{place.name} ({place.public_id})"


def test_a_fleet_without_room_plans_its_nights_all_the_same(depot, monkeypatch) -> None:
    monkeypatch.setattr(services, "MOST_GEOFENCES", 0)
    tasks.plan_nights()
    assert drawn() == []
