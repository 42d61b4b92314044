"""What a driver says and does on the page; every step is safe to send twice."""

from datetime import datetime

from django.db import IntegrityError, transaction

from billing.models import ChargingSession
from dispatch.driving import codes, telling
from dispatch.driving.models import DriverLink, PlugReport
from dispatch.models import ChargePlan, SessionCommand
from dispatch.services import commands, decisions, following
from dispatch.services.alerts import touch_plan_alert
from dispatch.services.wishing import CommandRefused
from vehicles import readings

State, ArrivedBy = ChargePlan.State, ChargePlan.ArrivedBy
UNDER_WAY = (State.ACCEPTED, State.RESERVED)
REASONS = {
    PlugReport.Kind.BROKEN: "broken", PlugReport.Kind.BLOCKED: "blocked", PlugReport.Kind.REFUSED: "refused",
}  # fmt: skip
"""Triggers of the plan that comes in place of the one whose plug was reported."""


class Refused(Exception):
    """It cannot be done; `code` as in texts.REFUSALS, or as billing or dispatch say it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def author_of(link: DriverLink) -> str:
    """What the audit trail calls whoever used the link."""
    return f"driver link {link.pk}"


@transaction.atomic
def set_off(*, plan_id: int, now: datetime) -> bool:
    """The driver is on the way; False when that was said, or there is no way to go."""
    plan = decisions.locked(plan_id)
    if plan.state not in UNDER_WAY or plan.set_off_at is not None:
        return False
    plan.set_off_at = now
    plan.save(update_fields=["set_off_at"])
    touch_plan_alert(plan)
    return True


@transaction.atomic
def arrive(*, plan_id: int, by: str, now: datetime) -> bool:
    """The vehicle is where its plan leads; False when that was known, or the plan leads nowhere any more."""
    plan = decisions.locked(plan_id)
    if plan.arrived_at is not None or plan.state not in (*UNDER_WAY, State.CHARGING):
        return False
    plan.arrived_at, plan.arrived_by = now, by
    plan.save(update_fields=["arrived_at", "arrived_by"])
    touch_plan_alert(plan)
    return True


def report_plug(*, plan_id: int, kind: str, now: datetime) -> ChargePlan | None:
    """The plug cannot be used: somewhere else is looked for at once; the new plan, None when there is none to be had.

    The fleet's other vehicles are kept away from it for a while (PlugReport). Refused: too_late.
    """
    if kind not in REASONS:
        raise Refused("unknown_report")
    if not _keep_report(plan_id, kind, now):
        raise Refused("too_late")
    return following.replan(plan_id=plan_id, reason=REASONS[PlugReport.Kind(kind)], now=now)


@transaction.atomic
def _keep_report(plan_id: int, kind: str, now: datetime) -> bool:
    plan = decisions.locked(plan_id)
    if plan.state not in UNDER_WAY or plan.connector is None:
        return False
    try:
        with transaction.atomic():
            report = PlugReport.objects.create(
                organisation_id=plan.organisation_id, vehicle=plan.vehicle, connector=plan.connector, plan=plan,
                kind=kind, at=now,
            )  # fmt: skip
    except IntegrityError:
        return True  # said before, but nobody got round to planning
    telling.plug_reported(report, now=now)
    return True


def say_charge(*, link: DriverLink, soc_percent: float, now: datetime) -> None:
    """The charge as the driver reads it. Refused: not_a_percentage, newer_reading."""
    if not 0 <= soc_percent <= 100:
        raise Refused("not_a_percentage")
    reading = readings.Reading(link.vehicle_id, soc_percent, now, readings.Source.DRIVER)
    try:
        readings.take_word(reading, now=now)
    except readings.OlderThanKnown:
        raise Refused("newer_reading") from None


def start(*, link: DriverLink, plan: ChargePlan, code: str, now: datetime) -> SessionCommand:
    """Begin to charge at the plug with this code, through the one door that decides it. Refused with its reason."""
    if _session_of(link) is not None:
        raise Refused("charges_already")
    try:
        plug = codes.plug_behind(code, link.vehicle, plan)
        return commands.start_charging(
            vehicle_id=link.vehicle_id, connector_id=plug.pk, actor=None, actor_label=author_of(link), now=now
        )
    except (codes.UnknownCode, CommandRefused) as refusal:
        raise Refused(refusal.code) from refusal


def stop(*, link: DriverLink, now: datetime) -> SessionCommand:
    """End the vehicle's session. Refused: not_running, not_supported, in_progress."""
    session = _session_of(link)
    if session is None:
        raise Refused("not_running")
    try:
        return commands.stop_charging(session_id=session.pk, actor=None, actor_label=author_of(link), now=now)
    except CommandRefused as refusal:
        raise Refused(refusal.code) from refusal


def _session_of(link: DriverLink) -> ChargingSession | None:
    """The running session, as far as we think that it runs."""
    mine = ChargingSession.objects.for_organisation(link.organisation).active().filter(vehicle_id=link.vehicle_id)
    return mine.filter(suspect_reason="").order_by("-started_at", "-pk").first()
