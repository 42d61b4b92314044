"""The page of geofences: drawn by a click or from GeoJSON, changed, removed, and who came and left."""

import json

import pytest

from fleetcharge.accounts.models import Membership, User
from vehicles.geofences import services
from vehicles.geofences.models import Geofence, GeofenceEvent, GeofenceStanding
from vehicles.tests.factories import NOON, make_vehicle

pytestmark = pytest.mark.django_db
PAGE, SAVE = "/fleet/geofences/", "/fleet/geofences/save/"
CIRCLE = {"type": "Point", "coordinates": [77.59, 12.97]}
SQUARE = {
    "type": "Polygon",
    "coordinates": [[[77.59, 12.89], [77.61, 12.89], [77.61, 12.91], [77.59, 12.91], [77.59, 12.89]]],
}


def signed_in(client, organisation, role: str = Membership.Role.DISPATCHER):
    user = User.objects.create_user(f"{role}@{organisation.slug}.example", "correct horse")
    Membership.objects.create(user=user, organisation=organisation, role=role)
    client.force_login(user)
    return client


@pytest.fixture
def desk(client, organisation):
    return signed_in(client, organisation)


@pytest.fixture
def yard(organisation) -> Geofence:
    return services.draw(organisation_id=organisation.pk, name="Yard <b>", geometry=CIRCLE, radius_m=200)


def test_a_click_draws_a_circle_and_pasted_geojson_a_polygon(desk) -> None:
    clicked = {"name": "Yard", "latitude": "12.97", "longitude": "77.59", "radius_m": "250", "geojson": ""}
    assert desk.post(SAVE, clicked).headers["Location"] == PAGE
    pasted = {"name": "City", "latitude": "", "longitude": "", "radius_m": "200", "geojson": json.dumps(SQUARE)}
    page = desk.post(SAVE, pasted, follow=True).content.decode()
    assert "The geofence is drawn." in page
    assert list(Geofence.objects.values_list("name", "geometry", "radius_m")) == [
        ("City", SQUARE, None), ("Yard", CIRCLE, 250),
    ]  # fmt: skip
    assert "Yard" in page
    assert "77.59" in page


def test_one_is_changed_in_the_form_that_shows_it(desk, yard) -> None:
    page = desk.get(f"{PAGE}?edit={yard.pk}").content.decode()
    assert 'value="12.97"' in page
    assert 'value="200"' in page
    assert "Yard <b>" not in page
    desk.post(SAVE, {"geofence": yard.pk, "name": "Hub", "radius_m": "200", "geojson": json.dumps(SQUARE)})
    page = desk.get(f"{PAGE}?edit={yard.pk}").content.decode()
    assert "&quot;Polygon&quot;" in page
    yard.refresh_from_db()
    assert (yard.name, yard.radius_m) == ("Hub", None)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"latitude": "77.59", "longitude": "12.97", "radius_m": "200"}, "Longitude comes first"),
        ({"geojson": "{"}, "A name is needed"),
        ({"geojson": "7"}, "or paste GeoJSON"),
        ({}, "Click the map"),
        ({"latitude": "12.97", "longitude": "77.59"}, "needs a radius"),
        (
            {"latitude": "12.97", "longitude": "77.59", "radius_m": "200", "geojson": json.dumps(SQUARE)},
            "Click the map for a circle, or paste GeoJSON",
        ),
        ({"name": "yard <B>", "latitude": "12.97", "longitude": "77.59", "radius_m": "200"}, "has this name"),
    ],
)
def test_what_cannot_be_taken_is_said_above_the_form_which_keeps_it(desk, yard, sent, said) -> None:
    answer = desk.post(SAVE, {"name": "New", **sent})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert said in page.partition("fence-map")[0]
    assert all(f'value="{value}"' in page for name, value in sent.items() if name in {"latitude", "radius_m"})
    assert Geofence.objects.count() == 1


def test_it_shows_who_is_inside_and_who_came(desk, organisation, yard) -> None:
    van = make_vehicle(organisation)
    GeofenceStanding.objects.create(geofence=yard, vehicle=van, is_inside=True, is_doubted=False, since=NOON)
    GeofenceEvent.objects.create(
        organisation=organisation, geofence=yard, vehicle=van, kind="entered", at=NOON, latitude=12.97, longitude=77.59
    )
    page = desk.get(PAGE).content.decode()
    assert '<td class="right num">1</td>' in page
    assert van.registration in page
    assert "came in" in page
    desk.post(f"{PAGE}{yard.pk}/remove/")
    assert Geofence.objects.drawn().count() == 0
    assert "came in" in desk.get(PAGE).content.decode()


def test_strangers_and_those_who_only_look_change_nothing(client, organisation, other_organisation, yard) -> None:
    finance = signed_in(client, organisation, Membership.Role.FINANCE)
    page = finance.get(PAGE).content.decode()
    assert "Yard" in page
    assert "fence-form" not in page
    assert finance.post(SAVE, {"name": "x"}).status_code == 403
    stranger = signed_in(client, other_organisation)
    assert "Yard" not in stranger.get(PAGE).content.decode()
    assert stranger.get(f"{PAGE}?edit={yard.pk}").status_code == 404
    assert stranger.post(SAVE, {"geofence": yard.pk, "name": "Mine"}).status_code == 404
    assert stranger.post(f"{PAGE}{yard.pk}/remove/").status_code == 404
    yard.refresh_from_db()
    assert (yard.name, yard.removed_at) == ("Yard <b>", None)
