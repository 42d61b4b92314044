"""Charging time from power curves: what the vehicle takes at a state of charge, capped by the plug."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import numpy.typing as npt

Curve = npt.NDArray[np.float64]

CHARGING_EFFICIENCY = 0.93
"""Battery energy per metered energy: what cable and charger lose (AC losses are a little higher)."""
TAPER_FROM_PERCENT, TAPER_TO_SHARE = 80.0, 0.18
"""Default shape (constant current, then constant voltage): flat to 80 %, then linear to 18 % of peak at 100 %."""
_MIDDLES = np.arange(100) + 0.5


def vehicle_curve(points: Sequence[Sequence[float]], peak_power_w: float) -> Curve:
    """Power in W at the middle of each percent, 100 values. `points` are [soc_percent, power_w]; none: the default."""
    if points:
        ordered = sorted((float(soc), float(power)) for soc, power in points)
        shape = np.interp(_MIDDLES, [soc for soc, _ in ordered], [power for _, power in ordered])
        capped: Curve = np.minimum(shape, peak_power_w)
        return capped
    taper = (_MIDDLES - TAPER_FROM_PERCENT) / (100 - TAPER_FROM_PERCENT)
    tapering: Curve = peak_power_w * (1 - np.clip(taper, 0, 1) * (1 - TAPER_TO_SHARE))
    return tapering


def charge_seconds(
    curve: Curve, *, battery_wh: float, plug_power_w: float, from_percent: float, to_percent: float
) -> float:
    """Seconds from one state of charge to another; infinite when no power flows, 0 when already there."""
    low, high = max(0.0, from_percent), min(100.0, to_percent)
    if high <= low:
        return 0.0
    first, end = int(low), ceil(high)
    power = np.minimum(curve[first:end], plug_power_w) * CHARGING_EFFICIENCY
    if power.min() < 1:
        return float("inf")
    seconds = battery_wh / 100 * 3600 / power  # per whole percent; the first and the last may be parts
    return float(seconds.sum() - (low - first) * seconds[0] - (end - high) * seconds[-1])


def metered_wh(*, battery_wh: float, from_percent: float, to_percent: float) -> float:
    """What the meter will show for lifting the battery from one state of charge to another."""
    return max(0.0, to_percent - from_percent) / 100 * battery_wh / CHARGING_EFFICIENCY
