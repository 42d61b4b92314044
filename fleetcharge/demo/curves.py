"""How fast a battery takes charge: power against state of charge, and the pack that fills and empties."""

from collections.abc import Sequence
from dataclasses import dataclass, field

TAPER_FROM_PERCENT = 80.0
TAPER_TO_SHARE = 0.18
DC_EFFICIENCY, AC_EFFICIENCY = 0.94, 0.88

Curve = Sequence[Sequence[float]]


def power_at(soc_percent: float, peak_w: float, curve: Curve = ()) -> float:
    """What the battery accepts, in watts: its own curve [[soc_percent, power_w], ...], else flat and then tapering."""
    if soc_percent >= 100:
        return 0.0
    if curve:
        return min(peak_w, _interpolate(soc_percent, curve))
    if soc_percent <= TAPER_FROM_PERCENT:
        return peak_w
    share = (soc_percent - TAPER_FROM_PERCENT) / (100 - TAPER_FROM_PERCENT)
    return peak_w * (1 - share * (1 - TAPER_TO_SHARE))


def _interpolate(soc_percent: float, curve: Curve) -> float:
    below = [point for point in curve if point[0] <= soc_percent] or [curve[0]]
    above = [point for point in curve if point[0] > soc_percent] or [curve[-1]]
    (x0, y0), (x1, y1) = below[-1], above[0]
    return y0 + (y1 - y0) * (soc_percent - x0) / (x1 - x0) if x1 > x0 else y0


@dataclass
class Pack:
    """A traction battery."""

    battery_wh: float
    soc_percent: float
    max_ac_power_w: float
    max_dc_power_w: float
    curve: Curve = field(default=(), repr=False)

    def accepts_w(self, is_dc: bool) -> float:
        """Power it takes now from the wall."""
        if is_dc:
            return power_at(self.soc_percent, self.max_dc_power_w, self.curve)
        return power_at(self.soc_percent, self.max_ac_power_w)

    def fill(self, metered_wh: float, is_dc: bool) -> None:
        """Energy measured by the charger arrives with losses."""
        gained_wh = metered_wh * (DC_EFFICIENCY if is_dc else AC_EFFICIENCY)
        self.soc_percent = min(100.0, self.soc_percent + gained_wh / self.battery_wh * 100)

    def drain(self, used_wh: float) -> None:
        self.soc_percent = max(0.0, self.soc_percent - used_wh / self.battery_wh * 100)
