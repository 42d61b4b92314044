"""Where the rules draw their lines and how many points each adds: defaults, and what an organisation changed. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whole numbers only. Metres, minutes, km/h, Wh, paise, per cent as the names say."""

    # the verdict
    review_from_points: int = 20
    block_from_points: int = 60
    present_percent: int = 50
    # L: was it there?
    radius_learned_m: int = 60
    radius_stated_m: int = 150
    radius_geocoded_m: int = 400
    near_miss_m: int = 250
    near_moment_minutes: int = 10
    no_data_minutes: int = 20
    standing_kmh: int = 5
    moving_seconds: int = 60
    moving_m: int = 300
    delivering_w: int = 500
    overlap_minutes: int = 2
    possible_kmh: int = 120
    constant_accuracy_pings: int = 20
    jumps: int = 3
    l1_points: int = 60
    l2_points: int = 15
    l4_points: int = 50
    l5_points: int = 60
    l6_points: int = 40
    l7_points: int = 40
    l8_points: int = 25
    # T: was it planned so?
    shift_grace_minutes: int = 30
    clock_minutes: int = 5
    clock_far_minutes: int = 60
    record_days: int = 90
    t1_points: int = 25
    t2_points: int = 20
    t3_points: int = 10
    # E: does the energy fit the battery, the plug, the meter, the way driven?
    loss_percent: int = 15
    spare_wh: int = 1_000
    ac_efficiency_percent: int = 88
    dc_efficiency_percent: int = 94
    rise_off_percent: int = 15
    rise_off_wh: int = 1_500
    rise_far_off_percent: int = 35
    health_least_percent: int = 70
    soc_step_percent: int = 1
    soc_fresh_minutes: int = 30
    no_rise_wh: int = 3_000
    no_rise_percent: int = 1
    too_fast_percent: int = 105
    meter_off_percent: int = 2
    meter_off_wh: int = 100
    week_off_percent: int = 25
    week_least_km: int = 50
    week_least_wh: int = 10_000
    e1_points: int = 50
    e2_points: int = 30
    e2_far_points: int = 50
    e3_points: int = 50
    e4_points: int = 30
    e5_points: int = 30
    e6_points: int = 45
    e7_points: int = 20
    # F: is it one session, at its price, within its limits?
    duplicate_overlap_percent: int = 80
    duplicate_energy_percent: int = 2
    sessions_a_day: int = 4
    sessions_apart_minutes: int = 20
    useless_rise_percent: int = 2
    price_off_percent: int = 1
    price_off_paise: int = 500
    price_rounding_paise: int = 100
    idle_fee_below_percent: int = 80
    parked_minutes: int = 30
    f2_points: int = 15
    f4_points: int = 20


DEFAULTS = Thresholds()
NAMES = Thresholds.__struct_fields__
MOST = 10_000_000


class UnusableTerms(ValueError):
    """Says which line cannot be drawn there."""


def with_changes(changes: Mapping[str, Any]) -> Thresholds:
    """The defaults, with what an organisation wants otherwise. Raises UnusableTerms."""
    for name, value in changes.items():
        if name not in NAMES:
            raise UnusableTerms(f"{name}: there is no such line")
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST:
            raise UnusableTerms(f"{name}: a whole number from 0 to {MOST:,}")
    terms = Thresholds(**changes)
    if terms.review_from_points < 1 or terms.block_from_points <= terms.review_from_points:
        raise UnusableTerms("block_from_points: more than review_from_points, which is at least 1")
    if min(terms.ac_efficiency_percent, terms.dc_efficiency_percent, terms.present_percent) < 1:
        raise UnusableTerms("efficiencies and the share of presence are at least 1 %")
    if terms.loss_percent > 90:
        raise UnusableTerms("loss_percent: at most 90")
    return terms
