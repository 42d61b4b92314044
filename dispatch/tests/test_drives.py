"""The way to the plug by pings: arrived, kept while it waits, not come, stayed too long; each told once."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from billing.models import ChargingSession, MeterValue
from dispatch.driving import deeds, drives
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.services import close_alert, connector_changed, dismiss_plan, expire_reservations, session_started
from dispatch.tests import factories
from dispatch.tests.driving import plan_to, site_of, under_way
from dispatch.triggers import settled
from fleetcharge.accounts.models import Organisation
from stations.models import Charger
from vehicles.models import VehicleState

pytestmark = pytest.mark.django_db
NOW = factories.NOW


@pytest.fixture
def plan(organisation: Organisation) -> ChargePlan:
    return under_way(organisation, NOW, name="Marathahalli Hub")


def ping(plan: ChargePlan, at: datetime, *, metres: float = 0.0, **state: Any) -> None:
    """Its last position, so far north of its plug."""
    site = site_of(plan)
    place = {"latitude": site.latitude + metres / 111_195, "longitude": site.longitude}
    VehicleState.objects.filter(vehicle=plan.vehicle).update(
        **{**place, "position_at": at, "speed_kmh": 4.0, **state}
    )  # fmt: skip


def reservation(plan: ChargePlan) -> Reservation:
    return plan.reservations.get()


@pytest.mark.parametrize(
    ("metres", "state", "is_there"),
    [
        (240, {}, True),
        (260, {}, False),
        (100, {"speed_kmh": 45.0}, False),  # drives by
        (100, {"speed_kmh": None}, True),
        (0, {"position_at": NOW - timedelta(seconds=1)}, False),  # where it was before anybody sent it there
        (0, {"latitude": None, "longitude": None}, False),
    ],
)
def test_its_position_tells_that_it_arrived(
    plan: ChargePlan, metres: float, state: dict[str, Any], is_there: bool
) -> None:
    at = NOW + timedelta(minutes=5)
    ping(plan, at, metres=metres, **state)
    drives.sweep(now=at)
    plan.refresh_from_db()
    assert (plan.arrived_at, plan.arrived_by) == ((at, "position") if is_there else (None, ""))


def test_a_position_that_is_old_by_now_tells_nothing(plan: ChargePlan) -> None:
    ping(plan, NOW + timedelta(minutes=1))
    drives.sweep(now=NOW + timedelta(minutes=11))
    plan.refresh_from_db()
    assert plan.arrived_at is None


def test_it_arrives_once(plan: ChargePlan) -> None:
    first, later = NOW + timedelta(minutes=5), NOW + timedelta(minutes=9)
    ping(plan, first)
    assert drives.sweep(now=first) == 1
    ping(plan, later)
    assert drives.sweep(now=later) == 0
    plan.refresh_from_db()
    assert plan.arrived_at == first


def test_who_charges_has_arrived_without_a_tracker(plan: ChargePlan, organisation: Organisation) -> None:
    session = charging(plan, NOW + timedelta(minutes=8))
    drives.sweep(now=NOW + timedelta(minutes=9))
    plan.refresh_from_db()
    assert (plan.state, plan.session_id, plan.arrived_by) == ("charging", session.pk, "session")


def test_a_place_is_kept_while_its_vehicle_waits_beside_it(plan: ChargePlan) -> None:
    ends = reservation(plan).expires_at
    at = ends - timedelta(seconds=30)
    ping(plan, at)
    drives.sweep(now=at)
    assert reservation(plan).expires_at == ends + drives.KEPT_FOR
    assert expire_reservations(now=ends) == 0
    drives.sweep(now=at)
    assert reservation(plan).expires_at == ends + drives.KEPT_FOR


def test_it_is_not_kept_for_one_that_drove_on_or_waits_for_ever(plan: ChargePlan) -> None:
    ends = reservation(plan).expires_at
    ping(plan, ends - timedelta(minutes=5))
    drives.sweep(now=ends - timedelta(minutes=5))
    ping(plan, ends - timedelta(seconds=40), metres=2000)
    drives.sweep(now=ends - timedelta(seconds=30))
    assert reservation(plan).expires_at == ends
    ping(plan, ends - timedelta(seconds=20))
    ChargePlan.objects.filter(pk=plan.pk).update(arrived_at=ends - drives.KEPT_AT_MOST - timedelta(minutes=1))
    drives.sweep(now=ends - timedelta(seconds=20))
    assert reservation(plan).expires_at == ends


def test_a_vehicle_that_does_not_come_is_told_of_once_and_its_place_is_free(plan: ChargePlan) -> None:
    over = reservation(plan).expires_at
    drives.sweep(now=over)
    assert not Alert.objects.filter(kind="no_show").exists()
    assert expire_reservations(now=over) == 1
    drives.sweep(now=over)
    drives.sweep(now=over + timedelta(seconds=10))
    alert = Alert.objects.get(kind="no_show")
    assert alert.title == f"{plan.vehicle.registration} did not come to Marathahalli Hub"
    assert (alert.vehicle, alert.organisation, alert.closed_at) == (plan.vehicle, plan.organisation, None)
    assert plan.connector is not None
    plan.connector.refresh_from_db()
    assert not plan.connector.is_held
    plan_to(plan.connector, plan.vehicle, over + timedelta(minutes=1))
    drives.sweep(now=over + timedelta(minutes=1))
    alert.refresh_from_db()
    assert alert.close_reason == "planned again"
    drives.sweep(now=over + timedelta(minutes=2))
    assert Alert.objects.filter(kind="no_show").count() == 1


@pytest.mark.parametrize("by", ["driver", "position"])
def test_who_came_and_waited_in_vain_is_not_said_to_have_stayed_away(plan: ChargePlan, by: str) -> None:
    over = reservation(plan).expires_at
    assert deeds.arrive(plan_id=plan.pk, by=by, now=over - drives.KEPT_AT_MOST - timedelta(minutes=1))
    assert expire_reservations(now=over) == 1
    drives.sweep(now=over)
    assert not Alert.objects.filter(kind="no_show").exists()


def test_nobody_is_missed_whose_plan_was_given_up(plan: ChargePlan) -> None:
    dismiss_plan(plan_id=plan.pk, actor=None, now=NOW)
    expire_reservations(now=NOW + timedelta(hours=2))
    drives.sweep(now=NOW + timedelta(hours=2))
    assert not Alert.objects.filter(kind="no_show").exists()


def test_a_plug_that_fills_while_its_own_vehicle_stands_there_is_not_left(plan: ChargePlan) -> None:
    """The tracker may be a city behind: the driver's word tells that it is the own vehicle that plugs in."""
    assert plan.connector_id is not None
    assert deeds.arrive(plan_id=plan.pk, by="driver", now=NOW + timedelta(minutes=3))
    ping(plan, NOW, metres=9000)
    connector_changed(connector_id=plan.connector_id, status="occupied", now=NOW + timedelta(minutes=4))
    plan.refresh_from_db()
    assert plan.state == "reserved"
    ChargePlan.objects.filter(pk=plan.pk).update(arrived_by="")
    connector_changed(connector_id=plan.connector_id, status="occupied", now=NOW + timedelta(minutes=4))
    plan.refresh_from_db()
    assert plan.state == "replaced"


def test_who_is_there_is_not_sent_elsewhere_for_a_better_price(plan: ChargePlan, organisation: Organisation) -> None:
    Organisation.objects.filter(pk=organisation.pk).update(dispatch_mode="automatic")
    ChargePlan.objects.filter(pk=plan.pk).update(plug_in_at=NOW + timedelta(hours=1))
    at = NOW + timedelta(minutes=30)
    assert settled(now=at) == [plan.pk]
    assert deeds.arrive(plan_id=plan.pk, by="position", now=at)
    assert settled(now=at) == []


def charging(plan: ChargePlan, at: datetime, **fields: Any) -> ChargingSession:
    """At a charger of the fleet's own, whose meter we read."""
    assert plan.connector is not None
    charger = Charger.objects.create(
        organisation=plan.organisation, location=site_of(plan), ocpp_identity=f"BLR-{plan.pk}", is_online=True
    )
    session = ChargingSession.objects.create(
        organisation=plan.organisation, source=site_of(plan).source, charger=charger, connector=plan.connector,
        transaction_ref="7", start_key=f"7-{plan.pk}", vehicle=plan.vehicle, started_at=at,
        **{"energy_wh": 9000, "power_w": 0, **fields},
    )  # fmt: skip
    session_started(
        session_id=session.pk, vehicle_id=plan.vehicle_id, connector_id=plan.connector.pk,
        location_id=site_of(plan).pk, now=at,
    )  # fmt: skip
    return session


def sample(session: ChargingSession, at: datetime, power_w: int) -> None:
    assert session.charger is not None
    MeterValue.objects.create(
        charger=session.charger, evse_number=1, transaction_ref=session.transaction_ref, at=at, received_at=at,
        power_w=power_w, energy_wh=9000, sampled=[], dedupe_key=f"{at.timestamp()}:{power_w}".encode(),
    )  # fmt: skip


def test_full_and_still_plugged_in_is_told_once_until_it_leaves(plan: ChargePlan) -> None:
    began, full = NOW + timedelta(minutes=10), NOW + timedelta(minutes=40)
    session = charging(plan, began)
    sample(session, began + timedelta(minutes=1), 40_000)
    sample(session, full, 0)
    drives.sweep(now=full + timedelta(minutes=9))
    assert not Alert.objects.filter(kind="overstay").exists()
    drives.sweep(now=full + timedelta(minutes=10))
    drives.sweep(now=full + timedelta(minutes=11))
    alert = Alert.objects.get(kind="overstay")
    assert alert.title == f"{plan.vehicle.registration} is full and still plugged in at Marathahalli Hub"
    assert "since" in alert.body
    assert (alert.session, alert.vehicle, alert.closed_at) == (session, plan.vehicle, None)
    ChargingSession.objects.filter(pk=session.pk).update(state="ended", ended_at=full + timedelta(minutes=12))
    drives.sweep(now=full + timedelta(minutes=12))
    alert.refresh_from_db()
    assert alert.close_reason == "left"


def test_an_overstay_that_somebody_dealt_with_stays_closed_until_it_idles_anew(plan: ChargePlan) -> None:
    full = NOW + timedelta(minutes=30)
    session = charging(plan, NOW)
    sample(session, NOW + timedelta(minutes=1), 40_000)
    sample(session, full, 0)
    told = full + timedelta(minutes=10)
    drives.sweep(now=told)
    close_alert(alert_id=Alert.objects.get(kind="overstay").pk, actor=None, reason="called the driver", now=told)
    drives.sweep(now=told + timedelta(seconds=10))
    assert Alert.objects.filter(kind="overstay").count() == 1
    sample(session, full + timedelta(minutes=20), 40_000)
    sample(session, full + timedelta(minutes=25), 0)
    drives.sweep(now=full + timedelta(minutes=35))
    assert Alert.objects.open().filter(kind="overstay").count() == 1


def test_who_draws_or_is_held_back_is_not_told_of(plan: ChargePlan) -> None:
    session = charging(plan, NOW, power_w=7000)
    sample(session, NOW + timedelta(minutes=1), 7000)
    drives.sweep(now=NOW + timedelta(hours=1))
    ChargingSession.objects.filter(pk=session.pk).update(power_w=0)  # no sample says so: no proof of idling
    MeterValue.objects.all().delete()
    drives.sweep(now=NOW + timedelta(hours=1))
    assert not Alert.objects.filter(kind="overstay").exists()


def test_a_reported_plug_at_which_somebody_charges_is_whole_again(plan: ChargePlan) -> None:
    deeds.report_plug(plan_id=plan.pk, kind="blocked", now=timezone.now())
    alert = Alert.objects.get(kind="charger_matter")
    drives.sweep(now=timezone.now())
    alert.refresh_from_db()
    assert alert.closed_at is None
    charging(plan, timezone.now() + timedelta(seconds=1))
    drives.sweep(now=timezone.now())
    alert.refresh_from_db()
    assert alert.close_reason == "somebody charges there"


def test_what_lasts_hides_nothing_that_is_over(plan: ChargePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many plugs were reported at which nobody charges."""
    monkeypatch.setattr(drives, "CHUNK", 1)
    deeds.report_plug(plan_id=plan.pk, kind="broken", now=NOW)
    began, full = NOW + timedelta(minutes=10), NOW + timedelta(minutes=40)
    elsewhere = under_way(plan.organisation, NOW)
    session = charging(elsewhere, began)
    sample(session, began + timedelta(minutes=1), 40_000)
    sample(session, full, 0)
    drives.sweep(now=full + timedelta(minutes=10))
    assert Alert.objects.open().filter(kind__in=("charger_matter", "overstay")).count() == 2
    ChargingSession.objects.update(state="ended", ended_at=full + timedelta(minutes=11))
    drives.sweep(now=full + timedelta(minutes=11))
    assert set(Alert.objects.open().values_list("kind", flat=True)) & {"charger_matter", "overstay"} == {
        "charger_matter"
    }


def test_sessions_of_networks_whose_meter_nobody_reads_keep_no_overstay_back(
    plan: ChargePlan, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drives, "CHUNK", 1)
    session = charging(plan, NOW)
    sample(session, NOW + timedelta(minutes=1), 40_000)
    sample(session, NOW + timedelta(minutes=30), 0)
    for number in range(8):
        plug = factories.connector(site_of(plan))
        ChargingSession.objects.create(
            organisation=organisation, source=site_of(plan).source, connector=plug, transaction_ref=f"n{number}",
            start_key=f"n{number}", vehicle=factories.vehicle(organisation), started_at=NOW, energy_wh=900, power_w=0,
        )  # fmt: skip
    assert drives.tell_overstays(now=NOW + timedelta(minutes=40)) == 1
    assert Alert.objects.get(kind="overstay").session == session


def test_plans_nobody_came_for_are_found_by_an_index_of_their_own(plan: ChargePlan) -> None:
    """Among many that came to another end."""
    same = {"organisation": plan.organisation, "vehicle": plan.vehicle, "connector": plan.connector, "closed_at": NOW}
    ChargePlan.objects.bulk_create(
        ChargePlan(trigger="t", trigger_key=f"t{number}", soc_percent=10, state="completed", **same)
        for number in range(2000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE dispatch_chargeplan")
    assert "plans_nobody_came_for" in drives.missed(NOW).explain()
