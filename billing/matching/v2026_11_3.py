"""The third ruleset as it judged. Pure.

E1 to E4 held the energy that a network bills against the battery, E2 knew no aged one, F3 fired only where the price
check did.

Every other rule is still the same; one that changes leaves its old self here.
"""

from typing import Any

from billing.matching import battery, places, plans, records
from billing.matching.battery import LEAST_SECONDS, LEAST_WH
from billing.matching.findings import Check, Finding, nothing_to_look_at
from billing.matching.seen import Seen

RULESET_VERSION = "2026-11.3"


def capacity(seen: Seen) -> list[Finding]:
    """E1 until 2026-11.4: more than the battery could take, with what is lost on the way and a little to spare."""
    evidence, terms = seen.evidence, seen.terms
    if not evidence.usable_wh:
        return []
    before = seen.soc_before
    room_percent = 100 - (before[0] if before else 0)
    limit_wh = evidence.usable_wh * room_percent / (100 - terms.loss_percent) + terms.spare_wh
    if evidence.energy_wh <= limit_wh:
        return []
    facts = {
        "energy_wh": evidence.energy_wh, "limit_wh": round(limit_wh), "usable_wh": evidence.usable_wh,
        "soc_start_percent": before[0] if before else None,
    }  # fmt: skip
    text = "More energy than this battery can take"
    return [Finding(rule="E1", points=terms.e1_points, text=text, evidence=facts)]


def rise(seen: Seen) -> list[Finding]:
    """Until 2026-11.4: E2 charge does not match the energy, E3 no rise at all."""
    evidence, terms = seen.evidence, seen.terms
    before, after = seen.soc_before, seen.soc_after
    if before is None or after is None or not evidence.usable_wh:
        return nothing_to_look_at("E2", "No fresh state of charge on both sides of the session")
    percent = after[0] - before[0]
    facts: dict[str, Any] = {
        "soc_before_percent": before[0], "soc_before_from": before[1],
        "soc_after_percent": after[0], "soc_after_from": after[1], "energy_wh": evidence.energy_wh,
    }  # fmt: skip
    if evidence.energy_wh >= terms.no_rise_wh and percent <= terms.no_rise_percent:
        text = "The state of charge did not rise"
        return [Finding(rule="E3", points=terms.e3_points, text=text, evidence=facts)]
    efficiency = terms.dc_efficiency_percent if evidence.is_dc else terms.ac_efficiency_percent
    expected_wh = percent * evidence.usable_wh / efficiency
    off_wh = abs(evidence.energy_wh - expected_wh)
    steps_wh = 2 * terms.soc_step_percent * evidence.usable_wh / 100
    if off_wh <= max(terms.rise_off_percent * abs(expected_wh) / 100, terms.rise_off_wh, steps_wh):
        return []
    facts["expected_wh"] = round(expected_wh)
    is_far_off = off_wh > terms.rise_far_off_percent * abs(expected_wh) / 100
    text = "Energy and rise of the state of charge do not match"
    points = terms.e2_far_points if is_far_off else terms.e2_points
    return [Finding(rule="E2", points=points, text=text, evidence=facts)]


def too_fast(seen: Seen) -> list[Finding]:
    """E4 until 2026-11.4: faster than the connector gives or the vehicle takes, while power may have flowed."""
    evidence, terms = seen.evidence, seen.terms
    vehicle_w = evidence.max_dc_power_w if evidence.is_dc else evidence.max_ac_power_w
    known = [power_w for power_w in (evidence.connector_power_w, vehicle_w) if power_w]
    seconds = seen.perhaps_delivering_s or seen.ends_s
    if not known or evidence.energy_wh < LEAST_WH or seconds < LEAST_SECONDS:
        return []
    mean_w = evidence.energy_wh * 3600 / seconds
    if mean_w * 100 <= terms.too_fast_percent * min(known):
        return []
    facts = {"mean_w": round(mean_w), "connector_w": evidence.connector_power_w, "vehicle_w": vehicle_w,
             "seconds": seconds}  # fmt: skip
    text = f"{mean_w / 1000:.1f} kW on average, and {min(known) / 1000:.1f} kW is the most that can flow"
    return [Finding(rule="E4", points=terms.e4_points, text=text, evidence=facts)]


def price(seen: Seen) -> list[Finding]:
    """F3 until 2026-11.4."""
    told, terms = seen.evidence.price, seen.terms
    if told is not None and told.is_disputed:
        off = abs(told.asked - told.by_tariff)
        if off > terms.price_off_paise or off * 100 > terms.price_off_percent * abs(told.by_tariff):
            return [records.asked_otherwise(told)]
    return records.idle_fee(seen)


CHECKS: tuple[Check, ...] = (
    places.presence, places.moving, places.two_places, places.other_vehicle, places.site, places.mocked,
    plans.shift, plans.clocks,
    capacity, rise, too_fast, battery.meter, battery.inlet, battery.week,
    records.duplicate, records.velocity, price, records.limits, records.parked,
)  # fmt: skip
