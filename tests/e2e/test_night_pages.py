"""A depot's night and the policies in a browser: readable by all, on a phone too, planned again with a click."""

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from dispatch.depot import nights, tasks
from dispatch.depot.models import Depot
from dispatch.policies import assignment
from dispatch.tests import factories
from fleetcharge.accounts.models import Organisation, User
from ocpp_bridge.models import ChargingSite
from stations.models import Connector
from tests.e2e.conftest import PHONE, Theme, Watched
from tests.e2e.test_accessibility import violations
from vehicles.models import Vehicle

pytestmark = pytest.mark.browser
ZONE = ZoneInfo("Asia/Kolkata")


@pytest.fixture
def depot(transactional_db: None, organisation: Organisation) -> Depot:
    """Its night is running, whenever this is; three vans at two plugs, one of which is out of order soon."""
    now = timezone.now()
    place = factories.location(factories.source(organisation), organisation=organisation, name="Peenya Yard")
    for _ in range(2):
        charger = factories.charger(place, organisation, last_seen_at=now)
        factories.connector(
            place, charger=charger, plug="type2_socket", max_power_w=7_400, at=now,
            power_type=Connector.PowerType.AC_1_PHASE, connector_id=1,
        )  # fmt: skip
    ChargingSite.objects.create(location=place, organisation=organisation, limit_w=9_000)
    model = factories.vehicle_model(
        plugs=["type2_socket"], max_ac_power_w=7_400, max_dc_power_w=0, battery_wh=20_000, charge_curve=[]
    )
    for soc_percent in (10, 30, 60):
        vehicle = factories.vehicle(organisation, model=model, soc_percent=soc_percent, at=now)
        home = {"depot_latitude": factories.HERE[0], "depot_longitude": factories.HERE[1]}
        Vehicle.objects.filter(pk=vehicle.pk).update(**home)
    evening = (now - timedelta(hours=1)).astimezone(ZONE)
    return Depot.objects.create(
        location=place, organisation=organisation, night_from=_minute(evening), paise_per_kwh=900,
        ready_by=_minute(evening + timedelta(hours=11)),
        prices=[{"from": f"{_minute(evening + timedelta(hours=3)):%H:%M}",
                 "to": f"{_minute(evening + timedelta(hours=9)):%H:%M}", "paise_per_kwh": 600}],
    )  # fmt: skip


def _minute(at: datetime) -> time:
    return at.time().replace(second=0, microsecond=0)


@pytest.fixture
def experiment(organisation: Organisation, depot: Depot) -> Any:
    figures: dict[str, Any] = {
        "soc_low_percent": 20, "soc_clear_percent": 25, "reserve_soc_percent": 5, "target_soc_percent": 80,
        "cost_per_minute_paise": 400,
    }  # fmt: skip
    me: dict[str, Any] = {"organisation": organisation, "actor": None, "actor_label": "t", "now": timezone.now()}
    one = assignment.new_version(name="as now", **figures, **me)
    two = assignment.new_version(name="early", **{**figures, "target_soc_percent": 90}, **me)
    return assignment.start(name="March", shares={one.pk: 50, two.pk: 50}, **me)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_night_and_the_policies_can_be_read_by_all(
    web: Watched, dispatcher: User, depot: Depot, experiment: Any, theme: Theme
) -> None:
    assert nights.plan(location_id=depot.pk, now=timezone.now()) is not None
    path = f"/dispatch/depots/{depot.location.public_id}/"
    page = web.sign_in(web.page(theme=theme), dispatcher, path)
    expect(page.locator("svg.night .charge").first).to_be_attached()
    assert violations(page) == []
    Connector.objects.filter(pk=Connector.objects.order_by("pk")[0].pk).update(status="faulted")
    page.get_by_role("button", name="Plan again").click()
    expect(page.get_by_role("status")).to_contain_text("is being planned again")
    assert violations(page) == []
    assert tasks.plan_again(depot.pk) == 2  # as a worker does
    expect(page.get_by_role("status")).to_contain_text("Planned again: version 2.")
    expect(page.get_by_text("is not planned with: Faulted.")).to_be_visible()
    assert violations(page) == []
    page.set_viewport_size(PHONE)
    assert violations(page) == []
    for address in ("/dispatch/policies/", "/dispatch/depots/"):
        page.goto(web.server.url + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], address
        assert violations(page) == [], address
    assert (web.errors, web.strangers) == ([], [])
