"""The map of the last hours: own vehicles where they were, plugs as they said, bounded, and nothing for strangers."""

from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dispatch import services
from dispatch.past import plugs, tracks
from dispatch.tests import factories
from dispatch.tests.factories import ping
from dispatch.wording import Says
from fleetcharge.accounts.models import Scope
from fleetcharge.accounts.services import create_api_key
from stations.models import StatusChange
from vehicles.fixes import CHARGING, SUSPECT_POSITION, SUSPECT_SOC

pytestmark = pytest.mark.django_db
ADDRESS = "/api/v1/live/past/"
PLACE = tuple(round(degrees * 1e7) for degrees in factories.HERE)
FIELDS = 7


@pytest.fixture
def now():
    return timezone.now().replace(microsecond=0)


@pytest.fixture
def desk(client, dispatcher):
    client.force_login(dispatcher)
    return client


@pytest.fixture
def ask(desk, now):
    def get(**query):
        answer = desk.get(ADDRESS, {"to": now.isoformat(), **query})
        assert answer.status_code == 200, answer.content
        return answer.json()

    return get


def points_of(told, van):
    """With seconds and places summed up again."""
    flat = next((row["points"] for row in told["vehicles"] if row["id"] == van.pk), [])
    points, sums = [], [0, 0, 0]
    for at in range(0, len(flat), FIELDS):
        sums = [before + more for before, more in zip(sums, flat[at : at + 3], strict=True)]
        points.append((*sums, *flat[at + 3 : at + FIELDS]))
    return points


def test_a_vehicle_is_told_point_by_point_from_the_place_it_had_before(ask, organisation, now):
    van = factories.vehicle(organisation)
    ping(van, now - timedelta(hours=5), east_m=-500, speed_dkmh=0, soc_permille=None)
    ping(van, now - timedelta(hours=1), flags=CHARGING)
    ping(van, now - timedelta(minutes=30), east_m=1000, flags=SUSPECT_SOC)
    told = ask()
    assert points_of(told, van) == [
        (-3 * 3600, 1_297_160, 7_759_010, 0, 90, -1, 0),
        (3600, 1_297_160, 7_759_460, 24, 90, 50, 1),
        (5400, 1_297_160, 7_760_360, 24, 90, -1, 0),
    ]
    assert (told["is_complete"], told["step_seconds"]) == (True, 10)


def test_jumps_that_no_vehicle_makes_are_left_out(ask, organisation, now):
    van = factories.vehicle(organisation)
    ping(van, now - timedelta(minutes=30))
    ping(van, now - timedelta(minutes=20), east_m=90_000, flags=SUSPECT_POSITION)
    assert len(points_of(ask(), van)) == 1


def test_many_pings_are_thinned_to_the_newest_of_each_step(ask, organisation, now, monkeypatch):
    monkeypatch.setattr(tracks, "MAX_POINTS", 60)
    van = factories.vehicle(organisation)
    for second in range(0, 1800, 5):
        ping(van, now - timedelta(seconds=1800 - second), east_m=second)
    told = ask()
    points = points_of(told, van)
    assert told["step_seconds"] == 120
    assert len(points) <= 60
    assert points[-1][0] == 7200 - 5
    assert all(later[0] - earlier[0] <= 240 for earlier, later in pairwise(points))


def test_nobody_sees_the_past_of_another_fleet(client, stranger, organisation, now):
    van = factories.vehicle(organisation)
    ping(van, now - timedelta(minutes=30))
    depot = factories.location(factories.source(organisation), organisation=organisation)
    factories.connector(depot, at=now)
    services.open_alert(
        organisation_id=organisation.pk, kind="money", dedupe_key="a", says=Says("session_held"), now=now
    )
    client.force_login(stranger)
    told = client.get(ADDRESS).json()
    assert (told["vehicles"], told["stations"], told["alerts"]) == ([], [], [])


def test_it_takes_a_role_or_a_key_that_may_look_at_dispatch(client, organisation):
    assert client.get(ADDRESS).status_code == 401
    _key, secret = create_api_key(organisation=organisation, name="billing", scopes=[Scope.BILLING_READ])
    assert client.get(ADDRESS, headers={"Authorization": f"Bearer {secret}"}).status_code == 403


def test_of_a_large_fleet_those_in_view_are_told_and_that_there_are_more(ask, organisation, now, monkeypatch):
    monkeypatch.setattr(tracks, "MAX_VEHICLES", 2)
    here, there = [factories.vehicle(organisation) for _ in range(2)], factories.vehicle(organisation)
    for number, van in enumerate(here):
        ping(van, now - timedelta(minutes=30 + number))
    ping(there, now - timedelta(minutes=30), latitude_e7=PLACE[0] + 10_000_000)
    around = ask(bbox="77.5,12.9,77.7,13.0")
    assert {row["id"] for row in around["vehicles"]} == {van.pk for van in here}
    assert around["is_complete"]
    everywhere = ask()
    assert (len(everywhere["vehicles"]), everywhere["is_complete"]) == (2, False)


def change(plug, old, new, at):
    StatusChange.objects.create(connector=plug, old=old, new=new, at=at)


def steps_of(told, place):
    flat = next(row["steps"] for row in told["stations"] if row["id"] == place.pk)
    return [tuple(flat[at : at + 3]) for at in range(0, len(flat), 3)]


def test_plugs_are_told_as_they_were(ask, organisation, now):
    place = factories.location(factories.source(organisation), organisation=organisation)
    one, _other = (factories.connector(place, at=now) for _ in range(2))
    one.status = "faulted"
    one.save(update_fields=["status"])
    change(one, "available", "charging", now - timedelta(hours=1))
    change(one, "charging", "faulted", now - timedelta(minutes=20))
    told = ask()
    assert steps_of(told, place) == [(0, 2, 0), (3600, 1, 0)]
    assert next(row["total"] for row in told["stations"]) == 2
    before = ask(**{"from": (now - timedelta(hours=2)).isoformat(), "to": (now - timedelta(minutes=90)).isoformat()})
    assert steps_of(before, place) == [(0, 2, 0)]


def test_of_what_was_said_since_nothing_is_read(ask, organisation, now, monkeypatch):
    monkeypatch.setattr(plugs, "MAX_CHANGES", 1)
    place = factories.location(factories.source(organisation), organisation=organisation)
    plug = factories.connector(place, at=now, status="faulted")
    change(plug, "available", "charging", now - timedelta(minutes=150))
    for minutes in range(100, 0, -20):
        change(plug, "charging", "available", now - timedelta(minutes=minutes))
        change(plug, "available", "charging", now - timedelta(minutes=minutes - 10))
    change(plug, "charging", "faulted", now)
    told = ask(**{"from": (now - timedelta(hours=3)).isoformat(), "to": (now - timedelta(hours=2)).isoformat()})
    assert (steps_of(told, place), told["is_complete"]) == ([(0, 1, 0), (1800, 0, 1)], True)


def test_a_site_whose_only_plug_fails_changes_its_colour(ask, organisation, now):
    place = factories.location(factories.source(organisation), organisation=organisation)
    plug = factories.connector(place, at=now, status="faulted")
    change(plug, "available", "charging", now - timedelta(hours=1))
    change(plug, "charging", "faulted", now - timedelta(minutes=20))
    assert steps_of(ask(), place) == [(0, 1, 0), (3600, 0, 1), (6000, 0, 3)]


def test_sites_out_of_view_are_left_out_and_too_many_are_said_to_be(ask, organisation, now, monkeypatch):
    network = factories.source(organisation)
    near, far = factories.location(network), factories.location(network, latitude=28.6, longitude=77.2)
    for place in (near, near, far):
        factories.connector(place, at=now)
    assert [row["id"] for row in ask(bbox="77.5,12.9,77.7,13.0")["stations"]] == [near.pk]
    monkeypatch.setattr(plugs, "MAX_CONNECTORS", 2)
    assert not ask()["is_complete"]


def test_alerts_of_that_time_are_named(ask, organisation, now):
    van = factories.vehicle(organisation)
    for key, at in (("old", now - timedelta(hours=3)), ("new", now - timedelta(hours=1))):
        services.open_alert(
            organisation_id=organisation.pk, kind="money", dedupe_key=key, says=Says("session_held"),
            vehicle_id=van.pk, now=at,
        )  # fmt: skip
    (alert,) = ask()["alerts"]
    assert (alert["second"], alert["vehicle_id"], alert["title"]) == (3600, van.pk, "A session waits for finance")


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-03-01T10:00Z", "to": "2026-03-01T13:01Z"},
        {"from": "2026-03-01T10:00Z", "to": "2026-03-01T10:00Z"},
        {"from": "yesterday"}, {"bbox": "1,2,3"}, {"bbox": "nan,nan,nan,nan"}, {"bbox": "78,12,77,13"},
        {"bbox": "77,12,78,99"}, {"from": "9999-12-31T23:59Z"},
    ],
)  # fmt: skip
def test_what_is_no_time_or_no_box_is_said_to_be_none(desk, query):
    answer = desk.get(ADDRESS, query)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_it_takes_the_same_few_queries_for_any_fleet(ask, organisation, now):
    def fill(count):
        for _ in range(count):
            ping(factories.vehicle(organisation), now - timedelta(minutes=10))
            factories.connector(factories.location(factories.source(organisation), organisation=organisation), at=now)

    fill(1)
    ask()
    with CaptureQueriesContext(connection) as few:
        ask()
    fill(6)
    with CaptureQueriesContext(connection) as many:
        assert len(ask()["vehicles"]) == 7
    assert len(many) == len(few)
