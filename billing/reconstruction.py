"""What a session drew, how far that can be believed, and what is missing: pure, from everything its station said."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median_low
from typing import NamedTuple

BILLABLE, ESTIMATED, REVIEW = "billable", "estimated", "review"

NO_START, NO_STOP = "missing_start", "missing_stop"
NO_METER_START, NO_METER_STOP, NO_METER = "missing_meter_start", "missing_meter_stop", "no_meter"
BACKWARDS, TOO_MUCH, RESET = "meter_ran_backwards", "more_than_the_plug_gives", "register_changed_base"
DISAGREES, JUMPED, OVER_BATTERY = "samples_exceed_the_stop", "implausible_samples", "more_than_the_battery_takes"
INTERVALS_LOST, OVERLAPS = "intervals_lost", "overlaps_the_next_session"
CLOCK_DOUBTED, COUNTED_ANEW = "clock_not_believed", "counted_anew"
ODD_METER = frozenset({BACKWARDS, TOO_MUCH, RESET, DISAGREES, OVERLAPS})
"""The figures contradict each other: nothing is priced before somebody has looked."""
NEEDS_REVIEW = ODD_METER | {NO_START, NO_METER, OVER_BATTERY}
IS_ESTIMATE = frozenset({NO_STOP, NO_METER_START, NO_METER_STOP, INTERVALS_LOST, CLOCK_DOUBTED, COUNTED_ANEW})
"""The rest (implausible samples beside a sound start and stop) is noted and changes nothing."""

POWER_TOLERANCE_PERCENT, BATTERY_TOLERANCE_PERCENT = 120, 130
CLOCK_TOLERANCE = timedelta(seconds=60)
UNKNOWN_POWER_W = 1_000_000
ROUNDING_WH = 100  # samples in tenths of a kWh beside a stop in Wh
COARSE_WH = 1_000  # a register of whole kWh stands still below it
LONGEST_SPAN_SECONDS = 3_600.0  # a power says little of what came later
SHORTEST_GAP = timedelta(minutes=5)
MOST_GAPS = 50
BEGIN, END, CLOCK = "Transaction.Begin", "Transaction.End", "Sample.Clock"
DELIVERING, FULL, LIMITED, QUIET = "delivering", "full", "limited", "quiet"
DELIVERING_W = 100


class Sample(NamedTuple):
    at: datetime
    register_wh: int | None
    power_w: int | None = None
    interval_wh: int | None = None
    context: str = ""
    soc_percent: float | None = None


class Numbered(NamedTuple):
    """An OCPP 2.x event as it arrived: its seqNo, and the oldest and newest time that it names."""

    number: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True)
class Evidence:
    """`meter_*_wh`: what start and stop themselves said. `samples` in time order, none after `ended_at`.

    `sequence`: every OCPP 2.x event we have of the session, as they arrived. `next_start_at`: when the next
    session at the same plug began. `is_time_ours`: start or end are when we heard of them.
    """

    started_at: datetime
    ended_at: datetime
    meter_start_wh: int | None = None
    meter_stop_wh: int | None = None
    samples: Sequence[Sample] = ()
    is_start_reported: bool = True
    is_stop_reported: bool = True
    max_power_w: int = 0
    battery_wh: int | None = None
    sequence: Sequence[Numbered] = ()
    next_start_at: datetime | None = None
    is_time_ours: bool = False


@dataclass(frozen=True)
class Account:
    """`meter_*_wh`: the registers the energy stands on, None when it stands on something else."""

    energy_wh: int
    meter_start_wh: int | None
    meter_stop_wh: int | None
    reasons: tuple[str, ...] = ()
    gaps: tuple[dict[str, object], ...] = ()

    @property
    def grade(self) -> str:
        return grade(self.reasons)


def grade(reasons: Iterable[str]) -> str:
    """billable | estimated | review by the worst of the reasons."""
    found = set(reasons)
    if found & NEEDS_REVIEW:
        return REVIEW
    return ESTIMATED if found & IS_ESTIMATE else BILLABLE


def account(evidence: Evidence) -> Account:
    """Energy, reasons and gaps; the same whatever order the evidence arrived in (OCPP reference rules 24-31)."""
    drawn = _drawn(evidence)
    reasons = [] if evidence.is_start_reported else [NO_START]
    reasons += [*([] if evidence.is_stop_reported else [NO_STOP]), *drawn.reasons]
    if evidence.next_start_at and evidence.ended_at > evidence.next_start_at + CLOCK_TOLERANCE:
        reasons.append(OVERLAPS)
    if evidence.is_time_ours:
        reasons.append(CLOCK_DOUBTED)
    if counts_anew(evidence.sequence):
        reasons.append(COUNTED_ANEW)
    battery_wh = evidence.battery_wh
    if battery_wh and drawn.energy_wh * 100 > battery_wh * BATTERY_TOLERANCE_PERCENT:
        reasons.append(OVER_BATTERY)
    return Account(drawn.energy_wh, drawn.start_wh, drawn.stop_wh, tuple(dict.fromkeys(reasons)), gaps(evidence))


# --- energy -------------------------------------------------------------------------------------------------------


@dataclass
class _Drawn:
    energy_wh: int
    start_wh: int | None
    stop_wh: int | None
    reasons: list[str] = field(default_factory=list)


def _drawn(evidence: Evidence) -> _Drawn:
    """Stop minus start where both are known and possible; else what the believable registers add up to."""
    registers = [(sample.at, sample.register_wh) for sample in evidence.samples if sample.register_wh is not None]
    start_wh, stop_wh, missing = _ends(evidence, registers)
    if start_wh is None and stop_wh is None and not registers:
        return _from_intervals(evidence, missing)
    marks: list[tuple[datetime, int]] = [*registers]
    if start_wh is not None:
        marks.insert(0, (evidence.started_at, start_wh))
    walk = _walk(marks, evidence.max_power_w)
    if start_wh is None or stop_wh is None:
        if not (registers or start_wh or stop_wh) and _intervals(evidence):
            return _from_intervals(evidence, [*missing, NO_METER])
        return _from_walk(walk, start_wh, missing)
    drawn_wh, seconds = stop_wh - start_wh, _seconds(evidence.started_at, evidence.ended_at)
    problem = BACKWARDS if drawn_wh < 0 else "" if is_possible(drawn_wh, seconds, evidence.max_power_w) else TOO_MUCH
    if problem:
        return _without_trust(evidence, walk, marks, stop_wh, [*missing, problem])
    if not walk.is_clean:
        missing.append(JUMPED)
    elif walk.energy_wh > drawn_wh + max(ROUNDING_WH, drawn_wh // 100):
        return _Drawn(walk.energy_wh, start_wh, walk.last_wh, [*missing, DISAGREES])
    elif drawn_wh == 0:
        return _standing_still(evidence, start_wh, missing)
    return _Drawn(drawn_wh, start_wh, stop_wh, missing)


def _ends(evidence: Evidence, registers: Sequence[tuple[datetime, int]]) -> tuple[int | None, int | None, list[str]]:
    """The registers at both ends; a sample that marks an end, or stands within a minute of it, is as good."""
    start_wh, stop_wh, missing = evidence.meter_start_wh, evidence.meter_stop_wh, []
    if start_wh is None and registers:
        at, start_wh = registers[0]
        first = next(sample for sample in evidence.samples if sample.register_wh is not None)
        is_end = first.context == BEGIN or abs(at - evidence.started_at) <= CLOCK_TOLERANCE
        if not is_end or not evidence.is_start_reported:
            missing.append(NO_METER_START)
    if stop_wh is None:
        last = next((sample for sample in reversed(evidence.samples) if sample.register_wh is not None), None)
        is_end = last is not None and (last.context == END or evidence.ended_at - last.at <= CLOCK_TOLERANCE)
        if is_end and last is not None and evidence.is_stop_reported:
            stop_wh = last.register_wh
        elif start_wh is not None and evidence.is_stop_reported:
            missing.append(NO_METER_STOP)
    return start_wh, stop_wh, missing


def _standing_still(evidence: Evidence, register_wh: int, missing: list[str]) -> _Drawn:
    """A register that never moved: nothing was drawn, or it is none.

    OCPP 1.6 demands a start and a stop of those who have no register, too: zeros beside intervals are no measurement,
    and the intervals are one. Any other register that stands while energy is told of is broken: what it was, a person
    decides. It may count whole kWh.
    """
    summed_wh = sum(_intervals(evidence))
    if register_wh == 0 and summed_wh > 0:
        return _from_intervals(evidence, missing)
    if summed_wh > COARSE_WH:
        return _Drawn(summed_wh, register_wh, register_wh, [*missing, DISAGREES])
    if _flowed_wh(evidence) > COARSE_WH:
        missing.append(DISAGREES)
    return _Drawn(0, register_wh, register_wh, missing)


def _flowed_wh(evidence: Evidence) -> float:
    """The least that the samples of power speak for."""
    power = [(sample.at, sample.power_w) for sample in evidence.samples if sample.power_w is not None]
    spans = (
        (min(_seconds(before, after), LONGEST_SPAN_SECONDS), min(first_w, second_w))
        for (before, first_w), (after, second_w) in pairwise(power)
    )
    return sum(seconds * max(0, least_w) for seconds, least_w in spans) / 3600


def _intervals(evidence: Evidence) -> list[int]:
    return [
        sample.interval_wh for sample in evidence.samples if sample.interval_wh is not None and sample.context != CLOCK
    ]


def _from_intervals(evidence: Evidence, missing: list[str]) -> _Drawn:
    """A meter that only says what came since its last sample: every sample counts, so none may be lost."""
    intervals = _intervals(evidence)
    if not intervals:
        return _Drawn(0, None, None, [*missing, NO_METER])
    seconds = _seconds(evidence.started_at, evidence.ended_at)
    total = sum(intervals)
    reasons = [*missing] if is_possible(total, seconds, evidence.max_power_w) else [*missing, TOO_MUCH]
    return _Drawn(total, None, None, [*reasons, INTERVALS_LOST] if gaps(evidence) else reasons)


def _from_walk(walk: "_Walk", start_wh: int | None, missing: list[str]) -> _Drawn:
    reasons = missing if walk.is_clean else [*missing, RESET]
    if walk.count < 2:
        reasons = [*reasons, NO_METER]
    return _Drawn(walk.energy_wh, start_wh, walk.last_wh, reasons)


def _without_trust(
    evidence: Evidence, walk: "_Walk", marks: list[tuple[datetime, int]], stop_wh: int, reasons: list[str]
) -> _Drawn:
    """Start and stop contradict each other: the samples speak, and a person decides."""
    whole = _walk([*marks, (evidence.ended_at, stop_wh)], evidence.max_power_w)
    if len(marks) < 2:  # no sample to ask: the claim itself, where it is one
        return _Drawn(max(0, stop_wh - marks[0][1]), marks[0][1], stop_wh, reasons)
    return _Drawn(max(walk.energy_wh, whole.energy_wh), marks[0][1], whole.last_wh, reasons)


@dataclass
class _Walk:
    energy_wh: int = 0
    last_wh: int | None = None
    count: int = 0
    is_clean: bool = True


def _walk(marks: Sequence[tuple[datetime, int]], max_power_w: int) -> _Walk:
    """Add up the possible steps of a register.

    An impossible mark is set aside; when the next one follows from it, the register has got a new base and the walk
    goes on there (what was drawn since a reset to zero counts).
    """
    walk = _Walk()
    trusted: tuple[datetime, int] | None = None
    doubted: tuple[datetime, int] | None = None
    for mark in marks:
        if trusted is None or _follows(trusted, mark, max_power_w):
            walk.energy_wh += mark[1] - trusted[1] if trusted else 0
        elif doubted and _follows(doubted, mark, max_power_w):
            since_reset = doubted[1] if _follows((trusted[0], 0), doubted, max_power_w) else 0
            walk.energy_wh += mark[1] - doubted[1] + since_reset
        else:
            walk.is_clean, doubted = False, mark
            continue
        trusted, doubted = mark, None
        walk.last_wh = mark[1]
        walk.count += 1
    return walk


def _follows(before: tuple[datetime, int], after: tuple[datetime, int], max_power_w: int) -> bool:
    step = after[1] - before[1]
    return step >= 0 and is_possible(step, _seconds(before[0], after[0]), max_power_w)


def is_possible(energy_wh: int, seconds: float, max_power_w: int) -> bool:
    """No more than the plug gives in the time, plus a fifth, a minute of clock error, and a Wh of rounding."""
    power_w = max_power_w or UNKNOWN_POWER_W
    allowed = power_w * (seconds + CLOCK_TOLERANCE.total_seconds()) * POWER_TOLERANCE_PERCENT
    return (energy_wh - 1) * 3600 * 100 <= allowed


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())


# --- gaps ---------------------------------------------------------------------------------------------------------


def gaps(evidence: Evidence) -> tuple[dict[str, object], ...]:
    """What is missing: start, stop, stretches without samples, numbers skipped in the sequence of events."""
    found: list[dict[str, object]] = []
    if not evidence.is_start_reported:
        found.append({"kind": "start"})
    if not evidence.is_stop_reported:
        found.append({"kind": "stop"})
    found += [
        {"kind": "samples", "from": start.isoformat(), "to": end.isoformat()} for start, end in _silences(evidence)
    ]
    found += [
        {"kind": "messages", "from": first, "to": last}
        for first, last in skipped(each.number for each in evidence.sequence)
    ]
    return tuple(found[:MOST_GAPS])


def _silences(evidence: Evidence) -> list[tuple[datetime, datetime]]:
    """Three times the usual pause, five minutes at least; a session without samples has no usual pause."""
    times = sorted({sample.at for sample in evidence.samples})
    if not times:
        return []
    marks = [evidence.started_at, *(at for at in times if evidence.started_at < at < evidence.ended_at)]
    marks.append(evidence.ended_at)
    pauses = [(after - before).total_seconds() for before, after in pairwise(times)] or [0.0]
    limit = max(SHORTEST_GAP, timedelta(seconds=3 * median_low(pauses)))
    return [(before, after) for before, after in pairwise(marks) if after - before > limit]


def skipped(sequence: Iterable[int]) -> list[tuple[int, int]]:
    """Missing numbers as ranges; a station that says the same number every time counts nothing."""
    numbers = sorted(set(sequence))
    if len(numbers) < 2:
        return []
    holes = [(before + 1, after - 1) for before, after in pairwise(numbers) if after - before > 1]
    return [(0, numbers[0] - 1), *holes] if 0 < numbers[0] < 10 else holes


def counts_anew(events: Iterable[Numbered]) -> bool:
    """Did the station begin its numbers again: one comes a second time, of another time, after a higher one?

    What was said twice has the time of the first, and a station that leaves every number at 0 has no higher one.
    """
    seen: dict[int, Numbered] = {}
    highest = -1
    for event in events:
        before = seen.setdefault(event.number, event)
        if event.number < highest and event.first_at > before.last_at + CLOCK_TOLERANCE:
            return True
        highest = max(highest, event.number)
    return False


# --- idle ---------------------------------------------------------------------------------------------------------


def idle_seconds(marks: Iterable[tuple[datetime, str]], ended_at: datetime) -> int:
    """Plugged in and full at the end, in seconds; what the station held back itself (limited) is not idle.

    `marks`: (at, delivering | full | limited | quiet) in any order; quiet is a sample without power, which means
    limited while the station says so, full otherwise. Nothing proves idleness before the first delivery.
    """
    idle, since, was_delivering, is_limited = 0.0, None, False, False
    for at, state in sorted((mark for mark in marks if mark[0] <= ended_at), key=lambda mark: mark[0]):
        if since is not None:
            idle, since = idle + _seconds(since, at), None
        if state != QUIET:
            is_limited = state == LIMITED
        if state == DELIVERING:
            idle, was_delivering = 0.0, True
        elif was_delivering and not is_limited:
            since = at
    return int(idle + (_seconds(since, ended_at) if since else 0.0))
