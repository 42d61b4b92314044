"""What awaits a vehicle at a plug: how long it waits, and whether somebody else has come before it."""

from dataclasses import dataclass
from datetime import datetime

from billing.services.tariffs import zone_of
from dispatch.core import waits
from dispatch.forecasts import known
from dispatch.plug_rows import PlugRow


@dataclass(frozen=True)
class Stay:
    """How long the vehicle waits there, in one of two and in nine of ten cases; whether the free plug may be taken."""

    p50_seconds: float
    p90_seconds: float
    p_taken: float | None


def law_at(row: PlugRow) -> waits.Law:
    """How long sessions at such plugs last."""
    return known.habits.at([row.location_id]).of(row.location_id, row.plug, row.power_w).law


def elapsed_seconds(row: PlugRow, now: datetime) -> float:
    """Since the plug is busy: by the session there, else by its status."""
    return max(0.0, (now - (row.session_started_at or row.busy_since or now)).total_seconds())


def stay_at(row: PlugRow, state: waits.PlugState, *, arrives_in_seconds: float, now: datetime) -> Stay:
    if state.is_free and not state.inbound:
        return Stay(0.0, 0.0, _p_taken(row, state, arrives_in_seconds, now))
    p50, p90 = (
        waits.wait_seconds(state, arrives_in_seconds=arrives_in_seconds, share=share)
        for share in (waits.P50, waits.P90)
    )
    return Stay(p50, p90, _p_taken(row, state, arrives_in_seconds, now))


def _p_taken(row: PlugRow, state: waits.PlugState, arrives_in_seconds: float, now: datetime) -> float | None:
    if not state.is_free:
        return None
    habits = known.habits.at([row.location_id])
    habit = habits.of(row.location_id, row.plug, row.power_w)
    if habit.profile is None:
        return None
    hour = known.hour_of_week(now, zone_of(row.time_zone))
    p_free = habits.p_free(habit, state, hour=hour, ahead_seconds=arrives_in_seconds)
    return None if p_free is None else round(1 - p_free, 3)
