"""From "this vehicle must charge" to a stored plan: look, decide by the pure core, write once."""

import contextlib
import dataclasses
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import IntegrityError, transaction

from dispatch import candidates
from dispatch.core import VERSION, choose, energy
from dispatch.engines import current
from dispatch.engines.base import RoutingEngine
from dispatch.events import PlanChanged
from dispatch.models import ChargePlan
from dispatch.services import decisions, stories
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.events import publish
from vehicles.models import Stop, Vehicle

State = ChargePlan.State
EXPLAINED_CANDIDATES = 10
STORED_CANDIDATES = 60
EXCLUDED_FOR = timedelta(minutes=15)
"""A plug that failed this vehicle is not offered again for so long."""


def plan_charge_stop(
    *,
    vehicle_id: int,
    trigger: str,
    trigger_key: str,
    now: datetime,
    replaces: ChargePlan | None = None,
    excluded: Collection[int] = (),
) -> ChargePlan | None:
    """The vehicle's plan for this trigger: made, or found when it exists already (same key, or another open one).

    None when nobody knows where the vehicle is or how full. `replaces` is closed in the same transaction; when it was
    closed meanwhile, nothing is written. In automatic mode a plan that can be driven is accepted at once.
    """
    if (known := _existing(vehicle_id, trigger_key, replaces)) is not None:
        return known
    vehicle = Vehicle.objects.select_related("state", "model", "organisation").get(pk=vehicle_id)
    state = getattr(vehicle, "state", None)
    if state is None or state.latitude is None or state.longitude is None or state.soc_percent is None:
        return None
    stop = Stop.objects.filter(vehicle=vehicle, done_at=None).order_by("sequence").first()
    question = _question(vehicle, stop, now, {*excluded, *_failed_lately(vehicle_id, now)})
    draft = _draft(question, stop, current())
    draft.trigger, draft.trigger_key, draft.replaces = trigger, trigger_key, replaces
    plan = _store(draft, replaces, now)
    if plan is draft and plan.state == State.PROPOSED and _is_automatic(vehicle.organisation):
        return _accept_by_itself(plan, now)
    return plan


def _accept_by_itself(plan: ChargePlan, now: datetime) -> ChargePlan | None:
    """Automatic mode. When the plug went meanwhile, accepting has planned (and accepted) again: that plan counts."""
    with contextlib.suppress(decisions.DecisionRefused):
        return decisions.accept_plan(plan_id=plan.pk, actor=None, now=now)
    return ChargePlan.objects.open().filter(vehicle_id=plan.vehicle_id).first() or plan


def _existing(vehicle_id: int, trigger_key: str, replaces: ChargePlan | None) -> ChargePlan | None:
    plan = ChargePlan.objects.filter(trigger_key=trigger_key).first()
    if plan is None and replaces is None:
        plan = ChargePlan.objects.open().filter(vehicle_id=vehicle_id).first()
    return plan


def _is_automatic(organisation: Organisation) -> bool:
    return organisation.dispatch_mode == Organisation.DispatchMode.AUTOMATIC


def _failed_lately(vehicle_id: int, now: datetime) -> set[int]:
    """Plugs of this vehicle's plans that were replaced a short while ago."""
    replaced = ChargePlan.objects.filter(
        vehicle_id=vehicle_id, state=State.REPLACED, closed_at__gt=now - EXCLUDED_FOR, connector__isnull=False
    ).exclude(replaced_by__trigger="stale")
    return {pk for pk in replaced.values_list("connector_id", flat=True) if pk is not None}


def _question(vehicle: Vehicle, stop: Stop | None, now: datetime, excluded: set[int]) -> candidates.Question:
    model, state = vehicle.model, vehicle.state
    facts = choose.VehicleFacts(
        soc_percent=float(state.soc_percent or 0.0), battery_wh=float(model.battery_wh),
        wh_per_km=float(model.consumption_wh_per_km), max_dc_power_w=float(model.max_dc_power_w),
        max_ac_power_w=float(model.max_ac_power_w), curve_points=model.charge_curve or [],
    )  # fmt: skip
    here = (float(state.latitude or 0.0), float(state.longitude or 0.0))
    next_stop = (stop.latitude, stop.longitude) if stop else None
    return candidates.Question(vehicle, facts, here, next_stop, now, frozenset(excluded))


def _rules(question: candidates.Question, engine: RoutingEngine) -> choose.Rules:
    organisation = question.vehicle.organisation
    rules = choose.Rules(
        reserve_percent=float(organisation.reserve_soc_percent),
        target_percent=float(organisation.target_soc_percent),
        cost_per_minute_paise=float(organisation.cost_per_minute_paise),
    )
    if question.next_stop is None:
        return rules
    direct = engine.matrix(np.array([question.here]), np.array([question.next_stop]))
    if np.isnan(direct.metres[0, 0]):
        return rules
    metres, seconds = round(float(direct.metres[0, 0]), 1), round(float(direct.seconds[0, 0]), 1)
    return dataclasses.replace(rules, direct_m=metres, direct_seconds=seconds)


def _draft(question: candidates.Question, stop: Stop | None, engine: RoutingEngine) -> ChargePlan:
    """The plan as it would be stored; a pure function of its snapshot."""
    rules = _rules(question, engine)
    found = candidates.find(question, rules=rules, engine=engine)
    choice = choose.choose(question.facts, rules, found)
    if len(found) > STORED_CANDIDATES:  # the ranking's head decides the same, so only it is stored
        kept = {verdict.connector_id for verdict in choice.ranking[:STORED_CANDIDATES]}
        found = [candidate for candidate in found if candidate.connector_id in kept]
    plan = ChargePlan(
        organisation=question.vehicle.organisation, vehicle=question.vehicle, soc_percent=question.facts.soc_percent,
        state=State.INFEASIBLE if choice.best is None else State.PROPOSED, engine=engine.name, core_version=VERSION,
        snapshot=choose.snapshot_of(question.facts, rules, found), created_at=question.now,
        explanation=_explanation(question, rules, choice, stop),
        closed_at=question.now if choice.best is None else None,
    )  # fmt: skip
    if choice.best is not None:
        _fill(plan, choice.best, question, found, engine)
    return plan


def _explanation(
    question: candidates.Question, rules: choose.Rules, choice: choose.Choice, stop: Stop | None
) -> dict[str, Any]:
    left = _soc_at_stop(question, rules)
    return {
        "candidates": [dataclasses.asdict(verdict) for verdict in choice.ranking[:EXPLAINED_CANDIDATES]],
        "considered": len(choice.ranking),
        "deficit_wh": choice.deficit_wh,
        "reach_m": choice.reach_m,
        "cost_per_minute_paise": round(rules.cost_per_minute_paise),
        "next_stop": {"name": stop.name, "at": stop.due_at.isoformat() if stop.due_at else None} if stop else None,
        "soc_at_next_stop_percent": None if left is None else round(left, 1),
        "reaches_next_stop": left is None or left >= rules.reserve_percent,
    }


def _soc_at_stop(question: candidates.Question, rules: choose.Rules) -> float | None:
    if rules.direct_m is None:
        return None
    facts = question.facts
    return energy.arrival_percent(
        soc_percent=facts.soc_percent, battery_wh=facts.battery_wh, distance_m=rules.direct_m, wh_per_km=facts.wh_per_km
    )


def _fill(
    plan: ChargePlan, best: choose.Verdict, question: candidates.Question, found: list[choose.Candidate],
    engine: RoutingEngine,
) -> None:  # fmt: skip
    for name in ("arrival_soc_percent", "target_soc_percent", "energy_wh", "distance_m", "detour_m", "drive_seconds",
                 "wait_seconds", "charge_seconds", "delay_seconds", "cost_paise", "connector_id"):  # fmt: skip
        setattr(plan, name, getattr(best, name))
    plan.plug_in_at = question.now + timedelta(seconds=best.drive_seconds + best.wait_seconds)
    plan.done_at = plan.plug_in_at + timedelta(seconds=best.charge_seconds)
    place = plan.connector.evse.location if plan.connector else None
    if place is not None:
        plan.route = _routes(question, (place.latitude, place.longitude), engine)


def _routes(question: candidates.Question, plug: tuple[float, float], engine: RoutingEngine) -> dict[str, Any]:
    routes = {"old": [], "new": engine.route(question.here, plug), "onward": []}
    if question.next_stop is not None:
        routes["old"] = engine.route(question.here, question.next_stop)
        routes["onward"] = engine.route(plug, question.next_stop)
    return routes


def _store(draft: ChargePlan, replaces: ChargePlan | None, now: datetime) -> ChargePlan | None:
    """Write the draft; whoever else planned for this vehicle or trigger first wins, by constraint."""
    try:
        with transaction.atomic():
            if replaces is not None and not close_replaced(replaces, now):
                return ChargePlan.objects.open().filter(vehicle_id=draft.vehicle_id).first()
            draft.save(force_insert=True)
            stories.tell(draft, now=now)
            publish(PlanChanged(draft.pk, draft.organisation_id, draft.vehicle_id, draft.state, now))
    except IntegrityError:
        return _existing(draft.vehicle_id, draft.trigger_key, None)
    return draft


def close_replaced(plan: ChargePlan, now: datetime) -> bool:
    """Close a plan in favour of another; False when it was closed already."""
    closed = ChargePlan.objects.open().filter(pk=plan.pk).update(state=State.REPLACED, closed_at=now)
    if closed:
        publish(PlanChanged(plan.pk, plan.organisation_id, plan.vehicle_id, State.REPLACED, now))
    return bool(closed)
