"""What integrators are told of plans, reservations, commands and alerts."""

from typing import Any

from dispatch.driving import links
from dispatch.driving.models import DriverLink
from dispatch.events import (
    EXTENDED,
    AlertChanged,
    DriverLinkMade,
    PlanChanged,
    ReservationBreached,
    ReservationChanged,
    SessionCommandChanged,
)
from dispatch.models import Alert, ChargePlan, Reservation, SessionCommand
from fleetcharge.lib.events import record
from fleetcharge.webhooks import catalogue
from fleetcharge.webhooks.outbox import Fact, tell


@record(ReservationChanged)
def tell_of_a_reservation(event: ReservationChanged) -> None:
    tell(catalogue.RESERVATION_CHANGED, organisation_id=event.organisation_id, fact=lambda: _moved_on(event))


@record(ReservationBreached)
def tell_of_a_breach(event: ReservationBreached) -> None:
    tell(catalogue.RESERVATION_BREACHED, organisation_id=event.organisation_id, fact=lambda: _breached(event))


@record(SessionCommandChanged)
def tell_of_a_command(event: SessionCommandChanged) -> None:
    tell(catalogue.SESSION_COMMAND_CHANGED, organisation_id=event.organisation_id, fact=lambda: _answered(event))


@record(PlanChanged)
def tell_of_a_plan(event: PlanChanged) -> None:
    tell(catalogue.PLAN_CHANGED, organisation_id=event.organisation_id, fact=lambda: _planned(event))


@record(DriverLinkMade)
def tell_of_a_drivers_link(event: DriverLinkMade) -> None:
    tell(catalogue.DRIVER_LINK_MADE, organisation_id=event.organisation_id, fact=lambda: _handed_out(event))


@record(AlertChanged)
def tell_of_an_alert(event: AlertChanged) -> None:
    if event.op == "add":
        tell(catalogue.ALERT_OPENED, organisation_id=event.organisation_id, fact=lambda: _alerted(event))
    elif event.op == "del":
        tell(catalogue.ALERT_CLOSED, organisation_id=event.organisation_id, fact=lambda: _alerted(event))


def _moved_on(event: ReservationChanged) -> Fact:
    row = Reservation.objects.select_related("connector__evse__location").get(pk=event.reservation_number)
    data: dict[str, Any] = {
        "number": row.number,
        "state": event.state,
        "reason": event.reason,
        "connector": row.connector.public_id,
        "location": row.connector.evse.location.public_id,
        "vehicle_id": row.vehicle_id,
        "plan_id": row.plan_id,
        "expires_at": row.expires_at,
        "way": row.way,
        "starts_at": row.starts_at,
        "replaces": row.replaces_id,
    }
    step = f"{event.state}:{row.expires_at:%Y%m%d%H%M%S}" if event.reason == EXTENDED else event.state
    return Fact(event.organisation_id, f"{row.number}:{step}", event.at, data)


def _breached(event: ReservationBreached) -> Fact:
    row = Reservation.objects.select_related("connector__evse__location").get(pk=event.reservation_number)
    data: dict[str, Any] = {
        "number": row.number,
        "connector": row.connector.public_id,
        "location": row.connector.evse.location.public_id,
        "vehicle_id": row.vehicle_id,
        "state": event.state,
        "at": event.at,
    }
    return Fact(event.organisation_id, event.breach_id, event.at, data)


def _answered(event: SessionCommandChanged) -> Fact:
    row = SessionCommand.objects.select_related("connector__evse__location").get(pk=event.command_id)
    data: dict[str, Any] = {
        "key": str(row.key),
        "kind": row.kind,
        "state": event.state,
        "reason": event.reason,
        "connector": row.connector.public_id,
        "location": row.connector.evse.location.public_id,
        "vehicle_id": row.vehicle_id,
        "session": row.session_id,
        "at": event.at,
    }
    return Fact(event.organisation_id, f"{row.pk}:{event.state}", event.at, data)


def _planned(event: PlanChanged) -> Fact:
    row = ChargePlan.objects.select_related("connector__evse__location").get(pk=event.plan_id)
    data: dict[str, Any] = {
        "id": row.pk,
        "state": event.state,
        "vehicle_id": row.vehicle_id,
        "connector": row.connector.public_id if row.connector else None,
        "location": row.connector.evse.location.public_id if row.connector else None,
        "soc_percent": row.soc_percent,
        "arrived_at": row.arrived_at,
        "plug_in_at": row.plug_in_at,
        "done_at": row.done_at,
        "cost_paise": row.cost_paise,
        "at": event.at,
    }
    return Fact(event.organisation_id, f"{row.pk}:{event.state}:{event.at.timestamp()}", event.at, data)


def _handed_out(event: DriverLinkMade) -> Fact:
    link = DriverLink.objects.get(pk=event.link_id)
    data: dict[str, Any] = {
        "plan_id": event.plan_id,
        "vehicle_id": link.vehicle_id,
        "driver_id": link.driver_id,
        "driver_url": links.url_of(link),
        "expires_at": link.expires_at,
        "at": event.at,
    }
    return Fact(event.organisation_id, link.pk, event.at, data)


def _alerted(event: AlertChanged) -> Fact:
    alert = Alert.objects.select_related("location").get(pk=event.alert_id)
    data: dict[str, Any] = {
        "id": alert.pk,
        "kind": alert.kind,
        "severity": alert.severity,
        "title": alert.title,
        "body": alert.body,
        "vehicle_id": alert.vehicle_id,
        "location": alert.location.public_id if alert.location else None,
        "session_id": alert.session_id,
        "opened_at": alert.opened_at,
        "closed_at": alert.closed_at,
        "close_reason": alert.close_reason,
    }
    return Fact(event.organisation_id, alert.pk, alert.closed_at or alert.opened_at, data)
