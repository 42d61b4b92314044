"""What an alert says about a vehicle and its plan: kind, severity, codes and figures, decided in one place."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from dispatch.candidates import NO_PLUG_MATCH, NONE_FREE, OUT_OF_REACH
from dispatch.models import Alert, ChargePlan, Reservation
from dispatch.permitted import MAY_NOT_CHARGE
from dispatch.services import roads
from dispatch.services.alerts import Opening, close_alert_by_key, open_alert, open_alerts
from dispatch.services.asking import SOON
from dispatch.situation import Situation
from dispatch.wording import Says

State, Kind, Severity = ChargePlan.State, Alert.Kind, Alert.Severity
LOST = ("faulted", "taken", "rejected", "silent", "cancelled", "broken", "blocked", "refused")
VERBS = {State.PROPOSED: "charge_at", State.ACCEPTED: "reserving_at", State.RESERVED: "reserved_at",
         State.CHARGING: "charging_at"}  # fmt: skip
PROBLEMS = (NO_PLUG_MATCH, NONE_FREE, MAY_NOT_CHARGE)
WHY_NOT = {NO_PLUG_MATCH: "nothing_fits", NONE_FREE: "nothing_free", MAY_NOT_CHARGE: "would_be_refused"}


def key_of(vehicle_id: int) -> str:
    return f"vehicle:{vehicle_id}"


def tell(plan: ChargePlan, *, now: Any) -> None:
    """Open, change or close the alert of the plan's vehicle. Inside the caller's transaction, after its row locks."""
    if plan.state in (State.COMPLETED, State.DISMISSED, State.EXPIRED):
        close_alert_by_key(
            organisation_id=plan.organisation_id, dedupe_key=key_of(plan.vehicle_id), reason=plan.state, now=now
        )
        return
    open_alert(organisation_id=plan.organisation_id, now=now, **vars(_opening(plan)))


def tell_each(plans: Sequence[ChargePlan], *, now: datetime) -> None:
    """The same of plans of one fleet that are open, one of each vehicle."""
    open_alerts(organisation_id=plans[0].organisation_id, openings=[_opening(plan) for plan in plans], now=now)


def _opening(plan: ChargePlan) -> Opening:
    kind, severity = _kind(plan)
    return Opening(
        dedupe_key=key_of(plan.vehicle_id), kind=kind, severity=severity, says=_says(plan),
        vehicle_id=plan.vehicle_id, plan_id=plan.pk, data=_data(plan),
        location_id=plan.connector.evse.location_id if plan.connector else None,
    )  # fmt: skip


def tell_silence(seen: Situation, *, now: datetime) -> None:
    """A low vehicle that has stopped reporting is a person's matter; it is planned for when it is heard again."""
    assert seen.position_at is not None  # noqa: S101 (a vehicle without a place tells nothing)
    open_alert(
        organisation_id=seen.organisation_id, kind=Kind.VEHICLE_SILENT, dedupe_key=key_of(seen.vehicle_id),
        severity=Severity.WARN, says=Says("vehicle_silent", ("call_the_driver",), {
            "registration": seen.registration, "soc_percent": seen.soc_percent or 0, "position_at": seen.position_at
        }),
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


def _says(plan: ChargePlan) -> Says:
    place = plan.connector.evse.location.name if plan.connector else ""
    known = {name: plan.explanation.get(name, 0) for name in ("deficit_wh", "reach_m")}
    parameters = {
        "registration": plan.vehicle.registration, "soc_percent": plan.soc_percent, "place": place,
        "delay_seconds": plan.delay_seconds, "arrival_soc_percent": plan.arrival_soc_percent or 0,
        "stop": _missed(plan.explanation), "refusal": plan.explanation.get("refusal", ""), **known,
    }  # fmt: skip
    parameters |= _kept(plan)
    along = roads.of_none(plan.explanation) if plan.state == State.INFEASIBLE else roads.of_plan(plan.explanation)
    for needed in along.values():
        parameters |= needed
    kept = ("kept_between",) if "kept_from_at" in parameters else ()
    return Says(_title(plan), (*_body(plan), *kept, *along), parameters)


def _kept(plan: ChargePlan) -> dict[str, datetime]:
    """From when to when its place is reserved, where that is for later."""
    if plan.state != State.RESERVED or plan.window_starts_at is None or plan.window_starts_at <= plan.created_at + SOON:
        return {}
    held = Reservation.objects.active().filter(plan=plan).first()
    return {"kept_from_at": held.starts_at, "kept_until_at": held.expires_at} if held else {}


def _title(plan: ChargePlan) -> str:
    if plan.state == State.INFEASIBLE:
        problem = plan.explanation.get("problem", "")
        return problem if problem in PROBLEMS else OUT_OF_REACH
    if plan.state in (State.ACCEPTED, State.RESERVED, State.CHARGING):
        return "rerouted"
    return "will_not_reach" if _missed(plan.explanation) else "vehicle_low"


def _missed(known: dict[str, Any]) -> str | None:
    """The first stop that it will not reach as it is."""
    stop = known.get("next_stop")
    is_short = stop is not None and not known.get("reaches_next_stop")
    return known.get("misses") or (stop["name"] if stop and is_short else None)


def _body(plan: ChargePlan) -> Iterator[str]:
    if plan.state == State.INFEASIBLE:
        yield from _why_not(plan.explanation)
        return
    if plan.trigger in LOST and plan.replaces_id:
        yield f"plug_{plan.trigger}"
    yield VERBS[State(plan.state)]
    if plan.state != State.CHARGING and plan.explanation.get("is_network_failing"):
        yield "network_failing"


def _why_not(known: dict[str, Any]) -> Iterator[str]:
    problem = known.get("problem", "")
    if problem in WHY_NOT:
        yield WHY_NOT[problem]
    elif known.get("deficit_wh"):
        yield "lacks"
    yield "still_drives"


def _data(plan: ChargePlan) -> dict[str, Any]:
    keys = ("next_stop", "reaches_next_stop", "deficit_wh", "reach_m", "problem", "refusal")
    lost_from = plan.replaces.connector_id if plan.replaces_id and plan.replaces else None
    return {
        "registration": plan.vehicle.registration, "soc_percent": plan.soc_percent, "trigger": plan.trigger,
        "lost_connector_id": lost_from, **{key: plan.explanation[key] for key in keys if key in plan.explanation},
    }  # fmt: skip
