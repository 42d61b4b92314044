"""Two ways to choose a plug: by our core with promises, and as a driver without help would."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dispatch.core import choose, nearest


@dataclass(frozen=True)
class Sight:
    """What can be known at the moment of a decision. `taken`: connectors that our others have, by promise or session,
    at some of the time that this charge would take."""

    vehicle: choose.VehicleFacts
    rules: choose.Rules
    candidates: Sequence[choose.Candidate]
    taken: frozenset[int]


class Way(Protocol):
    """`promises`: our others see what was chosen, which is kept for its time; a charge hours ahead is chosen then."""

    promises: bool

    def choose(self, sight: Sight) -> int | None:
        """A connector, or None: nowhere to go."""
        ...


class ByCost:
    """FleetCharge: the cheapest plug within reach that nobody of ours has then."""

    promises = True

    def choose(self, sight: Sight) -> int | None:
        free = [one for one in sight.candidates if one.connector_id not in sight.taken]
        best = choose.choose(sight.vehicle, sight.rules, free).best
        return best.connector_id if best else None


class NearestFree:
    """A driver with a map of chargers: the nearest one that shows free; none free: the nearest, and queue."""

    promises = False

    def choose(self, sight: Sight) -> int | None:
        pick = nearest.nearest_free(sight.candidates)
        pick = pick or min(sight.candidates, key=lambda one: (one.drive_m, one.connector_id), default=None)
        return pick.connector_id if pick else None
