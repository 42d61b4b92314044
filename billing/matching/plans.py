"""T: was it planned so, and do the clocks agree? Pure."""

from datetime import timedelta
from typing import Any

from billing.matching.findings import NETWORK, Check, Finding, nothing_to_look_at
from billing.matching.seen import Seen


def shift(seen: Seen) -> list[Finding]:
    """T1 outside the shift, T2 another driver's card. The fleet's own depot is always a place to charge."""
    evidence, terms = seen.evidence, seen.terms
    if not evidence.has_shift_plan:
        text = "No shifts are planned for this vehicle"
        return nothing_to_look_at("T1", text) if evidence.has_vehicle else []
    grace = timedelta(minutes=terms.shift_grace_minutes)
    on_duty = [
        duty for duty in evidence.shifts if duty.starts_at - grace <= evidence.started_at <= duty.ends_at + grace
    ]
    facts: dict[str, Any] = {"started_at": evidence.started_at.isoformat(), "shifts": _around(seen)}
    if not on_duty:
        text = "The session began outside the vehicle's shifts"
        return [] if evidence.is_depot else [Finding(rule="T1", points=terms.t1_points, text=text, evidence=facts)]
    if evidence.token_driver is None or evidence.token_driver in {duty.driver for duty in on_duty}:
        return []
    facts["token_driver"] = evidence.token_driver
    text = "The card belongs to another driver than the one on shift"
    return [Finding(rule="T2", points=terms.t2_points, text=text, evidence=facts)]


def clocks(seen: Seen) -> list[Finding]:
    """T3: the record's clock. In the future or too old it waits; a question for the network alone."""
    evidence, terms = seen.evidence, seen.terms
    tolerance, known = timedelta(minutes=terms.clock_minutes), evidence.known_at
    told = evidence.record_started_at or evidence.started_at
    facts = {"record": told.isoformat(), "known_at": known.isoformat() if known else None}
    if known and told > known + tolerance:
        return [_clock(terms.t3_points, "The record says that it began in the future", facts, is_hold=True)]
    if known and evidence.ended_at < known - timedelta(days=terms.record_days):
        return [
            _clock(terms.t3_points, f"The record came more than {terms.record_days} days late", facts, is_hold=True)
        ]
    heard = evidence.heard_started_at
    if heard is None or abs(told - heard) <= tolerance:
        return []
    facts["heard"] = heard.isoformat()
    text = "The record and the plug name another start"
    return [_clock(terms.t3_points, text, facts, is_hold=is_another_time(seen))]


def is_another_time(seen: Seen) -> bool:
    """We know the session by a clock so far off that where the vehicle was then says nothing of it."""
    evidence, terms = seen.evidence, seen.terms
    start, heard, known = evidence.started_at, evidence.heard_started_at, evidence.known_at
    if known is not None and start > known + timedelta(minutes=terms.clock_minutes):
        return True
    return heard is not None and abs(start - heard) > timedelta(minutes=terms.clock_far_minutes)


def by_the_clock(check: Check) -> Check:
    """A check that compares with other clocks: while the network's own is wrong (T3), it asks the fleet nothing."""
    return lambda seen: [] if is_another_time(seen) else check(seen)


def _clock(points: int, text: str, facts: dict[str, Any], *, is_hold: bool) -> Finding:
    return Finding(rule="T3", points=points, text=text, evidence=facts, is_hold=is_hold, asks=NETWORK)


def _around(seen: Seen) -> list[dict[str, Any]]:
    """The shifts within a day of the start."""
    near = timedelta(days=1)
    start = seen.evidence.started_at
    return [
        {"from": duty.starts_at.isoformat(), "to": duty.ends_at.isoformat(), "driver": duty.driver}
        for duty in seen.evidence.shifts
        if duty.starts_at - near <= start <= duty.ends_at + near
    ]
