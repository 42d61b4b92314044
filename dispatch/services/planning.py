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
from dispatch.services import decisions, elsewhere, reservations, stories
from dispatch.situation import Situation, known_part
from dispatch.speeds.learning import law_of
from dispatch.triggers import BETTER
from fleetcharge.lib.deadlocks import again_after_deadlock
from fleetcharge.lib.events import publish, publish_together
from stations.models import EVSE, Connector, Location
from vehicles.models import Vehicle

State = ChargePlan.State
UNDER_WAY = (State.PROPOSED, State.ACCEPTED, State.RESERVED)
BY_CHOICE = ("stale", BETTER)
"""Reasons to plan again though nothing is wrong with the place."""
MOST_TIMES = 10
"""Of those who want one plug at once, each time one gets it."""
TRIES = 3
BY_ITSELF = "automatic mode"
"""Who accepted it, in the audit trail."""
KNOWN = """
SELECT w.trigger_key, coalesce(
    (SELECT id FROM dispatch_chargeplan p WHERE p.trigger_key = w.trigger_key),
    (SELECT id FROM dispatch_chargeplan p WHERE w.is_first AND p.vehicle_id = w.vehicle_id
     AND p.state IN ('proposed', 'accepted', 'reserved', 'charging')))
FROM unnest(%s::text[], %s::bigint[], %s::bool[]) AS w(trigger_key, vehicle_id, is_first)
"""
GONE = """
SELECT w.vehicle_id FROM unnest(%(vehicle_ids)s::bigint[], %(keys)s::text[], %(evse_ids)s::bigint[],
                                %(begins)s::timestamptz[], %(ends)s::timestamptz[])
    AS w(vehicle_id, trigger_key, evse_id, begins, ends)
WHERE EXISTS (SELECT 1 FROM dispatch_chargeplan p
    WHERE p.evse_id = w.evse_id AND p.state IN ('proposed', 'accepted', 'reserved')
      AND NOT p.id = ANY(%(replaced)s::bigint[])
      AND tstzrange(p.window_starts_at, p.window_ends_at) && tstzrange(w.begins, w.ends))
  OR EXISTS (SELECT 1 FROM dispatch_chargeplan p
    WHERE p.vehicle_id = w.vehicle_id AND p.state IN ('proposed', 'accepted', 'reserved', 'charging')
      AND NOT p.id = ANY(%(replaced)s::bigint[]))
  OR EXISTS (SELECT 1 FROM dispatch_chargeplan p WHERE p.trigger_key = w.trigger_key)
  OR EXISTS (SELECT 1 FROM billing_chargingsession b
    WHERE b.vehicle_id = w.vehicle_id AND b.started_at > %(sessions_since)s
      AND b.state = 'active' AND b.suspect_reason = '')
"""
"""Those whose place another vehicle has then, and those that have a plan or charge by now; plans that make way do not
count."""


class PlugGone(Exception):
    """Another vehicle was sent to the plug after we had looked."""


class Want(NamedTuple):
    """A vehicle that needs a plan, why, and the plan that it takes the place of."""

    vehicle_id: int
    trigger: str
    trigger_key: str
    replaces: ChargePlan | None = None
    excluded: Collection[int] = ()

    @property
    def promised(self) -> int | None:
        """The plug that is promised to the vehicle until it has the new plan, and so stands in nobody's way."""
        return self.replaces.connector_id if self.replaces else None


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
            answer = look(seen, now=now, engine=engine, excluded=excluded, promised=want.promised)
            return settle(seen, want, answer, engine, now)
    return None


def known_plan(want: Want) -> ChargePlan | None:
    """The one that was made for this trigger, or another open one of the vehicle."""
    return known_plans([want]).get(want.trigger_key)


def known_plans(wants: Sequence[Want]) -> dict[str, ChargePlan]:
    """The same of many, by trigger."""
    columns = zip(*((want.trigger_key, want.vehicle_id, want.replaces is None) for want in wants), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(KNOWN, [list(column) for column in columns])
        found = {key: plan_id for key, plan_id in cursor.fetchall() if plan_id}
    plans = ChargePlan.objects.in_bulk(found.values()) if found else {}
    return {key: plans[plan_id] for key, plan_id in found.items() if plan_id in plans}


def ready(want: Want, now: datetime) -> Situation | None:
    """What is known of the vehicle; None: it cannot be planned for. Its silence becomes the alert."""
    return seen_for(want, situation.read(want.vehicle_id, now=now), now)


def seen_for(want: Want, seen: Situation, now: datetime) -> Situation | None:
    """What is known of the vehicle, if it can be planned for by that."""
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
    draft = drafted(seen, want, answer, engine)
    if draft.state == State.INFEASIBLE and want.replaces is None and (same := _refreshed(draft, seen, now)) is not None:
        return same
    plan = _store(draft, want.replaces, now)
    if plan is draft and plan.state == State.PROPOSED and seen.is_automatic:
        return accept_by_itself(plan, now)
    return plan


def drafted(seen: Situation, want: Want, answer: deciding.Answer, engine: RoutingEngine) -> ChargePlan:
    """The plan that answers this want, not stored."""
    draft, replaces = draft_of(seen, answer, engine), want.replaces
    draft.trigger, draft.trigger_key, draft.replaces = want.trigger, want.trigger_key, replaces
    draft.explanation["cause"] = replaces.explanation.get("cause", replaces.trigger) if replaces else want.trigger
    return draft


def accept_by_itself(plan: ChargePlan, now: datetime) -> ChargePlan:
    """Automatic mode. When the plug went meanwhile, accepting has planned (and accepted) again: that plan counts."""
    with contextlib.suppress(decisions.DecisionRefused):
        return decisions.accept_plan(plan_id=plan.pk, actor=None, actor_label=BY_ITSELF, is_by_person=False, now=now)
    return ChargePlan.objects.open().filter(vehicle_id=plan.vehicle_id).first() or plan


def look(
    seen: Situation, *, now: datetime, engine: RoutingEngine, excluded: Collection[int] = (),
    promised: int | None = None,
) -> deciding.Answer:  # fmt: skip
    """What would be planned for the vehicle; nothing is written. `promised`: the plug it is sent to already."""
    return decided(seen, questions.question_of(seen, now=now, excluded=excluded, promised=promised), engine)


def decided(
    seen: Situation, question: candidates.Question, engine: RoutingEngine, around: candidates.Around | None = None
) -> deciding.Answer:
    """The same of a question that was asked already."""
    rules = questions.rules_of(seen, question, engine)
    return deciding.decide(question, rules, engine, clear_percent=float(seen.clear_percent), around=around)


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
            if replaces is not None and not close_replaced(replaces, draft.trigger, now):
                return ChargePlan.objects.open().filter(vehicle_id=draft.vehicle_id).first()
            draft.save(force_insert=True)
            stories.tell(draft, now=now)
            publish(PlanChanged(draft.pk, draft.organisation_id, draft.vehicle_id, draft.state, now))
    except IntegrityError as error:
        if elsewhere.constraint_of(error) == "one_vehicle_under_way_per_evse":
            raise PlugGone from error
        return known_plan(Want(draft.vehicle_id, draft.trigger, draft.trigger_key))
    return draft


def store_each(drafts: Sequence[ChargePlan], now: datetime) -> list[ChargePlan]:
    """Write proposals to vehicles of one fleet in one transaction; those that were written.

    The others have to be looked at alone: their place is another vehicle's by now, or their plan is not the one that
    they were to replace any more. Nobody is written where somebody else writes the same time and again.
    """
    proposals = [draft for draft in drafts if draft.state == State.PROPOSED]
    for _ in range(TRIES if proposals else 0):
        with contextlib.suppress(IntegrityError):
            return _store_each(proposals, now)
        for draft in proposals:  # what was undone has no number
            draft.pk, draft._state.adding = None, True
    return []


@again_after_deadlock
@transaction.atomic
def _store_each(drafts: Sequence[ChargePlan], now: datetime) -> list[ChargePlan]:
    stored = _to_be_had(drafts, now)
    if not stored:
        return stored
    replaced = [draft.replaces for draft in stored if draft.replaces is not None]
    ChargePlan.objects.filter(pk__in=[plan.pk for plan in replaced]).update(state=State.REPLACED, closed_at=now)
    whys = {draft.replaces_id: draft.trigger for draft in stored if draft.replaces_id}
    released = reservations.release_each(whys, now=now)
    ChargePlan.objects.bulk_create(stored)
    stories.tell_each(stored, now=now)
    facts = [(plan, State.REPLACED) for plan in replaced] + [(draft, State.PROPOSED) for draft in stored]
    changed = [PlanChanged(plan.pk, plan.organisation_id, plan.vehicle_id, state, now) for plan, state in facts]
    publish_together([*changed, *released])
    return stored


def _to_be_had(drafts: Sequence[ChargePlan], now: datetime) -> list[ChargePlan]:
    """Those that can be written still; the plans that they replace are locked then."""
    replaced = {plan.pk: (plan, draft.trigger) for draft in drafts if (plan := draft.replaces) is not None}
    locked = ChargePlan.objects.open().select_for_update().filter(pk__in=list(replaced)).order_by("pk")
    states = dict(locked.values_list("pk", "state"))
    making_way = [pk for pk, why in replaced.items() if states.get(pk) in makes_way(*why)]
    gone, possible = _gone(drafts, making_way, now), {None, *making_way}
    free = [draft for draft in drafts if draft.replaces_id in possible and draft.vehicle_id not in gone]
    return sorted(free, key=_evse_id)  # two who write at once ask for places in one order


def _gone(drafts: Sequence[ChargePlan], making_way: Sequence[int], now: datetime) -> set[int]:
    values: dict[str, Any] = {
        "vehicle_ids": [draft.vehicle_id for draft in drafts], "keys": [draft.trigger_key for draft in drafts],
        "evse_ids": [_evse_id(draft) for draft in drafts], "begins": [draft.window_starts_at for draft in drafts],
        "ends": [draft.window_ends_at for draft in drafts], "replaced": making_way,
        "sessions_since": now - situation.LONGEST_SESSION,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(GONE, values)
        return {vehicle_id for (vehicle_id,) in cursor.fetchall()}


def _evse_id(draft: ChargePlan) -> int:
    return draft.connector.evse_id if draft.connector else 0


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


def close_replaced(plan: ChargePlan, reason: str, now: datetime) -> bool:
    """Close a plan in favour of another, with what was promised to it meanwhile; False where it stands, or was closed
    already."""
    old = ChargePlan.objects.filter(pk=plan.pk, state__in=makes_way(plan, reason))
    closed = old.update(state=State.REPLACED, closed_at=now)
    if closed:
        released = reservations.release_each({plan.pk: reason}, now=now)
        changed = PlanChanged(plan.pk, plan.organisation_id, plan.vehicle_id, State.REPLACED, now)
        publish_together([changed, *released])
    return bool(closed)


def makes_way(plan: ChargePlan, reason: str) -> tuple[str, ...]:
    """The states in which a plan makes way for another one; `plan` as it was when that was looked for.

    A vehicle that has come and charges stays. Where nothing is wrong with the place, what somebody decided meanwhile
    stands, too.
    """
    return (plan.state,) if reason in BY_CHOICE else UNDER_WAY
