"""From "this vehicle must charge" to a stored plan: look, decide by the pure core, write once."""

import contextlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from dispatch import candidates, deciding, explaining, problems, questions, situation
from dispatch.core import VERSION, choose, windows
from dispatch.engines import current
from dispatch.engines.base import RoutingEngine
from dispatch.events import PlanChanged
from dispatch.models import Alert, ChargePlan
from dispatch.plug_rows import PlugRow
from dispatch.services import decisions, elsewhere, stories
from dispatch.situation import Situation, known_part
from dispatch.speeds.learning import law_of
from fleetcharge.lib.deadlocks import again_after_deadlock
from fleetcharge.lib.events import publish
from stations.models import EVSE, Connector, Location
from vehicles.models import Vehicle

State = ChargePlan.State
MOST_TIMES = 10
"""Of those who want one plug at once, each time one gets it."""
KNOWN = """
SELECT coalesce((SELECT id FROM dispatch_chargeplan WHERE trigger_key = %(trigger_key)s),
                (SELECT id FROM dispatch_chargeplan WHERE %(is_first)s AND vehicle_id = %(vehicle_id)s
                 AND state IN ('proposed', 'accepted', 'reserved', 'charging')))
"""


class PlugGone(Exception):
    """Another vehicle was sent to the plug after we had looked."""


class Want(NamedTuple):
    """A vehicle that needs a plan, why, and the plan that it takes the place of."""

    vehicle_id: int
    trigger: str
    trigger_key: str
    replaces: ChargePlan | None = None
    excluded: Collection[int] = ()


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
    want = Want(vehicle_id, trigger, trigger_key, replaces, excluded)
    if (known := known_plan(want)) is not None:
        return known
    seen = ready(want, now)
    for _ in range(MOST_TIMES if seen else 0):
        assert seen is not None  # noqa: S101 (else there is no time)
        with contextlib.suppress(PlugGone):
            engine = current(law_of(seen.organisation_id, now))
            return settle(seen, want, look(seen, now=now, engine=engine, excluded=excluded), engine, now)
    return None


def known_plan(want: Want) -> ChargePlan | None:
    """The one that was made for this trigger, or another open one of the vehicle."""
    return _existing(want.vehicle_id, want.trigger_key, is_first=want.replaces is None)


def ready(want: Want, now: datetime) -> Situation | None:
    """What is known of the vehicle; None: it cannot be planned for. Its silence becomes the alert."""
    seen = situation.read(want.vehicle_id, now=now)
    if seen.has_session or seen.latitude is None or seen.longitude is None or seen.soc_percent is None:
        return None
    if seen.is_silent(now):
        if want.replaces is None:
            stories.tell_silence(seen, now=now)
        return None
    return seen


def settle(
    seen: Situation, want: Want, answer: deciding.Answer, engine: RoutingEngine, now: datetime
) -> ChargePlan | None:
    """Store the answer, and in automatic mode accept it. PlugGone: another vehicle is sent to the plug meanwhile."""
    draft, replaces = draft_of(seen, answer, engine), want.replaces
    draft.trigger, draft.trigger_key, draft.replaces = want.trigger, want.trigger_key, replaces
    draft.explanation["cause"] = replaces.explanation.get("cause", replaces.trigger) if replaces else want.trigger
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


def look(
    seen: Situation, *, now: datetime, engine: RoutingEngine, excluded: Collection[int] = (),
    promised: int | None = None,
) -> deciding.Answer:  # fmt: skip
    """What would be planned for the vehicle; nothing is written. `promised`: the plug it is sent to already."""
    question = questions.question_of(seen, now=now, excluded=excluded, promised=promised)
    rules = questions.rules_of(seen, question, engine)
    return deciding.decide(question, rules, engine, clear_percent=float(seen.clear_percent))


def draft_of(seen: Situation, answer: deciding.Answer, engine: RoutingEngine) -> ChargePlan:
    """The plan as it would be stored; a pure function of its snapshot."""
    question, rules = answer.land.question, answer.land.rules
    plan = ChargePlan(
        organisation_id=seen.organisation_id, soc_percent=question.facts.soc_percent,
        vehicle=known_part(
            Vehicle, id=seen.vehicle_id, organisation_id=seen.organisation_id, registration=seen.registration
        ),
        state=State.INFEASIBLE if answer.best is None else State.PROPOSED, engine=engine.name, core_version=VERSION,
        snapshot=deciding.snapshot_of(answer), created_at=question.now,
        explanation=explaining.explanation(seen, question, rules, answer),
        closed_at=question.now if answer.best is None else None,
    )  # fmt: skip
    if answer.best is not None and answer.plan is not None:
        _fill(plan, answer.best, question, answer.found.rows[answer.best.connector_id])
        _keep(plan, answer)
        plan.route = _routes(answer.land.legs(answer.plan), engine)
    return plan


def _fill(plan: ChargePlan, best: choose.Verdict, question: candidates.Question, row: PlugRow) -> None:
    for name in ("arrival_soc_percent", "target_soc_percent", "energy_wh", "distance_m", "detour_m", "drive_seconds",
                 "wait_seconds", "charge_seconds", "delay_seconds", "cost_paise"):  # fmt: skip
        setattr(plan, name, getattr(best, name))
    plan.connector = _connector(row)
    plan.plug_in_at = question.now + timedelta(seconds=best.drive_seconds + best.wait_seconds)
    plan.done_at = plan.plug_in_at + timedelta(seconds=best.charge_seconds)


def _keep(plan: ChargePlan, answer: deciding.Answer) -> None:
    """From when to when the place is this vehicle's alone."""
    assert plan.plug_in_at is not None and plan.done_at is not None  # noqa: S101 (just filled in)
    now = plan.created_at
    begins, ends = windows.kept(
        plug_in=(plan.plug_in_at - now).total_seconds(), done=(plan.done_at - now).total_seconds(), gap=answer.gap,
        at_least=settings.RESERVATION_MINUTES * 60,
    )  # fmt: skip
    plan.window_starts_at, plan.window_ends_at = now + timedelta(seconds=begins), now + timedelta(seconds=ends)


def _connector(row: PlugRow) -> Connector:
    """The plug with its site, without reading them again."""
    connector = known_part(Connector, id=row.connector_id, evse_id=row.evse_id)
    connector.evse = known_part(EVSE, id=row.evse_id, location_id=row.location_id)
    connector.evse.location = known_part(
        Location, id=row.location_id, name=row.name, latitude=row.latitude, longitude=row.longitude
    )
    return connector


def _routes(legs: problems.Legs, engine: RoutingEngine) -> dict[str, Any]:
    """Until the first charger, on from there, and the way that is given up for it."""
    return {"old": _line(legs.old, engine), "new": _line(legs.new, engine), "onward": _line(legs.onward, engine)}


def _line(places: Sequence[tuple[float, float]], engine: RoutingEngine) -> list[tuple[float, float]]:
    drawn = [engine.route(a, b) for a, b in pairwise(places)]
    return [point for number, leg in enumerate(drawn) for point in leg[number > 0 :]]


@again_after_deadlock  # two that take one plug for the same time may wait for each other
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
            raise PlugGone from error
        return _existing(draft.vehicle_id, draft.trigger_key, is_first=True)
    return draft


@transaction.atomic
def _refreshed(draft: ChargePlan, seen: Situation, now: datetime) -> ChargePlan | None:
    """The vehicle's infeasible plan of this spell, looked at again; its alert changes only when the figures do.

    None when the last plan was another, or its spell is over.
    """
    plan = ChargePlan.objects.select_for_update().filter(vehicle_id=draft.vehicle_id).order_by("-pk").first()
    if plan is None or plan.state != State.INFEASIBLE or _is_of_earlier_spell(plan, seen):
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


def _is_of_earlier_spell(plan: ChargePlan, seen: Situation) -> bool:
    """The vehicle has recovered and fallen low again since; of one that is not low, the alert was closed."""
    if seen.soc_low_at is not None:
        return plan.created_at < seen.soc_low_at
    return not Alert.objects.open().filter(plan=plan).exists()


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
