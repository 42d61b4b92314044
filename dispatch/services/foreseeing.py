"""Plans that nobody waits for yet: before a vehicle is low, or again for a better plug than the one it is sent to."""

from datetime import datetime

from django.db import transaction

from dispatch import situation, triggers
from dispatch.engines import current
from dispatch.models import Alert, ChargePlan
from dispatch.services import decisions, following, planning, stories
from dispatch.services.alerts import close_alert_by_key
from dispatch.speeds.learning import law_of
from dispatch.triggers import BETTER, EARLY
from fleetcharge.lib.sweeps import survived

State = ChargePlan.State


def plan_early(*, vehicle_id: int, now: datetime) -> ChargePlan | None:
    """Look at a vehicle that is not low; a plan where its way ahead asks for one. One reading makes one plan."""
    if triggers.is_held(vehicle_id, now=now):
        return None
    seen = situation.read(vehicle_id, now=now)
    reason = triggers.early(seen, engine=current(law_of(seen.organisation_id, now)), now=now)
    if not reason:
        return None
    return planning.plan_charge_stop(
        vehicle_id=vehicle_id, trigger=reason, trigger_key=f"{reason}:{vehicle_id}:{seen.version}", now=now
    )


def move_to_better(*, plan_id: int, now: datetime) -> ChargePlan | None:
    """Send a vehicle elsewhere where that saves more than moving is worth; None: it stays. Each plan is moved once."""
    plan = ChargePlan.objects.get(pk=plan_id)
    if plan.connector_id is None or plan.state not in following.UNDER_WAY:
        return None
    seen = situation.read(plan.vehicle_id, now=now)
    if seen.has_session or seen.is_silent(now) or seen.soc_percent is None:
        return None
    engine = current(law_of(seen.organisation_id, now))
    answer = planning.look(seen, now=now, engine=engine, promised=plan.connector_id)
    if not triggers.is_worth_moving(answer, plan.connector_id):
        return None
    return following.replan(plan_id=plan_id, reason=BETTER, now=now)


def close_needless(*, now: datetime) -> int:
    """Early proposals that bind a plug for nothing: the vehicle has charged, or its stops have changed; how many."""
    early = ChargePlan.objects.filter(state=State.PROPOSED, explanation__cause__in=EARLY).order_by("pk")
    closed = 0
    for plan in early.filter(vehicle__state__is_soc_low=False):
        with survived("plan", plan.pk):
            seen = situation.read(plan.vehicle_id, now=now)
            engine = current(law_of(seen.organisation_id, now))
            is_over = triggers.is_over(seen, plan.explanation["cause"], engine=engine, now=now)
            closed += is_over and _withdraw(plan.pk, now)
    return closed


@transaction.atomic
def _withdraw(plan_id: int, now: datetime) -> bool:
    plan = decisions.locked(plan_id)
    if plan.state != State.PROPOSED:
        return False
    decisions.move(plan, State.EXPIRED, now, closed_at=now)
    return True


def close_early_alerts(*, now: datetime) -> int:
    """Alerts of routes that could not be driven, and now can: the vehicle has charged, or its stops have changed."""
    early = Alert.objects.open().filter(plan__explanation__cause__in=EARLY, plan__state=State.INFEASIBLE)
    return sum(_close_if_over(alert, now) for alert in early.select_related("vehicle__state").order_by("pk"))


def _close_if_over(alert: Alert, now: datetime) -> bool:
    if alert.vehicle_id is None:
        return False
    seen = situation.read(alert.vehicle_id, now=now)
    if seen.soc_low_at is not None or seen.is_silent(now):
        return False
    if triggers.early(seen, engine=current(law_of(seen.organisation_id, now)), now=now):
        return False
    return close_alert_by_key(
        organisation_id=alert.organisation_id, dedupe_key=stories.key_of(alert.vehicle_id), reason="recovered", now=now
    )
