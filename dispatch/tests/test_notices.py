"""Alerts of networks and money: opened for whom they concern, closed when the cause is gone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.models import BillingException
from billing.services.exceptions import open_exception, resolve_exception
from dispatch import candidates, services, tasks
from dispatch.core import choose
from dispatch.models import Alert, ChargePlan
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from fleetcharge.lib import crypto
from fleetcharge.webhooks import deliveries
from fleetcharge.webhooks import services as services_of_webhooks
from fleetcharge.webhooks.models import WebhookEndpoint, new_secret
from stations.models import Connector, NetworkAccess
from stations.services.networks import source_failed, source_polled, switch_source
from vehicles.models import Driver, Shift, VehicleState

pytestmark = pytest.mark.django_db


@pytest.fixture
def network(organisation):
    return factories.public_network(organisation)


@pytest.fixture
def queued(monkeypatch):
    """Background work runs when its event is delivered, as a worker would a moment later."""
    monkeypatch.setattr(tasks.follow_network, "apply_async", lambda args, **how: tasks.follow_network(*args))


def fail(network, *, at=NOW):
    for _ in range(3):
        source_failed(source_id=network.pk, error="connect timeout", at=at)


def open_alerts():
    return list(Alert.objects.open().order_by("organisation_id").values_list("organisation_id", "kind", "dedupe_key"))


def test_a_failing_network_is_shown_to_every_fleet_with_access_and_to_no_other(
    network, organisation, other_organisation, queued, django_capture_on_commit_callbacks
):
    factories.public_network(other_organisation)
    source_polled(source_id=network.pk, at=NOW - timedelta(hours=1))
    with django_capture_on_commit_callbacks(execute=True):
        fail(network)
    assert open_alerts() == [(organisation.pk, "network_down", f"network:{network.pk}")]
    alert = Alert.objects.get()
    assert alert.title == f"{network.name} does not answer"
    assert "No answer since 02 Mar 11:00." in alert.body  # the fleet's own clock
    with django_capture_on_commit_callbacks(execute=True):
        source_polled(source_id=network.pk, at=NOW)
    alert.refresh_from_db()
    assert (open_alerts(), alert.close_reason) == ([], "Connected")


def test_the_owner_of_a_private_network_is_told_and_switching_it_off_ends_it(
    organisation, queued, django_capture_on_commit_callbacks
):
    network = factories.source(organisation, kind="ocpi-2.2.1")
    with django_capture_on_commit_callbacks(execute=True):
        fail(network)
    assert [row[0] for row in open_alerts()] == [organisation.pk]
    with django_capture_on_commit_callbacks(execute=True):
        switch_source(source_id=network.pk, is_on=False, at=NOW)
    assert open_alerts() == []


def test_the_sweep_finds_what_an_event_missed_and_follows_access(network, organisation, other_organisation):
    fail(network)
    assert tasks.sweep_alerts() == 1
    assert tasks.sweep_alerts() == 0
    NetworkAccess.objects.create(organisation=other_organisation, source=network)
    tasks.sweep_alerts()
    assert {row[0] for row in open_alerts()} == {organisation.pk, other_organisation.pk}
    NetworkAccess.objects.filter(organisation=organisation).delete()
    tasks.sweep_alerts()
    assert {row[0] for row in open_alerts()} == {other_organisation.pk}
    source_polled(source_id=network.pk, at=NOW)
    tasks.sweep_alerts()
    assert open_alerts() == []


def test_an_alert_that_a_person_closed_comes_back_only_with_the_next_failure(network, dispatcher):
    fail(network)
    services.show_network(source_id=network.pk, now=NOW)
    services.close_alert(alert_id=Alert.objects.get().pk, actor=dispatcher, reason="known", now=NOW)
    assert services.show_network(source_id=network.pk, now=NOW + timedelta(minutes=1)) == 0
    source_polled(source_id=network.pk, at=NOW + timedelta(minutes=2))
    fail(network, at=NOW + timedelta(minutes=3))
    assert services.show_network(source_id=network.pk, now=NOW + timedelta(minutes=4)) == 1
    assert len(open_alerts()) == 1


def test_a_plug_of_a_failing_network_is_offered_at_a_risk_that_the_plan_names(network, organisation):
    doubtful = factories.connector(factories.location(network))
    network.state = "failing"
    network.save()
    other = factories.public_network(organisation)
    sure = factories.connector(factories.location(other, latitude=factories.HERE[0] + 0.5 / 111.2))
    first, second = (look(factories.vehicle(organisation), key) for key in ("a", "b"))
    assert (first.connector, first.explanation["is_network_failing"]) == (sure, False)  # 500 m farther, but it answers
    assert (second.connector, second.explanation["is_network_failing"]) == (doubtful, True)
    risk = (choose.RISK["live"] + choose.RISK_NETWORK_FAILING) * choose.FALLBACK_MINUTES * 400
    assert second.explanation["candidates"][0]["risk_paise"] == round(risk)
    assert Alert.objects.get(plan=second).body.endswith("Its network does not answer just now.")
    assert "network" not in Alert.objects.get(plan=first).body


def exception_of(organisation, reference="1"):
    return open_exception(
        organisation_id=organisation.pk, kind=BillingException.Kind.ORPHAN_STOP, title="A stop without a start",
        at=NOW, reference=reference,
    )  # fmt: skip


def test_a_money_alert_ends_with_its_exception(organisation, finance, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        decided, waiting = exception_of(organisation), exception_of(organisation, "2")
    assert len(open_alerts()) == 2
    with django_capture_on_commit_callbacks(execute=True):
        resolve_exception(exception_id=decided.pk, actor=finance, reason="paid in cash", at=NOW)
    assert open_alerts() == [(organisation.pk, "money", f"exception:{waiting.pk}")]


def test_the_sweep_closes_money_alerts_that_later_evidence_settled(organisation, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        exception_of(organisation)
        exception_of(organisation, "2")
    BillingException.objects.filter(reference="1").update(resolved_at=NOW)
    assert tasks.sweep_alerts() == 1
    assert len(open_alerts()) == 1


@pytest.fixture
def stranded(organisation):
    """A vehicle with 9 % and no charger for 50 km."""
    factories.connector(factories.location(factories.public_network(organisation), latitude=13.4))
    return factories.vehicle(organisation, soc_percent=9.0)


def look(vehicle, key, minutes=0):
    now = NOW + timedelta(minutes=minutes)
    Connector.objects.update(heard_at=now)
    return services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key=key, now=now)


def test_a_stranded_vehicle_keeps_one_plan_and_one_alert(stranded):
    first = look(stranded, "soc:1")
    alert = Alert.objects.get()
    assert look(stranded, "again:1", minutes=1).pk == first.pk
    alert_again = Alert.objects.get()
    assert alert_again.revision == alert.revision  # nothing new, so no browser is told
    assert ChargePlan.objects.get().closed_at == NOW + timedelta(minutes=1)
    VehicleState.objects.update(soc_percent=7.0)
    look(stranded, "again:2", minutes=2)
    plan, alert_again = ChargePlan.objects.get(), Alert.objects.get()
    assert (plan.soc_percent, plan.created_at) == (7.0, NOW)
    assert alert_again.revision > alert.revision
    assert alert_again.title == f"{stranded.registration} has 7 % and no charger in reach"
    assert alert_again.data["deficit_wh"] > alert.data["deficit_wh"]


def test_a_stranded_vehicle_is_looked_at_once_a_minute(stranded):
    look(stranded, "soc:1")
    look(stranded, "again:1", minutes=5)
    assert not tasks.low_without_plan(NOW + timedelta(minutes=5, seconds=30)).exists()
    assert tasks.low_without_plan(NOW + timedelta(minutes=6, seconds=1)).exists()


def test_a_charger_that_comes_into_reach_ends_the_infeasible_plan(stranded, organisation):
    look(stranded, "soc:1")
    factories.connector(factories.location(factories.public_network(organisation)))
    candidates.sites.forget()
    plan = look(stranded, "again:1", minutes=1)
    assert (plan.state, ChargePlan.objects.count()) == ("proposed", 2)
    assert [(alert.kind, alert.plan) for alert in Alert.objects.open()] == [("will_not_reach", plan)]


def test_a_vehicle_that_recovered_and_fell_low_again_has_a_new_story(stranded):
    look(stranded, "soc:1")
    services.close_recovered(vehicle_id=stranded.pk, now=NOW + timedelta(minutes=1))
    VehicleState.objects.update(soc_low_at=NOW + timedelta(minutes=2))
    look(stranded, "soc:2", minutes=2)
    assert (ChargePlan.objects.count(), Alert.objects.open().count()) == (2, 1)


def test_an_alert_that_a_person_closed_is_not_opened_every_minute(stranded, dispatcher):
    look(stranded, "soc:1")
    services.close_alert(alert_id=Alert.objects.get().pk, actor=dispatcher, reason="tow truck", now=NOW)
    VehicleState.objects.update(soc_percent=7.0)
    look(stranded, "again:1", minutes=1)
    assert (ChargePlan.objects.count(), Alert.objects.open().count()) == (1, 0)


def test_the_board_names_the_driver_on_shift(client, dispatcher, organisation):
    vehicle, now = factories.vehicle(organisation, at=timezone.now()), timezone.now()
    usual, today, past = (
        Driver.objects.create(organisation=organisation, name=name) for name in ("Usha", "Tara", "Om")
    )
    vehicle.default_driver = usual
    vehicle.save()
    client.force_login(dispatcher)
    first = client.get("/api/v1/live/static/")
    assert first.json()["vehicles"][0]["driver"] == "Usha"
    hour = timedelta(hours=1)
    spans = [
        (past, now - 5 * hour, now - hour),
        (today, now - hour, now + hour),
        (past, now + 2 * hour, now + 3 * hour),
    ]
    for driver, starts_at, ends_at in spans:
        Shift.objects.create(
            organisation=organisation, vehicle=vehicle, driver=driver, starts_at=starts_at, ends_at=ends_at
        )
    again = client.get("/api/v1/live/static/", headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.json()["vehicles"][0]["driver"]) == (200, "Tara")


# --- webhooks that were given up ----------------------------------------------------------------------------------


@pytest.fixture
def endpoint(organisation):
    return WebhookEndpoint.objects.create(
        organisation=organisation, url="https://erp.example/in", description="ERP", event_types=["wallet.low"],
        secret_encrypted=crypto.encrypt(new_secret()),
    )  # fmt: skip


def gone(endpoint, at):
    """Its receiver answers 410."""
    services_of_webhooks.send_test(endpoint_id=endpoint.pk, now=at)
    *_, post = deliveries.claim(endpoint_id=endpoint.pk, now=at)
    outcome = deliveries.Outcome(post.delivery_id, 410, "HTTP 410.")
    deliveries.settle(endpoint_id=endpoint.pk, outcomes=[outcome], now=at)


def test_a_webhook_we_give_up_is_an_alert_of_its_fleet_until_it_is_on_again(
    endpoint, organisation, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        gone(endpoint, NOW)
    assert open_alerts() == [(organisation.pk, "webhook_off", f"webhook:{endpoint.pk}")]
    alert = Alert.objects.get()
    assert (alert.title, alert.body) == ("Webhook switched off: ERP", "The endpoint answered 410 Gone.")
    tasks.sweep_alerts()
    assert Alert.objects.count() == 1
    with django_capture_on_commit_callbacks(execute=True):
        services_of_webhooks.change_endpoint(endpoint_id=endpoint.pk, changes={"is_active": True}, now=NOW)
    assert open_alerts() == []


def test_a_webhook_given_up_is_found_also_when_its_event_was_lost(endpoint, organisation, dispatcher):
    gone(endpoint, NOW)  # nobody heard of it
    assert Alert.objects.count() == 0
    tasks.sweep_alerts()
    assert [kind for _, kind, _ in open_alerts()] == ["webhook_off"]
    services.close_alert(alert_id=Alert.objects.get().pk, actor=dispatcher, reason="known", now=timezone.now())
    tasks.sweep_alerts()
    assert open_alerts() == [], "who closed it knows"
    services_of_webhooks.change_endpoint(endpoint_id=endpoint.pk, changes={"is_active": True}, now=timezone.now())
    gone(endpoint, timezone.now() + timedelta(minutes=1))
    tasks.sweep_alerts()
    assert [kind for _, kind, _ in open_alerts()] == ["webhook_off"]
    services_of_webhooks.delete_endpoint(endpoint_id=endpoint.pk, now=timezone.now())
    tasks.sweep_alerts()
    assert open_alerts() == []


def test_what_a_person_switched_off_is_no_alert(endpoint, dispatcher, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        services_of_webhooks.change_endpoint(
            endpoint_id=endpoint.pk, changes={"is_active": False}, actor=dispatcher, now=NOW
        )
    tasks.sweep_alerts()
    assert Alert.objects.count() == 0
