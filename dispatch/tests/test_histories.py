"""The pages of a site and of a vehicle: use by the hour for the owner, faults, charge of the last day, sessions."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from billing.models import ChargingSession
from dispatch import histories
from dispatch.tests import factories
from stations.models import StatusChange
from vehicles.models import Position

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)  # a Monday at 12:00 in India
HOUR = timedelta(hours=1)


@pytest.fixture
def place(organisation):
    return factories.location(factories.source(organisation), organisation=organisation)


def session(organisation, plug, began, ended, **fields):
    return ChargingSession.objects.create(
        organisation=organisation, source=plug.evse.location.source, connector=plug, started_at=began, ended_at=ended,
        state="ended" if ended else "active", transaction_ref=f"{began}", start_key=f"{began}{plug.pk}", **fields,
    )  # fmt: skip


def test_use_is_told_by_the_hour_of_the_week_where_the_site_is(organisation, place):
    plug = factories.connector(place, charger=factories.charger(place, organisation))
    session(organisation, plug, NOW - 5 * HOUR, NOW - 4 * HOUR)  # 07:00 to 08:00 in India
    session(organisation, plug, NOW - timedelta(days=7, hours=5, minutes=30), NOW - timedelta(days=7, hours=5))
    week = histories.use_by_hour(place, organisation, now=NOW)
    busy = {(cell.y, cell.x): cell.share for row in week for cell in row if cell.share}
    assert busy == {(0, 6): 0.5 / 4, (0, 7): 1 / 4}


def test_a_session_that_runs_counts_until_now_and_an_old_one_not_before(organisation, place):
    plug = factories.connector(place, charger=factories.charger(place, organisation))
    session(organisation, plug, NOW - HOUR, None)
    session(organisation, plug, NOW - timedelta(weeks=4, hours=1), NOW - timedelta(weeks=4))
    week = histories.use_by_hour(place, organisation, now=NOW)
    assert sum(cell.share for row in week for cell in row) == pytest.approx(1 / 4)


def test_how_often_others_ports_are_used_is_not_told(client, dispatcher, organisation, other_organisation):
    site = factories.location(factories.public_network(organisation))
    plug = factories.connector(site, charger=factories.charger(site, other_organisation))
    session(other_organisation, plug, NOW - HOUR, NOW)
    assert histories.use_by_hour(site, organisation, now=NOW) == []
    client.force_login(dispatcher)
    page = client.get(f"/dispatch/stations/{site.public_id}/")
    assert page.status_code == 200
    assert 'class="heat"' not in page.content.decode()


def test_faults_of_a_month_are_on_the_page_and_not_in_the_drawer(client, dispatcher, organisation, place):
    now = timezone.now()
    plug = factories.connector(place, charger=factories.charger(place, organisation))
    for days, reason in ((1, "GroundFailure"), (40, "LongAgo")):
        StatusChange.objects.create(
            connector=plug, old="available", new="faulted", reason=reason, at=now - timedelta(days=days)
        )
    client.force_login(dispatcher)
    page = client.get(f"/dispatch/stations/{place.public_id}/").content.decode()
    assert "GroundFailure" in page
    assert "LongAgo" not in page
    drawer = client.get(f"/dispatch/stations/{place.public_id}/", headers={"X-Requested-With": "drawer"})
    assert "faults-title" not in drawer.content.decode()


def ping(van, at, soc_permille, **fields):
    Position.objects.create(
        vehicle=van, fix_at=at, latitude_e7=129_716_000, longitude_e7=775_946_000, soc_permille=soc_permille, **fields
    )


def test_the_curve_is_the_mean_of_ten_minutes_with_gaps_where_nothing_was_heard(organisation):
    now = timezone.now()
    van = factories.vehicle(organisation)
    began = now - 20 * HOUR
    for minutes, permille in ((0, 500), (1, 520), (15, 600), (300, 300)):
        ping(van, began + timedelta(minutes=minutes), permille)
    ping(van, began + timedelta(minutes=2), 10, flags=32)
    curve = histories.charge_curve(van, now=now)
    assert len(curve.lines) == 2
    assert (curve.highest, curve.lowest, curve.last) == (60.0, 30.0, 30.0)
    assert histories.charge_curve(factories.vehicle(organisation), now=now) is None


def test_a_vehicles_page_shows_charge_and_sessions_to_its_fleet_only(client, dispatcher, stranger, organisation, place):
    now = timezone.now()
    van = factories.vehicle(organisation)
    ping(van, now - HOUR, 450)
    plug = factories.connector(place, charger=factories.charger(place, organisation))
    session(organisation, plug, now - 3 * HOUR, now - 2 * HOUR, vehicle=van, energy_wh=7_300)
    client.force_login(dispatcher)
    page = client.get(f"/dispatch/vehicles/{van.pk}/").content.decode()
    assert 'class="curve"' in page
    assert "7.3 kWh" in page
    client.force_login(stranger)
    assert client.get(f"/dispatch/vehicles/{van.pk}/").status_code == 404
