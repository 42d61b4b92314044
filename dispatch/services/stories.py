"""What an alert says about a vehicle and its plan: kind, severity, words and figures, decided in one place."""

from datetime import datetime
from typing import Any

from billing.services.afterwards import WORDS
from billing.services.tariffs import zone_of
from dispatch.candidates import NO_PLUG_MATCH, NONE_FREE
from dispatch.models import Alert, ChargePlan
from dispatch.permitted import MAY_NOT_CHARGE
from dispatch.services.alerts import close_alert_by_key, open_alert
from dispatch.situation import Situation

State, Kind, Severity = ChargePlan.State, Alert.Kind, Alert.Severity
LOST = {"faulted": "is out of order", "taken": "was taken", "rejected": "refused the reservation",
        "silent": "stopped reporting", "cancelled": "cancelled the reservation"}  # fmt: skip

OUTCOMES = {NO_PLUG_MATCH: "no charger fits it", NONE_FREE: "no charger to be had", MAY_NOT_CHARGE: "may not charge"}


def key_of(vehicle_id: int) -> str:
    return f"vehicle:{vehicle_id}"


def tell(plan: ChargePlan, *, now: Any) -> None:
    """Open, change or close the alert of the plan's vehicle. Inside the caller's transaction, after its row locks."""
    if plan.state in (State.COMPLETED, State.DISMISSED, State.EXPIRED):
        close_alert_by_key(
            organisation_id=plan.organisation_id, dedupe_key=key_of(plan.vehicle_id), reason=plan.state, now=now
        )
        return
    kind, severity = _kind(plan)
    open_alert(
        organisation_id=plan.organisation_id, kind=kind, dedupe_key=key_of(plan.vehicle_id), title=_title(plan),
        body=_body(plan), severity=severity, vehicle_id=plan.vehicle_id, plan=plan, now=now,
        location_id=plan.connector.evse.location_id if plan.connector else None, data=_data(plan),
    )  # fmt: skip


def tell_silence(seen: Situation, *, now: datetime) -> None:
    """A low vehicle that has stopped reporting is a person's matter; it is planned for when it is heard again."""
    assert seen.position_at is not None  # noqa: S101 (a vehicle without a place tells nothing)
    open_alert(
        organisation_id=seen.organisation_id, kind=Kind.VEHICLE_SILENT, dedupe_key=key_of(seen.vehicle_id),
        title=f"{seen.registration} has {round(seen.soc_percent or 0)} % and does not report", severity=Severity.WARN,
        body=f"Last heard of at {seen.position_at.astimezone(zone_of(seen.time_zone)):%d %b %H:%M}. "
        "Call the driver; a charger is looked for when it reports again.",
        vehicle_id=seen.vehicle_id, now=now, data={"registration": seen.registration, "soc_percent": seen.soc_percent},
    )  # fmt: skip


def _kind(plan: ChargePlan) -> tuple[str, str]:
    if plan.state == State.INFEASIBLE:
        return Kind.NO_CHARGER, Severity.BAD
    if plan.state in (State.ACCEPTED, State.RESERVED, State.CHARGING):
        return Kind.REROUTED, Severity.INFO
    if plan.trigger in LOST and plan.replaces_id is not None:
        return Kind.RESERVATION_LOST, Severity.BAD
    return Kind.WILL_NOT_REACH, Severity.WARN if plan.explanation.get("reaches_next_stop") else Severity.BAD


def _title(plan: ChargePlan) -> str:
    name, soc = plan.vehicle.registration, round(plan.soc_percent)
    place = plan.connector.evse.location.name if plan.connector else ""
    if plan.state == State.INFEASIBLE:
        return f"{name} has {soc} % and {OUTCOMES.get(plan.explanation.get('problem', ''), 'no charger in reach')}"
    if plan.state in (State.ACCEPTED, State.RESERVED, State.CHARGING):
        return f"{name} re-routed to {place}"
    stop = plan.explanation.get("next_stop")
    if stop and not plan.explanation.get("reaches_next_stop"):
        return f"{name} will not reach {stop['name']}"
    return f"{name} has {soc} %"


def _body(plan: ChargePlan) -> str:
    if plan.state == State.INFEASIBLE:
        return _why_not(plan.explanation)
    place = plan.connector.evse.location.name if plan.connector else ""
    lost = f"The earlier plug {LOST[plan.trigger]}. " if plan.trigger in LOST and plan.replaces_id else ""
    if plan.state == State.CHARGING:
        return f"{lost}Charging at {place}."
    verb = {State.PROPOSED: "Charge", State.ACCEPTED: "Reserving", State.RESERVED: "Reserved"}[State(plan.state)]
    minutes, arrival = round(plan.delay_seconds / 60), round(plan.arrival_soc_percent or 0)
    doubt = " Its network does not answer just now." if plan.explanation.get("is_network_failing") else ""
    return f"{lost}{verb} at {place}: {minutes} min delay, arrives with {arrival} %.{doubt}"


def _why_not(known: dict[str, Any]) -> str:
    missing, refusal = known.get("deficit_wh", 0), known.get("refusal", "")
    lacks = f"It lacks {missing / 1000:.1f} kWh to the nearest suitable plug." if missing else ""
    why = {
        NO_PLUG_MATCH: "No charger that it may use has a plug for it that is fast enough.",
        NONE_FREE: "Every suitable plug near it is promised, closed, out of order or not heard of.",
        MAY_NOT_CHARGE: f"A charger would refuse it: {WORDS.get(refusal, refusal)}.",
    }.get(known.get("problem", ""), lacks)
    return f"{why} It can still drive {known.get('reach_m', 0) / 1000:.1f} km.".lstrip()


def _data(plan: ChargePlan) -> dict[str, Any]:
    keys = ("next_stop", "reaches_next_stop", "deficit_wh", "reach_m", "problem", "refusal")
    lost_from = plan.replaces.connector_id if plan.replaces_id and plan.replaces else None
    return {
        "registration": plan.vehicle.registration, "soc_percent": plan.soc_percent, "trigger": plan.trigger,
        "lost_connector_id": lost_from, **{key: plan.explanation[key] for key in keys if key in plan.explanation},
    }  # fmt: skip
