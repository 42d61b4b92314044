"""F: is it one session, at its price, within its limits, and was it over when it ended? Pure."""

from datetime import timedelta
from typing import Any

import numpy as np

from billing.matching.facts import CHARGE, REFERENCE, Neighbour, Price
from billing.matching.findings import COST, NETWORK, Finding
from billing.matching.seen import Seen

DAY = timedelta(days=1)


def duplicate(seen: Seen) -> list[Finding]:
    """F1: the same session told twice. Only the later of the two waits."""
    for other in seen.evidence.neighbours:
        if same_as(seen, other):
            facts = {"session": other.session, "reference": other.reference, "energy_wh": other.energy_wh}
            return [_told_before("The same charging was told before", facts)]
    if by := seen.evidence.told_to_others:
        return [_told_before("The same charging was told before, as another fleet's", {"same": by})]
    return []


def same_as(seen: Seen, other: Neighbour) -> str:
    """By what an earlier session is the same charging; empty: it is another."""
    if other.session >= seen.evidence.session:
        return ""
    if other.reference and other.reference == seen.evidence.reference:
        return REFERENCE
    return CHARGE if _is_same_charge(seen, other) else ""


def _told_before(text: str, facts: dict[str, Any]) -> Finding:
    return Finding(rule="F1", points=0, text=text, evidence=facts, is_hold=True, asks=NETWORK)


def _is_same_charge(seen: Seen, other: Neighbour) -> bool:
    evidence, terms = seen.evidence, seen.terms
    if not other.is_same_connector:
        return False
    shared = min(evidence.ended_at, other.ends_at) - max(evidence.started_at, other.starts_at)
    longest = max(evidence.ended_at - evidence.started_at, other.ends_at - other.starts_at)
    overlaps = shared.total_seconds() * 100 > terms.duplicate_overlap_percent * longest.total_seconds()
    off_wh = abs(evidence.energy_wh - other.energy_wh)
    return overlaps and off_wh * 100 <= terms.duplicate_energy_percent * max(evidence.energy_wh, other.energy_wh)


def velocity(seen: Seen) -> list[Finding]:
    """F2: many sessions in a day, or one right after the other that charged next to nothing."""
    evidence, terms = seen.evidence, seen.terms
    earlier = [
        other for other in evidence.neighbours if other.is_same_vehicle and other.starts_at < evidence.started_at
    ]
    today = [other for other in earlier if other.starts_at > evidence.started_at - DAY]
    if len(today) + 1 > terms.sessions_a_day:
        facts = {"sessions": [other.session for other in today]}
        text = f"{len(today) + 1} sessions of this vehicle within a day"
        return [Finding(rule="F2", points=terms.f2_points, text=text, evidence=facts)]
    before, after = seen.soc_before, seen.soc_after
    if before is None or after is None or after[0] - before[0] >= terms.useless_rise_percent:
        return []
    apart = timedelta(minutes=terms.sessions_apart_minutes)
    for other in today:
        is_close = evidence.started_at - other.ends_at < apart
        if is_close and other.soc_rise_percent is not None and other.soc_rise_percent < terms.useless_rise_percent:
            text = "Two sessions shortly after each other, and neither charged the battery"
            return [Finding(rule="F2", points=terms.f2_points, text=text, evidence={"sessions": [other.session]})]
    return []


def price(seen: Seen) -> list[Finding]:
    """F3: the network asks another price than its tariff, or an idle fee while it still charged."""
    told = seen.evidence.price
    if told is None or not _is_off(seen, told):
        return idle_fee(seen)
    return [asked_otherwise(told)]


def _is_off(seen: Seen, told: Price) -> bool:
    """Also where the price check is content: a fleet draws its own lines. Up to a rupee is rounding."""
    off, terms = abs(told.asked - told.by_tariff), seen.terms
    is_much = off * 100 > terms.price_off_percent * abs(told.by_tariff) and off > terms.price_rounding_paise
    return off > terms.price_off_paise or is_much


def asked_otherwise(told: Price) -> Finding:
    facts = {"asked_paise": told.asked, "by_tariff_paise": told.by_tariff, "tariff": told.tariff}
    text = "The network asks another price than its tariff gives"
    return Finding(rule="F3", points=0, text=text, evidence=facts, is_hold=True, asks=NETWORK)


def idle_fee(seen: Seen) -> list[Finding]:
    """F3: an idle fee while it still charged."""
    evidence, terms = seen.evidence, seen.terms
    soc = evidence.charger_soc_end_percent
    if evidence.idle_paise <= 0 or soc is None or soc >= terms.idle_fee_below_percent:
        return []
    since = seen.ends_s - evidence.idle_seconds
    charged = sum(max(0, until - max(since, begin)) for begin, until in seen.certain_deliveries)
    if charged < terms.moving_seconds:
        return []
    facts = {"idle_paise": evidence.idle_paise, "idle_seconds": evidence.idle_seconds, "delivering_seconds": charged}
    text = f"An idle fee for time in which it charged, at {soc:.0f} %"
    return [Finding(rule="F3", points=0, text=text, evidence=facts, is_hold=True, asks=NETWORK)]


def limits(seen: Seen) -> list[Finding]:
    """F4: over a limit of the fleet's own policy."""
    over = [each for each in seen.evidence.limits if each.used > each.limit]
    if not over:
        return []
    facts = {each.name: {"limit": each.limit, "used": each.used} for each in over}
    text = f"Over the limit: {', '.join(each.name for each in over)}"
    return [Finding(rule="F4", points=seen.terms.f4_points, text=text, evidence=facts)]


def parked(seen: Seen) -> list[Finding]:
    """F5: still at the plug long after the end. No question of anybody, a cost to know."""
    after = seen.at >= seen.ends_s
    if not after.any():
        return []
    here = seen.is_standing_here & after
    left = np.flatnonzero(after & ~here)
    stays = here[: left[0]] if len(left) else here
    if not stays.any():
        return []
    minutes = (int(seen.at[: len(stays)][stays][-1]) - seen.ends_s) / 60
    if minutes < seen.terms.parked_minutes:
        return []
    text = f"It stood at the plug for at least {minutes:.0f} minutes after the end"
    return [Finding(rule="F5", points=0, text=text, evidence={"minutes": round(minutes)}, asks=COST)]
