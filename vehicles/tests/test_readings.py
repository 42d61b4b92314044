"""The charge by the word of chargers and drivers, and what is learned from it."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db.models import F

from fleetcharge.lib.events import _handlers
from vehicles.events import SocLow, SocRecovered
from vehicles.loop import estimate_charges
from vehicles.models import Vehicle, VehicleState
from vehicles.readings import Metered, OlderThanKnown, Reading, Source, hear_chargers, take_word
from vehicles.tests.factories import NOON, make_model, make_state, make_vehicle
from vehicles.tests.test_api import client_of

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(minutes=30)


@pytest.fixture
def van(organisation) -> Vehicle:
    van = make_vehicle(organisation, model=make_model(battery_wh=20_000, consumption_wh_per_km=150))
    make_state(van, soc_percent=60.0, soc_at=NOON)
    return van


@pytest.fixture
def told(monkeypatch, django_capture_on_commit_callbacks) -> list[Any]:
    events: list[Any] = []
    for kind in (SocLow, SocRecovered):
        monkeypatch.setitem(_handlers, kind, [events.append])
    return events


def hear(van: Vehicle, session: int, wh: float, soc: float | None = None, minutes: float = 30) -> VehicleState:
    at = NOON + timedelta(minutes=minutes)
    hear_chargers([Metered(van.pk, session, wh, soc, at)], now=at)
    estimate_charges(now=at + timedelta(minutes=3))
    return VehicleState.objects.get(vehicle=van)


def test_a_charger_that_tells_the_charge_is_believed_from_then_on(van) -> None:
    state = hear(van, 1, 1_000, 34.0)
    assert (state.soc_percent, state.soc_source, state.soc_at) == (34.0, "charger", LATER)
    assert hear(van, 1, 1_000, 34.0, 20).soc_at == LATER  # older
    assert hear(van, 1, 3_000, 44.0, 40).soc_percent == 44.0


def test_kwh_of_a_charger_that_tells_no_charge_are_added_once(van) -> None:
    for _ in range(3):
        state = hear(van, 1, 2_000)
    assert (state.soc_source, state.soc_at) == ("estimated", NOON)
    assert state.soc_percent == pytest.approx(70.0)
    assert hear(van, 1, 1_500, minutes=35).soc_percent == pytest.approx(70.0)  # an older figure
    assert hear(van, 1, 5_000, minutes=40).soc_percent == pytest.approx(85.0)
    assert hear(van, 2, 1_000, minutes=60).soc_percent == pytest.approx(90.0)
    assert hear(van, 1, 9_000, minutes=61).soc_percent == pytest.approx(90.0)  # a session that was over
    assert hear(van, 2, 1_000, minutes=62).soc_sigma_percent > 0.5


def test_a_charger_that_repeats_the_charge_of_the_start_is_counted_by_its_kwh(van) -> None:
    hear(van, 1, 100, 40.0)
    state = hear(van, 1, 2_100, 40.0, 40)
    assert state.soc_percent == pytest.approx(50.0)
    assert (state.soc_base_percent, state.soc_base_source) == (40.0, "charger")


def test_kwh_before_a_reading_are_in_the_reading(van) -> None:
    hear(van, 1, 4_000, minutes=10)
    at = NOON + timedelta(minutes=20)
    VehicleState.objects.filter(vehicle=van).update(soc_percent=81.0, soc_at=at, soc_source="measured")
    assert hear(van, 1, 5_000, minutes=30).soc_percent == pytest.approx(86.0)


def test_low_and_recovered_are_told_by_chargers_too_but_not_late(van, told, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        hear(van, 1, 100, 12.0)
        hear(van, 1, 2_000, 26.0, 45)
        late = Metered(van.pk, 2, 100, 11.0, NOON + timedelta(minutes=60))
        hear_chargers([late], now=NOON + timedelta(minutes=90))
    assert [type(event) for event in told] == [SocLow, SocRecovered]
    assert not VehicleState.objects.get(vehicle=van).is_soc_low


def test_what_was_driven_between_two_readings_teaches_the_appetite(van) -> None:
    hear(van, 1, 100, 80.0, 10)
    VehicleState.objects.filter(vehicle=van).update(soc_gps_m=40_000, soc_counted_at=F("soc_at"))
    hear(van, 2, 100, 44.0, 120)  # 36 points for 40 km, of which 30 were expected
    van.refresh_from_db()
    assert 1.1 < van.appetite < 1.2
    assert van.appetite_variance < 0.04


def test_the_drivers_word_counts_until_somebody_reads_it_again(van, organisation) -> None:
    api, address = client_of(organisation), f"/api/v1/vehicles/{van.pk}/charge/"
    with time_machine.travel(LATER, tick=False):
        body = api.post(address, {"soc_percent": 40}).json()
    state = body["state"]
    assert (state["soc_percent"], state["soc_source"], state["soc_at"]) == (40, "driver", "2026-11-21T12:30:00Z")
    assert (state["soc_p10_percent"], state["soc_p90_percent"]) == (34.9, 45.1)
    assert (body["range_left_km"], body["range_left_p10_km"]) == (53.3, 46.5)
    with time_machine.travel(LATER, tick=False):
        older = api.post(address, {"soc_percent": 50, "at": (LATER - timedelta(minutes=5)).isoformat()})
        wrong = [{"soc_percent": 101}, {}, {"soc_percent": 5, "at": (LATER + timedelta(minutes=3)).isoformat()}]
        assert [api.post(address, word).status_code for word in wrong] == [400, 400, 400]
    assert (older.status_code, older.json()["code"]) == (409, "newer_reading")


def test_a_vehicle_that_never_reported_takes_a_word(organisation, other_organisation) -> None:
    van = make_vehicle(organisation)
    stranger = client_of(other_organisation)
    assert stranger.post(f"/api/v1/vehicles/{van.pk}/charge/", {"soc_percent": 1}).status_code == 404
    word = Reading(van.pk, 55.0, NOON, Source.DRIVER)
    assert take_word(word, now=NOON).soc_percent == 55.0
    with pytest.raises(OlderThanKnown):
        take_word(word, now=NOON)
