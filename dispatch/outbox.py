"""What integrators are told of reservations and alerts."""

from typing import Any

from dispatch.events import EXTENDED, AlertChanged, ReservationChanged
from dispatch.models import Alert, Reservation
from fleetcharge.lib.events import record
from fleetcharge.webhooks import catalogue
from fleetcharge.webhooks.outbox import Fact, tell


@record(ReservationChanged)
def tell_of_a_reservation(event: ReservationChanged) -> None:
    tell(catalogue.RESERVATION_CHANGED, organisation_id=event.organisation_id, fact=lambda: _moved_on(event))


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
    }
    step = f"{event.state}:{row.expires_at:%Y%m%d%H%M%S}" if event.reason == EXTENDED else event.state
    return Fact(event.organisation_id, f"{row.number}:{step}", event.at, data)


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
