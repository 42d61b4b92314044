"""A session that has used up its limit is ended, and asked for again while it runs on."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from billing.models import ChargingSession, SpendLimit
from billing.services import bounds
from billing.tests.factories import NOON, Fleet, limit, make_fleet, start
from fleetcharge.accounts.models import Organisation
from stations.cpo import registry
from stations.cpo.base import PENDING, Capability, CPOUnavailable, StopRequest


class OwnChargers:
    """What the charger was asked. (The wire itself is tested where the adapter lives.)"""

    kind = "ocpp-own"
    capabilities = frozenset({Capability.START_STOP})
    failure: Exception | None = None

    def __init__(self) -> None:
        self.asked: list[StopRequest] = []

    def stop(self, request: StopRequest) -> Any:
        if self.failure:
            raise self.failure
        self.asked.append(request)
        return PENDING


@pytest.fixture
def charger(monkeypatch: pytest.MonkeyPatch) -> OwnChargers:
    adapter = OwnChargers()
    monkeypatch.setitem(registry._adapters, "ocpp-own", adapter)
    return adapter


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation)


def running(fleet: Fleet, drawn_wh: int, **bound: int) -> ChargingSession:
    limit(fleet.organisation, period="session", **bound)
    began = start(fleet)
    ChargingSession.objects.update(energy_wh=drawn_wh)
    return ChargingSession.objects.get(pk=began.session_id)


def sweep(minutes: int = 10) -> int:
    return bounds.stop_exhausted(now=later(minutes))


def later(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


def test_at_the_last_watt_hour_and_not_before(fleet: Fleet, charger: OwnChargers) -> None:
    session = running(fleet, 9_999, energy_wh=10_000)
    assert sweep() == 0
    ChargingSession.objects.update(energy_wh=10_000)
    assert sweep() == 1
    assert [(request.transaction_ref, request.connector) for request in charger.asked] == [
        (session.transaction_ref, fleet.connector)
    ]


def test_at_the_last_paisa_including_gst(fleet: Fleet, charger: OwnChargers) -> None:
    """18 rupees per kWh and 18 % GST: 10 kWh are 212.40."""
    running(fleet, 10_000, amount_paise=212_41)
    assert sweep() == 0
    ChargingSession.objects.update(energy_wh=10_001)
    assert sweep() == 1


@pytest.mark.parametrize("chunk", [1, 2, 5, 500])
def test_every_running_session_is_looked_at_however_many_there_are(
    organisation: Organisation, charger: OwnChargers, chunk: int
) -> None:
    limit(organisation, period="session", energy_wh=10_000)
    references = {start(make_fleet(organisation)).transaction_ref for _ in range(5)}
    ChargingSession.objects.update(energy_wh=10_000)
    assert bounds.stop_exhausted(now=later(10), chunk=chunk) == 5
    assert {request.transaction_ref for request in charger.asked} == references


def test_it_is_asked_once_in_two_minutes_by_name(fleet: Fleet, charger: OwnChargers) -> None:
    running(fleet, 10_000, energy_wh=10_000)
    for minutes in (10, 10, 13):
        sweep(minutes)
    keys = [request.stop_key for request in charger.asked]
    assert (keys[0] == keys[1], len(set(keys)), max(map(len, keys)) <= 36) == (True, 2, True)


def test_what_has_ended_or_has_no_bound_is_left_alone(fleet: Fleet, charger: OwnChargers) -> None:
    session = running(fleet, 10_000, energy_wh=10_000)
    ChargingSession.objects.update(state="ended")
    assert sweep() == 0
    ChargingSession.objects.update(state="active")
    assert [sweep(), charger.asked[0].transaction_ref] == [1, session.transaction_ref]
    SpendLimit.objects.all().delete()  # it bounds nothing any more, nor what begins now
    start(fleet, start_key="free", connector_id=2)
    assert [sweep(20), len(charger.asked)] == [0, 1]


def test_a_network_that_is_away_stops_nobody_else(fleet: Fleet, charger: OwnChargers) -> None:
    running(fleet, 10_000, energy_wh=10_000)
    charger.failure = CPOUnavailable("down")
    assert sweep() == 0
