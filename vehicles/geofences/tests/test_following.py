"""From stored positions to crossings that are told once: late, doubtful and made-up ones tell nothing."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from fleetcharge.lib.events import _handlers
from fleetcharge.webhooks.models import WebhookEndpoint, WebhookMessage
from vehicles import services as fleet
from vehicles.events import GeofenceCrossed
from vehicles.fixes import LATE, MOCK_LOCATION, SUSPECT_POSITION
from vehicles.geofences import following, services
from vehicles.geofences.models import Geofence, GeofenceCursor, GeofenceEvent, GeofenceStanding
from vehicles.models import Position, Vehicle, VehicleState
from vehicles.tests.factories import NOON, make_state, make_vehicle

pytestmark = pytest.mark.django_db
YARD, NEAR, AWAY = (12.97, 77.59), (12.9735, 77.59), (12.99, 77.59)
CIRCLE = {"type": "Point", "coordinates": [77.59, 12.97]}


@pytest.fixture(autouse=True)
def today(organisation) -> None:
    fleet.ensure_partitions(today=NOON.date())


@pytest.fixture
def told() -> Iterator[list[GeofenceCrossed]]:
    before, heard = _handlers.get(GeofenceCrossed, []), list[GeofenceCrossed]()
    _handlers[GeofenceCrossed] = [heard.append]
    yield heard
    _handlers[GeofenceCrossed] = before


@pytest.fixture
def van(organisation) -> Vehicle:
    """It was seen away from the yard when the yard had been drawn."""
    van = make_vehicle(organisation)
    make_state(van, position_at=None)
    draw(organisation)
    drive(van, (0, AWAY))
    look(0)
    return van


def draw(organisation, name: str = "Yard", geometry=CIRCLE, radius_m: int | None = 200) -> Geofence:
    return services.draw(organisation_id=organisation.pk, name=name, geometry=geometry, radius_m=radius_m)


def drive(van: Vehicle, *positions: tuple[float, tuple[float, float]], flags: int = 0) -> None:
    """Positions at seconds after noon, as ingest stores them."""
    for seconds, (latitude, longitude) in positions:
        at = NOON + timedelta(seconds=seconds)
        Position.objects.create(
            vehicle=van, fix_at=at, latitude_e7=round(latitude * 1e7), longitude_e7=round(longitude * 1e7),
            delay_cs=50, flags=flags,
        )  # fmt: skip
        VehicleState.objects.filter(vehicle=van).update(position_at=at, version=F("version") + 1)


def look(seconds: float) -> int:
    return following.follow(now=NOON + timedelta(seconds=seconds))


def events() -> list[tuple[str, int]]:
    rows = GeofenceEvent.objects.order_by("at").values_list("kind", "at")
    return [(kind, round((at - NOON).total_seconds())) for kind, at in rows]


def test_who_comes_in_and_leaves_is_stored_and_told_once(van, told, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        drive(van, (10, YARD), (20, YARD))
        assert look(20) == 1
        assert look(25) == 0
        drive(van, (30, AWAY), (40, AWAY))
        assert look(40) == 1
    assert events() == [("entered", 10), ("left", 40)]
    entered, left = GeofenceEvent.objects.order_by("at")
    yard = Geofence.objects.get()
    assert told == [
        GeofenceCrossed(entered.pk, van.pk, van.organisation_id, yard.pk, "entered", NOON + timedelta(seconds=10)),
        GeofenceCrossed(left.pk, van.pk, van.organisation_id, yard.pk, "left", NOON + timedelta(seconds=40)),
    ]
    assert (entered.latitude, entered.longitude) == YARD
    assert not GeofenceStanding.objects.exists()


def test_a_position_counts_once_also_when_what_was_judged_is_forgotten(van) -> None:
    drive(van, (10, YARD))
    assert look(10) == 1
    GeofenceStanding.objects.all().delete()
    GeofenceCursor.objects.update(checked_at=NOON, version=0)
    assert look(11) == 0
    assert events() == [("entered", 10)]
    with pytest.raises(IntegrityError), transaction.atomic():
        event = GeofenceEvent.objects.get()
        event.pk, event.kind = None, "left"
        event.save()


@pytest.mark.parametrize("flags", [LATE, SUSPECT_POSITION, MOCK_LOCATION])
def test_a_position_that_is_late_doubtful_or_made_up_tells_nothing(van, flags) -> None:
    drive(van, (10, YARD), (20, YARD), flags=flags)
    assert look(20) == 0
    drive(van, (30, YARD))
    assert look(30) == 1
    assert events() == [("entered", 30)]


def test_what_comes_out_of_order_or_is_old_when_we_look_tells_nothing(van) -> None:
    drive(van, (60, AWAY))
    look(60)
    drive(van, (10, YARD), (20, YARD))
    VehicleState.objects.update(position_at=NOON + timedelta(seconds=60))
    assert look(61) == 0
    drive(van, (70, YARD))
    assert look(70 + 601) == 0
    assert events() == []


def test_a_fence_that_is_drawn_around_a_vehicle_was_not_entered(van, organisation) -> None:
    draw(organisation, "City", radius_m=20_000)
    drive(van, (10, AWAY))
    assert look(10) == 0
    assert list(GeofenceStanding.objects.values_list("geofence__name", "is_inside")) == [("City", True)]
    drive(van, (20, (13.5, 77.59)), (30, (13.5, 77.59)))
    assert look(30) == 1
    assert events() == [("left", 30)]


def test_another_shape_is_left_with_the_next_positions_and_a_removed_one_no_more(van) -> None:
    drive(van, (10, YARD))
    look(10)
    yard = Geofence.objects.get()
    services.change(geofence_id=yard.pk, name="Yard", geometry={**CIRCLE, "coordinates": [77.7, 12.97]}, radius_m=200)
    drive(van, (20, YARD), (30, YARD))
    assert look(30) == 1
    assert events() == [("entered", 10), ("left", 30)]
    services.change(geofence_id=yard.pk, name="Yard", geometry=CIRCLE, radius_m=200)
    assert services.remove(geofence_id=yard.pk, now=NOON)
    assert not services.remove(geofence_id=yard.pk, now=NOON)
    drive(van, (40, YARD))
    assert look(40) == 0


def test_standings_at_a_removed_fence_are_forgotten(van) -> None:
    drive(van, (10, YARD))
    look(10)
    assert services.forget_removed() == 0
    services.remove(geofence_id=Geofence.objects.get().pk, now=NOON)
    assert services.forget_removed() == 1


def test_events_are_forgotten_after_four_hundred_days(van) -> None:
    drive(van, (10, YARD), (20, AWAY), (30, AWAY))
    assert look(30) == 2
    assert services.forget_old(now=NOON + timedelta(days=400, seconds=10)) == 0
    assert services.forget_old(now=NOON + timedelta(days=400, seconds=11)) == 1
    assert events() == [("left", 30)]


def test_more_old_events_than_one_bite_are_forgotten_at_once(van, monkeypatch) -> None:
    monkeypatch.setattr(services, "MOST_FORGOTTEN", 1)
    drive(van, (10, YARD), (20, AWAY), (30, AWAY))
    look(30)
    assert services.forget_old(now=NOON + timedelta(days=401)) == 2


def test_fleets_do_not_meet_each_others_fences(van, organisation, other_organisation) -> None:
    theirs = make_vehicle(other_organisation)
    make_state(theirs, position_at=None)
    drive(theirs, (0, AWAY), (10, YARD), (20, YARD))
    assert look(20) == 0
    draw(other_organisation, geometry={**CIRCLE, "coordinates": [77.7, 13.1]})
    drive(theirs, (30, YARD), (40, YARD))
    assert look(40) == 0
    assert not GeofenceStanding.objects.filter(vehicle=theirs).exists()


def test_many_vehicles_take_as_many_questions_as_one(van, organisation) -> None:
    def asked(seconds: int) -> int:
        with CaptureQueriesContext(
            connection,
        ) as questions:
            look(seconds)
        return len(questions)

    drive(van, (10, YARD))
    few = asked(10)
    others = [make_vehicle(organisation) for _ in range(8)]
    for other in others:
        make_state(other, position_at=None)
        drive(other, (15, AWAY))
    look(15)
    for other in others:
        drive(other, (20, YARD))
    assert asked(20) <= few
    assert GeofenceEvent.objects.count() == 9


def test_integrators_hear_of_both_and_strangers_of_none(van, organisation, other_organisation) -> None:
    from fleetcharge.webhooks.listeners import listeners

    for fleet_of in (organisation, other_organisation):
        WebhookEndpoint.objects.create(
            organisation=fleet_of, url="https://hooks.example/in", secret_encrypted="x",
            event_types=["geofence.entered", "geofence.left"],
        )  # fmt: skip
    listeners.forget()
    drive(van, (10, YARD), (20, AWAY), (30, AWAY))
    assert look(30) == 2
    messages = list(WebhookMessage.objects.order_by("event_type"))
    assert [(row.event_type, row.organisation_id) for row in messages] == [
        ("geofence.entered", organisation.pk), ("geofence.left", organisation.pk),
    ]  # fmt: skip
    event = GeofenceEvent.objects.get(kind="entered")
    assert messages[0].payload["data"] == {
        "id": event.pk, "geofence": {"id": event.geofence_id, "name": "Yard"},
        "vehicle": {"id": van.pk, "registration": van.registration}, "at": "2026-11-21T12:00:10Z",
        "latitude": YARD[0], "longitude": YARD[1],
    }  # fmt: skip


def test_a_vehicle_that_left_the_fleet_enters_nothing(van) -> None:
    Vehicle.objects.update(is_active=False)
    drive(van, (10, YARD))
    assert look(10) == 0


def test_the_beat_looks_at_the_present(van, time_machine_at) -> None:
    from vehicles import tasks

    drive(van, (10, YARD))
    with time_machine_at(NOON + timedelta(seconds=12)):
        tasks.follow_geofences()
    assert events() == [("entered", 10)]


@pytest.fixture
def time_machine_at():
    import time_machine

    def at(instant: datetime):
        return time_machine.travel(instant, tick=False)

    return at
