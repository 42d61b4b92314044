"""Of a charge that is estimated a plan believes what nine of ten such vehicles have, and people see how sure it is."""

from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch import pages, situation
from vehicles.models import Vehicle
from vehicles.tests.factories import make_model, make_state, make_vehicle

pytestmark = pytest.mark.django_db


@pytest.fixture
def van(organisation) -> Vehicle:
    model = make_model(battery_wh=20_000, consumption_wh_per_km=150)
    van = make_vehicle(organisation, model=model, appetite=1.2)
    make_state(van, soc_percent=24.0, soc_source="estimated", soc_sigma_percent=5.0, position_at=timezone.now())
    return van


def test_a_plan_is_made_with_the_charge_that_nine_of_ten_have_and_the_vehicles_own_appetite(van) -> None:
    seen = situation.read(van.pk, now=timezone.now())
    assert seen.soc_percent == pytest.approx(17.6, abs=0.01)
    assert seen.wh_per_km == pytest.approx(180)
    van.state.soc_source = "measured"
    van.state.save()
    assert situation.read(van.pk, now=timezone.now()).soc_percent == 24.0


def test_list_and_drawer_name_the_source_and_the_band(van, client, dispatcher) -> None:
    client.force_login(dispatcher)
    [row] = pages.fleet_rows(list(pages.fleet_by_urgency(van.organisation, now=timezone.now())))
    assert (row.soc_percent, row.soc_band, row.range_km) == (24, (18, 30), 26)
    for address in ("/fleet/", f"/dispatch/vehicles/{van.pk}/"):
        assert "Estimated" in client.get(address).content.decode()
        assert "18–30 %" in client.get(address).content.decode()


def test_a_vehicle_without_any_reading_shows_no_band(organisation, client, dispatcher) -> None:
    van = make_vehicle(organisation)
    make_state(van, soc_percent=None, soc_at=None, position_at=timezone.now() - timedelta(minutes=1))
    client.force_login(dispatcher)
    assert "Measured" not in client.get(f"/dispatch/vehicles/{van.pk}/").content.decode()
