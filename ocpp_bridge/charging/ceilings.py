"""The most that each plug may draw by what its charger holds, at any moment: no Django, no clock."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ocpp_bridge.charging.profiles import Held, held_at, moments_of


@dataclass(frozen=True)
class Ceiling:
    """What one plug can draw at most: by the profile of its session, else by the default, else all it can.

    What was sent and not answered may be in force or not: the higher counts. A profile that only a running session can
    have says nothing once it has ended, so `session` is empty for a free plug.
    """

    max_w: int
    default: tuple[Held, ...] = ()
    is_default_held: bool = False
    session: tuple[Held, ...] = ()
    is_session_held: bool = False
    measured_w: int = 0

    def at(self, moment: int) -> int:
        """Watts."""
        default = self._of(self.default, self.is_default_held, moment, self.max_w)
        allowed = self._of(self.session, self.is_session_held, moment, default)
        return min(max(allowed, self.measured_w), max(self.max_w, self.measured_w))

    def _of(self, possible: Sequence[Held], is_held: bool, moment: int, otherwise: int) -> int:
        found = [otherwise if (watts := held_at(held, moment)) is None else watts for held in possible]
        if not is_held:
            found.append(otherwise)
        return max(found)

    def moments(self) -> set[int]:
        return {moment for held in (*self.default, *self.session) for moment in moments_of(held)}


@dataclass
class Books:
    """All ceilings of a site against its limit over time."""

    limits: Sequence[tuple[int, int]]
    now: int
    until: int
    ceilings: dict[int, Ceiling] = field(default_factory=dict)
    groups: Mapping[int, int] = field(default_factory=dict)
    caps: Mapping[int, int] = field(default_factory=dict)

    def limit_at(self, moment: int) -> int:
        return next((watts for since, watts in reversed(self.limits) if since <= moment), self.limits[0][1])

    def moments(self, *more: Iterable[int]) -> list[int]:
        """Where the sum can change, from now to the horizon."""
        edges = {since for since, _ in self.limits}.union(*(row.moments() for row in self.ceilings.values()), *more)
        return sorted({self.now} | {moment for moment in edges if self.now < moment < self.until})

    def total_at(self, moment: int) -> int:
        """Watts that all plugs together may draw; `caps` are limits that a charger keeps by itself."""
        sums: dict[int, int] = {}
        for key, ceiling in self.ceilings.items():
            group = self.groups.get(key, -key)
            sums[group] = sums.get(group, 0) + ceiling.at(moment)
        return sum(min(watts, self.caps.get(group, watts)) for group, watts in sums.items())

    def excess(self) -> int:
        """Watts by which the limit could be passed; 0: never."""
        return max(0, *(self.total_at(moment) - self.limit_at(moment) for moment in self.moments()))

    def excess_with(self, key: int, changed: Ceiling) -> int:
        """The same, if this plug had that ceiling."""
        before = self.ceilings[key]
        self.ceilings[key] = changed
        try:
            return self.excess()
        finally:
            self.ceilings[key] = before
