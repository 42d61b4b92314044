"""What is odd about a sender, told from its last pings: clock, units, receiver; imports no Django.

Codes, not sentences: the pages have the words. A code is given when half of the pings that could show it do.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from fleetcharge.lib.geo import distance_m
from vehicles.fixes import (
    CLOCK_CORRECTED,
    INDIAN_CLOCK,
    LATE,
    MOCK_LOCATION,
    SECOND,
    SUSPECT_POSITION,
    SUSPECT_SOC,
    Fix,
)

# Reported speed over the speed of the positions, when the sender means another unit than its format has.
UNITS = {"speed_in_mps": 1 / 3.6, "speed_in_knots": 1 / 1.852, "speed_in_mph": 1 / 1.609344, "speed_times_3_6": 3.6}
TOLERANCE = 0.08
MOVING_M, STEPS_NEEDED = 50.0, 5
FLAGGED = [
    ("indian_clock", INDIAN_CLOCK), ("clock_ahead", CLOCK_CORRECTED), ("late", LATE), ("mock", MOCK_LOCATION),
    ("jumps", SUSPECT_POSITION), ("charge_jumps", SUSPECT_SOC),
]  # fmt: skip


class Note(NamedTuple):
    """What is odd, and in how many of the pings that were looked at."""

    code: str
    pings: int


def explain(fixes: Sequence[Fix]) -> list[Note]:
    """What is odd about pings in time order, worst first; nothing for a healthy sender."""
    notes: list[Note] = []
    for code, flag in FLAGGED:
        count = sum(1 for fix in fixes if fix.flags & flag)
        is_told = code == "clock_ahead" and any(note.code == "indian_clock" for note in notes)
        if count and count * 2 >= len(fixes) and not is_told:
            notes.append(Note(code, count))
    if unit := _unit(fixes):
        notes.append(unit)
    if fixes and all(fix.soc_percent is None for fix in fixes):
        notes.append(Note("no_charge", len(fixes)))
    elif fixes and all(fix.soc_percent is None or 0 <= fix.soc_percent <= 1 for fix in fixes):
        notes.append(Note("charge_is_a_fraction", len(fixes)))
    return notes


def _unit(fixes: Sequence[Fix]) -> Note | None:
    """Compares what is reported with what the positions say, while the vehicle moves."""
    ratios = []
    for one, other in pairwise(fixes):
        metres = distance_m(one.latitude, one.longitude, other.latitude, other.longitude)
        seconds = (other.at_us - one.at_us) / SECOND
        if metres >= MOVING_M and 0 < seconds <= 120 and one.speed_kmh and other.speed_kmh:
            ratios.append((one.speed_kmh + other.speed_kmh) / 2 / (metres * 3.6 / seconds))
    if len(ratios) < STEPS_NEEDED:
        return None
    ratio = median(ratios)
    return next((Note(code, len(ratios)) for code, wrong in UNITS.items() if abs(ratio / wrong - 1) <= TOLERANCE), None)
