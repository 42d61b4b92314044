"""What came of every closed plan, written once; and what it saved against the nearest free charger, by day."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum

from billing.services.tariffs import zone_of
from dispatch.core import nearest
from dispatch.models import ChargePlan
from dispatch.policies.models import PlanOutcome, PolicyAssignment
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.sweeps import survived

State = ChargePlan.State
TOLD = (State.COMPLETED, State.INFEASIBLE)
"""Plans that came to an end by themselves; replaced and dismissed ones have a successor, or nobody followed them."""
CHUNK = 500
LATE_RECORDS = timedelta(hours=1)
"""A session's last values may come a while after the plug was pulled."""
HELPED_WITHIN = timedelta(hours=2)
"""Who had help so long after no charger could be reached was not stranded; until then nobody knows."""
OUT_OF_REACH = ("out_of_reach", "none_free")


def record(*, now: datetime) -> int:
    """Write the outcomes of plans that have none yet, past those that cannot be told; how many were written."""
    closed = ChargePlan.objects.filter(state__in=TOLD, closed_at__lte=now - LATE_RECORDS, outcome=None)
    closed = closed.exclude(state=State.INFEASIBLE, created_at__gt=now - HELPED_WITHIN)
    closed = closed.select_related("organisation", "session__cdr").order_by("pk")
    written, last = 0, 0
    while written < CHUNK and (rows := list(closed.filter(pk__gt=last)[:CHUNK])):
        last = rows[-1].pk
        for plan in rows:
            with survived("plan", plan.pk):
                written += record_plan(plan, now=now)
    return written


def record_plan(plan: ChargePlan, *, now: datetime) -> int:
    """1, or 0 when another process was quicker."""
    assignment = _assignment(plan)
    outcome = PlanOutcome(
        plan=plan, organisation_id=plan.organisation_id, vehicle_id=plan.vehicle_id, recorded_at=now,
        policy_id=assignment.policy_id if assignment else None,
        experiment_id=assignment.experiment_id if assignment else None,
        planned_on=plan.created_at.astimezone(zone_of(plan.organisation.time_zone)).date(),
        is_stranded=is_stranded(plan), **_figures(plan), **_saved(plan),
    )  # fmt: skip
    PlanOutcome.objects.bulk_create([outcome], ignore_conflicts=True)
    return int(PlanOutcome.objects.filter(pk=plan.pk, recorded_at=now).exists())


def is_stranded(plan: ChargePlan) -> bool:
    """No charger could be reached, and that was the last word: no plan or session came after it within two hours."""
    if plan.state != State.INFEASIBLE or plan.explanation.get("problem") not in OUT_OF_REACH:
        return False
    until = plan.created_at + HELPED_WITHIN
    later = ChargePlan.objects.filter(vehicle=plan.vehicle_id, created_at__gt=plan.created_at, created_at__lte=until)
    return not later.exclude(state=State.INFEASIBLE).exists() and not _charged(plan, until)


def _charged(plan: ChargePlan, until: datetime) -> bool:
    sessions = plan.vehicle.sessions.filter(started_at__gte=plan.created_at, started_at__lte=until)
    return bool(sessions.exists())


def _assignment(plan: ChargePlan) -> PolicyAssignment | None:
    """By which policy it was made."""
    rows = PolicyAssignment.objects.filter(vehicle=plan.vehicle_id, assigned_at__lte=plan.created_at)
    at = Q(experiment__ended_at=None) | Q(experiment__ended_at__gt=plan.created_at)
    return rows.filter(at).order_by("-assigned_at", "-pk").first()


def _figures(plan: ChargePlan) -> dict[str, Any]:
    if plan.state == State.INFEASIBLE:
        return {}
    session = plan.session
    if session is None or session.ended_at is None:
        return {"delay_seconds": plan.delay_seconds, "energy_wh": plan.energy_wh, "cost_paise": plan.cost_paise}
    cdr = getattr(session, "cdr", None)
    return {
        "is_measured": True, "delay_seconds": _delay(plan, session.started_at, session.ended_at),
        "energy_wh": max(0, session.energy_wh), "cost_paise": plan.cost_paise if cdr is None else cdr.total_paise,
    }  # fmt: skip


def _delay(plan: ChargePlan, started_at: datetime, ended_at: datetime) -> int:
    """The detour as planned; waiting (deciding included) and charging as they were."""
    detour = max(0, plan.delay_seconds - plan.wait_seconds - plan.charge_seconds)
    waited = (started_at - plan.created_at).total_seconds() - plan.drive_seconds
    return round(detour + max(0.0, waited) + (ended_at - started_at).total_seconds())


def _saved(plan: ChargePlan) -> dict[str, Any]:
    """Nothing to compare: no snapshot or one that cannot be read any more, no plug in reach, or none that was free."""
    saving = None
    if plan.snapshot:
        with survived("snapshot of plan", plan.pk):  # the plan has its row all the same, so this is tried once
            saving = nearest.against_nearest(plan.snapshot, connector_id=plan.connector_id)
    if plan.connector_id is None or saving is None or saving.nearest is None:
        return {}
    return {
        "nearest_delay_seconds": saving.nearest.delay_seconds, "nearest_is_out_of_reach": saving.is_stranded,
        "saved_seconds": saving.seconds, "saved_paise": saving.paise,
    }  # fmt: skip


def saved_by_day(organisation: Organisation, *, since: date, until: date) -> list[dict[str, Any]]:
    """Newest first; days without a plan are left out. One query."""
    rows = PlanOutcome.objects.for_organisation(organisation).filter(planned_on__range=(since, until))
    return [_in_minutes(row) for row in rows.values("planned_on").annotate(**_sums()).order_by("-planned_on")]


def totals(rows: QuerySet[PlanOutcome]) -> dict[str, Any]:
    return _in_minutes(rows.aggregate(**_sums()))


def _in_minutes(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "saved_minutes": round(row["saved_seconds"] / 60, 1)}


def _sums() -> dict[str, Any]:
    compared = Q(saved_paise__isnull=False)
    return {
        "plans": Count("pk"),
        "compared": Count("pk", filter=compared),
        "saved_seconds": Sum("saved_seconds", default=0),
        "saved_paise": Sum("saved_paise", default=0),
        "strandings_avoided": Count("pk", filter=Q(nearest_is_out_of_reach=True)),
        "stranded": Count("pk", filter=Q(is_stranded=True)),
    }
