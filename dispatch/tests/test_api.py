"""The dispatch API: shapes, decisions, and nothing for strangers."""

from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch import candidates, figures, services
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def plan(organisation):
    candidates.sites.forget()
    now = timezone.now()
    factories.connector(factories.location(factories.public_network(organisation)), at=now)
    vehicle = factories.vehicle(organisation, at=now)
    return services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key="soc:1", now=now)


@pytest.fixture
def as_dispatcher(client, dispatcher):
    client.force_login(dispatcher)
    return client


def test_a_plan_is_shown_as_promised(as_dispatcher, plan):
    body = as_dispatcher.get(f"/api/v1/plans/{plan.pk}/").json()
    assert set(body) == {
        "id", "state", "trigger", "vehicle", "station", "connector", "soc_percent", "arrival_soc_percent",
        "target_soc_percent", "energy_wh", "distance_m", "detour_m", "drive_seconds", "wait_seconds",
        "charge_seconds", "delay_seconds", "cost_paise", "plug_in_at", "done_at", "route", "explanation", "engine",
        "created_at", "undo_until", "set_off_at", "arrived_at", "arrived_by", "reservation",
        "window_starts_at", "window_ends_at",
    }  # fmt: skip
    assert set(body["station"]) == {"id", "public_id", "name", "network", "latitude", "longitude"}
    assert set(body["connector"]) == {"id", "public_id", "connector_id", "plug", "max_power_w", "status"}
    assert body["vehicle"] == {"id": plan.vehicle_id, "registration": plan.vehicle.registration}
    assert len(body["route"]["new"]) > 2
    alert = as_dispatcher.get("/api/v1/alerts/?is_open=true").json()["results"][0]
    assert (alert["op"], alert["plan"]) == ("add", body)


def test_a_dispatcher_accepts_undoes_and_dismisses(as_dispatcher, plan):
    accepted = as_dispatcher.post(f"/api/v1/plans/{plan.pk}/accept/").json()
    assert (accepted["state"], accepted["reservation"]["state"]) == ("accepted", "requested")
    assert as_dispatcher.post(f"/api/v1/plans/{plan.pk}/undo/").json()["state"] == "proposed"
    gone = as_dispatcher.post(
        f"/api/v1/plans/{plan.pk}/dismiss/", {"reason": "other plans"}, content_type="application/json"
    )
    assert gone.json()["state"] == "dismissed"
    refused = as_dispatcher.post(f"/api/v1/plans/{plan.pk}/accept/")
    assert (refused.status_code, refused.json()["code"]) == (409, "plan_closed")


def test_an_alert_is_snoozed_and_closed(as_dispatcher, plan):
    alert = Alert.objects.get()
    snoozed = as_dispatcher.post(
        f"/api/v1/alerts/{alert.pk}/snooze/", {"minutes": 30}, content_type="application/json"
    ).json()
    assert snoozed["snoozed_until"] is not None
    assert snoozed["revision"] > alert.revision
    closed = as_dispatcher.post(f"/api/v1/alerts/{alert.pk}/close/", {}, content_type="application/json").json()
    assert (closed["op"], closed["revision"] > snoozed["revision"]) == ("del", True)


def test_a_snoozed_alert_comes_back_when_it_is_woken(as_dispatcher, client, stranger, plan):
    alert = Alert.objects.get()
    services.snooze_alert(alert_id=alert.pk, until=timezone.now() + timedelta(minutes=30), actor=None)
    woken = as_dispatcher.post(f"/api/v1/alerts/{alert.pk}/wake/").json()
    assert (woken["op"], woken["snoozed_until"], woken["revision"] > alert.revision + 1) == ("upd", None, True)
    assert as_dispatcher.post(f"/api/v1/alerts/{alert.pk}/wake/").json()["revision"] == woken["revision"]
    client.force_login(stranger)
    assert client.post(f"/api/v1/alerts/{alert.pk}/wake/").status_code == 404


def test_a_plug_is_reserved_by_hand_once(as_dispatcher, plan):
    other = factories.vehicle(plan.organisation, at=timezone.now())
    wish = {"vehicle_id": other.pk, "connector_id": plan.connector_id}
    made = as_dispatcher.post("/api/v1/reservations/", wish, content_type="application/json")
    assert made.status_code == 201
    again = as_dispatcher.post("/api/v1/reservations/", wish, content_type="application/json")
    assert (again.status_code, again.json()["number"]) == (201, made.json()["number"])
    third = {**wish, "vehicle_id": factories.vehicle(plan.organisation, at=timezone.now()).pk}
    taken = as_dispatcher.post("/api/v1/reservations/", third, content_type="application/json")
    assert (taken.status_code, taken.json()["code"]) == (409, "connector_taken")
    cancel = f"/api/v1/reservations/{made.json()['number']}/cancel/"
    assert as_dispatcher.post(cancel, {}, content_type="application/json").json()["state"] == "cancelled"


def test_a_stranger_finds_nothing_and_changes_nothing(client, stranger, plan, organisation):
    services.accept_plan(plan_id=plan.pk, actor=None, now=timezone.now())
    number, alert_id = Reservation.objects.get().number, Alert.objects.get().pk
    client.force_login(stranger)
    for path in ("plans", "alerts", "reservations"):
        assert client.get(f"/api/v1/{path}/").json()["results"] == []
    paths = [
        f"plans/{plan.pk}/accept/", f"plans/{plan.pk}/dismiss/", f"plans/{plan.pk}/undo/", f"alerts/{alert_id}/close/",
        f"alerts/{alert_id}/snooze/", f"reservations/{number}/cancel/",
    ]  # fmt: skip
    for path in paths:
        assert client.post(f"/api/v1/{path}").status_code == 404, path
    wish = {"vehicle_id": plan.vehicle_id, "connector_id": plan.connector_id}
    assert client.post("/api/v1/reservations/", wish, content_type="application/json").status_code == 404
    static = client.get("/api/v1/live/static/").json()
    assert static["vehicles"] == []
    assert ChargePlan.objects.get().state == "accepted"


def test_finance_may_look_but_not_decide(client, finance, plan):
    client.force_login(finance)
    assert client.get(f"/api/v1/plans/{plan.pk}/").status_code == 200
    assert client.post(f"/api/v1/plans/{plan.pk}/accept/").status_code == 403
    assert ChargePlan.objects.get().state == "proposed"


def test_the_static_part_is_sent_once(as_dispatcher, plan):
    first = as_dispatcher.get("/api/v1/live/static/")
    vehicle = first.json()["vehicles"][0]
    assert (vehicle["id"], vehicle["battery_wh"], vehicle["next_stop"]) == (plan.vehicle_id, 21_300, None)
    station = first.json()["stations"][0]
    assert (station["total"], station["max_power_w"]) == (1, 60_000)
    assert as_dispatcher.get("/api/v1/live/static/", headers={"If-None-Match": first["ETag"]}).status_code == 304
    plan.vehicle.registration = "KA 01 AB 1"
    plan.vehicle.save()
    renewed = as_dispatcher.get("/api/v1/live/static/", headers={"If-None-Match": first["ETag"]})
    assert renewed.json()["rev"] != first.json()["rev"]


def test_history_is_made_of_rows(organisation, plan):
    from datetime import timedelta

    from stations.models import StatusChange

    now = timezone.now()
    StatusChange.objects.create(
        connector=plan.connector, old="charging", new="available", at=now - timedelta(minutes=20)
    )
    points = figures.kpis(organisation, now=now)["history"]["chargers_available"]
    assert points == [0] * 6 + [1] * 4


@pytest.mark.parametrize("path", ["plans/", "alerts/", "reservations/"])
def test_lists_cost_a_fixed_number_of_queries(as_dispatcher, plan, path, django_assert_max_num_queries):
    services.accept_plan(plan_id=plan.pk, actor=None, now=timezone.now())
    with django_assert_max_num_queries(7):
        assert as_dispatcher.get(f"/api/v1/{path}").json()["results"]
