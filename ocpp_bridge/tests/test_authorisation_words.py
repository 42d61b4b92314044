"""One decision, said in each version's words; and nobody waits for it."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import AllowedSite, AuthorisationDecision, ChargingPolicy, Wallet
from billing.tests.factories import fund, limit
from fleetcharge.accounts.models import Organisation
from ocpp_bridge.instants import to_wire
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect
from stations.models import Charger, Location
from vehicles.models import IdToken, Vehicle, VehicleModel

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    fund(organisation, 1_000_00)
    factories.token(organisation, "TAG1")
    return factories.charger(organisation, "BLR-017")


def block(station: Charger) -> None:
    IdToken.objects.update(is_active=False)


def expire(station: Charger) -> None:
    IdToken.objects.update(valid_until=timezone.now() - timedelta(days=1))


def want_a_shift(station: Charger) -> None:
    ChargingPolicy.objects.create(organisation=station.organisation, needs_shift=True)


def list_another_site(station: Charger) -> None:
    elsewhere = Location.objects.create(source=station.location.source, name="Else", latitude=1, longitude=1)
    AllowedSite.objects.create(organisation=station.organisation, id_token=IdToken.objects.get(), location=elsewhere)


def spend_all(station: Charger) -> None:
    limit(station.organisation, amount_paise=1)


def freeze(station: Charger) -> None:
    Wallet.objects.update(state="frozen")


def nothing(station: Charger) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "token", "in_16", "in_201"),
    [
        (nothing, "tag1", "Accepted", "Accepted"),
        (nothing, "NOBODY", "Invalid", "Unknown"),
        (block, "TAG1", "Blocked", "Blocked"),
        (expire, "TAG1", "Expired", "Expired"),
        (want_a_shift, "TAG1", "Blocked", "NotAtThisTime"),
        (list_another_site, "TAG1", "Blocked", "NotAtThisLocation"),
        (spend_all, "TAG1", "Blocked", "NoCredit"),
        (freeze, "TAG1", "Blocked", "NoCredit"),
    ],
)
async def test_each_reason_in_the_words_of_each_version(
    connect: Connect, station: Charger, change: Any, token: str, in_16: str, in_201: str
) -> None:
    change(station)
    old = await connect("BLR-017")
    assert (await old.call("Authorize", {"idTag": token}))["idTagInfo"]["status"] == in_16
    new = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    answer = await new.call("Authorize", {"idToken": {"idToken": token, "type": "ISO14443"}})
    assert answer["idTokenInfo"]["status"] == in_201
    assert AuthorisationDecision.objects.filter(is_accepted=in_16 == "Accepted", door="authorize").count() == 2


async def test_a_tokens_second_session_is_concurrent(connect: Connect, station: Charger) -> None:
    socket = await connect("BLR-017")
    start = {"connectorId": 1, "idTag": "TAG1", "meterStart": 0, "timestamp": to_wire(timezone.now())}
    assert (await socket.call("StartTransaction", start))["idTagInfo"]["status"] == "Accepted"
    second = await socket.call("StartTransaction", {**start, "connectorId": 2})
    assert second["idTagInfo"]["status"] == "ConcurrentTx"
    assert second["transactionId"] > 0
    assert (await socket.call("Authorize", {"idTag": "TAG1"}))["idTagInfo"]["status"] == "Accepted"  # to stop


async def test_the_group_is_the_vehicle_in_both_versions(
    connect: Connect, station: Charger, organisation: Organisation
) -> None:
    vehicle = Vehicle.objects.create(organisation=organisation, registration="KA", model=VehicleModel.objects.first())
    IdToken.objects.update(vehicle=vehicle)
    old = await connect("BLR-017")
    answer = await old.call("Authorize", {"idTag": "TAG1"})
    assert answer["idTagInfo"]["parentIdTag"] == f"VEHICLE-{vehicle.pk}"
    new = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    answer = await new.call("Authorize", {"idToken": {"idToken": "TAG1", "type": "ISO14443"}})
    assert answer["idTokenInfo"]["groupIdToken"] == {"idToken": f"VEHICLE-{vehicle.pk}", "type": "Central"}


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ({"energy_wh": 12_000, "amount_paise": 300_50}, {"maxEnergy": 12_000, "maxCost": 300.5}),
        ({"energy_wh": 12_000}, {"maxEnergy": 12_000}),
        ({}, None),
    ],
)
async def test_ocpp_21_takes_the_limit_of_the_session(
    connect: Connect, station: Charger, organisation: Organisation, bound: dict[str, int], told: Any
) -> None:
    if bound:
        limit(organisation, period="session", **bound)
    socket = await connect("BLR-017", subprotocols=["ocpp2.1"])
    event = {
        "eventType": "Started", "timestamp": to_wire(timezone.now()), "triggerReason": "Authorized", "seqNo": 0,
        "transactionInfo": {"transactionId": "tx-1"}, "evse": {"id": 1, "connectorId": 1},
        "idToken": {"idToken": "TAG1", "type": "ISO14443"},
    }  # fmt: skip
    answer = await socket.call("TransactionEvent", event)
    assert answer["idTokenInfo"]["status"] == "Accepted"
    assert answer.get("transactionLimit") == told


@pytest.mark.parametrize("version", ["ocpp2.0.1", "ocpp2.1"])
@pytest.mark.parametrize(
    ("token", "kind", "status"),
    [("", "NoAuthorization", "Accepted"), ("NOBODY", "NoAuthorization", "Accepted"), ("", "ISO14443", "Unknown")],
)
async def test_asking_for_a_button_or_for_nobody_is_answered(
    connect: Connect, station: Charger, version: str, token: str, kind: str, status: str
) -> None:
    """OCPP 2.0.1 part 2 C02: a start button needs no authorisation; a station that asks all the same is told so."""
    socket = await connect("BLR-017", subprotocols=[version])
    answer = await socket.call("Authorize", {"idToken": {"idToken": token, "type": kind}})
    assert answer == {"idTokenInfo": {"status": status}}
    assert not await AuthorisationDecision.objects.aexists()
