"""A stored plan decided once more from its snapshot, and what differs."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from dispatch.core import along, choose, routes
from dispatch.core.routes import Infeasible
from dispatch.models import ChargePlan

FIGURES = ("arrival_soc_percent", "target_soc_percent", "energy_wh", "drive_seconds", "wait_seconds", "charge_seconds",
           "delay_seconds")  # fmt: skip
OF_ONE_PLUG = (*FIGURES, "distance_m", "detour_m", "cost_paise")
"""Before plans were made along routes, these followed from the snapshot too."""


class Difference(NamedTuple):
    name: str
    stored: Any
    again: Any


class Replayed(NamedTuple):
    """The answer of the core as it is now: where to charge first with its figures, or what is missing."""

    connector_id: int | None
    figures: dict[str, Any]
    missing: dict[str, Any]
    ranking: Sequence[choose.Verdict]


def replay(plan: ChargePlan) -> Replayed | None:
    """None when the plan kept no snapshot."""
    if not plan.snapshot:
        return None
    return _along(plan) if "route" in plan.snapshot else _of_one_plug(choose.replay(plan.snapshot))


def _along(plan: ChargePlan) -> Replayed:
    problem = routes.from_snapshot(plan.snapshot["route"])
    decision = along.decide(problem)
    found, percent = _first_at(decision, problem, plan.snapshot.get("assigned")), 100 / problem.battery_wh
    ranking = _ranking(plan)
    if found is None or not found.visits:
        missing = decision.answer.deficit_wh if isinstance(decision.answer, Infeasible) else None
        return Replayed(None, {}, {"deficit_wh": round(missing or 0.0)}, ranking)
    told = along.figures(problem, found)
    figures = {
        "arrival_soc_percent": round(told.arrival_wh * percent, 1),
        "target_soc_percent": round(told.departure_wh * percent, 1), "energy_wh": round(told.energy_wh),
        "drive_seconds": round(told.drive_seconds), "wait_seconds": round(told.wait_seconds),
        "charge_seconds": round(told.charge_seconds), "delay_seconds": round(told.delay_seconds),
    }  # fmt: skip
    return Replayed(found.visits[0].connector_id, figures, {}, ranking)


def _first_at(decision: along.Decision, problem: routes.Problem, assigned: int | None) -> routes.Plan | None:
    """The plan that begins at the plug which the fleet's matching gave the vehicle; None: its own best one."""
    charger = None if assigned is None else along.charger_at(problem, decision, assigned)
    return decision.plan if charger is None else decision.forced[charger]


def _ranking(plan: ChargePlan) -> list[choose.Verdict]:
    return [choose.Verdict(**one) for one in plan.explanation.get("candidates", [])]


def _of_one_plug(choice: choose.Choice) -> Replayed:
    best = choice.best
    missing = {"deficit_wh": choice.deficit_wh, "reach_m": choice.reach_m}
    if best is None:
        return Replayed(None, {}, missing, choice.ranking)
    return Replayed(best.connector_id, {name: getattr(best, name) for name in OF_ONE_PLUG}, {}, choice.ranking)


def differences(plan: ChargePlan, again: Replayed) -> list[Difference]:
    """Where the answer is not the stored one: plug and figures, or what is missing when none could be reached."""
    return [one for one in _compared(plan, again) if one.stored != one.again]


def _compared(plan: ChargePlan, again: Replayed) -> Iterator[Difference]:
    yield Difference("connector_id", plan.connector_id, again.connector_id)
    if plan.connector_id and again.connector_id:
        yield from (Difference(name, getattr(plan, name), value) for name, value in again.figures.items())
    elif not plan.connector_id and not again.connector_id:
        yield from (Difference(name, plan.explanation.get(name), value) for name, value in again.missing.items())
