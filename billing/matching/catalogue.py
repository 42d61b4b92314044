"""Every rule with what it is called, what it adds and what it keeps; docs/billing.md prints this table. Pure."""

from dataclasses import dataclass

from billing.matching import battery, places, plans, records
from billing.matching.findings import COST, DRIVER, NETWORK, Check
from billing.matching.thresholds import DEFAULTS

HOLD, NONE = "hold", "0, inconclusive"


@dataclass(frozen=True)
class Rule:
    """`points` as shown; `asks`: whom the question is for."""

    id: str
    name: str
    fires: str
    points: str
    keeps: str
    asks: str = DRIVER


T = DEFAULTS
RULES: tuple[Rule, ...] = (
    Rule("L1", "Absent", f"Pings within ±{T.near_moment_minutes} min of start and middle, none closer than the "
         f"radius + {T.near_miss_m} m", str(T.l1_points), "Nearest ping, distance, clocks, track"),
    Rule("L2", "Near miss", f"Nearest ping between the radius and the radius + {T.near_miss_m} m", str(T.l2_points),
         "The same; many of them propose another point of the station"),
    Rule("L3", "No data", f"No ping within ±{T.no_data_minutes} min, or no vehicle named", NONE, "The gap"),
    Rule("L4", "Moving", f"Faster than {T.standing_kmh} km/h for {T.moving_seconds} s, or {T.moving_m} m travelled, "
         f"while more than {T.delivering_w} W flowed", str(T.l4_points), "Seconds, metres, both series"),
    Rule("L5", "Two places", f"The vehicle in two sessions for more than {T.overlap_minutes} min, or more than "
         f"{T.possible_kmh} km/h between them", str(T.l5_points), "The other session, distance, time"),
    Rule("L6", "Other vehicle", "Another vehicle of the fleet stood there and this one did not", str(T.l6_points),
         "Its distance and rise of charge; proposes to assign anew"),
    Rule("L7", "Site not allowed", "The policy names sites for this token or vehicle, and not this one",
         str(T.l7_points), "The policy's answer"),
    Rule("L8", "Mock location", f"The tracker says so, or {T.jumps} jumps with an accuracy that never changes",
         str(T.l8_points), "Flags, jumps"),
    Rule("T1", "Off shift", f"The start is outside the vehicle's shifts (±{T.shift_grace_minutes} min) and not at the "
         "fleet's own site", str(T.t1_points), "Shifts of the day"),
    Rule("T2", "Other driver", "The card's driver is not the one on shift", str(T.t2_points), "Shift and card"),
    Rule("T3", "Clock", f"The record's start is {T.clock_minutes} min off the plug's; {T.clock_far_minutes} min off, "
         f"in the future, or {T.record_days} days late: waits", f"{T.t3_points} / hold", "Both clocks", NETWORK),
    Rule("E1", "Over capacity", f"More than the free part of the battery / {(100 - T.loss_percent) / 100:.2f} + "
         f"{T.spare_wh // 1000} kWh", str(T.e1_points), "The calculation"),
    Rule("E2", "Rise differs", f"Energy and rise of charge differ by more than {T.rise_off_percent} %, "
         f"{T.rise_off_wh / 1000} kWh and two steps of the gauge; above {T.rise_far_off_percent} % far; less "
         f"than the rise only beyond a battery of {T.health_least_percent} % health",
         f"{T.e2_points}; far: {T.e2_far_points}", "Charge before and after with its source"),
    Rule("E3", "No rise", f"{T.no_rise_wh // 1000} kWh and more, and at most {T.no_rise_percent} point of charge",
         str(T.e3_points), "The same"),
    Rule("E4", "Too fast", f"Mean power above {T.too_fast_percent} % of what plug and vehicle can",
         str(T.e4_points), "Mean, both limits, seconds"),
    Rule("E5", "Meter", f"Record and meter differ by more than {T.meter_off_percent} % and {T.meter_off_wh} Wh; a "
         "register that falls or stands still", f"{T.e5_points} / hold", "Both figures, hash of a signed value",
         NETWORK),
    Rule("E6", "Inlet", "The vehicle has no such inlet", str(T.e6_points), "Plug and inlets"),
    Rule("E7", "Energy and distance", f"Seven days: bought less kept is {T.week_off_percent} % above what the distance "
         f"needs (from {T.week_least_km} km on)", str(T.e7_points), "The week"),
    Rule("F1", "Duplicate", f"The same reference; or the same plug, {T.duplicate_overlap_percent} % of the time and "
         f"energy within {T.duplicate_energy_percent} %. The later one waits", HOLD, "The other session", NETWORK),
    Rule("F2", "Many sessions", f"More than {T.sessions_a_day} within a day, or two within "
         f"{T.sessions_apart_minutes} min that charged less than {T.useless_rise_percent} points each",
         str(T.f2_points), "Their list"),
    Rule("F3", "Price", f"The network's price is {T.price_off_percent} % (and ₹{T.price_rounding_paise // 100}) or "
         f"₹{T.price_off_paise // 100} off its tariff; an idle fee below {T.idle_fee_below_percent} % while power "
         "flowed", HOLD,
         "Tariff and both prices", NETWORK),
    Rule("F4", "Limit", "Over a limit of the fleet's policy", str(T.f4_points), "Limit and use"),
    Rule("F5", "Parked", f"At the plug {T.parked_minutes} min after the end", "0, a cost", "Minutes", COST),
)  # fmt: skip
CHECKS: tuple[Check, ...] = (
    *map(plans.by_the_clock, (places.presence, places.moving, places.two_places, places.other_vehicle)),
    places.site, places.mocked, plans.by_the_clock(plans.shift), plans.clocks,
    *map(plans.by_the_clock, (battery.capacity, battery.rise)),
    battery.too_fast, battery.meter, battery.inlet, battery.week,
    records.duplicate, plans.by_the_clock(records.velocity), records.price, records.limits, records.parked,
)  # fmt: skip
BY_ID = {rule.id: rule for rule in RULES}
"""Checks in the order of the catalogue; some speak for more than one rule."""


def as_markdown() -> str:
    """The table of docs/billing.md; a test compares the two."""
    asks = {DRIVER: "fleet", NETWORK: "network", COST: "nobody"}
    rows = [
        f"| {each.id} | {each.name} | {each.fires} | {each.points} | {each.keeps} | {asks[each.asks]} |"
        for each in RULES
    ]
    head = ["| Rule | Name | Fires when (defaults) | Points | Keeps | Asks |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *rows])
