"""Reservations for later and starts and stops over the API; another fleet's things do not exist."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from rest_framework.test import APIClient

from billing.tests.factories import fund
from dispatch import tasks
from dispatch.models import Reservation, SessionCommand
from dispatch.tests import factories
from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.accounts.services import create_api_key
from fleetcharge.lib import hints
from stations.models import Connector
from vehicles.models import IdToken, Vehicle

pytestmark = pytest.mark.django_db
RESERVATIONS, COMMANDS = "/api/v1/reservations/", "/api/v1/session-commands/"


def client_for(organisation: Organisation, *scopes: str) -> APIClient:
    _, secret = create_api_key(organisation=organisation, name="k", scopes=scopes)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


@pytest.fixture
def api(organisation: Organisation) -> APIClient:
    return client_for(organisation, Scope.DISPATCH_READ, Scope.DISPATCH_WRITE)


@pytest.fixture
def van(organisation: Organisation) -> Vehicle:
    fund(organisation, 1_000_000)
    return factories.vehicle(organisation, at=timezone.now())


@pytest.fixture
def plug(organisation: Organisation) -> Connector:
    return factories.connector(factories.location(factories.public_network(organisation)), at=timezone.now())


def reserve(api: APIClient, van: Vehicle, plug: Connector, **wish: Any) -> Any:
    return api.post(RESERVATIONS, {"vehicle_id": van.pk, "connector_id": plug.pk, **wish}, format="json")


def test_a_place_is_reserved_for_later_and_kept_longer(api: APIClient, van: Vehicle, plug: Connector) -> None:
    at = (timezone.now() + timedelta(hours=4)).replace(microsecond=0)
    made = reserve(api, van, plug, starts_at=at.isoformat(), minutes=40).json()
    assert (made["state"], made["way"]) == ("requested", "")
    row = Reservation.objects.get()
    assert (row.starts_at, row.expires_at) == (at, at + timedelta(minutes=40))
    longer = api.post(f"{RESERVATIONS}{row.number}/extend/", {"minutes": 20}, format="json")
    row.refresh_from_db()
    assert (longer.status_code, row.expires_at) == (200, at + timedelta(hours=1))
    assert api.post(f"{RESERVATIONS}{row.number}/extend/", {"minutes": 0}, format="json").status_code == 400
    api.post(f"{RESERVATIONS}{row.number}/cancel/", {}, format="json")
    over = api.post(f"{RESERVATIONS}{row.number}/extend/", {"minutes": 20}, format="json")
    assert (over.status_code, over.json()["code"]) == (409, "reservation_over")


def test_two_times_at_one_place_fit_unless_they_touch(
    api: APIClient, van: Vehicle, plug: Connector, organisation: Organisation
) -> None:
    other, at = factories.vehicle(organisation, at=timezone.now()), timezone.now() + timedelta(hours=4)
    first = reserve(api, van, plug, starts_at=at.isoformat(), minutes=30).json()
    clash = reserve(api, other, plug, starts_at=(at + timedelta(minutes=29)).isoformat(), minutes=30)
    assert (clash.status_code, clash.json()["code"]) == (409, "connector_taken")
    after = reserve(api, other, plug, starts_at=(at + timedelta(minutes=31)).isoformat(), minutes=30)
    assert after.status_code == 201
    taken = api.post(f"{RESERVATIONS}{first['number']}/extend/", {"minutes": 10}, format="json")
    assert (taken.status_code, taken.json()["code"]) == (409, "connector_taken")
    far = reserve(api, van, plug, starts_at=(at + timedelta(days=60)).isoformat())
    assert far.status_code == 400


def test_a_start_is_asked_for_once(api: APIClient, van: Vehicle, plug: Connector) -> None:
    wish = {"vehicle_id": van.pk, "connector_public_id": plug.public_id}
    made = api.post(f"{COMMANDS}start/", wish, format="json")
    assert made.status_code == 201
    assert made.json()["vehicle"] == {"id": van.pk, "registration": van.registration}
    again = api.post(f"{COMMANDS}start/", wish, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "in_progress")
    key = made.json()["key"]
    assert api.get(f"{COMMANDS}{key}/").json()["kind"] == "start"
    assert [row["key"] for row in api.get(COMMANDS).json()["results"]] == [key]
    assert api.get(f"{COMMANDS}nonsense/").status_code == 404


def test_another_fleet_can_neither_see_nor_start_anything(
    api: APIClient, van: Vehicle, plug: Connector, other_organisation: Organisation
) -> None:
    wish = {"vehicle_id": van.pk, "connector_id": plug.pk}
    key = api.post(f"{COMMANDS}start/", wish, format="json").json()["key"]
    stranger = client_for(other_organisation, Scope.DISPATCH_READ, Scope.DISPATCH_WRITE)
    assert stranger.post(f"{COMMANDS}start/", wish, format="json").status_code == 404
    assert stranger.post(f"{COMMANDS}stop/", {"session_id": 1}, format="json").status_code == 404
    assert stranger.get(f"{COMMANDS}{key}/").status_code == 404
    assert stranger.get(COMMANDS).json()["results"] == []
    reader = client_for(van.organisation, Scope.DISPATCH_READ)
    assert reader.post(f"{COMMANDS}start/", wish, format="json").status_code == 403
    assert SessionCommand.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_worker_is_sent_to_a_click_with_a_key_once_its_row_is_there(
    api: APIClient, van: Vehicle, plug: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it finds nothing, and the network's result finds no command."""
    told: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        hints, "_start", lambda task, *how: told.append((task.name, transaction.get_connection().in_atomic_block))
    )
    IdToken.objects.create(organisation=van.organisation, vehicle=van, uid="CARD1")
    body = {"vehicle_id": van.pk, "connector_id": plug.pk}
    answer = api.post(f"{COMMANDS}start/", body, format="json", HTTP_IDEMPOTENCY_KEY="a-click")
    assert answer.status_code == 201, answer.json()
    assert [is_inside for name, is_inside in told if name == tasks.send_command.name] == [False]
