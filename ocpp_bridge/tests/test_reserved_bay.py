"""A charger that starts anybody on a reserved connector: the stranger is stopped by us, over the real wire."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import ChargingPolicy, ChargingSession
from billing.tests.factories import fund
from dispatch import services
from dispatch.models import Alert, Reservation, ReservationBreach
from dispatch.tests.factories import vehicle as make_vehicle
from fleetcharge.accounts.models import Organisation
from ocpp_bridge.instants import to_wire
from ocpp_bridge.models import Command
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Charger as Socket
from ocpp_bridge.tests.conftest import Connect, until
from stations.models import Charger, Connector
from vehicles.models import Vehicle

pytestmark = pytest.mark.django_db(transaction=True)
BOOT = {"chargePointVendor": "V", "chargePointModel": "M"}


@pytest.fixture
def station(transactional_db: None, organisation: Organisation) -> Charger:
    fund(organisation, 10_000_00)
    ChargingPolicy.objects.create(organisation=organisation, reserved_bay="stop")
    return factories.charger(organisation, "BLR-017")


@pytest.fixture
def ours(station: Charger, organisation: Organisation) -> Vehicle:
    return make_vehicle(organisation, at=timezone.now())


@pytest.fixture
def stranger(station: Charger, organisation: Organisation) -> Vehicle:
    return make_vehicle(organisation, soc_percent=60, at=timezone.now())


def token_of(vehicle: Vehicle) -> str:
    return vehicle.id_tokens.get().uid


async def reserve(socket: Socket, vehicle: Vehicle, protocol: str = "ocpp1.6") -> Reservation:
    """A confirmed reservation of connector 1, asked over the wire."""
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": to_wire(timezone.now())}
    if protocol != "ocpp1.6":
        status = {"evseId": 1, "connectorId": 1, "connectorStatus": "Available", "timestamp": to_wire(timezone.now())}
    await socket.call("StatusNotification", status)
    connector = Connector.objects.get(evse__evse_number=1)
    now = timezone.now()
    reservation = services.create_reservation(
        vehicle_id=vehicle.pk, connector_id=connector.pk, expires_at=now + timedelta(hours=1), actor=None, now=now
    )
    assert reservation is not None
    assert services.send_reservation(reservation.number, now)
    while not said(socket, "ReserveNow"):
        await socket.receive()
    await until(lambda: Reservation.objects.filter(state="confirmed").exists())
    return Reservation.objects.get()


def said(socket: Socket, action: str) -> list[dict[str, Any]]:
    return [payload for name, payload in socket.asked if name == action]


async def test_an_ocpp_16_charger_ends_the_strangers_session(
    connect: Connect, station: Charger, ours: Vehicle, stranger: Vehicle
) -> None:
    socket = await connect("BLR-017")
    reservation = await reserve(socket, ours)
    asked = said(socket, "ReserveNow")[0]
    assert (asked["idTag"], asked["parentIdTag"]) == (token_of(ours), f"VEHICLE-{ours.pk}")
    start = {"connectorId": 1, "idTag": token_of(stranger), "meterStart": 0, "timestamp": to_wire(timezone.now())}
    started = await socket.call("StartTransaction", start)
    await until(lambda: ReservationBreach.objects.exists())
    breach = ReservationBreach.objects.get()
    assert (breach.state, breach.reservation_id) == ("stopping", reservation.number)
    services.ask_to_stop(breach_id=breach.pk, now=timezone.now())
    while not said(socket, "RemoteStopTransaction"):
        await socket.receive()
    assert said(socket, "RemoteStopTransaction") == [{"transactionId": started["transactionId"]}]
    stop = {"transactionId": started["transactionId"], "meterStop": 5, "timestamp": to_wire(timezone.now())}
    await socket.call("StopTransaction", {**stop, "reason": "Remote"})
    await until(lambda: ReservationBreach.objects.filter(state="stopped").exists())
    reservation.refresh_from_db()
    assert (reservation.state, reservation.reason) == ("cancelled", "another vehicle started here")
    assert ChargingSession.objects.get().state == "ended"
    assert not Alert.objects.open().filter(dedupe_key=f"breach:{reservation.number}").exists()


async def test_an_ocpp_201_charger_ends_the_strangers_session(
    connect: Connect, station: Charger, ours: Vehicle, stranger: Vehicle
) -> None:
    socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    await reserve(socket, ours, "ocpp2.0.1")
    await socket.call("TransactionEvent", {
        "eventType": "Started", "timestamp": to_wire(timezone.now()), "triggerReason": "Authorized", "seqNo": 0,
        "transactionInfo": {"transactionId": "tx-1"}, "evse": {"id": 1, "connectorId": 1},
        "idToken": {"idToken": token_of(stranger), "type": "ISO14443"},
    })  # fmt: skip
    await until(lambda: ReservationBreach.objects.exists())
    services.ask_to_stop(breach_id=ReservationBreach.objects.get().pk, now=timezone.now())
    while not said(socket, "RequestStopTransaction"):
        await socket.receive()
    assert said(socket, "RequestStopTransaction") == [{"transactionId": "tx-1"}]


async def test_the_promised_vehicle_charges_in_peace(
    connect: Connect, station: Charger, ours: Vehicle, stranger: Vehicle
) -> None:
    socket = await connect("BLR-017")
    reservation = await reserve(socket, ours)
    start = {"connectorId": 1, "idTag": token_of(ours).lower(), "meterStart": 0, "timestamp": to_wire(timezone.now())}
    await socket.call("StartTransaction", {**start, "reservationId": reservation.number})
    await until(lambda: Reservation.objects.filter(state="used").exists())
    assert not ReservationBreach.objects.exists()


async def test_a_cable_before_the_card_is_no_breach(
    connect: Connect, station: Charger, ours: Vehicle, stranger: Vehicle
) -> None:
    """OCPP 2.x: EVConnected first, the token with a later event."""
    socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    await reserve(socket, ours, "ocpp2.0.1")
    event = {
        "eventType": "Started", "timestamp": to_wire(timezone.now()), "triggerReason": "CablePluggedIn", "seqNo": 0,
        "transactionInfo": {"transactionId": "tx-1"}, "evse": {"id": 1, "connectorId": 1},
    }  # fmt: skip
    await socket.call("TransactionEvent", event)
    assert services.sweep_breaches(now=timezone.now()) == 0
    card = {"idToken": token_of(ours), "type": "ISO14443"}
    await socket.call(
        "TransactionEvent",
        {**event, "eventType": "Updated", "triggerReason": "Authorized", "seqNo": 1, "idToken": card},
    )
    await until(lambda: Reservation.objects.filter(state="used").exists())
    assert not ReservationBreach.objects.exists()


async def test_a_charger_that_restarted_gets_the_reservation_again(
    connect: Connect, station: Charger, ours: Vehicle, stranger: Vehicle
) -> None:
    socket = await connect("BLR-017")
    reservation = await reserve(socket, ours)
    await socket.call("BootNotification", BOOT)
    booted = timezone.now()
    assert services.send_again(charger_id=station.pk, booted_at=booted, now=booted) == 1
    assert services.send_again(charger_id=station.pk, booted_at=booted, now=booted) == 0  # it has been told
    while len(said(socket, "ReserveNow")) < 2:
        await socket.receive()
    first, second = said(socket, "ReserveNow")
    assert first == second
    await until(lambda: not Command.objects.filter(state__in=Command.OPEN_STATES).exists())
    reservation.refresh_from_db()
    assert reservation.state == "confirmed"
    assert Command.objects.filter(action="ReserveNow").count() == 2


@pytest.mark.parametrize(("word", "state", "asked"), [("Removed", "cancelled", 1), ("Expired", "confirmed", 2)])
async def test_a_station_that_lets_a_reservation_go(
    connect: Connect, station: Charger, ours: Vehicle, stranger: Vehicle, word: str, state: str, asked: int
) -> None:
    socket = await connect("BLR-017", subprotocols=["ocpp2.0.1"])
    reservation = await reserve(socket, ours, "ocpp2.0.1")
    update = {"reservationId": reservation.number, "reservationUpdateStatus": word}
    await socket.call("ReservationStatusUpdate", update)
    while len(said(socket, "ReserveNow")) < asked:
        await socket.receive()
    await until(lambda: Reservation.objects.filter(state=state).exists())
