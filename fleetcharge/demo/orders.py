"""The driver's side of the API: hand in the stops, learn of reserved plans, keep the roster filled."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from fleetcharge.demo import vehicle as v
from fleetcharge.demo.bays import Bay
from fleetcharge.demo.city import City
from fleetcharge.demo.manifest import Manifest
from fleetcharge.demo.vehicle import SimVehicle
from fleetcharge.lib.geo import distance_m

POLL_SECONDS, STOPS_SECONDS, ROSTER_SECONDS = 2.0, 1.0, 1800.0
STOPS_PER_ROUND = 8
SHIFT = timedelta(hours=12)

logger = logging.getLogger("fleetcharge.demo")


@dataclass
class DriverApps:
    city: City
    manifest: Manifest
    http: httpx.AsyncClient
    api_url: str
    _told_stops: dict[str, int] = field(default_factory=dict)
    _etag: str = ""

    async def run(self) -> None:
        await asyncio.gather(
            self._every(POLL_SECONDS, self.poll_plans),
            self._every(STOPS_SECONDS, self.send_stops),
            self._every(ROSTER_SECONDS, self.fill_roster),
        )

    async def _every(self, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            try:
                await action()
                failures = 0
            except (httpx.HTTPError, OSError, KeyError, ValueError) as error:
                if failures == 0:
                    logger.info("%s waits: %s", action.__name__, error or type(error).__name__)
                failures = min(5, failures + 1)
            await asyncio.sleep(seconds if not failures else random.uniform(0.5, 1) * min(20.0, 2**failures))

    def _headers(self, fleet: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.manifest.fleets[fleet].integrator}"}

    # --- plans ----------------------------------------------------------------------------------------------------
    async def poll_plans(self) -> None:
        """One request for the open plans of each fleet; only reserved ones move a vehicle."""
        for fleet in self.manifest.fleets:
            answer = await self.http.get(
                f"{self.api_url}/api/v1/plans/",
                params={"state": "reserved", "page_size": 200},
                headers=self._headers(fleet),
            )
            answer.raise_for_status()
            self.follow(fleet, answer.json()["results"])

    def follow(self, fleet: str, plans: list[dict[str, Any]]) -> None:
        """Send each vehicle where its plan says; a vehicle whose plan is gone goes back to work."""
        reserved = {plan["vehicle"]["registration"]: plan for plan in plans if plan.get("station")}
        for vehicle in self.city.vehicles.values():
            if vehicle.facts.fleet != fleet:
                continue
            plan = reserved.get(vehicle.registration)
            is_new = plan is not None and plan["id"] not in (vehicle.plan_id, vehicle.done_plan_id)
            if plan and is_new and vehicle.state not in (v.PLUGGED_IN, v.TOWED, v.STRANDED):
                self._send(vehicle, plan)
            elif plan is None and vehicle.plan_id and vehicle.state in (v.TO_BAY, v.WAITING):
                self.city.drop_plan(vehicle)

    def _send(self, vehicle: SimVehicle, plan: dict[str, Any]) -> None:
        bay = self._bay_of(vehicle, plan)
        if bay is None:
            logger.info("%s: no bay found for its plan at %s", vehicle.registration, plan["station"]["name"])
            return
        vehicle.plan_id = plan["id"]
        self.city.send_to_bay(vehicle, bay, float(plan["target_soc_percent"] or 80))

    def _bay_of(self, vehicle: SimVehicle, plan: dict[str, Any]) -> Bay | None:
        """The bay that holds this vehicle's reservation at that site, else the very connector, else a free one."""
        station, connector = plan["station"], plan["connector"] or {}
        place = (station["latitude"], station["longitude"])
        bays = [*self.city.own_bays, *self.city.public_bays]
        here = [bay for bay in bays if distance_m(*bay.place, *place) < 60]
        held = [bay for bay in here if bay.booking and bay.booking.is_for(vehicle.facts.token_uid)]
        same = [bay for bay in here if bay.public_id and bay.public_id == connector.get("public_id")]
        free = [b for b in here if b.plug in vehicle.facts.plugs and b.is_free_for(vehicle.facts.token_uid)]
        return next(iter([*held, *same, *free]), None)

    # --- stops and shifts -----------------------------------------------------------------------------------------
    async def send_stops(self) -> None:
        """New lists of stops, a few vehicles at a time."""
        changed = [
            vehicle
            for vehicle in self.city.vehicles.values()
            if vehicle.stops and self._told_stops.get(vehicle.registration) != vehicle.stops_version
        ]
        for vehicle in changed[:STOPS_PER_ROUND]:
            stops = [
                {"name": stop.name, "latitude": round(stop.latitude, 6), "longitude": round(stop.longitude, 6)}
                for stop in vehicle.stops
            ]
            version = vehicle.stops_version
            answer = await self.http.put(
                f"{self.api_url}/api/v1/vehicles/{vehicle.facts.id}/stops/",
                json=stops,
                headers=self._headers(vehicle.facts.fleet),
            )
            answer.raise_for_status()
            self._told_stops[vehicle.registration] = version

    async def fill_roster(self) -> None:
        """Everybody stays on shift as long as the city runs; an overlap means that somebody planned it already."""
        now = datetime.now(UTC)
        for fleet in self.manifest.fleets:
            ends = await self._roster(fleet, now)
            for facts in self.manifest.vehicles:
                until = ends.get(facts.id, now)
                if facts.fleet == fleet and not facts.is_off_shift and until < now + SHIFT / 2:
                    await self._add_shift(fleet, facts.id, facts.driver_id, until, now + SHIFT)

    async def _roster(self, fleet: str, now: datetime) -> dict[int, datetime]:
        """When the shift that runs now ends, by vehicle."""
        params = {"at": now.isoformat(), "page_size": "1000"}
        answer = await self.http.get(f"{self.api_url}/api/v1/shifts/", params=params, headers=self._headers(fleet))
        answer.raise_for_status()
        return {shift["vehicle"]: datetime.fromisoformat(shift["ends_at"]) for shift in answer.json()["results"]}

    async def _add_shift(self, fleet: str, vehicle_id: int, driver_id: int, start: datetime, end: datetime) -> None:
        body = {"vehicle": vehicle_id, "driver": driver_id, "starts_at": start.isoformat(), "ends_at": end.isoformat()}
        answer = await self.http.post(f"{self.api_url}/api/v1/shifts/", json=body, headers=self._headers(fleet))
        if answer.status_code >= 500:
            answer.raise_for_status()
