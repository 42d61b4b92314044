"""From "this vehicle must charge" to a stored plan: look, decide by the pure core, write once."""

import contextlib
import dataclasses
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import IntegrityError, connection, transaction

from dispatch import candidates, permitted, situation
from dispatch.core import VERSION, choose, energy
from dispatch.engines import current
from dispatch.engines.base import RoutingEngine
from dispatch.events import PlanChanged
from dispatch.models import Alert, ChargePlan
from dispatch.plug_rows import PlugRow
from dispatch.services import decisions, elsewhere, stories
from dispatch.situation import Situation, known_part
from fleetcharge.lib.events import publish
from stations.models import EVSE, Connector, Location
from vehicles.models import Vehicle

State = ChargePlan.State
EXPLAINED_CANDIDATES = 10
STORED_CANDIDATES = 60
MOST_TIMES = 10
"""Of those who want one plug at once, each time one gets it."""
KNOWN = """
SELECT coalesce((SELECT id FROM dispatch_chargeplan WHERE trigger_key = %(trigger_key)s),
                (SELECT id FROM dispatch_chargeplan WHERE %(is_first)s AND vehicle_id = %(vehicle_id)s
                 AND state IN ('proposed', 'accepted', 'reserved', 'charging')))
"""


class _PlugGone(Exception):
    """Another vehicle was sent to the plug after we had looked."""


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

    None when nobody knows how full the vehicle is, or where: if it was heard of once, its silence becomes the alert.
    None, too, while it charges already, and when others were quicker each time. `replaces` is closed in the same
    transaction; when it was closed meanwhile, nothing is written. In automatic mode a plan that can be driven is
    accepted at once. While no charger can be reached, the vehicle keeps one infeasible plan that is brought up to date.
    """
    if (known := _existing(vehicle_id, trigger_key, is_first=replaces is None)) is not None:
        return known
    seen = situation.read(vehicle_id, now=now)
    if seen.has_session or seen.latitude is None or seen.longitude is None or seen.soc_percent is None:
        return None
    if seen.is_silent(now):
        if replaces is None:
            stories.tell_silence(seen, now=now)
        return None
    for _ in range(MOST_TIMES):
        with contextlib.suppress(_PlugGone):
            return _plan(seen, trigger, trigger_key, now, replaces, excluded)
    return None


def _plan(
    seen: Situation, trigger: str, trigger_key: str, now: datetime, replaces: ChargePlan | None,
    excluded: Collection[int],
) -> ChargePlan | None:  # fmt: skip
    draft = _draft(seen, _question(seen, now, excluded), current())
    draft.trigger, draft.trigger_key, draft.replaces = trigger, trigger_key, replaces
    draft.explanation["cause"] = replaces.explanation.get("cause", replaces.trigger) if replaces else trigger
    if draft.state == State.INFEASIBLE and replaces is None and (same := _refreshed(draft, seen, now)) is not None:
        return same
    plan = _store(draft, replaces, now)
    if plan is draft and plan.state == State.PROPOSED and seen.is_automatic:
        return _accept_by_itself(plan, now)
    return plan


def _accept_by_itself(plan: ChargePlan, now: datetime) -> ChargePlan | None:
    """Automatic mode. When the plug went meanwhile, accepting has planned (and accepted) again: that plan counts."""
    with contextlib.suppress(decisions.DecisionRefused):
        return decisions.accept_plan(
            plan_id=plan.pk, actor=None, actor_label="automatic mode", is_by_person=False, now=now
        )
    return ChargePlan.objects.open().filter(vehicle_id=plan.vehicle_id).first() or plan


def _existing(vehicle_id: int, trigger_key: str, *, is_first: bool) -> ChargePlan | None:
    """`is_first`: any open plan of the vehicle will do."""
    values: dict[str, Any] = {"vehicle_id": vehicle_id, "trigger_key": trigger_key, "is_first": is_first}
    with connection.cursor() as cursor:
        cursor.execute(KNOWN, values)
        row = cursor.fetchone()
    return ChargePlan.objects.filter(pk=row[0]).first() if row and row[0] else None


def _question(seen: Situation, now: datetime, excluded: Collection[int]) -> candidates.Question:
    facts = choose.VehicleFacts(
        soc_percent=float(seen.soc_percent or 0.0), battery_wh=float(seen.battery_wh),
        wh_per_km=float(seen.wh_per_km), max_dc_power_w=float(seen.max_dc_power_w),
        max_ac_power_w=float(seen.max_ac_power_w), curve_points=seen.charge_curve,
    )  # fmt: skip
    return candidates.Question(
        vehicle_id=seen.vehicle_id, organisation_id=seen.organisation_id, plugs=frozenset(seen.plugs), facts=facts,
        here=(float(seen.latitude or 0.0), float(seen.longitude or 0.0)), next_stop=seen.next_stop, now=now,
        access=candidates.Access(seen.organisation_id, seen.network_ids, seen.allowed_site_ids),
        token_uid=seen.token_uid, voltage_v=seen.max_voltage_v, excluded=frozenset((*excluded, *seen.failed_lately)),
    )  # fmt: skip


def _rules(seen: Situation, question: candidates.Question, engine: RoutingEngine) -> choose.Rules:
    rules = choose.Rules(
        reserve_percent=float(seen.reserve_percent),
        target_percent=float(seen.target_percent),
        cost_per_minute_paise=float(seen.cost_per_minute_paise),
    )
    if question.next_stop is None:
        return rules
    direct = engine.matrix(np.array([question.here]), np.array([question.next_stop]))
    if np.isnan(direct.metres[0, 0]):
        return rules
    metres, seconds = round(float(direct.metres[0, 0]), 1), round(float(direct.seconds[0, 0]), 1)
    return dataclasses.replace(rules, direct_m=metres, direct_seconds=seconds)


def _draft(seen: Situation, question: candidates.Question, engine: RoutingEngine) -> ChargePlan:
    """The plan as it would be stored; a pure function of its snapshot."""
    rules = _rules(seen, question, engine)
    found = candidates.find(question, rules=rules, engine=engine)
    offered, choice, refusal = permitted.best(question, rules, found.candidates)
    problem = "" if choice.best else permitted.MAY_NOT_CHARGE if refusal else found.problem
    plan = ChargePlan(
        organisation_id=seen.organisation_id, soc_percent=question.facts.soc_percent,
        vehicle=known_part(
            Vehicle, id=seen.vehicle_id, organisation_id=seen.organisation_id, registration=seen.registration
        ),
        state=State.INFEASIBLE if choice.best is None else State.PROPOSED, engine=engine.name, core_version=VERSION,
        snapshot=choose.snapshot_of(question.facts, rules, _stored(offered, choice)), created_at=question.now,
        explanation={**_explanation(seen, question, rules, choice), "problem": problem, "refusal": refusal},
        closed_at=question.now if choice.best is None else None,
    )  # fmt: skip
    if choice.best is not None:
        _fill(plan, choice.best, question, found.rows[choice.best.connector_id], engine)
    return plan


def _stored(among: Sequence[choose.Candidate], choice: choose.Choice) -> list[choose.Candidate]:
    """Those that decide the same: the head of the ranking; where nothing is in reach, whoever lacks least."""
    ranking: Sequence[choose.Verdict] = choice.ranking
    if choice.best is None:
        ranking = sorted(ranking, key=lambda one: (one.problem != "unreachable", one.deficit_wh, one.connector_id))
    kept = {verdict.connector_id for verdict in ranking[:STORED_CANDIDATES]}
    return [candidate for candidate in among if candidate.connector_id in kept]


def _explanation(
    seen: Situation, question: candidates.Question, rules: choose.Rules, choice: choose.Choice
) -> dict[str, Any]:
    left = _soc_at_stop(question, rules)
    due_at = seen.stop_due_at.isoformat() if seen.stop_due_at else None
    return {
        "candidates": [dict(vars(verdict)) for verdict in choice.ranking[:EXPLAINED_CANDIDATES]],
        "considered": len(choice.ranking),
        "deficit_wh": choice.deficit_wh,
        "reach_m": choice.reach_m,
        "cost_per_minute_paise": round(rules.cost_per_minute_paise),
        "next_stop": {"name": seen.stop_name, "at": due_at} if question.next_stop else None,
        "soc_at_next_stop_percent": None if left is None else round(left, 1),
        "reaches_next_stop": question.next_stop is None or (left is not None and left >= rules.reserve_percent),
        "is_network_failing": choice.best is not None and choice.best.is_network_failing,
    }


def _soc_at_stop(question: candidates.Question, rules: choose.Rules) -> float | None:
    if rules.direct_m is None:
        return None
    facts = question.facts
    return energy.arrival_percent(
        soc_percent=facts.soc_percent, battery_wh=facts.battery_wh, distance_m=rules.direct_m, wh_per_km=facts.wh_per_km
    )


def _fill(
    plan: ChargePlan, best: choose.Verdict, question: candidates.Question, row: PlugRow, engine: RoutingEngine
) -> None:
    for name in ("arrival_soc_percent", "target_soc_percent", "energy_wh", "distance_m", "detour_m", "drive_seconds",
                 "wait_seconds", "charge_seconds", "delay_seconds", "cost_paise"):  # fmt: skip
        setattr(plan, name, getattr(best, name))
    plan.connector = _connector(row)
    plan.plug_in_at = question.now + timedelta(seconds=best.drive_seconds + best.wait_seconds)
    plan.done_at = plan.plug_in_at + timedelta(seconds=best.charge_seconds)
    plan.route = _routes(question, (row.latitude, row.longitude), engine)


def _connector(row: PlugRow) -> Connector:
    """The plug with its site, without reading them again."""
    connector = known_part(Connector, id=row.connector_id, evse_id=row.evse_id)
    connector.evse = known_part(EVSE, id=row.evse_id, location_id=row.location_id)
    connector.evse.location = known_part(
        Location, id=row.location_id, name=row.name, latitude=row.latitude, longitude=row.longitude
    )
    return connector


def _routes(question: candidates.Question, plug: tuple[float, float], engine: RoutingEngine) -> dict[str, Any]:
    routes = {"old": [], "new": engine.route(question.here, plug), "onward": []}
    if question.next_stop is not None:
        routes["old"] = engine.route(question.here, question.next_stop)
        routes["onward"] = engine.route(plug, question.next_stop)
    return routes


def _store(draft: ChargePlan, replaces: ChargePlan | None, now: datetime) -> ChargePlan | None:
    """Write the draft; whoever else planned for this vehicle, trigger or plug first wins, by constraint."""
    try:
        with transaction.atomic():
            if replaces is not None and not close_replaced(replaces, now):
                return ChargePlan.objects.open().filter(vehicle_id=draft.vehicle_id).first()
            draft.save(force_insert=True)
            stories.tell(draft, now=now)
            publish(PlanChanged(draft.pk, draft.organisation_id, draft.vehicle_id, draft.state, now))
    except IntegrityError as error:
        if elsewhere.constraint_of(error) == "one_vehicle_under_way_per_evse":
            raise _PlugGone from error
        return _existing(draft.vehicle_id, draft.trigger_key, is_first=True)
    return draft


@transaction.atomic
def _refreshed(draft: ChargePlan, seen: Situation, now: datetime) -> ChargePlan | None:
    """The vehicle's infeasible plan of this spell, looked at again; its alert changes only when the figures do.

    None when the last plan was another, or the vehicle has recovered and fallen low again since.
    """
    plan = ChargePlan.objects.select_for_update().filter(vehicle_id=draft.vehicle_id).order_by("-pk").first()
    if plan is None or plan.state != State.INFEASIBLE or (seen.soc_low_at and plan.created_at < seen.soc_low_at):
        return None
    is_news = _figures(plan) != _figures(draft)
    for name in ("soc_percent", "explanation", "snapshot", "engine", "core_version") if is_news else ():
        setattr(plan, name, getattr(draft, name))
    plan.closed_at = now
    plan.save()
    if is_news and Alert.objects.open().filter(plan=plan).exists():
        plan.vehicle = draft.vehicle
        stories.tell(plan, now=now)
    return plan


def _figures(plan: ChargePlan) -> tuple[int | str, ...]:
    """What a person would notice: the reason, whole percent, 100 Wh, 100 m."""
    missing, reach = plan.explanation.get("deficit_wh", 0), plan.explanation.get("reach_m", 0)
    reason = (plan.explanation.get("problem", ""), plan.explanation.get("refusal", ""))
    return (*reason, round(plan.soc_percent), round(missing / 100), round(reach / 100))


def close_replaced(plan: ChargePlan, now: datetime) -> bool:
    """Close a plan in favour of another; False when it was closed already."""
    closed = ChargePlan.objects.open().filter(pk=plan.pk).update(state=State.REPLACED, closed_at=now)
    if closed:
        publish(PlanChanged(plan.pk, plan.organisation_id, plan.vehicle_id, State.REPLACED, now))
    return bool(closed)
