"""What a fixed route's charging is planned from, and the plan: plain values that are stored and replayed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from dispatch.core.curves import CHARGING_EFFICIENCY, ChargeCurve

VERSION = "routes-2"
"""Goes into every stored problem; changes whenever the same problem would give another plan."""

Matrix = Sequence[Sequence[float | None]]


@dataclass(frozen=True)
class Stop:
    """One stop in its order. Instants are seconds after the departure from the first stop; None: any time."""

    service_seconds: float = 0.0
    earliest_seconds: float | None = None
    """Work does not begin before; the vehicle waits."""
    latest_seconds: float | None = None
    """The vehicle must have arrived by then."""


@dataclass(frozen=True)
class Charger:
    """A plug as this vehicle would use it."""

    connector_id: int
    curve: ChargeCurve
    wait_seconds: float = 0.0
    """Between arriving and charging, whenever one comes: queue, plugging in, payment."""
    ready_seconds: float = 0.0
    """Charging does not begin before: a session there, a promise to another vehicle."""
    hours: Sequence[tuple[float, float]] = ()
    """When it is open, in order and apart; none: always. Over a closed time the vehicle waits at the gate."""
    paise_per_kwh: float = 0.0
    """Per metered kWh."""
    price_bands: Sequence[tuple[float, float]] = ()
    """Prices by the clock: (from second, paise per kWh), in order; before the first one `paise_per_kwh` holds."""
    fee_paise: float = 0.0
    """Per visit: session fee and what the risk of finding it unusable is worth."""


@dataclass(frozen=True)
class Problem:
    """Places in the matrices are the stops in order, then the chargers; None: there is no way.

    `paise_per_minute` None asks for the shortest duration, else for the least rupees: minutes, energy and fees.
    """

    stops: Sequence[Stop]
    chargers: Sequence[Charger]
    seconds: Matrix
    wh: Matrix
    battery_wh: float
    start_wh: float
    reserve_wh: float = 0.0
    """Left on every arrival."""
    reserve_share_of_leg: float = 0.0
    """Left on arrival as a share of what the leg took, if that is more."""
    final_wh: float = 0.0
    """Left at the last stop, if that is more than the reserve."""
    paise_per_minute: float | None = None
    battery_per_metered: float = CHARGING_EFFICIENCY
    core_version: str = VERSION

    def __post_init__(self) -> None:
        places = len(self.stops) + len(self.chargers)
        if len(self.stops) < 2:
            raise ValueError("a route has a beginning and an end")
        for name in ("seconds", "wh"):
            rows = getattr(self, name)
            if len(rows) != places or any(len(row) != places for row in rows):
                raise ValueError(f"{name}: one row and one column for each of {places} places")
        if not (isfinite(self.start_wh) and 0 < self.battery_wh < float("inf") and self.start_wh <= self.battery_wh):
            raise ValueError("the charge at the start lies between nothing and the battery")
        if self.paise_per_minute is not None and not self.paise_per_minute > 0:
            raise ValueError("a minute costs something, or the shortest duration is asked for")

    @property
    def is_clocked(self) -> bool:
        """Whether anything depends on when the vehicle comes."""
        return any(stop.earliest_seconds is not None or stop.latest_seconds is not None for stop in self.stops) or any(
            one.ready_seconds > 0 or one.hours or one.price_bands for one in self.chargers
        )

    def least_wh(self, start: int, end: int) -> float:
        """What must be left after driving from place to place."""
        final = self.final_wh if end == len(self.stops) - 1 else 0.0
        return max(self.reserve_wh, final, self.reserve_share_of_leg * (self.wh[start][end] or 0.0))


@dataclass(frozen=True)
class Visit:
    """One charge, on the way to stop `before_stop`. `charger` counts in the problem's order."""

    before_stop: int
    charger: int
    connector_id: int
    arrives_seconds: float
    starts_seconds: float
    leaves_seconds: float
    arrival_wh: float
    departure_wh: float
    price_paise: float
    fee_paise: float


@dataclass(frozen=True)
class Arrival:
    """A stop reached: when, with what charge, and when it is left."""

    stop: int
    arrives_seconds: float
    leaves_seconds: float
    arrival_wh: float


@dataclass(frozen=True)
class Plan:
    """The best way to charge along the route. `bound` is what no plan can beat, in the unit of `objective`."""

    visits: tuple[Visit, ...]
    arrivals: tuple[Arrival, ...]
    duration_seconds: float
    driving_seconds: float
    charging_seconds: float
    waiting_seconds: float
    price_paise: float
    fee_paise: float
    time_paise: float
    objective: float
    """Seconds, or paise where a minute has a price."""
    bound: float
    core_version: str = VERSION

    @property
    def gap(self) -> float:
        """How far, as a share, the plan could be from the best one; 0: it is proven to be the best."""
        return max(0.0, self.objective - self.bound) / self.objective if self.objective > 0 else 0.0


@dataclass(frozen=True)
class WayOut:
    """What would make an infeasible route possible.

    `kind`: use_reserve, skip_stop, drive_economically, arrive_late or charge_first.
    """

    kind: str
    value: float
    """Reserve left in Wh; the stop's number; the share of energy to save; seconds late; Wh to add before leaving."""
    plan: Plan | None = None


@dataclass(frozen=True)
class Infeasible:
    """Why the route cannot be driven, and what helps.

    `reason`: start_too_low (nothing but more charge now helps), leg_too_long (not even from a full battery), too_late
    (opening hours or time windows), unreachable (there is no way between two stops).
    """

    reason: str
    deficit_wh: float | None
    """Missing at the start; None when even a full battery would not do, or charge is not what is missing."""
    blocked_stop: int | None
    """The stop that cannot be reached: by energy, by the road, or in time."""
    farthest_stop: int
    """The last stop that can be reached with the reserve left."""
    farthest_charger: int | None
    """The reachable charger farthest along the route, by its connector id."""
    farthest_charger_wh: float | None
    """Most that can be left on arrival there."""
    nearest_charger: int | None
    """When none is in reach: the one with the least missing, by its connector id."""
    nearest_missing_wh: float | None
    ways_out: tuple[WayOut, ...] = ()
    core_version: str = VERSION


@dataclass(frozen=True)
class Backup:
    """Plan B of one visit: its charger turns out to be unusable."""

    visit: int
    on_arrival: Plan | Infeasible
    """The best way on from that charger, without it."""
    decide_before_stop: int | None
    """The last stop from which the route can still be driven without it; None: from none, so it had better work."""


Answer = Plan | Infeasible


def to_snapshot(problem: Problem) -> dict[str, Any]:
    """A problem as JSON. (`asdict` copies every number of the matrices.)"""
    return {
        **vars(problem),
        "stops": [dict(vars(stop)) for stop in problem.stops],
        "chargers": [{**vars(one), "curve": dict(vars(one.curve))} for one in problem.chargers],
    }


def from_snapshot(snapshot: Mapping[str, Any]) -> Problem:
    """A problem from its stored JSON."""
    values = dict(snapshot)
    values["stops"] = [Stop(**one) for one in values["stops"]]
    values["chargers"] = [_charger(one) for one in values["chargers"]]
    return Problem(**values)


def _charger(values: Mapping[str, Any]) -> Charger:
    curve = ChargeCurve(tuple(values["curve"]["seconds"]), tuple(values["curve"]["wh"]))
    pairs = {name: tuple((a, b) for a, b in values[name]) for name in ("hours", "price_bands")}
    return Charger(**{**values, "curve": curve, **pairs})
