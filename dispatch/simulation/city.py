"""What a simulated city consists of, and what came of its days. Seconds count from the first midnight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dispatch.core import choose, curves

Point = tuple[float, float]
DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class Plug:
    """`is_reservable`: strangers keep off while it is promised."""

    connector_id: int
    location_id: int
    station: str
    place: Point
    is_dc: bool
    power_w: float
    paise_per_kwh: int
    is_reservable: bool = True


@dataclass(frozen=True)
class Van:
    """`rounds`: the stops of each day, from home; `mornings`: the charge it begins each day with."""

    vehicle_id: int
    facts: choose.VehicleFacts
    home: Point
    rounds: Sequence[Sequence[Point]]
    mornings: Sequence[float]
    plugs: frozenset[bool] = frozenset({True})
    """Whether it can use DC (True), AC (False), or both."""

    def at(self, soc_percent: float) -> choose.VehicleFacts:
        return replace(self.facts, soc_percent=soc_percent)


@dataclass(frozen=True)
class Stranger:
    """Somebody else's vehicle that wants a plug; it drives on when the plug is taken or promised."""

    connector_id: int
    comes_at: float
    stays_seconds: float


@dataclass(frozen=True)
class City:
    plugs: Sequence[Plug]
    vans: Sequence[Van]
    strangers: Sequence[Stranger]
    rules: choose.Rules
    low_percent: float = 20.0
    leaves_home_at: float = 8 * 3600.0
    stop_seconds: float = 480.0

    @property
    def days(self) -> int:
        return max((len(van.rounds) for van in self.vans), default=0)


@dataclass
class Tally:
    """What a way of choosing cost. `stranded` are (vehicle, second, whether a plan had been there)."""

    decisions: int = 0
    charges: int = 0
    infeasible: int = 0
    turned_away: int = 0
    own_meetings: int = 0
    """A vehicle of ours came to a plug where another one of ours stood."""
    delay_seconds: float = 0.0
    energy_wh: float = 0.0
    price_paise: float = 0.0
    left_wh: float = 0.0
    """In the batteries at the ends of all days; each next day begins with a charge of its own."""
    stranded: list[tuple[int, float, bool]] = field(default_factory=list)
    stays: list[tuple[int, float, float, int]] = field(default_factory=list)
    """(connector, from, until, vehicle) of every charge of ours."""
    booked_ahead_seconds: list[float] = field(default_factory=list)
    """Of every place that was kept for later: how long before its charge."""
    shared_places: int = 0
    """Times a place was kept where another vehicle of ours had one at another time."""
    overlapping_places: int = 0
    """Times it had one at the same time."""
    sent_elsewhere: int = 0
    """Places that were kept for later and not to be had when the vehicle set out for them."""
    no_shows: int = 0

    def rupees(self, paise_per_minute: float) -> float:
        return (self.price_paise + self.delay_seconds / 60 * paise_per_minute) / 100

    @property
    def stranded_with_a_plan(self) -> int:
        return sum(had_plan for _, _, had_plan in self.stranded)

    @property
    def shared_plugs(self) -> int:
        """Pairs of our vehicles on one connector at one time, from the stays themselves."""
        by_plug: Mapping[int, list[tuple[float, float]]] = {plug: [] for plug, *_ in self.stays}
        for plug, begins, ends, _ in self.stays:
            by_plug[plug].append((begins, ends))
        return sum(_overlaps(sorted(spans)) for spans in by_plug.values())


def saved(ours: Tally, theirs: Tally, paise_per_minute: float) -> tuple[float, float]:
    """Minutes and rupees of the same rounds; who ends its days emptier buys the difference at the average of both."""
    charged_wh = ours.energy_wh + theirs.energy_wh
    missing_wh = (theirs.left_wh - ours.left_wh) / curves.CHARGING_EFFICIENCY
    share = missing_wh / charged_wh if charged_wh else 0.0

    def less(mine: float, other: float) -> float:
        return other - mine - share * (mine + other)

    seconds = less(ours.delay_seconds, theirs.delay_seconds)
    return seconds / 60, less(ours.rupees(paise_per_minute), theirs.rupees(paise_per_minute))


def _overlaps(spans: list[tuple[float, float]]) -> int:
    return sum(later[0] < earlier[1] for number, earlier in enumerate(spans) for later in spans[number + 1 :])
