"""E: does the energy fit the battery, the plug, the meter and the kilometres? Pure.

What the battery and the plug can do is held against what was delivered: a network that bills more is asked by E5.
"""

from typing import Any

import numpy as np

from billing.matching.findings import NETWORK, Finding, nothing_to_look_at
from billing.matching.seen import Seen

LEAST_WH, LEAST_SECONDS = 500, 180
STUCK_SAMPLES = 4


def capacity(seen: Seen) -> list[Finding]:
    """E1: more than the battery could take, with what is lost on the way and a little to spare."""
    evidence, terms = seen.evidence, seen.terms
    if not evidence.usable_wh:
        return []
    before = seen.soc_before
    room_percent = 100 - (before[0] if before else 0)
    limit_wh = evidence.usable_wh * room_percent / (100 - terms.loss_percent) + terms.spare_wh
    if seen.delivered_wh <= limit_wh:
        return []
    facts = {
        "energy_wh": seen.delivered_wh, "limit_wh": round(limit_wh), "usable_wh": evidence.usable_wh,
        "soc_start_percent": before[0] if before else None,
    }  # fmt: skip
    text = "More energy than this battery can take"
    return [Finding(rule="E1", points=terms.e1_points, text=text, evidence=facts)]


def rise(seen: Seen) -> list[Finding]:
    """E2 charge does not match the energy, E3 no rise at all."""
    evidence, terms = seen.evidence, seen.terms
    before, after = seen.soc_before, seen.soc_after
    if before is None or after is None or not evidence.usable_wh:
        return nothing_to_look_at("E2", "No fresh state of charge on both sides of the session")
    if not seen.delivered_wh:
        return nothing_to_look_at("E2", "No energy is asked for that the battery could have taken")
    percent = after[0] - before[0]
    facts: dict[str, Any] = {
        "soc_before_percent": before[0], "soc_before_from": before[1],
        "soc_after_percent": after[0], "soc_after_from": after[1], "energy_wh": seen.delivered_wh,
    }  # fmt: skip
    if seen.delivered_wh >= terms.no_rise_wh and percent <= terms.no_rise_percent:
        text = "The state of charge did not rise"
        return [Finding(rule="E3", points=terms.e3_points, text=text, evidence=facts)]
    efficiency = terms.dc_efficiency_percent if evidence.is_dc else terms.ac_efficiency_percent
    expected_wh = percent * evidence.usable_wh / efficiency
    aged_wh = min(expected_wh, expected_wh * terms.health_least_percent / 100)  # a worn battery's percent is smaller
    off_wh = max(seen.delivered_wh - expected_wh, aged_wh - seen.delivered_wh)
    steps_wh = 2 * terms.soc_step_percent * evidence.usable_wh / 100
    if off_wh <= max(terms.rise_off_percent * abs(expected_wh) / 100, terms.rise_off_wh, steps_wh):
        return []
    facts["expected_wh"] = round(expected_wh)
    is_far_off = off_wh > terms.rise_far_off_percent * abs(expected_wh) / 100
    text = "Energy and rise of the state of charge do not match"
    points = terms.e2_far_points if is_far_off else terms.e2_points
    return [Finding(rule="E2", points=points, text=text, evidence=facts)]


def too_fast(seen: Seen) -> list[Finding]:
    """E4: faster than the connector gives or the vehicle takes, over the time in which power may have flowed."""
    evidence, terms = seen.evidence, seen.terms
    vehicle_w = evidence.max_dc_power_w if evidence.is_dc else evidence.max_ac_power_w
    known = [power_w for power_w in (evidence.connector_power_w, vehicle_w) if power_w]
    seconds = seen.perhaps_delivering_s or seen.ends_s
    if not known or seen.delivered_wh < LEAST_WH or seconds < LEAST_SECONDS:
        return []
    mean_w = seen.delivered_wh * 3600 / seconds
    if mean_w * 100 <= terms.too_fast_percent * min(known):
        return []
    facts = {"mean_w": round(mean_w), "connector_w": evidence.connector_power_w, "vehicle_w": vehicle_w,
             "seconds": seconds}  # fmt: skip
    text = f"{mean_w / 1000:.1f} kW on average, and {min(known) / 1000:.1f} kW is the most that can flow"
    return [Finding(rule="E4", points=terms.e4_points, text=text, evidence=facts)]


def meter(seen: Seen) -> list[Finding]:
    """E5: the record against the meter, and a register that falls or stands still. A question for the network."""
    evidence = seen.evidence
    problem, facts = _register_problem(seen)
    if not problem and seen.is_energy_in_doubt:
        problem = "The record and the meter name another energy"
        facts = {"billed_wh": seen.billed_wh, "meter_wh": evidence.meter_wh, "signature": evidence.signature}
    if not problem:
        return []
    return [Finding(rule="E5", points=seen.terms.e5_points, text=problem, evidence=facts, is_hold=True, asks=NETWORK)]


def _register_problem(seen: Seen) -> tuple[str, dict[str, Any]]:
    at, register = seen.register
    if len(register) < 2:
        return "", {}
    steps = np.diff(register)
    if (steps < 0).any():
        first = int(np.flatnonzero(steps < 0)[0])
        facts = {
            "at": seen.clock(int(at[first + 1])),
            "from_wh": int(register[first]),
            "to_wh": int(register[first + 1]),
        }
        return "The meter's register ran backwards", facts
    is_stuck = int(register[-1]) == int(register[0]) and len(register) >= STUCK_SAMPLES
    if is_stuck and seen.delivering_s >= LEAST_SECONDS and seen.evidence.energy_wh >= LEAST_WH:
        return "The meter's register stood still while power flowed", {"register_wh": int(register[0])}
    return "", {}


def inlet(seen: Seen) -> list[Finding]:
    """E6: the vehicle has no such inlet."""
    evidence = seen.evidence
    if not evidence.plugs or evidence.plug in {"", "unknown"} or evidence.plug in evidence.plugs:
        return []
    facts = {"plug": evidence.plug, "vehicle": list(evidence.plugs)}
    text = "The vehicle has no inlet for this plug"
    return [Finding(rule="E6", points=seen.terms.e6_points, text=text, evidence=facts)]


def week(seen: Seen) -> list[Finding]:
    """E7: more energy bought in seven days than was driven or is still in the battery. Less is no question."""
    told, terms = seen.evidence.week, seen.terms
    if told is None or told.driven_m < terms.week_least_km * 1000 or told.bought_wh < terms.week_least_wh:
        return []
    kept_wh = told.soc_change_percent * seen.evidence.usable_wh / 100
    needed_wh = told.driven_m / 1000 * told.wh_per_km
    used_wh = told.bought_wh - kept_wh
    if used_wh * 100 <= needed_wh * (100 + terms.week_off_percent):
        return []
    facts = {
        "driven_km": told.driven_m // 1000, "bought_wh": told.bought_wh, "kept_wh": round(kept_wh),
        "needed_wh": round(needed_wh), "sessions": told.sessions,
    }  # fmt: skip
    text = f"In seven days {used_wh / 1000:.0f} kWh for {told.driven_m // 1000} km, which need {needed_wh / 1000:.0f}"
    return [Finding(rule="E7", points=terms.e7_points, text=text, evidence=facts)]
