"""Plugs of the simulated city: who stands there until when, who queues, and to whom each is promised from when on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from dispatch.core import waits, windows
from dispatch.simulation.city import Plug

Guest = TypeVar("Guest")
KEPT_FREE_SECONDS = 1800.0
"""A charger that reserves keeps strangers off from half an hour before a promise begins."""


@dataclass(frozen=True)
class Promise:
    """Kept for a vehicle from one second to another; `expires`: who has not come by then has lost it."""

    vehicle_id: int
    begins: float
    ends: float
    expires: float

    def overlaps(self, other: "Promise") -> bool:
        return self.begins < other.ends and other.begins < self.ends


@dataclass
class Bay(Generic[Guest]):
    """One plug. `promises` are of different times, so of several vehicles at once."""

    plug: Plug
    since: float = 0.0
    until: float = 0.0
    is_ours: bool = False
    promises: list[Promise] = field(default_factory=list)
    queue: list[Guest] = field(default_factory=list)

    def is_free(self, now: float) -> bool:
        return now >= self.until and not self.queue

    def state(self, now: float) -> waits.PlugState:
        """A session of ours tells its charge, so its end is known."""
        left = self.until - now if self.holds_ours(now) else None
        return waits.PlugState(self.is_free(now), None if self.is_free(now) else now - self.since, left)

    def holds_ours(self, now: float) -> bool:
        return self.is_ours and now < self.until

    def is_kept(self, now: float) -> bool:
        """From strangers, now."""
        return any(one.begins - KEPT_FREE_SECONDS <= now < one.ends for one in self.promises)

    def gaps(self, now: float, *, besides: int) -> Sequence[windows.Window]:
        """Between our own sessions and promises to others, in seconds from now."""
        others = [(one.begins - now, one.ends - now) for one in self.promises if one.vehicle_id != besides]
        standing = [(0.0, self.until - now)] if self.holds_ours(now) else []
        return windows.free([*standing, *(span for span in others if span[1] > 0)])

    def give_up(self, vehicle_id: int) -> bool:
        """False when it was promised nothing here."""
        left = [one for one in self.promises if one.vehicle_id != vehicle_id]
        had_one, self.promises = len(left) < len(self.promises), left
        return had_one
