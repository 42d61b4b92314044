"""Why a plan is as it is, for people: candidates with their rupees, charges and stops by the clock, plan B."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from dispatch.candidates import Question
from dispatch.core import choose, energy
from dispatch.core.routes import Backup, Infeasible, Plan, WayOut
from dispatch.deciding import Answer
from dispatch.situation import Situation


def explanation(seen: Situation, question: Question, rules: choose.Rules, answer: Answer) -> dict[str, Any]:
    """As it is stored with the plan, in JSON."""
    facts, left = question.facts, _soc_at_stop(question, rules)
    reach = energy.reach_m(
        soc_percent=facts.soc_percent, least_percent=rules.reserve_percent, battery_wh=facts.battery_wh,
        wh_per_km=facts.wh_per_km,
    )  # fmt: skip
    return {
        "candidates": [dict(vars(verdict)) for verdict in answer.verdicts],
        "considered": len(answer.found.candidates), "deficit_wh": answer.deficit_wh, "reach_m": round(reach),
        "cost_per_minute_paise": round(rules.cost_per_minute_paise), "next_stop": _next_stop(seen),
        "soc_at_next_stop_percent": None if left is None else round(left, 1),
        "reaches_next_stop": question.next_stop is None or (left is not None and left >= rules.reserve_percent),
        "misses": _misses(question, answer),
        "is_network_failing": answer.best is not None and answer.best.is_network_failing,
        "problem": answer.reason, "refusal": answer.refusal, "can_finish": answer.can_finish,
        **(_of_plan(question, answer, answer.plan) if answer.plan else _of_none(answer)),
    }  # fmt: skip


def _next_stop(seen: Situation) -> dict[str, Any] | None:
    if not seen.stops:
        return None
    due_at = seen.stops[0].due_at
    return {"name": seen.stops[0].name, "at": due_at.isoformat() if due_at else None}


def _soc_at_stop(question: Question, rules: choose.Rules) -> float | None:
    """At the next stop, driving there without charging."""
    if rules.direct_m is None:
        return None
    facts = question.facts
    return energy.arrival_percent(
        soc_percent=facts.soc_percent, battery_wh=facts.battery_wh, distance_m=rules.direct_m, wh_per_km=facts.wh_per_km
    )


def _misses(question: Question, answer: Answer) -> str | None:
    """The first stop that is reached with less than the reserve, or not at all, driving without charging."""
    facts, rules, land = question.facts, answer.land.rules, answer.land
    left = facts.soc_percent
    for number, stop in enumerate(question.stops):
        if number >= len(land.stops):
            return stop.name
        leg = {
            "battery_wh": facts.battery_wh, "distance_m": float(land.metres[number, number + 1]),
            "wh_per_km": facts.wh_per_km,
        }  # fmt: skip
        left = energy.arrival_percent(soc_percent=left, **leg)
        if left < energy.reserve_percent(least_percent=rules.reserve_percent, **leg):
            return stop.name
    return None


def _of_plan(question: Question, answer: Answer, plan: Plan) -> dict[str, Any]:
    stops = question.stops[: answer.aim.stops]
    return {
        "visits": [_visit(question, answer, plan, number) for number in range(len(plan.visits))],
        "arrivals": _arrivals(question, answer, plan),
        "stops_beyond": [stop.name for stop in question.stops[len(stops) :]],
        "plan_b": _plan_b(answer, answer.decision.backups[0]) if answer.decision.backups else None,
        "gap": round(plan.gap, 4),
    }


def _visit(question: Question, answer: Answer, plan: Plan, number: int) -> dict[str, Any]:
    visit, percent = plan.visits[number], 100 / answer.problem.battery_wh
    before = question.stops[visit.before_stop - 1].name if answer.aim.stops else None
    times = {"arrives_at": visit.arrives_seconds, "starts_at": visit.starts_seconds, "leaves_at": visit.leaves_seconds}
    return {
        "connector_id": visit.connector_id, "station": answer.land.rows[visit.connector_id].name, "before": before,
        **{name: _at(question, seconds) for name, seconds in times.items()},
        "arrival_soc_percent": round(visit.arrival_wh * percent, 1),
        "departure_soc_percent": round(visit.departure_wh * percent, 1),
        "energy_wh": round((visit.departure_wh - visit.arrival_wh) / answer.problem.battery_per_metered),
    }  # fmt: skip


def _arrivals(question: Question, answer: Answer, plan: Plan) -> list[dict[str, Any]]:
    """The stops of the route that is planned for; one of nothing but its way has none."""
    percent = 100 / answer.problem.battery_wh
    rows = []
    for stop, one in zip(question.stops[: answer.aim.stops], plan.arrivals, strict=False):
        due = (stop.due_at - question.now).total_seconds() if stop.due_at else None
        late = 0.0 if due is None else max(0.0, one.arrives_seconds - due)
        rows.append(
            {
                "name": stop.name, "due_at": stop.due_at.isoformat() if stop.due_at else None,
                "arrives_at": _at(question, one.arrives_seconds), "late_seconds": round(late),
                "soc_percent": round(one.arrival_wh * percent, 1),
            }
        )  # fmt: skip
    return rows


def _plan_b(answer: Answer, backup: Backup) -> dict[str, Any]:
    """Should the first charger turn out to be unusable. `turn_off_at`: the last stop from which another one can still
    be driven to instead; "" is where it is now, None: nowhere."""
    decide, plan = backup.decide_before_stop, backup.on_arrival
    where = None if decide is None else answer.land.stops[decide - 1].name if decide else ""
    if isinstance(plan, Infeasible) or not plan.visits:
        return {"connector_id": None, "station": "", "turn_off_at": where}
    visit = plan.visits[0]
    return {
        "connector_id": visit.connector_id, "station": answer.land.rows[visit.connector_id].name, "turn_off_at": where,
        "drive_seconds": round(visit.arrives_seconds),
        "arrival_soc_percent": round(visit.arrival_wh * 100 / answer.problem.battery_wh, 1),
    }  # fmt: skip


def _of_none(answer: Answer) -> dict[str, Any]:
    said = answer.decision.answer
    if not isinstance(said, Infeasible):
        return {}
    names = [stop.name for stop in answer.land.stops]
    return {
        "route_problem": said.reason if answer.aim.stops else "",
        "blocked_stop": names[said.blocked_stop - 1] if said.blocked_stop and answer.aim.stops else None,
        "farthest_stop": names[said.farthest_stop - 1] if said.farthest_stop and answer.aim.stops else None,
        "farthest_charger": _charger(answer, said.farthest_charger, said.farthest_charger_wh),
        "nearest_charger": _charger(answer, said.nearest_charger, None),
        "ways_out": [_way_out(way, names, answer) for way in said.ways_out if way.plan is not None],
    }


def _charger(answer: Answer, connector_id: int | None, arrival_wh: float | None) -> dict[str, Any] | None:
    if connector_id is None:
        return None
    left = None if arrival_wh is None else round(arrival_wh * 100 / answer.problem.battery_wh, 1)
    return {
        "connector_id": connector_id, "station": answer.land.rows[connector_id].name, "arrival_soc_percent": left,
    }  # fmt: skip


def _way_out(way: WayOut, names: Sequence[str], answer: Answer) -> dict[str, Any]:
    """`value` in the unit of its kind: percent left, percent to save, Wh, seconds; of skip_stop `stop` is its name."""
    value = {
        "use_reserve": way.value * 100 / answer.problem.battery_wh,
        "drive_economically": way.value * 100,
    }.get(way.kind, way.value)
    if way.kind == "skip_stop":
        return {"kind": way.kind, "stop": names[round(way.value) - 1]}
    return {"kind": way.kind, "value": round(value, 1)}


def _at(question: Question, seconds: float) -> str:
    return (question.now + timedelta(seconds=round(seconds))).isoformat()
