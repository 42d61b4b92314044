"""Sessions tell the vehicle that charges what chargers know of its battery."""

from datetime import timedelta

import pytest

from billing.events import SessionMetered
from billing.models import ChargingSession
from billing.tests.factories import NOON, Fleet, make_fleet, start, stop
from billing.vehicle_charges import tell_vehicles
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.events import publish
from stations.models import Connector
from vehicles.models import VehicleState
from vehicles.tests.factories import make_state

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(minutes=20)


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    fleet = make_fleet(organisation)
    make_state(fleet.vehicle, soc_percent=30.0, soc_at=NOON - timedelta(minutes=5))
    return fleet


@pytest.fixture
def session(fleet: Fleet) -> ChargingSession:
    return ChargingSession.objects.get(pk=start(fleet).session_id)


def meter(session: ChargingSession, energy_wh: int, soc_percent: float | None = None) -> VehicleState:
    """A reading of the running session, told as billing tells it."""
    ChargingSession.objects.filter(pk=session.pk).update(energy_wh=energy_wh, soc_percent=soc_percent, metered_at=LATER)
    tell_vehicles([session.pk], now=LATER)
    return VehicleState.objects.get(vehicle=session.vehicle_id)


def test_the_charge_that_a_charger_tells_is_the_vehicles(session) -> None:
    state = meter(session, 3_000, 47.0)
    assert (state.soc_percent, state.soc_source, state.soc_at) == (47.0, "charger", LATER)


@pytest.mark.parametrize(("power_type", "share"), [("DC", 0.94), ("AC_3_PHASE", 0.88)])
def test_what_the_meter_counts_reaches_the_battery_with_its_losses(session, power_type, share) -> None:
    Connector.objects.update(power_type=power_type)
    for _ in range(2):
        state = meter(session, 5_000)
    assert (state.soc_charged_wh, state.soc_is_due) == (pytest.approx(5_000 * share), True)


def test_running_figures_and_the_end_are_told_by_events(
    fleet: Fleet, session, django_capture_on_commit_callbacks
) -> None:
    ChargingSession.objects.update(energy_wh=4_000, soc_percent=52.0, metered_at=LATER)
    with django_capture_on_commit_callbacks(execute=True):
        publish(SessionMetered(((session.pk, session.connector_id, 4_000, 20_000, 52.0),)))
    assert VehicleState.objects.get().soc_percent == 52.0
    ChargingSession.objects.update(soc_percent=80.0, metered_at=LATER + timedelta(minutes=1))
    with django_capture_on_commit_callbacks(execute=True):
        stop(fleet, session.transaction_ref)
    assert VehicleState.objects.get().soc_percent == 80.0


def test_a_session_of_an_unknown_vehicle_tells_nobody(session) -> None:
    ChargingSession.objects.update(vehicle=None, energy_wh=4_000)
    assert tell_vehicles([session.pk], now=LATER) == 0


def test_a_charger_that_always_says_zero_knows_no_charge(session) -> None:
    VehicleState.objects.update(soc_percent=60.0)
    for energy_wh in (0, 3_000):
        state = meter(session, energy_wh, 0.0)
    assert (state.soc_percent, state.soc_source, state.is_soc_low) == (60.0, "measured", False)
    assert (state.soc_charged_wh, state.soc_is_due) == (pytest.approx(3_000 * 0.94), True)
