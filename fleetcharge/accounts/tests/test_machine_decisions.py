"""What a machine decides is written down under the name of its key."""

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import BillingException
from dispatch import candidates, services
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.tests import factories
from fleetcharge.accounts.models import AuditEntry, Organisation, Scope
from fleetcharge.accounts.services import create_api_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def post(client: Client, organisation: Organisation):
    _, secret = create_api_key(organisation=organisation, name="TMS", scopes=list(Scope.values))

    def post(path: str, **data: str) -> int:
        answer = client.post(path, data, content_type="application/json", headers={"X-API-Key": secret})
        return answer.status_code

    return post


@pytest.fixture
def plan(organisation: Organisation) -> ChargePlan:
    candidates.sites.forget()
    now = timezone.now()
    factories.connector(factories.location(factories.public_network(organisation)), at=now)
    vehicle = factories.vehicle(organisation, at=now)
    return services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key="soc:1", now=now)


def authors() -> list[tuple[str, str, int | None]]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", "actor_label", "actor"))


def test_accepting_undoing_and_dismissing_a_plan(post, plan: ChargePlan) -> None:
    for deed in ("accept", "undo", "dismiss"):
        assert post(f"/api/v1/plans/{plan.pk}/{deed}/") == 200
    assert authors() == [(f"plan.{deed}", "key TMS", None) for deed in ("accept", "undo", "dismiss")]


def test_cancelling_a_reservation(post, plan: ChargePlan) -> None:
    services.accept_plan(plan_id=plan.pk, actor=None, now=timezone.now())
    assert post(f"/api/v1/reservations/{Reservation.objects.get().number}/cancel/") == 200
    assert authors()[-1] == ("plan.dismiss", "key TMS", None)


def test_reserving_by_hand_and_taking_it_back(post, plan: ChargePlan) -> None:
    assert post("/api/v1/reservations/", vehicle_id=plan.vehicle_id, connector_id=plan.connector_id) == 201
    assert post(f"/api/v1/reservations/{Reservation.objects.get().number}/cancel/") == 200
    assert authors() == [("reservation.create", "key TMS", None), ("reservation.cancel", "key TMS", None)]


def test_snoozing_and_closing_an_alert(post, plan: ChargePlan) -> None:
    alert = Alert.objects.get()
    assert post(f"/api/v1/alerts/{alert.pk}/snooze/", minutes="30") == 200
    assert post(f"/api/v1/alerts/{alert.pk}/close/", reason="done") == 200
    assert authors() == [("alert.snooze", "key TMS", None), ("alert.close", "key TMS", None)]


def test_resolving_an_exception(post, organisation: Organisation) -> None:
    row = BillingException.objects.create(organisation=organisation, kind="suspicious_session", title="odd")
    assert post(f"/api/v1/exceptions/{row.pk}/resolve/", reason="looked at it") == 200
    assert authors() == [("resolve", "key TMS", None)]


def test_what_the_house_accepts_by_itself_says_so(organisation: Organisation) -> None:
    candidates.sites.forget()
    organisation.dispatch_mode = Organisation.DispatchMode.AUTOMATIC
    organisation.save()
    now = timezone.now()
    factories.connector(factories.location(factories.public_network(organisation)), at=now)
    vehicle = factories.vehicle(organisation, at=now)
    services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key="soc:1", now=now)
    assert authors() == [("plan.accept", "automatic mode", None)]
