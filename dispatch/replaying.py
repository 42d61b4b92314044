"""A stored plan decided once more from its snapshot, and what differs."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from dispatch.core import choose
from dispatch.models import ChargePlan

FIGURES = ("arrival_soc_percent", "target_soc_percent", "energy_wh", "distance_m", "detour_m", "drive_seconds",
           "wait_seconds", "charge_seconds", "delay_seconds", "cost_paise")  # fmt: skip
MISSING = ("deficit_wh", "reach_m")


class Difference(NamedTuple):
    name: str
    stored: Any
    again: Any


def replay(plan: ChargePlan) -> choose.Choice | None:
    """The answer of the core as it is now; None when the plan kept no snapshot."""
    return choose.replay(plan.snapshot) if plan.snapshot else None


def differences(plan: ChargePlan, choice: choose.Choice) -> list[Difference]:
    """Where the answer is not the stored one: plug and figures, or what is missing when none could be reached."""
    return [one for one in _compared(plan, choice) if one.stored != one.again]


def _compared(plan: ChargePlan, choice: choose.Choice) -> Iterator[Difference]:
    best = choice.best
    yield Difference("connector_id", plan.connector_id, best.connector_id if best else None)
    if plan.connector_id and best:
        yield from (Difference(name, getattr(plan, name), getattr(best, name)) for name in FIGURES)
    elif not plan.connector_id and not best:
        yield from (Difference(name, plan.explanation.get(name), getattr(choice, name)) for name in MISSING)
