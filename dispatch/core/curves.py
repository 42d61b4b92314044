"""Charging time from power curves: what the vehicle takes at a state of charge, capped by the plug."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import ceil, isfinite

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


@dataclass(frozen=True)
class ChargeCurve:
    """Battery Wh after so many seconds at a plug, from an empty battery: straight lines between the points.

    Both rows rise strictly, so each can be turned into the other without error. The last point is as far as the plug
    charges.
    """

    seconds: tuple[float, ...]
    wh: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.seconds) != len(self.wh) or len(self.wh) < 2:
            raise ValueError("a charge curve needs two points or more, in rows of one length")
        for row in (self.seconds, self.wh):
            if not all(isfinite(value) for value in row) or any(b <= a for a, b in pairwise(row)):
                raise ValueError("a charge curve rises from point to point")

    def seconds_at(self, wh: float) -> float:
        """Seconds from the curve's beginning to this charge, inside the curve's span."""
        return line_at(self.wh, self.seconds, wh)

    def wh_at(self, seconds: float) -> float:
        return line_at(self.seconds, self.wh, seconds)

    def seconds_between(self, from_wh: float, to_wh: float) -> float:
        """Seconds to lift the battery from one charge to another; 0 when it is already there."""
        return max(0.0, self.seconds_at(min(to_wh, self.wh[-1])) - self.seconds_at(from_wh))

    @property
    def is_concave(self) -> bool:
        """Whether charging only ever gets slower."""
        rates = [(d - c) / (b - a) for (a, b), (c, d) in zip(pairwise(self.seconds), pairwise(self.wh), strict=True)]
        return all(later <= earlier * (1 + 1e-9) for earlier, later in pairwise(rates))


def line_at(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    """The broken line through the points at `x`, level outside of them."""
    if x <= xs[0]:
        return ys[0]
    if x >= xs[-1]:
        return ys[-1]
    right = bisect_right(xs, x)
    share = (x - xs[right - 1]) / (xs[right] - xs[right - 1])
    return ys[right - 1] + share * (ys[right] - ys[right - 1])


def charge_curve(
    curve: Curve, *, battery_wh: float, plug_power_w: float, to_percent: float = 100.0, within_seconds: float = 5.0
) -> ChargeCurve | None:
    """The broken line of what a plug charges into a vehicle; None when no power flows.

    Points that lie within `within_seconds` of the line between their neighbours are left out, never in the vehicle's
    favour where the curve only gets slower: the line then runs below it.
    """
    power = np.minimum(curve, plug_power_w) * CHARGING_EFFICIENCY
    if power.min() < 1:
        return None
    return _broken_line(power.tobytes(), battery_wh, max(1, min(100, round(to_percent))), within_seconds)


@lru_cache(maxsize=4096)
def _broken_line(power: bytes, battery_wh: float, last: int, within_seconds: float) -> ChargeCurve:
    """The vehicles of a model share one at plugs that are alike: it takes a millisecond to find."""
    seconds = np.concatenate([[0.0], np.cumsum(battery_wh / 100 * 3600 / np.frombuffer(power))])
    wh = np.arange(101) / 100 * battery_wh
    kept = [0]
    while kept[-1] < last:
        kept.append(_farthest(seconds, kept[-1], last, within_seconds))
    return ChargeCurve(tuple(seconds[kept].tolist()), tuple(wh[kept].tolist()))


def _farthest(seconds: Curve, start: int, last: int, within: float) -> int:
    """The farthest percent that a straight line from `start` reaches without straying from the curve."""
    for end in range(last, start + 1, -1):
        straight = np.linspace(seconds[start], seconds[end], end - start + 1)
        if np.abs(straight - seconds[start : end + 1]).max() <= within:
            return end
    return start + 1


BIN_PERCENT = 5
FEWEST_SESSIONS = 5
"""Of which a bin of a learned curve must know."""
LEAST_POWER_W = 500.0
"""Below, a vehicle is full or waits; it does not charge."""


def learned_points(sessions: Sequence[Sequence[tuple[float, float]]]) -> list[list[float]]:
    """[[soc_percent, power_w], ...] at the middles of bins, from (soc_percent, power_w) samples by session.

    The median over sessions of each one's median; empty where no bin has enough sessions. From the strongest bin on it
    only falls: what rises after that is another vehicle leaving the site, not this one's battery.
    """
    by_bin: dict[int, list[float]] = {}
    for session in sessions:
        for number, powers in _binned(session).items():
            by_bin.setdefault(number, []).append(float(np.median(powers)))
    known = sorted((number, rows) for number, rows in by_bin.items() if len(rows) >= FEWEST_SESSIONS)
    medians = [float(np.median(rows)) for _, rows in known]
    strongest = medians.index(max(medians)) if medians else 0
    capped = [*medians[:strongest], *np.minimum.accumulate(medians[strongest:]).tolist()] if medians else []
    return [[(number + 0.5) * BIN_PERCENT, power] for (number, _), power in zip(known, capped, strict=True)]


def _binned(session: Sequence[tuple[float, float]]) -> dict[int, list[float]]:
    bins: dict[int, list[float]] = {}
    for soc_percent, power_w in session:
        if 0 <= soc_percent <= 100 and power_w >= LEAST_POWER_W:
            bins.setdefault(min(int(soc_percent // BIN_PERCENT), 100 // BIN_PERCENT - 1), []).append(power_w)
    return bins


def with_learned(curve: Curve, points: Sequence[Sequence[float]]) -> Curve:
    """The vehicle's own curve, and what was measured where it was measured; gaps between are not bridged."""
    learned = curve.copy()
    for soc, power in points:
        first = int(soc - BIN_PERCENT / 2)
        learned[first : first + BIN_PERCENT] = power
    for (soc, power), (next_soc, next_power) in pairwise(points):
        if next_soc - soc <= BIN_PERCENT:
            between = (soc <= _MIDDLES) & (next_soc >= _MIDDLES)
            learned[between] = np.interp(_MIDDLES[between], [soc, next_soc], [power, next_power])
    return learned
