"""A vehicle has one place at a time, whoever asks, from wherever; a new one replaces it or is refused."""

import importlib
import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from billing.models import AllowedSite
from billing.tests.factories import fund
from dispatch import services, tasks
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.tests import factories
from fleetcharge.accounts.models import AuditEntry, Organisation, Scope, User
from fleetcharge.accounts.services import create_api_key
from fleetcharge.lib.db import conninfo
from fleetcharge.lib.tests.crossing import crossed
from stations.models import Connector, ExternalRef, StatusChange
from stations.services import bulk, set_hold
from vehicles.models import Vehicle

pytestmark = pytest.mark.django_db
CONSTRAINT = "one_place_per_vehicle"


@pytest.fixture
def van(organisation: Organisation) -> Vehicle:
    fund(organisation, 1_000_000)
    return factories.vehicle(organisation, at=timezone.now())


@pytest.fixture
def plugs(organisation: Organisation) -> list[Connector]:
    """At three sites, the nearest first."""
    network, now = factories.public_network(organisation), timezone.now()
    sites = [factories.location(network, latitude=factories.HERE[0] + km / 111.2) for km in (1, 2, 4)]
    return [factories.connector(site, at=now) for site in sites]


@pytest.fixture
def api(organisation: Organisation) -> APIClient:
    key = create_api_key(organisation=organisation, name="k", scopes=[Scope.DISPATCH_READ, Scope.DISPATCH_WRITE])[1]
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return client


def hold(van: Vehicle, plug: Connector, *, hours: float = 0, **more: Any) -> Reservation:
    now = timezone.now()
    begin = now + timedelta(hours=hours)
    made = services.create_reservation(
        vehicle_id=van.pk, connector_id=plug.pk, starts_at=begin, expires_at=begin + timedelta(minutes=30), actor=None,
        now=now, **more,
    )  # fmt: skip
    assert made is not None
    return made


def state_of(row: Reservation) -> tuple[str, str]:
    row.refresh_from_db()
    return row.state, row.reason


def test_the_database_refuses_a_second_place(van: Vehicle, plugs: list[Connector]) -> None:
    first = hold(van, plugs[0])
    values = {name: getattr(first, name) for name in ("organisation", "vehicle", "id_token", "starts_at", "expires_at")}
    with pytest.raises(IntegrityError, match=CONSTRAINT), transaction.atomic():
        Reservation.objects.create(connector=plugs[1], **values)
    Reservation.objects.create(connector=plugs[1], state="cancelled", **values)
    Reservation.objects.create(
        connector=plugs[1],
        **{**values, "starts_at": first.expires_at, "expires_at": first.expires_at + timedelta(hours=1)},
    )


def test_a_second_place_is_refused_by_name_and_changes_nothing(
    api: APIClient, van: Vehicle, plugs: list[Connector]
) -> None:
    first = hold(van, plugs[0])
    answer = api.post("/api/v1/reservations/", {"vehicle_id": van.pk, "connector_id": plugs[1].pk}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "vehicle_has_place")
    place = plugs[0].evse.location.name
    assert answer.json()["detail"] == f"{van.registration} has a place at {place} in that time (no. {first.number})."
    assert Reservation.objects.get() == first
    later = (timezone.now() + timedelta(hours=2)).isoformat()
    wish = {"vehicle_id": van.pk, "connector_id": plugs[1].pk, "starts_at": later}
    assert api.post("/api/v1/reservations/", wish, format="json").status_code == 201
    longer = api.post(f"/api/v1/reservations/{first.number}/extend/", {"minutes": 120}, format="json")
    assert (longer.status_code, longer.json()["code"]) == (409, "vehicle_has_place")
    assert plugs[1].evse.location.name in longer.json()["detail"]


def test_a_new_place_replaces_the_old_one_when_it_is_said(api: APIClient, van: Vehicle, plugs: list[Connector]) -> None:
    old = hold(van, plugs[0])
    Reservation.objects.update(state="confirmed", sent_at=timezone.now())
    kept = hold(van, plugs[2], hours=3)
    wish = {"vehicle_id": van.pk, "connector_id": plugs[1].pk, "replaces_others": True}
    made = api.post("/api/v1/reservations/", wish, format="json")
    assert made.status_code == 201
    assert state_of(old) == ("cancelled", "replaced")
    assert state_of(kept) == ("requested", "")  # at another time
    assert Reservation.objects.filter(
        pk=old.pk, given_back_at=None, sent_at__isnull=False
    ).exists()  # its network hears
    assert AuditEntry.objects.filter(action="reservation.cancel", reason="replaced").count() == 1
    again = api.post("/api/v1/reservations/", wish, format="json")
    assert again.json()["number"] == made.json()["number"]
    assert Reservation.objects.active().count() == 2


def test_the_old_place_stays_when_the_new_one_is_taken(
    van: Vehicle, plugs: list[Connector], organisation: Organisation
) -> None:
    old = hold(van, plugs[0])
    hold(factories.vehicle(organisation, at=timezone.now()), plugs[1])
    now = timezone.now()
    assert services.create_reservation(
        vehicle_id=van.pk, connector_id=plugs[1].pk, expires_at=now + timedelta(minutes=30), actor=None, now=now,
        replaces_others=True,
    ) is None  # fmt: skip
    assert state_of(old) == ("requested", "")
    assert not AuditEntry.objects.filter(action="reservation.cancel").exists()


def test_a_wish_for_longer_than_what_is_held_there_makes_that_longer_or_is_refused(
    api: APIClient, van: Vehicle, plugs: list[Connector], organisation: Organisation
) -> None:
    own = hold(van, plugs[0])
    wish = {"vehicle_id": van.pk, "connector_id": plugs[0].pk, "minutes": 60}
    made = api.post("/api/v1/reservations/", wish, format="json")
    own.refresh_from_db()
    assert (made.status_code, made.json()["number"]) == (201, own.number)
    assert own.expires_at > timezone.now() + timedelta(minutes=55)
    assert AuditEntry.objects.filter(action="reservation.extend").count() == 1
    again = api.post("/api/v1/reservations/", wish, format="json")  # as after a lost answer
    assert (again.status_code, Reservation.objects.get().expires_at) == (201, own.expires_at)
    other = factories.vehicle(organisation, at=timezone.now())
    services.create_reservation(
        vehicle_id=other.pk, connector_id=plugs[0].pk, starts_at=own.expires_at, actor=None, now=timezone.now(),
        expires_at=own.expires_at + timedelta(minutes=30),
    )  # fmt: skip
    assert api.post("/api/v1/reservations/", wish, format="json").status_code == 201
    refused = api.post("/api/v1/reservations/", {**wish, "minutes": 90}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "connector_taken")
    assert Reservation.objects.get(vehicle=van).expires_at == own.expires_at


@pytest.mark.parametrize("is_free", [True, False])
def test_for_longer_at_its_own_plug_a_place_elsewhere_is_given_up_only_if_it_is_to_be_had(
    api: APIClient, van: Vehicle, plugs: list[Connector], organisation: Organisation, is_free: bool
) -> None:
    own, later = hold(van, plugs[0]), hold(van, plugs[1], hours=1)
    if not is_free:
        hold(factories.vehicle(organisation, at=timezone.now()), plugs[0], hours=1.2)
    wish: dict[str, Any] = {"vehicle_id": van.pk, "connector_id": plugs[0].pk, "minutes": 85}
    if is_free:
        refused = api.post("/api/v1/reservations/", wish, format="json")
        assert (refused.status_code, refused.json()["code"]) == (409, "vehicle_has_place")
    answer = api.post("/api/v1/reservations/", {**wish, "replaces_others": True}, format="json")
    assert answer.status_code == (201 if is_free else 409)
    assert state_of(later)[0] == ("cancelled" if is_free else "requested")
    before = own.expires_at
    own.refresh_from_db()
    assert (own.expires_at > before) == is_free


def plan_for(van: Vehicle) -> ChargePlan:
    plan = services.plan_charge_stop(vehicle_id=van.pk, trigger="soc_low", trigger_key="soc:1", now=timezone.now())
    assert plan is not None
    assert plan.connector is not None
    return plan


def test_a_person_who_accepts_a_plan_gives_up_what_the_vehicle_holds(
    van: Vehicle, plugs: list[Connector], dispatcher: User
) -> None:
    old, plan = hold(van, plugs[2]), plan_for(van)
    assert plan.connector == plugs[0]
    services.accept_plan(plan_id=plan.pk, actor=dispatcher, now=timezone.now())
    assert state_of(old) == ("cancelled", "replaced")
    assert Reservation.objects.active().get().connector == plugs[0]


def test_undo_takes_the_place_again_that_was_given_up(
    api: APIClient, van: Vehicle, plugs: list[Connector], dispatcher: User
) -> None:
    old, plan = hold(van, plugs[2], is_rebooked=False), plan_for(van)
    Reservation.objects.update(sent_at=timezone.now())
    services.accept_plan(plan_id=plan.pk, actor=dispatcher, now=timezone.now())
    for _ in range(2):  # a retry changes nothing
        undone = api.post(f"/api/v1/plans/{plan.pk}/undo/").json()
        assert (undone["state"], undone["places_lost"]) == ("proposed", [])
    assert state_of(old) == ("cancelled", "replaced")  # its network is told so
    made = Reservation.objects.active().get()
    assert (made.connector, made.expires_at, made.replaces) == (plugs[2], old.expires_at, old)
    assert (made.vehicle, made.plan, made.is_rebooked, made.sent_at) == (van, None, False, None)


@pytest.mark.parametrize("why", ["taken", "broken"])
def test_undo_says_which_place_is_not_to_be_had_again(
    api: APIClient, van: Vehicle, plugs: list[Connector], organisation: Organisation, dispatcher: User, why: str
) -> None:
    old, plan = hold(van, plugs[2]), plan_for(van)
    services.accept_plan(plan_id=plan.pk, actor=dispatcher, now=timezone.now())
    if why == "taken":
        hold(factories.vehicle(organisation, at=timezone.now()), plugs[2])
    else:
        Connector.objects.filter(pk=plugs[2].pk).update(status="faulted")
    for _ in range(2):
        undone = api.post(f"/api/v1/plans/{plan.pk}/undo/").json()
        assert undone["state"] == "proposed"
        lost = [(place["number"], place["station"]["name"]) for place in undone["places_lost"]]
        assert lost == [(old.number, plugs[2].evse.location.name)]
    assert not Reservation.objects.active().filter(vehicle=van).exists()


def test_by_itself_no_plan_takes_a_place_away_that_somebody_reserved(
    van: Vehicle, plugs: list[Connector], organisation: Organisation
) -> None:
    organisation.dispatch_mode = "automatic"
    organisation.save()
    old, plan = hold(van, plugs[2]), plan_for(van)
    assert plan.state == "proposed"  # a person decides
    assert state_of(old) == ("requested", "")
    services.cancel_reservation(number=old.number, actor=None, now=timezone.now())
    assert services.accept_plan(plan_id=plan.pk, actor=None, is_by_person=False, now=timezone.now()).state == "accepted"


def test_a_place_by_hand_replaces_that_of_a_plan_and_dismisses_it(
    van: Vehicle, plugs: list[Connector], dispatcher: User
) -> None:
    plan = plan_for(van)
    services.accept_plan(plan_id=plan.pk, actor=dispatcher, now=timezone.now())
    with pytest.raises(services.VehicleIsElsewhere):
        hold(van, plugs[1])
    made = hold(van, plugs[1], replaces_others=True)
    plan.refresh_from_db()
    assert plan.state == "dismissed"
    assert Reservation.objects.active().get() == made


def test_a_lost_place_is_not_rebooked_for_a_vehicle_that_has_another(van: Vehicle, plugs: list[Connector]) -> None:
    lost = hold(van, plugs[0])
    Reservation.objects.filter(pk=lost.pk).update(state="cancelled", rebook_due_at=timezone.now())
    other = hold(van, plugs[1])
    assert services.rebook(lost.number, timezone.now()) is None
    assert Reservation.objects.active().get() == other
    assert not Alert.objects.exists()
    Reservation.objects.filter(pk=other.pk).update(state="cancelled")
    Reservation.objects.filter(pk=lost.pk).update(rebook_due_at=timezone.now())
    assert services.rebook(lost.number, timezone.now()) is not None


def test_a_lost_place_is_not_rebooked_where_the_vehicle_may_not_charge(van: Vehicle, plugs: list[Connector]) -> None:
    lost = hold(van, plugs[0])
    AllowedSite.objects.create(organisation=van.organisation, vehicle=van, location=plugs[0].evse.location)
    Reservation.objects.filter(pk=lost.pk).update(state="cancelled", rebook_due_at=timezone.now())
    assert services.rebook(lost.number, timezone.now()) is None
    assert Alert.objects.get().body.endswith("No other place nearby could be reserved.")


@pytest.mark.django_db(transaction=True)
def test_of_two_who_reserve_at_once_one_is_told(van: Vehicle, plugs: list[Connector]) -> None:
    together, outcomes = threading.Barrier(2), []

    def take(plug: Connector) -> None:
        together.wait(60)
        try:
            hold(van, plug)
            outcomes.append("made")
        except services.VehicleIsElsewhere:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=take, args=(plug,)) for plug in plugs[:2]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["made", "refused"]
    assert Reservation.objects.active().count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_plan", [False, True])
def test_who_crosses_another_on_the_way_to_a_plug_begins_once_more(
    van: Vehicle, plugs: list[Connector], dispatcher: User, monkeypatch: pytest.MonkeyPatch, is_plan: bool
) -> None:
    plan = plan_for(van) if is_plan else None
    wanted = plugs[1].pk if plan is None or plan.connector_id is None else plan.connector_id
    old = hold(van, next(plug for plug in plugs if plug.pk != wanted))
    lock = "SELECT 1 FROM stations_connector WHERE id = {} FOR UPDATE"
    with crossed(
        monkeypatch, services.reservations, "_create", lock.format(wanted), lock.format(old.connector_id)
    ) as calls:
        if plan is not None:
            assert services.accept_plan(plan_id=plan.pk, actor=dispatcher, now=timezone.now()).state == "accepted"
        else:
            hold(van, Connector.objects.get(pk=wanted), replaces_others=True)
    assert len(calls) >= 2
    assert state_of(old) == ("cancelled", "replaced")
    assert [row.connector_id for row in Reservation.objects.active()] == [wanted]


@pytest.mark.django_db(transaction=True)
def test_a_place_is_taken_while_words_about_its_plug_are_written(van: Vehicle, plugs: list[Connector]) -> None:
    """They lock plugs in an order that is not that of a vehicle which gives one up for another."""
    with psycopg.connect(conninfo()) as other, connection.cursor() as cursor:
        key = [[ref] for ref in (plugs[0].evse.location.source_id, f"key{plugs[0].pk}")]
        ExternalRef.objects.create(source_id=key[0][0], kind="evse", external_key=key[1][0], object_id=plugs[0].evse_id)
        assert len(other.execute(bulk.LOCK, key).fetchall()) == 1
        cursor.execute("SET lock_timeout = '5s'")
        try:
            hold(van, plugs[0])
        finally:
            cursor.execute("RESET lock_timeout")


def test_the_migration_keeps_the_latest_of_two_places(van: Vehicle, plugs: list[Connector]) -> None:
    migration = importlib.import_module("dispatch.migrations.0021_one_place_per_vehicle")
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE dispatch_reservation DROP CONSTRAINT {CONSTRAINT}")
        rows = [hold(van, plug) for plug in plugs[:2]] + [hold(van, plugs[2], hours=5)]
        Reservation.objects.update(state="confirmed")
        for plug in plugs[:2]:
            set_hold(connector_id=plug.pk, is_held=True, at=timezone.now())
        cursor.execute(migration.KEEP_THE_LATEST)
    assert [state_of(row)[0] for row in rows] == ["cancelled", "confirmed", "confirmed"]
    assert shown(plugs) == [(True, "reserved"), (True, "reserved"), (False, "available")]
    tasks.sweep_reservations()
    assert shown(plugs) == [(False, "available"), (True, "reserved"), (False, "available")]
    changes = StatusChange.objects.filter(connector=plugs[0]).order_by("pk")
    assert [(row.old, row.new) for row in changes] == [("available", "reserved"), ("reserved", "available")]


def shown(plugs: list[Connector]) -> list[tuple[bool, str]]:
    rows = Connector.objects.in_bulk([plug.pk for plug in plugs])
    return [(rows[plug.pk].is_held, rows[plug.pk].status) for plug in plugs]
