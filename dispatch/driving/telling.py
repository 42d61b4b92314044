"""What dispatchers hear of a drive: plugs that drivers report, vehicles that did not come, or stay too long."""

from datetime import datetime

from billing.models import ChargingSession
from billing.services.tariffs import zone_of
from dispatch.driving.models import PlugReport
from dispatch.models import Alert, ChargePlan
from dispatch.services.alerts import close_alert_by_key, open_alert
from stations.models import Connector

SAID = {PlugReport.Kind.BROKEN: "is broken", PlugReport.Kind.BLOCKED: "is blocked"}
REPORTED, NO_SHOW, OVERSTAY = "reported:", "no_show:", "overstay:"


def bay_of(connector: Connector) -> str:
    """How the plug is called at its site. Reads its evse."""
    return str(connector.evse)


def plug_reported(report: PlugReport, *, now: datetime) -> None:
    """Inside the caller's transaction."""
    site = report.connector.evse.location
    open_alert(
        organisation_id=report.organisation_id, kind=Alert.Kind.CHARGER_MATTER,
        dedupe_key=f"{REPORTED}{report.connector_id}", severity=Alert.Severity.WARN, now=now, location_id=site.pk,
        title=f"Plug {bay_of(report.connector)} at {site.name} {SAID[PlugReport.Kind(report.kind)]}",
        body=f"The driver of {report.vehicle.registration} says so. Your vehicles are sent elsewhere for an hour.",
        data={"connector_id": report.connector_id, "report": report.kind},
    )  # fmt: skip


def did_not_come(plan: ChargePlan, *, now: datetime) -> None:
    """Needs the plan's vehicle and its connector's site."""
    assert plan.connector is not None  # noqa: S101 (only such plans had a place)
    site = plan.connector.evse.location
    said = "The driver said to be on the way." if plan.set_off_at else "The driver did not say to be on the way."
    open_alert(
        organisation_id=plan.organisation_id, kind=Alert.Kind.NO_SHOW, dedupe_key=f"{NO_SHOW}{plan.pk}",
        title=f"{plan.vehicle.registration} did not come to {site.name}", severity=Alert.Severity.WARN, now=now,
        body=f"Its place was given up. {said} Call the driver; it is planned for again while it is low.",
        vehicle_id=plan.vehicle_id, location_id=site.pk, data={"plan_id": plan.pk},
    )  # fmt: skip


def stays_too_long(session: ChargingSession, full_since: datetime, *, now: datetime) -> None:
    """Needs the session's vehicle, organisation and site."""
    assert session.vehicle is not None  # noqa: S101 (checked by the caller)
    site = session.connector.evse.location
    at = full_since.astimezone(zone_of(session.organisation.time_zone))
    open_alert(
        organisation_id=session.organisation_id, kind=Alert.Kind.OVERSTAY, dedupe_key=f"{OVERSTAY}{session.pk}",
        title=f"{session.vehicle.registration} is full and still plugged in at {site.name}",
        body=f"Nothing has flowed at plug {bay_of(session.connector)} since {at:%H:%M}. It may cost a fee for idling.",
        severity=Alert.Severity.WARN, now=now, vehicle_id=session.vehicle_id, location_id=site.pk,
        session_id=session.pk, data={"full_since": full_since.isoformat()},
    )  # fmt: skip


def is_over(alert: Alert, reason: str, *, now: datetime) -> bool:
    return close_alert_by_key(
        organisation_id=alert.organisation_id, dedupe_key=alert.dedupe_key, reason=reason, now=now
    )
