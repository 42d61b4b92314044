"""Uptime of a charging port as 23 CFR 680.116(b) (NEVI) defines it, for any length of time. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

REQUIRED_PERCENT = 97.0
"""On average over the twelve months before; a port that is below must be mended."""


@dataclass(frozen=True)
class Time:
    """Seconds of one port, or of several together. `excluded_s` is the part of `outage_s` that does not count."""

    measured_s: int = 0
    outage_s: int = 0
    excluded_s: int = 0
    busy_s: int = 0

    def __add__(self, other: "Time") -> "Time":
        return Time(
            self.measured_s + other.measured_s, self.outage_s + other.outage_s, self.excluded_s + other.excluded_s,
            self.busy_s + other.busy_s,
        )  # fmt: skip

    @property
    def uptime_percent(self) -> float | None:
        """(T - (T_outage - T_excluded)) / T x 100, where NEVI's T is the 525,600 minutes of a year; None of no time."""
        if not self.measured_s:
            return None
        return 100 * (self.measured_s - (self.outage_s - self.excluded_s)) / self.measured_s

    @property
    def use_percent(self) -> float | None:
        """With a vehicle in a session."""
        return 100 * self.busy_s / self.measured_s if self.measured_s else None

    @property
    def is_below(self) -> bool:
        return self.uptime_percent is not None and self.uptime_percent < REQUIRED_PERCENT


def together(times: Iterable[Time]) -> Time:
    return sum(times, Time())
