"""The virtual clock: vans drive, run low, choose, queue, charge or strand; strangers come and go."""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from dispatch.core import choose, curves, waits
from dispatch.engines.base import Matrix
from dispatch.engines.crow import CrowEngine
from dispatch.simulation.city import DAY_SECONDS, City, Plug, Point, Stranger, Tally, Van
from dispatch.simulation.ways import Sight, Way

EMPTY_PERCENT = 0.0
STREET = (0.9, 1.1)
"""What a leg takes, as a multiple of the vehicle's Wh per km: drawn per leg, the same for every way of choosing."""
ENGINE = CrowEngine()


@dataclass
class Bay:
    """One plug: who is there until when, to whom it is promised, who queues."""

    plug: Plug
    since: float = 0.0
    until: float = 0.0
    is_ours: bool = False
    promised_to: int | None = None
    queue: list["Trip"] = field(default_factory=list)

    def is_free(self, now: float) -> bool:
        return now >= self.until and not self.queue

    def state(self, now: float) -> waits.PlugState:
        return waits.PlugState(self.is_free(now), None if self.is_free(now) else now - self.since)


@dataclass
class Trip:
    """A van on the way through its day. `lost_seconds`: what charging has cost so far."""

    van: Van
    day: int
    place: Point
    soc_percent: float
    left: list[Point]
    bay: Bay | None = None
    due_at: float = 0.0
    had_plan: bool = False


class World:
    """One city under one way of choosing. `run()` once."""

    def __init__(self, city: City, way: Way, *, seed: int) -> None:
        self.city, self.way, self.seed, self.tally = city, way, seed, Tally()
        self.bays = {plug.connector_id: Bay(plug) for plug in city.plugs}
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
            if not bay.is_free(now) or (bay.promised_to is not None and bay.plug.is_reservable):
                return
            bay.since, bay.until, bay.is_ours = now, now + stranger.stays_seconds, False
            self._at(bay.until, lambda then: self._next_in_queue(bay, then))

        return comes

    # --- driving ----------------------------------------------------------------------------------------------------

    def _morning(self, van: Van, day: int) -> Callable[[float], None]:
        return lambda now: self._drive_on(
            Trip(van, day, van.home, van.mornings[day], [*van.rounds[day], van.home]), now
        )

    def _drive_on(self, trip: Trip, now: float) -> None:
        """To the next stop, or until the charge falls to the limit on the way."""
        if not trip.left:
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
        self.tally.stranded.append((trip.van.vehicle_id, now, trip.bay is not None))
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

    # --- choosing ---------------------------------------------------------------------------------------------------

    def _decide(self, trip: Trip, now: float) -> None:
        """Choose a plug and drive there; with nothing to choose, on to the next stop while the charge lasts."""
        trip.had_plan, trip.due_at = True, now + self._way(trip.place, trip.left[0])[1]
        self._go(trip, self._choice(trip, now), now)

    def _choice(self, trip: Trip, now: float) -> Bay | None:
        self.tally.decisions += 1
        picked = self.way.choose(self._sight(trip, now))
        self.tally.infeasible += picked is None
        return None if picked is None else self.bays[picked]

    def _go(self, trip: Trip, bay: Bay | None, now: float) -> None:
        if bay is None:
            self._drive_on(trip, now)
        else:
            self._drive_to(trip, bay, now)

    def _sight(self, trip: Trip, now: float) -> Sight:
        facts, to = trip.van.at(trip.soc_percent), np.array([trip.left[0]])
        taken = {key for key, bay in self.bays.items() if bay.promised_to is not None or self._is_ours(bay, now)}
        there, onward = ENGINE.matrix(np.array([trip.place]), self.places), ENGINE.matrix(self.places, to)
        candidates = [
            self._candidate(plug, facts, (there, onward), number, now)
            for number, plug in enumerate(self.city.plugs)
            if plug.is_dc in trip.van.plugs and facts.is_fast(is_dc=plug.is_dc, plug_power_w=plug.power_w)
        ]
        metres, seconds = self._way(trip.place, trip.left[0])
        rules = replace(self.city.rules, direct_m=metres, direct_seconds=seconds)
        return Sight(facts, rules, candidates, frozenset(taken))

    def _is_ours(self, bay: Bay, now: float) -> bool:
        return bay.is_ours and now < bay.until

    def _candidate(
        self, plug: Plug, facts: choose.VehicleFacts, ways: tuple[Matrix, Matrix], number: int, now: float
    ) -> choose.Candidate:
        bay, (there, onward) = self.bays[plug.connector_id], ways
        seconds = float(there.seconds[0, number])
        kwh = (self.city.rules.target_percent - facts.soc_percent) / 100 * facts.battery_wh / 1000
        return choose.Candidate(
            connector_id=plug.connector_id, location_id=plug.location_id, station=plug.station, is_dc=plug.is_dc,
            plug_power_w=plug.power_w, drive_m=float(there.metres[0, number]), drive_seconds=seconds,
            onward_m=float(onward.metres[number, 0]), onward_seconds=float(onward.seconds[number, 0]),
            freshness="live", is_free=bay.is_free(now), is_reservable=plug.is_reservable,
            wait_seconds=waits.wait_seconds(bay.state(now), arrives_in_seconds=seconds),
            price_paise=round(kwh / curves.CHARGING_EFFICIENCY * plug.paise_per_kwh),
        )  # fmt: skip

    def _drive_to(self, trip: Trip, bay: Bay, now: float) -> None:
        metres, seconds = self._way(trip.place, bay.plug.place)
        drop = self._drop(trip, metres)
        trip.bay = bay
        if self.way.promises:
            bay.promised_to = trip.van.vehicle_id
        if trip.soc_percent < drop:
            self._at(now + seconds * trip.soc_percent / drop, lambda then: self._strand(trip, then))
            return
        self._move(trip, bay.plug.place, 1.0, drop)
        self._at(now + seconds, lambda then: self._arrive(trip, bay, then))

    # --- charging ---------------------------------------------------------------------------------------------------

    def _arrive(self, trip: Trip, bay: Bay, now: float) -> None:
        """Plug in; at a plug that is taken: choose again from there once, else queue."""
        self.tally.own_meetings += self._is_ours(bay, now)
        if bay.is_free(now):
            self._plug_in(trip, bay, now)
        elif any(self._could_go(trip, other, now) for other in self.bays.values()):
            self.tally.turned_away += 1
            self._go_elsewhere(trip, bay, now)
        else:
            bay.queue.append(trip)

    def _could_go(self, trip: Trip, bay: Bay, now: float) -> bool:
        return bay.is_free(now) and bay.promised_to is None and bay.plug.is_dc in trip.van.plugs

    def _go_elsewhere(self, trip: Trip, bay: Bay, now: float) -> None:
        """Unless waiting here is best; the delay goes on from the first decision."""
        self._let_go(trip)
        other = self._choice(trip, now)
        if other is not None and other is not bay:
            self._drive_to(trip, other, now)
        else:
            trip.bay = bay
            bay.queue.append(trip)

    def _let_go(self, trip: Trip) -> None:
        if trip.bay is not None and trip.bay.promised_to == trip.van.vehicle_id:
            trip.bay.promised_to = None
        trip.bay = None

    def _next_in_queue(self, bay: Bay, now: float) -> None:
        if bay.queue and now >= bay.until:
            self._plug_in(bay.queue.pop(0), bay, now)

    def _plug_in(self, trip: Trip, bay: Bay, now: float) -> None:
        facts, target = trip.van.facts, self.city.rules.target_percent
        seconds = choose.charge_seconds(
            facts, is_dc=bay.plug.is_dc, plug_power_w=bay.plug.power_w, from_percent=trip.soc_percent, to_percent=target
        )
        wh = curves.metered_wh(battery_wh=facts.battery_wh, from_percent=trip.soc_percent, to_percent=target)
        bay.since, bay.until, bay.is_ours, bay.promised_to = now, now + seconds, True, None
        self.tally.charges += 1
        self.tally.energy_wh += wh
        self.tally.price_paise += wh / 1000 * bay.plug.paise_per_kwh
        self.tally.stays.append((bay.plug.connector_id, now, bay.until, trip.van.vehicle_id))
        trip.soc_percent = max(trip.soc_percent, target)
        self._at(bay.until, lambda then: self._leave(trip, bay, then))

    def _leave(self, trip: Trip, bay: Bay, now: float) -> None:
        self._let_go(trip)
        self._next_in_queue(bay, now)
        if trip.left:
            arrives = now + self._way(trip.place, trip.left[0])[1]
            self.tally.delay_seconds += max(0.0, arrives - trip.due_at)
        trip.had_plan = False
        self._drive_on(trip, now)


def simulate(city: City, way: Way, *, seed: int = 1) -> Tally:
    return World(city, way, seed=seed).run()
