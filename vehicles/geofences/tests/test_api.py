"""Geofences over REST: drawn, changed, removed, and refused with the reason; strangers see nothing."""

from datetime import timedelta

import pytest

from vehicles.geofences import services
from vehicles.geofences.models import Geofence, GeofenceEvent, GeofenceSet, GeofenceStanding
from vehicles.tests.factories import NOON, make_vehicle
from vehicles.tests.test_api import client_of

pytestmark = pytest.mark.django_db
CIRCLE = {"type": "Point", "coordinates": [77.59, 12.97]}
SQUARE = {
    "type": "Polygon",
    "coordinates": [[[77.59, 12.89], [77.61, 12.89], [77.61, 12.91], [77.59, 12.91], [77.59, 12.89]]],
}


@pytest.fixture
def yard(organisation) -> Geofence:
    return services.draw(organisation_id=organisation.pk, name="Yard", geometry=CIRCLE, radius_m=200)


def test_one_is_drawn_shown_changed_and_removed(organisation) -> None:
    api = client_of(organisation)
    drawn = api.post("/api/v1/geofences/", {"name": "Yard", "geometry": CIRCLE, "radius_m": 200})
    assert drawn.status_code == 201
    address = f"/api/v1/geofences/{drawn.json()['id']}/"
    assert api.get(address).json() == drawn.json()
    changed = api.patch(address, {"geometry": SQUARE}).json()
    assert (changed["name"], changed["geometry"], changed["radius_m"]) == ("Yard", SQUARE, None)
    assert api.patch(address, {"name": "Hub"}).json()["name"] == "Hub"
    assert [row["name"] for row in api.get("/api/v1/geofences/").json()["results"]] == ["Hub"]
    assert api.delete(address).status_code == 204
    assert api.get(address).status_code == 404
    assert api.get("/api/v1/geofences/").json()["results"] == []
    assert GeofenceSet.objects.values_list("revision", "geofences").get() == (4, 0)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"geometry": {"type": "Point", "coordinates": [12.97, 77.59]}, "radius_m": 200}, "Longitude comes first"),
        ({"geometry": CIRCLE}, "needs a radius"),
        ({"geometry": CIRCLE, "radius_m": 5}, "greater than or equal to 20"),
        ({"geometry": SQUARE, "radius_m": 200}, "Only a circle"),
        ({"geometry": {"type": "Polygon", "coordinates": [SQUARE["coordinates"][0][:-1]]}}, "not closed"),
        ({"geometry": [[[]]]}, "GeoJSON"),
        ({}, "required"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_stored(organisation, yard, sent, said) -> None:
    api = client_of(organisation)
    for answer in (
        api.post("/api/v1/geofences/", {"name": "New", **sent}),
        *([api.patch(f"/api/v1/geofences/{yard.pk}/", sent)] if sent else []),
    ):
        assert answer.status_code == 400
        assert said in answer.json()["detail"]
    yard.refresh_from_db()
    assert (Geofence.objects.count(), yard.geometry, yard.radius_m) == (1, CIRCLE, 200)


def test_a_name_is_given_once_until_it_is_free_again(organisation, yard, monkeypatch) -> None:
    api = client_of(organisation)
    wanted = {"name": "yard", "geometry": CIRCLE, "radius_m": 300}
    answer = api.post("/api/v1/geofences/", wanted)
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    api.delete(f"/api/v1/geofences/{yard.pk}/")
    assert api.post("/api/v1/geofences/", wanted).status_code == 201
    monkeypatch.setattr(services, "MOST_GEOFENCES", 1)
    answer = api.post("/api/v1/geofences/", {**wanted, "name": "Another"})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_geofences")


def test_events_are_listed_newest_first_and_filtered(organisation, yard) -> None:
    van, other = make_vehicle(organisation), make_vehicle(organisation)
    for number, (vehicle, kind) in enumerate([(van, "entered"), (other, "entered"), (van, "left")]):
        GeofenceEvent.objects.create(
            organisation=organisation, geofence=yard, vehicle=vehicle, kind=kind,
            at=NOON + timedelta(minutes=number), latitude=12.97, longitude=77.59,
        )  # fmt: skip
    GeofenceStanding.objects.create(geofence=yard, vehicle=other, is_inside=True, is_doubted=False, since=NOON)
    GeofenceStanding.objects.create(geofence=yard, vehicle=van, is_inside=False, is_doubted=True, since=NOON)
    api = client_of(organisation)

    def listed(query: str = "") -> list[tuple[int, str]]:
        answer = api.get(f"/api/v1/geofence-events/{query}")
        return [(row["vehicle"], row["kind"]) for row in answer.json()["results"]]

    assert listed() == [(van.pk, "left"), (other.pk, "entered"), (van.pk, "entered")]
    assert listed(f"?vehicle={van.pk}&kind=entered") == [(van.pk, "entered")]
    assert listed("?since=2026-11-21T12:01:00Z&until=2026-11-21T12:02:00Z") == [(other.pk, "entered")]
    assert listed(f"?geofence={yard.pk + 1}") == []
    inside = api.get(f"/api/v1/geofences/{yard.pk}/vehicles/").json()
    assert inside == [{"vehicle": other.pk, "registration": other.registration, "since": "2026-11-21T12:00:00Z"}]


def test_strangers_see_and_change_nothing(organisation, other_organisation, yard) -> None:
    stranger, address = client_of(other_organisation), f"/api/v1/geofences/{yard.pk}/"
    assert stranger.get("/api/v1/geofences/").json()["results"] == []
    for answer in (
        stranger.get(address), stranger.patch(address, {"name": "Mine"}), stranger.delete(address),
        stranger.get(f"{address}vehicles/"),
    ):  # fmt: skip
        assert answer.status_code == 404
    assert stranger.post("/api/v1/geofences/", {"name": "Yard", "geometry": CIRCLE, "radius_m": 50}).status_code == 201
    yard.refresh_from_db()
    assert (yard.name, yard.removed_at) == ("Yard", None)
