"""The virtual clock: vans drive, run low, choose, queue, charge or strand; strangers come and go."""

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dispatch.core import choose, curves, energy, waits, windows
from dispatch.engines.base import Matrix
from dispatch.engines.crow import CrowEngine
from dispatch.simulation.bays import Bay, Promise
from dispatch.simulation.city import DAY_SECONDS, City, Plug, Point, Stranger, Tally, Van
from dispatch.simulation.ways import Sight, Way

EMPTY_PERCENT = 0.0
STREET = (0.9, 1.1)
"""What a leg takes, as a multiple of the vehicle's Wh per km: drawn per leg, the same for every way of choosing."""
ENGINE = CrowEngine()
Stay = tuple[float, float, float]
"""When a vehicle arrives, plugs in and is done, in seconds from now."""


@dataclass(frozen=True)
class Spot:
    """Where and how full a vehicle is, or will be after so many seconds, and where it goes from there."""

    place: Point
    soc_percent: float
    seconds: float
    next: Point


@dataclass
class Trip:
    """A van on the way through its day. `booked`: the plug it goes to when so many stops are `left`."""

    van: Van
    day: int
    place: Point
    soc_percent: float
    left: list[Point]
    bay: "Bay[Trip] | None" = None
    due_at: float = 0.0
    had_plan: bool = False
    booked: "tuple[Bay[Trip], int] | None" = None

    @property
    def spot(self) -> Spot:
        return Spot(self.place, self.soc_percent, 0.0, self.left[0])


class World:
    """One city under one way of choosing. `run()` once."""

    def __init__(self, city: City, way: Way, *, seed: int) -> None:
        self.city, self.way, self.seed, self.tally = city, way, seed, Tally()
        self.bays: dict[int, Bay[Trip]] = {plug.connector_id: Bay(plug) for plug in city.plugs}
        self.places = np.array([plug.place for plug in city.plugs])
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = itertools.count()

    def run(self) -> Tally:
        for stranger in self.city.strangers:
            self._at(stranger.comes_at, self._stranger(stranger))
        for van in self.city.vans:
            for day in range(len(van.rounds)):
                self._at(day * DAY_SECONDS + self.city.leaves_home_at, self._morning(van, day))
        while self._heap:
            now, _, event = heapq.heappop(self._heap)
            event(now)
        return self.tally

    def _at(self, moment: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._heap, (moment, next(self._number), event))

    # --- strangers --------------------------------------------------------------------------------------------------

    def _stranger(self, stranger: Stranger) -> Callable[[float], None]:
        def comes(now: float) -> None:
            bay = self.bays[stranger.connector_id]
            if not bay.is_free(now) or (bay.plug.is_reservable and bay.is_kept(now)):
                return
            bay.since, bay.until, bay.is_ours = now, now + stranger.stays_seconds, False
            self._at(bay.until, lambda then: self._next_in_queue(bay, then))

        return comes

    # --- driving ----------------------------------------------------------------------------------------------------

    def _morning(self, van: Van, day: int) -> Callable[[float], None]:
        return lambda now: self._set_out(Trip(van, day, van.home, van.mornings[day], [*van.rounds[day], van.home]), now)

    def _set_out(self, trip: Trip, now: float) -> None:
        """With a look at the whole way ahead."""
        self._book_ahead(trip, now)
        self._drive_on(trip, now)

    def _drive_on(self, trip: Trip, now: float) -> None:
        """To the plug when it is time, to the next stop, or until the charge falls to the limit on the way."""
        if not trip.left:
            self.tally.left_wh += trip.soc_percent / 100 * trip.van.facts.battery_wh
            return
        if trip.booked and trip.booked[1] == len(trip.left):
            self._keep_booking(trip, trip.booked[0], now)
            return
        metres, seconds = self._way(trip.place, trip.left[0])
        drop = self._drop(trip, metres)
        low = self.city.low_percent
        if trip.soc_percent - drop < low and not trip.had_plan:
            share = max(0.0, (trip.soc_percent - low) / drop)
            self._move(trip, trip.left[0], share, drop)
            self._at(now + share * seconds, lambda then: self._decide(trip, then))
        elif trip.soc_percent < drop:
            share = trip.soc_percent / drop
            self._at(now + share * seconds, lambda then: self._strand(trip, then))
        else:
            self._move(trip, trip.left.pop(0), 1.0, drop)
            self._at(now + seconds + self.city.stop_seconds, lambda then: self._served(trip, then))

    def _served(self, trip: Trip, now: float) -> None:
        trip.had_plan = False
        self._drive_on(trip, now)

    def _strand(self, trip: Trip, now: float) -> None:
        """Towed; out for the day."""
        trip.soc_percent = EMPTY_PERCENT
        has_plan = trip.bay is not None or trip.booked is not None
        self.tally.stranded.append((trip.van.vehicle_id, now, has_plan))
        self._let_go(trip)

    def _way(self, start: Point, end: Point) -> tuple[float, float]:
        matrix = ENGINE.matrix(np.array([start]), np.array([end]))
        return float(matrix.metres[0, 0]), float(matrix.seconds[0, 0])

    def _drop(self, trip: Trip, metres: float) -> float:
        """Percent that a leg takes; every leg of a day has a traffic of its own."""
        rng = random.Random(f"{self.seed}:{trip.van.vehicle_id}:{trip.day}:{len(trip.left)}")  # noqa: S311
        facts = trip.van.facts
        return metres / 1000 * facts.wh_per_km * rng.uniform(*STREET) / facts.battery_wh * 100

    def _move(self, trip: Trip, to: Point, share: float, drop: float) -> None:
        lat, lon = trip.place
        trip.place = (lat + (to[0] - lat) * share, lon + (to[1] - lon) * share)
        trip.soc_percent -= drop * share

    # --- hours ahead ------------------------------------------------------------------------------------------------

    def _book_ahead(self, trip: Trip, now: float) -> None:
        """A place for the time when the charge will be low, where that is some stops away."""
        spot, left = self._low_ahead(trip)
        if not self.way.promises or spot is None or spot.seconds <= windows.AT_ONCE_SECONDS:
            return
        bay = self._choice(trip, spot, now)
        if bay is not None:
            trip.booked = bay, left
            self.tally.booked_ahead_seconds.append(spot.seconds)
            self._promise(trip, bay, spot, now)

    def _low_ahead(self, trip: Trip) -> tuple[Spot | None, int]:
        """Of a day that cannot be driven to its end with the reserve: the last stop that is left before the charge is
        low, as far as can be foreseen, and how many stops are left there."""
        place, soc_percent, seconds, last = trip.place, trip.soc_percent, 0.0, None
        for number, stop in enumerate(trip.left):
            metres, took = self._way(place, stop)
            arrival = energy.arrival_percent(
                soc_percent=soc_percent, battery_wh=trip.van.facts.battery_wh, distance_m=metres,
                wh_per_km=trip.van.facts.wh_per_km,
            )  # fmt: skip
            if arrival < self.city.low_percent and last is None:
                last = Spot(place, soc_percent, seconds, stop), len(trip.left) - number
            if arrival < self.city.rules.reserve_percent and last is not None:
                return last
            place, soc_percent, seconds = stop, arrival, seconds + took + self.city.stop_seconds
        return None, 0

    def _promise(self, trip: Trip, bay: Bay[Trip], spot: Spot, now: float) -> None:
        """Keep the place for this time, as core.windows has it."""
        stay = self._stay(trip, bay, spot, self._way(spot.place, bay.plug.place), now)
        plug_in, done = stay[1:]
        gap = _gap_for(bay.gaps(now, besides=trip.van.vehicle_id), stay) or windows.EVER
        begins, ends = windows.kept(plug_in=plug_in, done=done, gap=gap)
        expires = now + min(plug_in + windows.lateness(plug_in), ends)
        bay.give_up(trip.van.vehicle_id)
        promise = Promise(trip.van.vehicle_id, now + begins, now + ends, expires)
        self.tally.shared_places += bool(bay.promises)
        self.tally.overlapping_places += any(promise.overlaps(other) for other in bay.promises)
        bay.promises.append(promise)
        self._at(promise.expires, lambda then: self._expire(trip, bay, promise))

    def _expire(self, trip: Trip, bay: Bay[Trip], promise: Promise) -> None:
        """Nobody came, nor is on its last way there: the place is anybody's."""
        if promise not in bay.promises or trip.bay is bay:
            return
        bay.promises.remove(promise)
        self.tally.no_shows += 1
        if trip.booked and trip.booked[0] is bay:
            trip.booked = None

    def _keep_booking(self, trip: Trip, bay: Bay[Trip], now: float) -> None:
        """It is time: to the plug, unless somebody will still be there then, by what can be known now."""
        trip.booked = None
        trip.had_plan, trip.due_at = True, now + self._way(trip.place, trip.left[0])[1]
        arrives = self._way(trip.place, bay.plug.place)[1]
        waits_for = waits.wait_seconds(bay.state(now), arrives_in_seconds=arrives)
        if not bay.queue and waits_for <= waits.CHANGEOVER_SECONDS:
            self._drive_to(trip, bay, now)
            return
        self.tally.sent_elsewhere += 1
        bay.give_up(trip.van.vehicle_id)
        self._go(trip, self._choice(trip, trip.spot, now), now)

    # --- choosing ---------------------------------------------------------------------------------------------------

    def _decide(self, trip: Trip, now: float) -> None:
        """Choose a plug and drive there; with nothing to choose, on to the next stop while the charge lasts."""
        if trip.booked:  # low before it was foreseen
            trip.booked[0].give_up(trip.van.vehicle_id)
        trip.booked = None
        trip.had_plan, trip.due_at = True, now + self._way(trip.place, trip.left[0])[1]
        self._go(trip, self._choice(trip, trip.spot, now), now)

    def _choice(self, trip: Trip, spot: Spot, now: float) -> Bay[Trip] | None:
        self.tally.decisions += 1
        picked = self.way.choose(self._sight(trip, spot, now))
        return None if picked is None else self.bays[picked]

    def _go(self, trip: Trip, bay: Bay[Trip] | None, now: float) -> None:
        if bay is None:
            self.tally.infeasible += 1
            self._drive_on(trip, now)
        else:
            self._drive_to(trip, bay, now)

    def _sight(self, trip: Trip, spot: Spot, now: float) -> Sight:
        facts, to = trip.van.at(spot.soc_percent), np.array([spot.next])
        there, onward = ENGINE.matrix(np.array([spot.place]), self.places), ENGINE.matrix(self.places, to)
        candidates = [
            self._candidate(plug, facts, (there, onward), number, now, spot.seconds)
            for number, plug in enumerate(self.city.plugs)
            if plug.is_dc in trip.van.plugs and facts.is_fast(is_dc=plug.is_dc, plug_power_w=plug.power_w)
        ]
        taken = frozenset(one.connector_id for one in candidates if self._is_taken(trip, one, spot, now))
        metres, seconds = self._way(spot.place, spot.next)
        rules = replace(self.city.rules, direct_m=metres, direct_seconds=seconds)
        return Sight(facts, rules, candidates, taken)

    def _is_taken(self, trip: Trip, one: choose.Candidate, spot: Spot, now: float) -> bool:
        """Our others have it at some of the time that this charge would take."""
        bay = self.bays[one.connector_id]
        if not bay.promises and not bay.holds_ours(now):
            return False
        stay = self._stay(trip, bay, spot, (one.drive_m, one.drive_seconds), now)
        return _gap_for(bay.gaps(now, besides=trip.van.vehicle_id), stay) is None

    def _stay(self, trip: Trip, bay: Bay[Trip], spot: Spot, way: tuple[float, float], now: float) -> Stay:
        """As far as can be foreseen."""
        arrives, facts = spot.seconds + way[1], trip.van.facts
        soc_percent = energy.arrival_percent(
            soc_percent=spot.soc_percent, battery_wh=facts.battery_wh, distance_m=way[0], wh_per_km=facts.wh_per_km
        )
        plug_in = arrives + waits.wait_seconds(bay.state(now), arrives_in_seconds=arrives)
        return arrives, plug_in, plug_in + self._seconds_at(facts, bay.plug, max(0.0, soc_percent))

    def _seconds_at(self, facts: choose.VehicleFacts, plug: Plug, soc_percent: float) -> float:
        """Of a charge to the fleet's target."""
        target = max(self.city.rules.target_percent, soc_percent)
        return choose.charge_seconds(
            facts, is_dc=plug.is_dc, plug_power_w=plug.power_w, from_percent=soc_percent, to_percent=target
        )

    def _candidate(
        self, plug: Plug, facts: choose.VehicleFacts, ways: tuple[Matrix, Matrix], number: int, now: float,
        ahead_seconds: float,
    ) -> choose.Candidate:  # fmt: skip
        bay, (there, onward) = self.bays[plug.connector_id], ways
        seconds = float(there.seconds[0, number])
        kwh = (self.city.rules.target_percent - facts.soc_percent) / 100 * facts.battery_wh / 1000
        return choose.Candidate(
            connector_id=plug.connector_id, location_id=plug.location_id, station=plug.station, is_dc=plug.is_dc,
            plug_power_w=plug.power_w, drive_m=float(there.metres[0, number]), drive_seconds=seconds,
            onward_m=float(onward.metres[number, 0]), onward_seconds=float(onward.seconds[number, 0]),
            freshness="live", is_free=bay.is_free(now), is_reservable=plug.is_reservable,
            wait_seconds=waits.wait_seconds(bay.state(now), arrives_in_seconds=ahead_seconds + seconds),
            price_paise=round(kwh / curves.CHARGING_EFFICIENCY * plug.paise_per_kwh),
        )  # fmt: skip

    def _drive_to(self, trip: Trip, bay: Bay[Trip], now: float) -> None:
        metres, seconds = self._way(trip.place, bay.plug.place)
        drop = self._drop(trip, metres)
        trip.bay = bay
        if self.way.promises and not any(one.vehicle_id == trip.van.vehicle_id for one in bay.promises):
            self._promise(trip, bay, trip.spot, now)
        if trip.soc_percent < drop:
            self._at(now + seconds * trip.soc_percent / drop, lambda then: self._strand(trip, then))
            return
        self._move(trip, bay.plug.place, 1.0, drop)
        self._at(now + seconds, lambda then: self._arrive(trip, bay, then))

    # --- charging ---------------------------------------------------------------------------------------------------

    def _arrive(self, trip: Trip, bay: Bay[Trip], now: float) -> None:
        """Plug in; at a plug that is taken: choose again from there once, else queue."""
        self.tally.own_meetings += bay.holds_ours(now)
        if bay.is_free(now):
            self._plug_in(trip, bay, now)
        elif any(self._could_go(trip, other, now) for other in self.bays.values()):
            self.tally.turned_away += 1
            self._go_elsewhere(trip, bay, now)
        else:
            bay.queue.append(trip)

    def _could_go(self, trip: Trip, bay: Bay[Trip], now: float) -> bool:
        return bay.is_free(now) and not bay.is_kept(now) and bay.plug.is_dc in trip.van.plugs

    def _go_elsewhere(self, trip: Trip, bay: Bay[Trip], now: float) -> None:
        """Unless waiting here is best; the delay goes on from the first decision."""
        self._let_go(trip)
        other = self._choice(trip, trip.spot, now)
        if other is not None and other is not bay:
            self._drive_to(trip, other, now)
        else:
            trip.bay = bay
            bay.queue.append(trip)

    def _let_go(self, trip: Trip) -> None:
        if trip.bay is not None:
            trip.bay.give_up(trip.van.vehicle_id)
        trip.bay = None

    def _next_in_queue(self, bay: Bay[Trip], now: float) -> None:
        if bay.queue and now >= bay.until:
            self._plug_in(bay.queue.pop(0), bay, now)

    def _plug_in(self, trip: Trip, bay: Bay[Trip], now: float) -> None:
        facts, target = trip.van.facts, self.city.rules.target_percent
        seconds = self._seconds_at(facts, bay.plug, trip.soc_percent)
        bay.give_up(trip.van.vehicle_id)
        wh = curves.metered_wh(battery_wh=facts.battery_wh, from_percent=trip.soc_percent, to_percent=target)
        bay.since, bay.until, bay.is_ours = now, now + seconds, True
        self.tally.charges += 1
        self.tally.energy_wh += wh
        self.tally.price_paise += wh / 1000 * bay.plug.paise_per_kwh
        self.tally.stays.append((bay.plug.connector_id, now, bay.until, trip.van.vehicle_id))
        trip.soc_percent = max(trip.soc_percent, target)
        self._at(bay.until, lambda then: self._leave(trip, bay, then))

    def _leave(self, trip: Trip, bay: Bay[Trip], now: float) -> None:
        self._let_go(trip)
        self._next_in_queue(bay, now)
        if trip.left:
            arrives = now + self._way(trip.place, trip.left[0])[1]
            self.tally.delay_seconds += max(0.0, arrives - trip.due_at)
        trip.had_plan = False
        self._set_out(trip, now)


def _gap_for(gaps: Sequence[windows.Window], stay: Stay) -> windows.Window | None:
    """The one that holds the whole stay."""
    return next((gap for gap in gaps if gap[0] <= stay[0] and stay[2] <= gap[1]), None)


def simulate(city: City, way: Way, *, seed: int = 1) -> Tally:
    return World(city, way, seed=seed).run()
