"""Stops that were visited are done, by the position or by a person, and only then."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine

from fleetcharge.lib.events import _handlers
from vehicles import services, tasks
from vehicles.events import StopDone
from vehicles.models import Stop, Vehicle, VehicleState
from vehicles.services import PlannedStop
from vehicles.tests.factories import NOON, make_state, make_vehicle
from vehicles.tests.test_api import client_of

pytestmark = pytest.mark.django_db
SHOP, DEPOT = (12.9700, 77.5900), (13.0000, 77.6000)
AWAY = (12.9800, 77.5900)
BESIDE = (12.9708, 77.5900)  # 89 m


@pytest.fixture
def van(organisation) -> Vehicle:
    van = make_vehicle(organisation)
    services.set_stops(vehicle_id=van.pk, stops=[PlannedStop("Shop", *SHOP), PlannedStop("Depot", *DEPOT)])
    make_state(van, latitude=AWAY[0], longitude=AWAY[1], received_at=NOON, speed_kmh=30.0)
    return van


@pytest.fixture
def told(monkeypatch) -> list[StopDone]:
    events: list[StopDone] = []
    monkeypatch.setitem(_handlers, StopDone, [events.append])
    return events


def drive(van: Vehicle, place: tuple[float, float], seconds: int, speed_kmh: float = 30.0, **fields: Any) -> list[str]:
    """The vehicle's state so many seconds after noon, looked at then; the names of the open stops."""
    at = NOON + timedelta(seconds=seconds)
    state = {"latitude": place[0], "longitude": place[1], "speed_kmh": speed_kmh, "position_at": at, "received_at": at}
    VehicleState.objects.filter(vehicle=van).update(**{**state, **fields})
    return look(van, fields.get("received_at", at))


def look(van: Vehicle, now: datetime) -> list[str]:
    with time_machine.travel(now, tick=False):
        tasks.follow_vehicles()
    return list(Stop.objects.filter(vehicle=van, done_at=None).values_list("name", flat=True))


def test_who_stands_at_the_next_stop_has_done_it_and_it_is_told_once(van, told, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        assert drive(van, BESIDE, 15, speed_kmh=4.0) == ["Depot"]
        assert drive(van, BESIDE, 30, speed_kmh=4.0) == ["Depot"]
    done = Stop.objects.get(name="Shop")
    assert done.done_at == NOON + timedelta(seconds=15)
    assert told == [StopDone(done.pk, van.pk, van.organisation_id, done.done_at)]


def test_who_drives_past_has_not_been_there_and_a_minute_nearby_is_a_visit(van) -> None:
    assert drive(van, BESIDE, 15) == ["Shop", "Depot"]
    assert drive(van, AWAY, 60) == ["Shop", "Depot"]
    assert drive(van, BESIDE, 90) == ["Shop", "Depot"]  # counted anew
    assert drive(van, BESIDE, 149) == ["Shop", "Depot"]
    assert drive(van, BESIDE, 150, speed_kmh=None) == ["Depot"]


def test_only_the_next_stop_counts(van) -> None:
    assert drive(van, DEPOT, 15, speed_kmh=0.0) == ["Shop", "Depot"]


def test_a_position_that_came_late_or_is_old_by_now_does_nothing(van) -> None:
    late = NOON + timedelta(minutes=12)
    assert drive(van, SHOP, 60, speed_kmh=0.0, received_at=late) == ["Shop", "Depot"]
    assert look(van, NOON + timedelta(minutes=30)) == ["Shop", "Depot"]
    drive(van, AWAY, 60)
    VehicleState.objects.filter(vehicle=van).update(latitude=SHOP[0], speed_kmh=0.0)
    assert look(van, NOON + timedelta(minutes=30)) == ["Shop", "Depot"]


def test_a_vehicle_that_left_the_fleet_visits_nothing(van) -> None:
    Vehicle.objects.filter(pk=van.pk).update(is_active=False)
    assert drive(van, SHOP, 15, speed_kmh=0.0) == ["Shop", "Depot"]


def test_a_person_ticks_off_and_takes_back_and_the_vehicle_does_not_contradict(van, organisation) -> None:
    api, shop = client_of(organisation), Stop.objects.get(name="Shop")
    address = f"/api/v1/vehicles/{van.pk}/stops/{shop.pk}/done/"
    first = api.post(address).json()["done_at"]
    assert first is not None
    assert api.post(address).json()["done_at"] == first
    assert api.delete(address).json()["done_at"] is None
    assert drive(van, SHOP, 15, speed_kmh=0.0) == ["Shop", "Depot"]
    assert api.post(address).json()["done_at"] is not None
    assert api.post(f"/api/v1/vehicles/{van.pk}/stops/{shop.pk + 9_999}/done/").status_code == 404


def test_a_stranger_ticks_off_nothing(van, other_organisation, organisation) -> None:
    shop = Stop.objects.get(name="Shop")
    stranger = client_of(other_organisation)
    own = make_vehicle(other_organisation)
    for vehicle_id in (van.pk, own.pk):
        for method in (stranger.post, stranger.delete):
            assert method(f"/api/v1/vehicles/{vehicle_id}/stops/{shop.pk}/done/").status_code == 404
    shop.refresh_from_db()
    assert shop.done_at is None
