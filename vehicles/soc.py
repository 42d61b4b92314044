"""State of charge: when is it low, when has it recovered, how far does it carry; imports no Django."""

from collections.abc import Iterable
from typing import NamedTuple


class SocLimits(NamedTuple):
    """Hysteresis in percent: low below the first, recovered from the second on; between them nothing changes."""

    low_percent: float = 20
    clear_percent: float = 25


class Crossings:
    """The newest instants at which the charge was below the low and not below the clear limit; any number that orders.

    Two maxima say everything the latch needs, and maxima do not care about order or repetition: shuffled, doubled
    and concurrent pings end in the same latch as the same pings one by one.
    """

    __slots__ = ("below_at", "clear_at")

    def __init__(self) -> None:
        self.below_at: float | None = None
        self.clear_at: float | None = None

    def see(self, soc_percent: float, at: float, limits: SocLimits) -> None:
        """Take in one more reading."""
        if soc_percent < limits.low_percent:
            self.below_at = at if self.below_at is None or at > self.below_at else self.below_at
        elif soc_percent >= limits.clear_percent:
            self.clear_at = at if self.clear_at is None or at > self.clear_at else self.clear_at

    @property
    def is_low(self) -> bool:
        """Whether the last limit touched was the low one."""
        return self.below_at is not None and (self.clear_at is None or self.below_at > self.clear_at)


def next_latch(is_low: bool, soc_percent: float, limits: SocLimits) -> bool:
    """The low latch after one reading that is newer than all before it."""
    if soc_percent < limits.low_percent:
        return True
    return is_low and soc_percent < limits.clear_percent


def latch_after(readings: Iterable[float], limits: SocLimits, is_low: bool = False) -> bool:
    """The low latch after readings in time order."""
    for soc_percent in readings:
        is_low = next_latch(is_low, soc_percent, limits)
    return is_low


def range_left_km(
    *, soc_percent: float, battery_wh: float, consumption_wh_per_km: float, reserve_percent: float = 0
) -> float:
    """Kilometres until the charge reaches the reserve; 0 when it already has."""
    usable_wh = battery_wh * max(0.0, soc_percent - reserve_percent) / 100
    return usable_wh / consumption_wh_per_km
