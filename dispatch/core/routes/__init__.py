"""Where along a fixed route to charge, and how much: exact, for the shortest duration or the least rupees.

`answer(problem)` is the door: a Plan that no other beats, or Infeasible with its reason and what helps. `backups`
adds plan B of each charge. `replay` answers a stored problem again. The model, its objective and its answers are told
in docs/dispatch.md.
"""

from collections.abc import Mapping
from typing import Any

from dispatch.core.routes import answers, clocked
from dispatch.core.routes.begun import Begun
from dispatch.core.routes.ground import Ground
from dispatch.core.routes.labelling import Search
from dispatch.core.routes.problem import (
    VERSION,
    Answer,
    Arrival,
    Backup,
    Charger,
    Infeasible,
    Plan,
    Problem,
    Stop,
    Visit,
    WayOut,
    from_snapshot,
    to_snapshot,
)
from dispatch.core.routes.walk import Walk

__all__ = [
    "VERSION", "Answer", "Arrival", "Backup", "Begun", "Charger", "Infeasible", "Plan", "Problem", "Stop", "Visit",
    "WayOut", "answer", "backups", "from_snapshot", "replay", "solve", "to_snapshot", ]  # fmt: skip


def solve(problem: Problem) -> Plan | None:
    """The best plan; None when the route cannot be driven as it is asked for."""
    if problem.paise_per_minute is not None and problem.is_clocked:
        return clocked.cheapest(problem)
    found = Search(Ground(problem)).run()
    if found is None:
        return None
    return Walk(problem).go(found.charges).plan(found.bound if found.bound < found.objective else None)


def answer(problem: Problem) -> Answer:
    """The best plan, or why there is none and what would help."""
    return solve(problem) or answers.explain(problem, solve)


def backups(problem: Problem, plan: Plan) -> tuple[Backup, ...]:
    """Plan B of every charge of a plan, should its charger turn out to be unusable."""
    return answers.backups(problem, plan, lambda rest: solve(rest) or answers.explain(rest, solve, with_ways_out=False))


def replay(snapshot: Mapping[str, Any]) -> Answer:
    """Answer a stored problem again; the same core gives the same answer."""
    return answer(from_snapshot(snapshot))
