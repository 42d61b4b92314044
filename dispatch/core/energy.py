"""Energy for driving: Wh per leg with a margin, and what is left on arrival."""

MARGIN = 0.15
"""On top of the model's consumption, because distances are estimates and traffic is not."""
RESERVE_SHARE_OF_LEG = 0.15


def leg_wh(distance_m: float, wh_per_km: float) -> float:
    """Battery energy for a leg, including the margin."""
    return distance_m / 1000 * wh_per_km * (1 + MARGIN)


def arrival_percent(*, soc_percent: float, battery_wh: float, distance_m: float, wh_per_km: float) -> float:
    """State of charge after a leg; negative when it would not be reached."""
    return soc_percent - leg_wh(distance_m, wh_per_km) / battery_wh * 100


def reserve_percent(*, least_percent: float, battery_wh: float, distance_m: float, wh_per_km: float) -> float:
    """What must be left on arrival: the fleet's least, or 15 % of what the leg takes if that is more."""
    of_leg = RESERVE_SHARE_OF_LEG * leg_wh(distance_m, wh_per_km) / battery_wh * 100
    return max(least_percent, of_leg)


def reach_m(*, soc_percent: float, least_percent: float, battery_wh: float, wh_per_km: float) -> float:
    """How far the vehicle gets before only the least reserve is left."""
    usable_wh = max(0.0, soc_percent - least_percent) / 100 * battery_wh
    return usable_wh / (wh_per_km * (1 + MARGIN)) * 1000
