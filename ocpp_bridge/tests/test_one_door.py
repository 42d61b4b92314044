"""Reservations, starts and stops of dispatch at a charger of ours, over the real wire."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from dispatch import services, tasks
from dispatch.models import Reservation, SessionCommand
from dispatch.services.untold import to_remind
from fleetcharge.accounts.models import Organisation
from ocpp_bridge.instants import to_wire
from ocpp_bridge.tests import test_reserved_bay
from ocpp_bridge.tests.conftest import Charger as Socket
from ocpp_bridge.tests.conftest import Connect, until
from ocpp_bridge.tests.test_reserved_bay import reserve, said, token_of
from stations.models import Charger, Connector
from vehicles.models import Vehicle

pytestmark = pytest.mark.django_db(transaction=True)
station, ours, stranger = test_reserved_bay.station, test_reserved_bay.ours, test_reserved_bay.stranger


async def hear(socket: Socket, action: str, count: int = 1) -> dict[str, Any]:
    """What the charger was asked, once it was asked so often."""
    while len(said(socket, action)) < count:
        await socket.receive()
    return said(socket, action)[-1]


async def is_now(state: str, command: SessionCommand) -> None:
    await until(lambda: SessionCommand.objects.filter(pk=command.pk, state=state).exists())


async def available(socket: Socket) -> Connector:
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": to_wire(timezone.now())}
    await socket.call("StatusNotification", status)
    return Connector.objects.get(evse__evse_number=1)


async def test_a_start_and_a_stop_at_an_own_charger(connect: Connect, station: Charger, ours: Vehicle) -> None:
    socket = await connect("BLR-017")
    connector, now = await available(socket), timezone.now()
    command = services.start_charging(vehicle_id=ours.pk, connector_id=connector.pk, actor=None, now=now)
    assert services.send_command(command.pk, now)
    assert await hear(socket, "RemoteStartTransaction") == {"idTag": token_of(ours), "connectorId": 1}
    await is_now("accepted", command)
    start = {"connectorId": 1, "idTag": token_of(ours), "meterStart": 0, "timestamp": to_wire(timezone.now())}
    started = await socket.call("StartTransaction", start)
    await is_now("done", command)
    command.refresh_from_db()
    assert command.session_id is not None
    stop = services.stop_charging(session_id=command.session_id, actor=None, now=timezone.now())
    services.send_command(stop.pk, timezone.now())
    assert await hear(socket, "RemoteStopTransaction") == {"transactionId": started["transactionId"]}
    await is_now("accepted", stop)
    ended = {"transactionId": started["transactionId"], "meterStop": 5, "timestamp": to_wire(timezone.now())}
    await socket.call("StopTransaction", {**ended, "reason": "Remote"})
    await is_now("done", stop)


async def test_a_charger_that_refuses_or_is_away(connect: Connect, station: Charger, ours: Vehicle) -> None:
    socket = await connect("BLR-017")
    connector, now = await available(socket), timezone.now()
    socket.replies["RemoteStartTransaction"] = {"status": "Rejected"}
    refused = services.start_charging(vehicle_id=ours.pk, connector_id=connector.pk, actor=None, now=now)
    services.send_command(refused.pk, now)
    await hear(socket, "RemoteStartTransaction")
    await is_now("rejected", refused)
    Charger.objects.update(is_online=False)
    away = services.start_charging(vehicle_id=ours.pk, connector_id=connector.pk, actor=None, now=now)
    services.send_command(away.pk, now)
    away.refresh_from_db()
    assert (away.state, away.reason) == ("rejected", "The charger is offline.")


async def test_a_promise_is_kept_for_longer(connect: Connect, station: Charger, ours: Vehicle) -> None:
    socket = await connect("BLR-017")
    row = await reserve(socket, ours)
    later, now = row.expires_at + timedelta(minutes=30), timezone.now()
    services.extend_reservation(number=row.number, expires_at=later, actor=None, now=now)
    services.send_extension(row.number, now)
    asked = await hear(socket, "ReserveNow", 2)
    assert (asked["reservationId"], asked["expiryDate"]) == (row.number, to_wire(later))
    await until(lambda: Reservation.objects.filter(agreed_until=None, expires_at=later, state="confirmed").exists())


async def test_the_sweep_reminds_a_restarted_charger(connect: Connect, station: Charger, ours: Vehicle) -> None:
    socket = await connect("BLR-017")
    await reserve(socket, ours)
    now = timezone.now()
    booted_at = now + timedelta(seconds=1)
    Charger.objects.update(last_boot_at=booted_at)
    assert to_remind(now) == []  # the event does it at once
    later = now + timedelta(minutes=1)
    assert to_remind(later) == [(station.pk, booted_at)]
    Charger.objects.update(last_boot_at=now - timedelta(minutes=1))
    Reservation.objects.update(sent_at=now - timedelta(minutes=2))
    tasks.sweep_reservations()
    await hear(socket, "ReserveNow", 2)
    assert to_remind(later) == []


async def test_nobody_starts_on_anothers_place(
    connect: Connect, station: Charger, ours: Vehicle, stranger: Vehicle, organisation: Organisation
) -> None:
    socket = await connect("BLR-017")
    row = await reserve(socket, ours)
    with pytest.raises(services.CommandRefused, match="reserved"):
        services.start_charging(vehicle_id=stranger.pk, connector_id=row.connector_id, actor=None, now=timezone.now())
    assert not said(socket, "RemoteStartTransaction")
