"""What dispatchers hear of a drive: plugs that drivers report, vehicles that did not come, or stay too long."""

from datetime import datetime

from billing.models import ChargingSession
from dispatch.driving.models import PlugReport
from dispatch.models import Alert, ChargePlan
from dispatch.services.alerts import close_alert_by_key, open_alert
from dispatch.wording import Says
from stations.models import Connector

REPORTED, NO_SHOW, OVERSTAY = "reported:", "no_show:", "overstay:"


def bay_of(connector: Connector) -> str:
    """How the plug is called at its site. Reads its evse."""
    return str(connector.evse)


def plug_reported(report: PlugReport, *, now: datetime) -> None:
    """Inside the caller's transaction."""
    site = report.connector.evse.location
    about = {"bay": bay_of(report.connector), "place": site.name, "registration": report.vehicle.registration}
    open_alert(
        organisation_id=report.organisation_id, kind=Alert.Kind.CHARGER_MATTER,
        dedupe_key=f"{REPORTED}{report.connector_id}", severity=Alert.Severity.WARN, now=now, location_id=site.pk,
        says=Says(f"plug_reported_{report.kind}", ("driver_says",), about),
        data={"connector_id": report.connector_id, "report": report.kind},
    )  # fmt: skip


def did_not_come(plan: ChargePlan, *, now: datetime) -> None:
    """Needs the plan's vehicle and its connector's site."""
    assert plan.connector is not None  # noqa: S101 (only such plans had a place)
    site, said = plan.connector.evse.location, ("was_on_the_way",) if plan.set_off_at else ()
    about = {"registration": plan.vehicle.registration, "place": site.name}
    open_alert(
        organisation_id=plan.organisation_id, kind=Alert.Kind.NO_SHOW, dedupe_key=f"{NO_SHOW}{plan.pk}",
        says=Says("no_show", (*said, "place_given_up"), about), severity=Alert.Severity.WARN, now=now,
        vehicle_id=plan.vehicle_id, location_id=site.pk, data={"plan_id": plan.pk},
    )  # fmt: skip


def stays_too_long(session: ChargingSession, full_since: datetime, *, now: datetime) -> None:
    """Needs the session's vehicle and site."""
    assert session.vehicle is not None  # noqa: S101 (checked by the caller)
    site = session.connector.evse.location
    about = {
        "registration": session.vehicle.registration, "place": site.name, "bay": bay_of(session.connector),
        "full_since_at": full_since,
    }  # fmt: skip
    open_alert(
        organisation_id=session.organisation_id, kind=Alert.Kind.OVERSTAY, dedupe_key=f"{OVERSTAY}{session.pk}",
        says=Says("overstay", ("nothing_flows",), about), severity=Alert.Severity.WARN, now=now,
        vehicle_id=session.vehicle_id, location_id=site.pk, session_id=session.pk,
    )  # fmt: skip


def is_over(alert: Alert, reason: str, *, now: datetime) -> bool:
    return close_alert_by_key(
        organisation_id=alert.organisation_id, dedupe_key=alert.dedupe_key, reason=reason, now=now
    )
