"""Trackers: positions and state of charge of every vehicle, in batches; what is not acknowledged is sent again."""

import asyncio
import logging
import random
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from fleetcharge.demo.city import City
from fleetcharge.demo.manifest import Manifest
from fleetcharge.demo.vehicle import PLUGGED_IN, SimVehicle

MOVING_EVERY_SECONDS, STANDING_EVERY_SECONDS = 2.5, 10.0
MAX_WAITING = 20_000
BATCH = 500
KNOTS_PER_KMH = 0.539957
OSMAND_EVERY = 20

logger = logging.getLogger("fleetcharge.demo")


@dataclass
class Trackers:
    """One queue per fleet for our own format; every twentieth vehicle has a phone that speaks OsmAnd instead."""

    city: City
    manifest: Manifest
    http: httpx.AsyncClient
    realtime_url: str
    waiting: dict[str, deque[dict[str, Any]]] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    last_state: dict[str, str] = field(default_factory=dict)
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            await asyncio.sleep(0.5 if not failures else random.uniform(0.5, 1) * min(10.0, 2**failures))
            try:
                await self._round(loop.time())
                failures = 0
            except (httpx.HTTPError, OSError) as error:
                if failures == 0:
                    logger.info("positions wait: %s", type(error).__name__)
                failures = min(5, failures + 1)

    async def _round(self, clock: float) -> None:
        phones = []
        for index, vehicle in enumerate(self.city.vehicles.values()):
            if not self._is_due(vehicle, clock):
                continue
            if index % OSMAND_EVERY == OSMAND_EVERY - 1:
                phones.append(vehicle)
            else:
                queue = self.waiting.setdefault(vehicle.facts.fleet, deque(maxlen=MAX_WAITING))
                queue.append(ping_of(vehicle, datetime.now(UTC)))
        for fleet, queue in self.waiting.items():
            while queue:
                await self._send_batch(fleet, queue)
        for vehicle in phones:
            await self._send_phone(vehicle)

    def _is_due(self, vehicle: SimVehicle, clock: float) -> bool:
        is_active = vehicle.is_on_the_road or vehicle.state == PLUGGED_IN
        state = f"{vehicle.state}{vehicle.charging}"
        changed = self.last_state.get(vehicle.registration) != state
        if not changed and clock < self.due.get(vehicle.registration, 0.0):
            return False
        self.last_state[vehicle.registration] = state
        every = MOVING_EVERY_SECONDS if is_active else STANDING_EVERY_SECONDS
        self.due[vehicle.registration] = clock + every * random.uniform(0.9, 1.1)
        return True

    async def _send_batch(self, fleet: str, queue: deque[dict[str, Any]]) -> None:
        """Take the batch out of the queue only once the system has it."""
        batch = [queue[index] for index in range(min(BATCH, len(queue)))]
        answer = await self.http.post(
            f"{self.realtime_url}/ingest/v1/pings",
            json={"pings": batch},
            headers={"Authorization": f"Bearer {self.manifest.fleets[fleet].telemetry}"},
        )
        if answer.status_code >= 400 and answer.status_code not in (400, 413):
            answer.raise_for_status()
        for _ in batch:
            queue.popleft()
        if answer.status_code >= 400:
            logger.warning("a batch of positions was refused: %s", answer.text[:200])
            self.rejected += len(batch)
            return
        report = answer.json()
        self.accepted += report["accepted"]
        self.duplicate += report["duplicate"]
        self.rejected += len(report["rejected"])
        if report["rejected"]:
            logger.warning("positions rejected: %s", report["rejected"][:3])

    async def _send_phone(self, vehicle: SimVehicle) -> None:
        answer = await self.http.get(f"{self.realtime_url}/ingest/osmand", params=osmand_of(vehicle, datetime.now(UTC)))
        if answer.status_code >= 500:
            answer.raise_for_status()
        if answer.status_code == 200:
            self.accepted += 1
        else:
            self.rejected += 1


def ping_of(vehicle: SimVehicle, at: datetime) -> dict[str, Any]:
    """One ping in our own format."""
    return {
        "device": vehicle.facts.device_id,
        "ts": round(at.timestamp(), 3),
        "lat": round(vehicle.place[0], 6),
        "lon": round(vehicle.place[1], 6),
        "acc": 6,
        "speed_kmh": vehicle.shown_kmh,
        "course": round(vehicle.heading_deg) % 360,
        "soc": round(vehicle.pack.soc_percent, 1),
        "odo_km": round(vehicle.odometer_m / 1000, 3),
        "charging": vehicle.charging,
    }


def osmand_of(vehicle: SimVehicle, at: datetime) -> dict[str, str]:
    """The same as a phone with OsmAnd or Traccar Client tells it; speed in knots."""
    return {
        "id": vehicle.facts.device_id,
        "timestamp": str(int(at.timestamp() * 1000)),
        "lat": f"{vehicle.place[0]:.6f}",
        "lon": f"{vehicle.place[1]:.6f}",
        "speed": f"{vehicle.shown_kmh * KNOTS_PER_KMH:.2f}",
        "bearing": f"{round(vehicle.heading_deg) % 360}",
        "accuracy": "8",
        "soc": f"{vehicle.pack.soc_percent:.1f}",
        "is_charging": "true" if vehicle.charging != "no" else "false",
    }
