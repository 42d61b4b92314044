"""Where one vehicle charges: candidates, the exact core along its route, permission, and the figures that are told."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from dispatch import candidates, permitted, pricing, problems
from dispatch.candidates import Found, Question
from dispatch.core import along, choose, energy, routes
from dispatch.core.along import Decision
from dispatch.core.routes import Infeasible, Plan, Problem
from dispatch.core.windows import EVER, Window
from dispatch.engines.base import RoutingEngine
from dispatch.problems import Aim, Land

TOLD = 10
"""Candidates in a plan's explanation."""
NEAREST_KEPT = 10
"""Of the plugs nearest by road, so many are kept with a plan: what a driver without help would have chosen from."""


@dataclass(frozen=True)
class Answer:
    """`best` None: no plug could be had, for `problem`, or because it would refuse (`refusal`)."""

    land: Land
    aim: Aim
    problem: Problem
    decision: Decision
    found: Found
    verdicts: list[choose.Verdict]
    best: choose.Verdict | None
    reason: str
    refusal: str
    can_finish: bool
    """The route could be driven to its end without charging."""
    assigned: int | None = None
    """The plug that the fleet's matching gave it, where that is not the best one for itself."""

    @property
    def plan(self) -> Plan | None:
        return self.decision.plan if self.best else None

    @property
    def gap(self) -> Window:
        """The time between promises to others in which its first charge is."""
        return self.land.gaps[self.plan.visits[0].charger] if self.plan else EVER

    @property
    def deficit_wh(self) -> int:
        """Missing to the nearest plug that leads on; 0 when one can be reached."""
        answer = self.decision.answer
        missing = answer.deficit_wh if isinstance(answer, Infeasible) else None
        return 0 if self.best else round(missing or 0.0)


def decide(
    question: Question, rules: choose.Rules, engine: RoutingEngine, *, clear_percent: float,
    around: candidates.Around | None = None,
) -> Answer:  # fmt: skip
    """The best charge along the route of a vehicle, where it will be let charge when it gets there. `around`: what was
    read for it and others together."""
    found = candidates.find(question, rules=rules, engine=engine, around=around)

    def look(among: Sequence[choose.Candidate], before: float) -> "Looked":
        return _look(question, rules, replace(found, candidates=list(among)), engine, clear_percent, before)

    looked, refusal = permitted.best(question, look, found.candidates)
    return _told(looked, found, refusal)


@dataclass(frozen=True)
class Looked:
    """What the core says of some candidates. `can_finish`: the route could be driven to its end without charging."""

    land: Land
    aim: Aim
    problem: Problem
    answer: routes.Answer
    can_finish: bool = False

    @property
    def first(self) -> permitted.Begins | None:
        if not isinstance(self.answer, Plan) or not self.answer.visits:
            return None
        visit = self.answer.visits[0]
        plug = self.land.plugs[visit.charger]
        return permitted.Begins(plug.connector_id, plug.location_id, round(visit.starts_seconds))


def _look(
    question: Question, rules: choose.Rules, found: Found, engine: RoutingEngine, clear_percent: float, before: float
) -> Looked:
    """Ask for less and less until there is a plan that charges, and early enough; if there is none, why the most of it
    cannot be."""
    land = problems.land(question, rules, found, engine)
    can_finish = False
    for aim in problems.aims(question, rules, len(land.stops), clear_percent=clear_percent):
        problem = land.problem(aim)
        plan = routes.solve(problem)
        if plan is not None and plan.visits and round(plan.visits[0].starts_seconds) < before:
            return Looked(land, aim, problem, plan)
        can_finish |= plan is not None and aim.stops == len(question.stops)
    if land.stops and not can_finish:
        aim = Aim(len(land.stops), is_punctual=False, final_percent=0.0)
        problem = land.problem(aim)
    return Looked(land, aim, problem, routes.answer(problem), can_finish)


def beginning_at(answer: Answer, connector_id: int) -> Answer | None:
    """The same answer with another first plug; None: there is no way over it, or its token would be refused there."""
    land, problem = answer.land, answer.problem
    charger = along.charger_at(problem, answer.decision, connector_id)
    decision = None if charger is None else along.beginning_at(problem, answer.decision, charger)
    verdict = next((one for one in answer.verdicts if one.connector_id == connector_id), None)
    if decision is None or decision.plan is None or verdict is None:
        return None
    starts = round(decision.plan.visits[0].starts_seconds)
    if not permitted.is_permitted(land.question, permitted.Begins(connector_id, verdict.location_id, starts)):
        return None
    verdicts = [verdict, *(one for one in answer.verdicts if one is not verdict)]
    return replace(answer, decision=decision, verdicts=verdicts, best=verdict, assigned=connector_id)


def _told(looked: Looked, found: Found, refusal: str) -> Answer:
    decision = along.decide(looked.problem, looked.answer)
    verdicts = _verdicts(looked, decision)
    best = verdicts[0] if decision.plan and decision.plan.visits else None
    reason = "" if best else permitted.MAY_NOT_CHARGE if refusal else found.problem
    return Answer(
        looked.land, looked.aim, looked.problem, decision, found, verdicts, best, reason, refusal, looked.can_finish
    )


def _verdicts(looked: Looked, decision: Decision) -> list[choose.Verdict]:
    """The answer first, then what each other charger would cost as the first one, then those out of reach."""
    problem, plan = looked.problem, decision.plan
    made = {charger: one for charger, one in decision.forced.items() if one is not None}
    chosen = plan.visits[0].charger if plan and plan.visits else None
    order = _each_plug(looked, sorted(made, key=lambda charger: (charger != chosen, made[charger].objective, charger)))
    missing = {c: along.first_missing_wh(problem, c) for c in range(len(problem.chargers)) if c not in made}
    out = sorted((c for c in missing if missing[c] > 0 or chosen is None), key=lambda c: (missing[c], c))
    verdicts = [_verdict(looked, charger, made[charger]) for charger in order]
    others = _each_plug(looked, [*order, *out])[len(order) :]
    return [*verdicts, *(_out_of_reach(looked, charger, missing[charger]) for charger in others)][:TOLD]


def _each_plug(looked: Looked, chargers: Sequence[int]) -> list[int]:
    """The first of those that stand for one plug at several times."""
    first: dict[int, int] = {}
    for charger in chargers:
        first.setdefault(looked.land.plugs[charger].connector_id, charger)
    return list(first.values())


def _verdict(looked: Looked, charger: int, plan: Plan) -> choose.Verdict:
    land, plug, visit = looked.land, looked.land.plugs[charger], plan.visits[0]
    told, percent = along.figures(looked.problem, plan), 100 / looked.problem.battery_wh
    risk = round(sum(_risk_paise(land, land.plugs[one.charger]) for one in plan.visits))
    metres = land.metres_of(looked.aim, plan)
    price, time = round(told.price_paise + max(0.0, told.fee_paise - risk)), round(told.time_paise)
    return choose.Verdict(
        connector_id=plug.connector_id, location_id=plug.location_id, station=plug.station, problem="",
        arrival_soc_percent=round(told.arrival_wh * percent, 1), deficit_wh=0,
        target_soc_percent=round(told.departure_wh * percent, 1), energy_wh=round(told.energy_wh),
        drive_seconds=round(told.drive_seconds), wait_seconds=round(told.wait_seconds),
        charge_seconds=round(told.charge_seconds), distance_m=round(metres.to_charger),
        detour_m=round(max(0.0, metres.added)), delay_seconds=round(told.delay_seconds),
        cost_paise=_cost_paise(looked, plug, visit.starts_seconds, told.energy_wh), time_paise=time, price_paise=price,
        risk_paise=risk, total_paise=time + price + risk, is_network_failing=plug.is_network_failing,
        wait_p90_seconds=choose.wait_p90_of(
            plug, drive_seconds=told.drive_seconds, wait_seconds=told.wait_seconds
        ),
        risk=round(choose.risk_of(plug), 3),
    )  # fmt: skip


def _risk_paise(land: Land, plug: choose.Candidate) -> float:
    return choose.risk_of(plug) * choose.FALLBACK_MINUTES * land.rules.cost_per_minute_paise


def _cost_paise(looked: Looked, plug: choose.Candidate, starts_seconds: float, wh: float) -> int | None:
    """Incl. GST, by the tariff itself; None: it is not known."""
    land = looked.land
    tariff = pricing.tariff_of(land.rows[plug.connector_id])
    power = land.question.facts.power_w(is_dc=plug.is_dc, plug_power_w=plug.plug_power_w)
    at = land.question.now + timedelta(seconds=starts_seconds)
    return None if tariff is None else tariff.quote(wh=wh, power_w=power, at=at)


def _out_of_reach(looked: Looked, charger: int, missing_wh: float) -> choose.Verdict:
    plug, facts = looked.land.plugs[charger], looked.land.question.facts
    arrival = energy.arrival_percent(
        soc_percent=facts.soc_percent, battery_wh=facts.battery_wh, distance_m=plug.drive_m, wh_per_km=facts.wh_per_km
    )
    return choose.Verdict(
        connector_id=plug.connector_id, location_id=plug.location_id, station=plug.station,
        problem="unreachable" if missing_wh > 0 else "onward_too_far", arrival_soc_percent=round(arrival, 1),
        deficit_wh=round(min(missing_wh, facts.battery_wh)), target_soc_percent=0.0, energy_wh=0,
        drive_seconds=round(plug.drive_seconds), wait_seconds=round(plug.wait_seconds), charge_seconds=0,
        distance_m=round(plug.drive_m), detour_m=round(plug.drive_m), delay_seconds=round(plug.drive_seconds),
        cost_paise=None, time_paise=0, price_paise=0, risk_paise=0, total_paise=0,
        is_network_failing=plug.is_network_failing,
    )  # fmt: skip


def snapshot_of(answer: Answer) -> dict[str, Any]:
    """Everything the decision rests on, as JSON: the plugs that were looked at closely and those nearest by road, and
    the problem that was solved."""
    land = answer.land
    nearest = sorted(answer.found.candidates, key=lambda one: (one.drive_m, one.connector_id))[:NEAREST_KEPT]
    kept = {one.connector_id: one for one in (*land.plugs, *nearest)}
    snapshot = choose.snapshot_of(land.question.facts, land.rules, list(kept.values()))
    return snapshot | {"route": routes.to_snapshot(answer.problem), "assigned": answer.assigned}
