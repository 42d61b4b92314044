"""The city: vehicles, own chargers and the public network, moved on step by step; no I/O, one seed, one story."""

import random
import uuid
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from fleetcharge.demo import quirks
from fleetcharge.demo import vehicle as v
from fleetcharge.demo.bays import CHARGING, ENDED, REFUSED, Bay, Visit, facts_of, nearest_free
from fleetcharge.demo.calls import Dialect
from fleetcharge.demo.charger import SimCharger
from fleetcharge.demo.curves import Pack
from fleetcharge.demo.dialect16 import Dialect16
from fleetcharge.demo.dialect21 import Dialect21
from fleetcharge.demo.dialect201 import Dialect201
from fleetcharge.demo.geography import LOCALITIES
from fleetcharge.demo.manifest import ChargerFacts, Manifest, VehicleFacts
from fleetcharge.demo.network import CITYPLUG, KAVERI, SURYA, Network, draw_network
from fleetcharge.demo.roads import RoadNetwork, bengaluru
from fleetcharge.demo.vehicle import SimStop, SimVehicle
from fleetcharge.lib.geo import distance_m

DIALECTS: dict[str, Callable[[], Dialect]] = {
    "ocpp1.6": Dialect16,
    "ocpp2.0.1": Dialect201,
    "ocpp2.1": Dialect21,
}
MAIN_FLEET = "namma-logistics"
SELF_RESCUE_BELOW_PERCENT = 7.0
TOW_AFTER_SECONDS, STOP_SECONDS = 90.0, (300.0, 900.0)
FAULT_EVERY_SECONDS, FAULT_LASTS = 170.0, (60.0, 150.0)
MISUSE_EVERY_SECONDS, MISUSE_FIRST_SECONDS, MISUSE_SECONDS = 420.0, 75.0, 100.0
FAULT_CODES = ("GroundFailure", "OverCurrentFailure", "HighTemperature", "ConnectorLockFailure")
HERO_PLACE, HERO_STOP = (12.9255, 77.6655), SimStop("Whitefield DC", 12.982, 77.757)


class City:
    """`step` is the only thing that lets time pass; `events` tells what happened, newest last."""

    def __init__(self, manifest: Manifest, now: datetime, *, seed: int, speed: float, roads: RoadNetwork | None = None):
        self.speed, self.rng = speed, random.Random(f"city:{seed}")
        self.roads = roads or bengaluru()
        self.events: deque[tuple[float, str, str]] = deque(maxlen=5000)
        self.age_seconds = 0.0
        self.chargers = {facts.identity: self._charger(facts, seed) for facts in manifest.chargers}
        self.own_bays = [bay for charger in self.chargers.values() for bay in charger.bays]
        self.network: Network = draw_network(seed, now)
        self.cityplug, self.surya = draw_network(seed, now, CITYPLUG), draw_network(seed, now, SURYA)
        self.kaveri = draw_network(seed, now, KAVERI)
        self.networks = [self.network, self.cityplug, self.surya, self.kaveri]
        self._network_of = {bay.key: network for network in self.networks for bay in network.all_bays}
        self.vehicles = {facts.registration: self._vehicle(i, facts) for i, facts in enumerate(manifest.vehicles)}
        self._charger_of = {bay.key: charger for charger in self.chargers.values() for bay in charger.bays}
        self._next_fault, self._next_misuse = FAULT_EVERY_SECONDS / 2, MISUSE_FIRST_SECONDS
        self._impostors: list[tuple[float, Bay]] = []
        self._set_the_stage(now)

    # --- building -------------------------------------------------------------------------------------------------
    def _charger(self, facts: ChargerFacts, seed: int) -> SimCharger:
        bays = [
            Bay(
                f"{facts.identity}/{plug.number}", plug.number, facts.site, facts.latitude, facts.longitude, plug.plug,
                plug.max_power_w, meter_wh=self.rng.randint(40_000, 9_000_000), public_id=plug.public_id,
            )
            for plug in facts.plugs
        ]  # fmt: skip
        dialect = DIALECTS[facts.protocol]()
        ids = random.Random()  # message ids must not repeat when the city is started again
        return SimCharger(
            facts.identity, facts.password, facts.model, dialect, bays, ids, quirks.parse(facts.quirks),
            log=partial(self._note, "charger"),
        )  # fmt: skip

    def _vehicle(self, index: int, facts: VehicleFacts) -> SimVehicle:
        """Two thirds top up by habit; the others drive until somebody tells them to charge."""
        rng = random.Random(f"{facts.registration}:{self.rng.random()}")
        waits = index == 0 or index % 4 == 1
        soc = rng.uniform(27, 95) if not waits else 21.5 + 4.5 * (index % 40) ** 0.9
        pack = Pack(facts.battery_wh, min(95.0, soc), facts.max_ac_power_w, facts.max_dc_power_w, facts.charge_curve)
        place = self.roads.nodes[rng.choice(sorted(self.roads._edges))]
        vehicle = SimVehicle(facts, pack, place, 0.0 if waits else rng.uniform(28, 45), rng)
        vehicle.odometer_m = rng.randint(3_000_000, 60_000_000)
        vehicle.pause_seconds = rng.uniform(0, 40)
        return vehicle

    def _set_the_stage(self, now: datetime) -> None:
        """The first minute is alive: one vehicle about to run low, six at chargers, one there that waits to be
        started, the rest on their way."""
        vehicles = list(self.vehicles.values())
        for vehicle in vehicles:
            self._plan_stops(vehicle)
        hero = vehicles[0]
        hero.place, hero.stops = HERO_PLACE, [HERO_STOP, *hero.stops]
        hero.set_out(v.DRIVING, HERO_STOP.place, self.roads.path)
        self._let_run_low(hero)
        regulars = [one for one in vehicles[1:] if one.habit_percent and one.facts.fleet == MAIN_FLEET]
        for vehicle in regulars[:6]:
            vehicle.pack.soc_percent = vehicle.rng.uniform(30, 60)
            bay = nearest_free(self.own_bays, vehicle.place, vehicle.facts.plugs, vehicle.facts.token_uid)
            if bay:
                vehicle.park_at(bay.place)
                self.arrive(vehicle, bay, now)
        for vehicle in regulars[6:7]:
            self._let_wait_for_a_start(vehicle, now)

    def _let_wait_for_a_start(self, vehicle: SimVehicle, now: datetime) -> None:
        """Its card is lost; at a charger that does what it is told."""
        vehicle.has_no_card, vehicle.pack.soc_percent = True, vehicle.rng.uniform(35, 50)
        obedient = [bay for charger in self.chargers.values() if not charger.quirks for bay in charger.bays]
        bay = nearest_free(obedient, vehicle.place, vehicle.facts.plugs, vehicle.facts.token_uid)
        if bay:
            vehicle.park_at(bay.place)
            self.arrive(vehicle, bay, now)

    def _let_run_low(self, vehicle: SimVehicle) -> None:
        """Below 20 % after 25 seconds of driving."""
        vehicle.street_kmh = 24.0
        metres_per_second = min(24.0 * self.speed, v.TOP_SPEED_KMH[vehicle.facts.vehicle_class]) / 3.6
        drain = metres_per_second / 1000 * vehicle.facts.consumption_wh_per_km / vehicle.facts.battery_wh * 100
        vehicle.pack.soc_percent = 20.0 + 25 * drain

    def let_the_next_run_low(self) -> None:
        """After a quick restart: whoever is nearest above 20 % gets there soon, without a jump that nobody believes."""
        near = [one for one in self.vehicles.values() if not one.habit_percent and 20 < one.pack.soc_percent < 25]
        if near:
            self._let_run_low(min(near, key=lambda vehicle: vehicle.pack.soc_percent))

    def _plan_stops(self, vehicle: SimVehicle) -> None:
        names = vehicle.rng.sample(sorted(LOCALITIES), vehicle.rng.randint(4, 7))
        vehicle.stops = [
            SimStop(
                f"{name} drop", LOCALITIES[name][0] + vehicle.rng.uniform(-0.006, 0.006),
                LOCALITIES[name][1] + vehicle.rng.uniform(-0.006, 0.006),
            )
            for name in names
        ]  # fmt: skip
        vehicle.stops_version += 1

    # --- time -----------------------------------------------------------------------------------------------------
    def step(self, seconds: float, now: datetime) -> None:
        """Let some wall-clock seconds pass."""
        self.age_seconds += seconds
        for network in self.networks:
            network.step(seconds, self.speed, now)
        for bay in self.own_bays:
            bay.deliver(seconds, self.speed)
        for vehicle in self.vehicles.values():
            self._move(vehicle, seconds, now)
        self._trouble(now)
        for charger in self.chargers.values():
            charger.tick(now)

    def _move(self, vehicle: SimVehicle, seconds: float, now: datetime) -> None:
        if vehicle.state in (v.DRIVING, v.TO_BAY, v.TOWED):
            if vehicle.drive(seconds, self.speed):
                self._arrived(vehicle, now)
            elif vehicle.state == v.DRIVING:
                self._consider_charging(vehicle)
            if vehicle.pack.soc_percent < v.STRANDED_BELOW_PERCENT and vehicle.state in (v.DRIVING, v.TO_BAY):
                self._strand(vehicle)
        elif vehicle.state == v.PLUGGED_IN:
            self._tend_visit(vehicle, seconds, now)
        else:
            vehicle.pause_seconds -= seconds
            if vehicle.pause_seconds <= 0:
                self._after_pause(vehicle, now)

    def _arrived(self, vehicle: SimVehicle, now: datetime) -> None:
        if vehicle.state == v.DRIVING:
            done = vehicle.stops.pop(0) if vehicle.stops else None
            if done:
                vehicle.park_at(done.place)
            vehicle.state = v.AT_STOP
            vehicle.pause_seconds = vehicle.rng.uniform(*STOP_SECONDS) / self.speed
            if not vehicle.stops:
                self._plan_stops(vehicle)
        elif vehicle.bay:
            vehicle.park_at(vehicle.bay.place)
            self.arrive(vehicle, vehicle.bay, now)

    def arrive(self, vehicle: SimVehicle, bay: Bay, now: datetime) -> None:
        """Plug in when the bay is ours to take, else look for another one or wait."""
        if not bay.is_free_for(vehicle.facts.token_uid):
            return self._wait(vehicle)
        visit = Visit(
            str(uuid.uuid4()), vehicle.registration, vehicle.facts.token_uid, vehicle.pack, vehicle.target_percent, now,
            waits_for_start=vehicle.has_no_card and bay.is_own,
        )  # fmt: skip
        vehicle.state, vehicle.bay = v.PLUGGED_IN, bay
        vehicle.overstay_seconds = vehicle.rng.uniform(60, 150) if vehicle.rng.random() < 0.12 else 8.0
        if bay.is_own:
            self._charger_of[bay.key].plug_in(bay, visit, now)
        else:
            self._network_of[bay.key].plug_in(bay, visit, now)
        return self._note("plugged", f"{vehicle.registration} at {bay.site}, {bay.key}")

    def _wait(self, vehicle: SimVehicle) -> None:
        if vehicle.bay and vehicle.bay.expected == vehicle.registration:
            vehicle.bay.expected = ""
        vehicle.state, vehicle.pause_seconds = v.WAITING, 12.0

    def _after_pause(self, vehicle: SimVehicle, now: datetime) -> None:
        if vehicle.state == v.STRANDED:
            return self._tow(vehicle)
        if vehicle.state == v.WAITING:
            return self._go_on_waiting(vehicle, now)
        if self._consider_charging(vehicle):
            return None
        return self._set_out_for_stop(vehicle)

    def _set_out_for_stop(self, vehicle: SimVehicle) -> None:
        if not vehicle.stops:
            self._plan_stops(vehicle)
        vehicle.set_out(v.DRIVING, vehicle.stops[0].place, self.roads.path)

    def put_on_the_road(self, vehicle: SimVehicle) -> None:
        """Whatever it was doing, it now drives to its next stop from where it is."""
        if vehicle.bay:
            if vehicle.bay.is_own and vehicle.bay.visit:
                self._charger_of[vehicle.bay.key].forget(vehicle.bay)
            vehicle.bay.expected = ""
        vehicle.bay = vehicle.plan_id = None
        self._set_out_for_stop(vehicle)

    def _go_on_waiting(self, vehicle: SimVehicle, now: datetime) -> None:
        """At a taken bay: it, or a neighbour, or wait for a new plan, or give up."""
        token, here = vehicle.facts.token_uid, vehicle.bay
        if here and here.is_free_for(token):
            return self.arrive(vehicle, here, now)
        near = [bay for bay in self._bays_like(here) if distance_m(*bay.place, *vehicle.place) < 150]
        if other := nearest_free(near, vehicle.place, vehicle.facts.plugs, token):
            vehicle.park_at(other.place)
            return self.arrive(vehicle, other, now)
        if vehicle.pack.soc_percent < vehicle.habit_percent or vehicle.pack.soc_percent < SELF_RESCUE_BELOW_PERCENT:
            if not self._head_for_a_bay(vehicle):
                vehicle.pause_seconds = 15.0
            return None
        vehicle.bay = None
        return self._set_out_for_stop(vehicle)

    def _bays_like(self, bay: Bay | None) -> list[Bay]:
        return self.own_bays if bay is None or bay.is_own else self._network_of[bay.key].all_bays

    # --- charging -------------------------------------------------------------------------------------------------
    def _consider_charging(self, vehicle: SimVehicle) -> bool:
        """By habit at the next own hub; those who wait for a plan help themselves only when it gets serious."""
        limit = vehicle.habit_percent or SELF_RESCUE_BELOW_PERCENT
        return vehicle.pack.soc_percent < limit and self._head_for_a_bay(vehicle)

    def _head_for_a_bay(self, vehicle: SimVehicle) -> bool:
        bay = self._nearest_allowed(vehicle)
        if bay is None:
            return False
        self.send_to_bay(vehicle, bay, vehicle.rng.uniform(76, 88), v.TO_BAY)
        return True

    def _nearest_allowed(self, vehicle: SimVehicle) -> Bay | None:
        """The hubs belong to the main fleet; others charge at the public network."""
        bays = self.own_bays if vehicle.facts.fleet == MAIN_FLEET else self.network.all_bays
        return nearest_free(bays, vehicle.place, vehicle.facts.plugs, vehicle.facts.token_uid)

    def send_to_bay(self, vehicle: SimVehicle, bay: Bay, target_percent: float, state: str = v.TO_BAY) -> None:
        """Leave whatever it was doing and drive to a bay."""
        if vehicle.bay and vehicle.bay.expected == vehicle.registration:
            vehicle.bay.expected = ""
        vehicle.bay, vehicle.target_percent = bay, min(95.0, max(target_percent, vehicle.pack.soc_percent + 5))
        bay.expected = vehicle.registration
        vehicle.set_out(state, bay.place, self.roads.path)

    def drop_plan(self, vehicle: SimVehicle) -> None:
        """The plan is gone: back to the stops."""
        vehicle.plan_id = None
        if vehicle.state in (v.TO_BAY, v.WAITING):
            if vehicle.bay and vehicle.bay.expected == vehicle.registration:
                vehicle.bay.expected = ""
            vehicle.bay = None
            self._set_out_for_stop(vehicle)

    def _tend_visit(self, vehicle: SimVehicle, seconds: float, now: datetime) -> None:
        bay = vehicle.bay
        visit = bay.visit if bay else None
        if bay is None or visit is None or visit.vehicle != vehicle.registration:
            vehicle.bay = None
            return self._set_out_for_stop(vehicle)
        if visit.state in (REFUSED, ENDED) or bay.fault:
            vehicle.overstay_seconds = min(vehicle.overstay_seconds, 6.0)
        if visit.state not in (CHARGING, "plugged"):
            vehicle.overstay_seconds -= seconds
            if vehicle.overstay_seconds <= 0:
                self.unplug(vehicle, now)
        return None

    def unplug(self, vehicle: SimVehicle, now: datetime) -> None:
        bay = vehicle.bay
        if bay is None or vehicle.state != v.PLUGGED_IN:
            return
        state = bay.visit.state if bay.visit else ""
        if bay.is_own:
            self._charger_of[bay.key].leave(bay, now)
        else:
            self._network_of[bay.key].leave(bay, now)
        self._note("left", f"{vehicle.registration} leaves {bay.key} with {vehicle.pack.soc_percent:.0f} % ({state})")
        vehicle.done_plan_id, vehicle.plan_id, vehicle.bay = vehicle.plan_id or vehicle.done_plan_id, None, None
        if vehicle.pack.soc_percent < SELF_RESCUE_BELOW_PERCENT and self._head_for_a_bay(vehicle):
            return
        self._set_out_for_stop(vehicle)

    # --- trouble --------------------------------------------------------------------------------------------------
    def _strand(self, vehicle: SimVehicle) -> None:
        if vehicle.bay and vehicle.bay.expected == vehicle.registration:
            vehicle.bay.expected = ""
        vehicle.state, vehicle.pause_seconds, vehicle.path = v.STRANDED, TOW_AFTER_SECONDS, None
        self._note("stranded", f"{vehicle.registration} is out of charge")

    def _tow(self, vehicle: SimVehicle) -> None:
        """A truck brings it to the nearest free bay; it charges there like everybody else."""
        bay = self._nearest_allowed(vehicle)
        if bay is None:
            vehicle.pause_seconds = 20.0
            return
        self.send_to_bay(vehicle, bay, 80.0, v.TOWED)
        self._note("towed", f"{vehicle.registration} to {bay.site}")

    def _trouble(self, now: datetime) -> None:
        if self.age_seconds >= self._next_fault:
            self._next_fault = self.age_seconds + self.rng.expovariate(1 / FAULT_EVERY_SECONDS)
            bay = self.rng.choice(self.own_bays)
            lasts = timedelta(seconds=self.rng.uniform(*FAULT_LASTS))
            self.fault(bay, now, self.rng.choice(FAULT_CODES), now + lasts)
        if self.age_seconds >= self._next_misuse:
            self._next_misuse = self.age_seconds + MISUSE_EVERY_SECONDS
            self.misuse(now)
        for ends, bay in [entry for entry in self._impostors if entry[0] <= self.age_seconds]:
            self._impostors.remove((ends, bay))
            self._charger_of[bay.key].leave(bay, now)

    def fault(self, bay: Bay, now: datetime, code: str = "GroundFailure", cleared_at: datetime | None = None) -> None:
        if bay.is_own:
            self._charger_of[bay.key].break_down(bay, code, now, cleared_at)
        else:
            bay.fault, bay.booking = code, None
        self._note("fault", f"{bay.key}: {code}")

    def misuse(self, now: datetime) -> Bay | None:
        """Somebody charges a car of their own with the card of a vehicle that is driving elsewhere."""
        driving = [one for one in self.vehicles.values() if one.state == v.DRIVING and one.facts.fleet == MAIN_FLEET]
        if not driving:
            return None
        victim = self.rng.choice(driving)
        far = [bay for bay in self.own_bays if bay.is_dc and distance_m(*bay.place, *victim.place) > 4000]
        bay = nearest_free(far, victim.place, ["ccs2"], victim.facts.token_uid)
        if bay is None:
            return None
        pack = Pack(40_000, 35.0, 7_000, 50_000)
        visit = Visit(str(uuid.uuid4()), f"impostor of {victim.registration}", victim.facts.token_uid, pack, 90.0, now)
        self._charger_of[bay.key].plug_in(bay, visit, now)
        self._impostors.append((self.age_seconds + MISUSE_SECONDS, bay))
        self._note("misuse", f"{victim.registration}'s card at {bay.key}")
        return bay

    # --- looking in -----------------------------------------------------------------------------------------------
    def find_bay(self, key: str) -> Bay | None:
        own = next((bay for bay in self.own_bays if bay.key == key), None)
        return own or (self._network_of[key].bays[key] if key in self._network_of else None)

    @property
    def public_bays(self) -> list[Bay]:
        return [bay for network in self.networks for bay in network.all_bays]

    def sessions(self) -> list[dict[str, Any]]:
        """Ground truth of own chargers: running sessions and the last finished ones."""
        running = [facts_of(bay, bay.visit) for bay in self.own_bays if bay.visit and bay.visit.is_running]
        return running + [facts for charger in self.chargers.values() for facts in charger.finished]

    def _note(self, kind: str, text: str) -> None:
        self.events.append((round(self.age_seconds, 2), kind, text))
