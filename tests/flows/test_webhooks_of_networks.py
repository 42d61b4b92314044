"""Networks, prices, sites, promises and what was asked of sessions reach the outbox, and an endpoint over HTTP."""

from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.utils import timezone

from billing.tests.factories import NOON, Fleet, make_fleet, make_site, start
from dispatch.events import PlanChanged, ReservationBreached
from dispatch.models import ChargePlan, Reservation, ReservationBreach, SessionCommand
from dispatch.services import commands, reservations
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.events import publish
from fleetcharge.webhooks import catalogue, sending, services, signing
from fleetcharge.webhooks.tests.receiver import Receiver
from stations import services as registry
from stations.cpo.documents import LocationDoc
from stations.models import Location, NetworkAccess, Source
from stations.tests.serving import serve
from tests.flows.test_webhooks import listen, told

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _laboratory(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_HOSTS = True


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    fleet = make_fleet(organisation)
    listen(organisation)
    return fleet


@pytest.fixture
def volt(organisation: Organisation, other_organisation: Organisation) -> Source:
    """A public network where the fleet may charge, and the stranger may not."""
    source, _ = make_site(None, kind="ocpi-2.2.1")
    NetworkAccess.objects.create(source=source, organisation=organisation)
    listen(organisation)
    listen(other_organisation)
    return source


def price(volt: Source, rupees: str) -> None:
    elements = [{"price_components": [{"type": "ENERGY", "price": rupees, "step_size": 1}]}]
    registry.cache_tariff(source=volt, external_id="T1", elements=elements, currency="INR", at=NOON, name="Day")


def test_a_price_list_is_told_with_each_version_and_when_it_goes(
    volt: Source, organisation: Organisation, other_organisation: Organisation
) -> None:
    for rupees in ("18", "18", "21"):
        price(volt, rupees)
    registry.withdraw_tariff(source=volt, external_id="t1", at=NOON + timedelta(hours=1))
    rows = told(catalogue.TARIFF_CHANGED, organisation)
    assert [(row["version"], row["valid_to"]) for row in rows] == [(1, None), (2, None), (2, "2026-11-20T07:30:00Z")]
    assert rows[1]["elements"][0]["price_components"][0]["price"] == "21"
    assert (rows[0]["network"], rows[0]["external_id"]) == (volt.slug, "T1")
    assert told(catalogue.TARIFF_CHANGED, other_organisation) == []


def test_a_site_is_told_when_it_comes_changes_and_goes(
    volt: Source, organisation: Organisation, other_organisation: Organisation
) -> None:
    for name in ("Ring Road", "Ring Road", "Ring Road East"):
        doc = LocationDoc(external_key="L1", name=name, latitude=12.97, longitude=77.59, evses=())
        registry.upsert_location(source=volt, doc=doc, at=timezone.now())
    registry.remove_location(source=volt, external_key="L1", at=timezone.now())
    rows = told(catalogue.STATION_CHANGED, organisation)
    assert [(row["name"], row["is_removed"]) for row in rows] == [
        ("Ring Road", False), ("Ring Road East", False), ("Ring Road East", True),
    ]  # fmt: skip
    assert rows[0]["location"] == Location.objects.get(name="Ring Road East").public_id
    assert told(catalogue.STATION_CHANGED, other_organisation) == []


def test_a_private_site_is_told_to_its_fleet_alone(fleet: Fleet, other_organisation: Organisation) -> None:
    listen(other_organisation)
    NetworkAccess.objects.create(source=fleet.location.source, organisation=other_organisation)
    doc = LocationDoc(external_key="D1", name="Depot", latitude=12.9, longitude=77.5, evses=())
    registry.upsert_location(source=fleet.location.source, doc=doc, at=NOON, organisation=fleet.organisation)
    assert [row["name"] for row in told(catalogue.STATION_CHANGED, fleet.organisation)] == ["Depot"]
    assert told(catalogue.STATION_CHANGED, other_organisation) == []


def test_a_network_is_told_when_it_fails_and_when_it_works_again(
    volt: Source, organisation: Organisation, other_organisation: Organisation
) -> None:
    Source.objects.update(state="connected")
    for minute in range(4):
        at = NOON + timedelta(minutes=minute)
        registry.source_failed(source_id=volt.pk, error="gone", code="cpo_unavailable", at=at)
    registry.source_polled(source_id=volt.pk, at=NOON + timedelta(hours=1))
    rows = told(catalogue.NETWORK_CHANGED, organisation)
    assert [(row["old"], row["state"], row["reason"]) for row in rows] == [
        ("connected", "failing", "gone"), ("failing", "connected", ""),
    ]  # fmt: skip
    assert told(catalogue.NETWORK_CHANGED, other_organisation) == []


def promise(fleet: Fleet, **facts: Any) -> Reservation:
    return Reservation.objects.create(
        organisation=fleet.organisation, vehicle=fleet.vehicle, connector=fleet.connector, id_token=fleet.token.uid,
        starts_at=NOON, expires_at=NOON + timedelta(minutes=30), **facts,
    )  # fmt: skip


def test_a_booking_says_how_it_is_kept_and_which_one_it_replaces(fleet: Fleet) -> None:
    lost = promise(fleet, state="cancelled")
    row = promise(fleet, way="booking", replaces=lost)
    for state, reason in (("requested", ""), ("confirmed", ""), ("confirmed", "extended")):
        if reason:
            row.expires_at += timedelta(minutes=15)
            row.save()
        reservations._settle(row, state, reason, NOON)
    steps = told(catalogue.RESERVATION_CHANGED)
    assert [(step["state"], step["reason"], step["way"], step["replaces"]) for step in steps] == [
        ("requested", "", "booking", lost.number), ("confirmed", "", "booking", lost.number),
        ("confirmed", "extended", "booking", lost.number),
    ]  # fmt: skip
    assert (steps[0]["starts_at"], steps[2]["expires_at"]) == ("2026-11-20T06:30:00Z", "2026-11-20T07:15:00Z")


def test_a_breach_tells_nothing_of_the_stranger(fleet: Fleet) -> None:
    row, session_id = promise(fleet), start(fleet).session_id
    breach = ReservationBreach.objects.create(
        reservation=row, session_id=session_id, organisation=fleet.organisation, state="stopping", found_at=NOON
    )
    for _ in range(2):
        publish(ReservationBreached(breach.pk, row.number, fleet.organisation.pk, session_id, "stopping", NOON))
    [told_of] = told(catalogue.RESERVATION_BREACHED)
    assert (told_of["number"], told_of["state"], told_of["vehicle_id"]) == (row.number, "stopping", fleet.vehicle.pk)


def test_a_plan_is_told_whenever_it_moves(fleet: Fleet) -> None:
    plan = ChargePlan.objects.create(
        organisation=fleet.organisation, vehicle=fleet.vehicle, connector=fleet.connector, trigger="manual",
        trigger_key="t", soc_percent=18.0, cost_paise=240_00,
    )  # fmt: skip
    for minute, state in enumerate(("proposed", "accepted", "proposed", "accepted")):  # an acceptance was taken back
        publish(PlanChanged(plan.pk, plan.organisation_id, plan.vehicle_id, state, NOON + timedelta(minutes=minute)))
    rows = told(catalogue.PLAN_CHANGED)
    assert [row["state"] for row in rows] == ["proposed", "accepted", "proposed", "accepted"]
    assert (rows[0]["connector"], rows[0]["cost_paise"]) == (fleet.connector.public_id, 240_00)


def asked(fleet: Fleet, kind: str, **facts: Any) -> SessionCommand:
    return SessionCommand.objects.create(
        organisation=fleet.organisation, kind=kind, connector=fleet.connector, vehicle=fleet.vehicle, created_at=NOON,
        **{"state": "sent", "sent_at": NOON, **facts},
    )  # fmt: skip


def test_what_is_asked_of_sessions_is_told_with_its_outcome(fleet: Fleet) -> None:
    later = NOON + timedelta(minutes=10)
    limit = asked(fleet, "limit")
    for _ in range(2):
        commands.answer_command(key=str(limit.key), state="rejected", reason="REJECTED", at=NOON)
    silent = asked(fleet, "start", id_token=fleet.token.uid)
    commands.sweep(now=later)
    begun = start(fleet).session_id
    SessionCommand.objects.filter(pk=silent.pk).update(created_at=timezone.now())
    commands.session_began(session_id=begun, now=later)
    stop = asked(fleet, "stop", session_id=begun, state="accepted")
    commands.session_over(session_id=begun, now=later)
    old = asked(fleet, "unlock", state="requested", sent_at=None)
    assert not commands.send_command(old.pk, later)
    rows = [(row["key"], row["kind"], row["state"], row["reason"]) for row in told(catalogue.SESSION_COMMAND_CHANGED)]
    assert rows == [
        (str(limit.key), "limit", "rejected", "REJECTED"),
        (str(silent.key), "start", "timed_out", "no answer"),
        (str(silent.key), "start", "done", "no answer"),
        (str(stop.key), "stop", "done", ""),
        (str(old.key), "unlock", "failed", "not sent in time"),
    ]


@pytest.mark.django_db(transaction=True)
def test_each_of_them_reaches_an_endpoint_over_http_signed(organisation: Organisation) -> None:
    fleet, receiver = make_fleet(organisation), Receiver()
    volt, _ = make_site(None, kind="ocpi-2.2.1")
    NetworkAccess.objects.create(source=volt, organisation=organisation)
    wanted = [
        catalogue.TARIFF_CHANGED, catalogue.STATION_CHANGED, catalogue.NETWORK_CHANGED, catalogue.RESERVATION_CHANGED,
        catalogue.SESSION_COMMAND_CHANGED, catalogue.PLAN_CHANGED,
    ]  # fmt: skip
    with serve(receiver) as base:
        endpoint, secret = services.create_endpoint(
            organisation=organisation, url=f"{base}/in", event_types=wanted, now=timezone.now()
        )
        price(volt, "18")
        doc = LocationDoc(external_key="L1", name="Ring Road", latitude=12.97, longitude=77.59, evses=())
        registry.upsert_location(source=volt, doc=doc, at=NOON)
        registry.switch_source(source_id=volt.pk, is_on=False, at=NOON)
        reservations._settle(promise(fleet), "confirmed", "", NOON)
        commands.answer_command(key=str(asked(fleet, "limit").key), state="accepted", reason="", at=NOON)
        plan = ChargePlan.objects.create(
            organisation=organisation, vehicle=fleet.vehicle, trigger="manual", trigger_key="t", soc_percent=18.0
        )
        publish(PlanChanged(plan.pk, organisation.pk, fleet.vehicle.pk, "proposed", NOON))
        while sending.send_round(clock=timezone.now):
            pass
    assert sorted(orjson.loads(each.body)["type"] for each in receiver.received) == sorted(wanted)
    assert endpoint.deliveries.filter(state="delivered").count() == len(wanted)
    for each in receiver.received:
        stamp = int(each.headers["webhook-timestamp"])
        signature = signing.signature(secret, each.headers["webhook-id"], stamp, each.body)
        assert signature in each.headers["webhook-signature"]
