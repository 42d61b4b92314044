"""Which vehicle a device reports for, and what we believe about it: remembered in the process for a short while."""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from psycopg.rows import TupleRow

from fleetcharge.lib.db import AsyncDatabase
from vehicles.plausibility import MAX_SPEED_KMH, Track
from vehicles.soc import SocLimits

KNOWN_SECONDS = 15.0
UNKNOWN_SECONDS = 3.0
MAX_ENTRIES = 200_000

FIND = """
SELECT v.device_id, v.id, v.organisation_id, m.vehicle_class, coalesce(v.soc_low_percent, o.soc_low_percent),
       coalesce(v.soc_clear_percent, o.soc_clear_percent), s.vehicle_id, s.latitude, s.longitude,
       (extract(epoch FROM s.position_at) * 1000000)::bigint, s.soc_percent,
       (extract(epoch FROM s.soc_at) * 1000000)::bigint, coalesce(v.watched_until > now(), false)
FROM vehicles_vehicle v
JOIN vehicles_vehiclemodel m ON m.id = v.model_id
JOIN accounts_organisation o ON o.id = v.organisation_id
LEFT JOIN vehicles_vehiclestate s ON s.vehicle_id = v.id
WHERE v.is_active AND v.device_id = ANY(%s)
"""
CREATE_STATES = """
INSERT INTO vehicles_vehiclestate (vehicle_id, soc_source, is_charging, is_soc_low, version)
SELECT id, 'measured', false, false, 0 FROM vehicles_vehicle WHERE id = ANY(%s) ORDER BY id
ON CONFLICT (vehicle_id) DO NOTHING
"""


class VehicleRef(NamedTuple):
    """What ingest needs to know about a vehicle."""

    vehicle_id: int
    organisation_id: int
    max_speed_kmh: float
    limits: SocLimits
    track: Track


class Registry:
    """Devices looked up in bulk. A changed assignment or limit is honoured within KNOWN_SECONDS."""

    def __init__(self, database: AsyncDatabase, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._entries: dict[str, tuple[float, VehicleRef | None]] = {}
        self._tracks: dict[int, Track] = {}
        self.watched: dict[str, VehicleRef] = {}  # whose connect page is open, as of the last look

    async def find(self, devices: Iterable[str]) -> dict[str, VehicleRef | None]:
        """The vehicle of each device, None for devices nobody has claimed; at most one query."""
        now, entries = self._clock(), self._entries
        wanted = set(devices)
        if outdated := [device for device in wanted if device not in entries or entries[device][0] <= now]:
            await self._load(outdated, now)
        return {device: entries[device][1] if device in entries else None for device in wanted}

    def forget(self) -> None:
        """Start again from the rows, as after a restart."""
        self._entries.clear()
        self._tracks.clear()
        self.watched.clear()

    async def _load(self, devices: list[str], now: float) -> None:
        if len(self._entries) + len(devices) > MAX_ENTRIES:
            self.forget()
        rows = await self._database.fetch(FIND, [devices])
        if without_state := [row[1] for row in rows if row[6] is None]:
            await self._database.fetch(CREATE_STATES, [without_state])
        for device in devices:
            self._entries[device] = (now + UNKNOWN_SECONDS, None)
            self.watched.pop(device, None)
        for row in rows:
            ref = self._ref(row)
            self._entries[row[0]] = (now + KNOWN_SECONDS, ref)
            if row[12]:
                self.watched[row[0]] = ref

    def _ref(self, row: TupleRow) -> VehicleRef:
        _, vehicle_id, organisation_id, vehicle_class, low, clear, _, latitude, longitude, at_us, soc, soc_us, _ = row
        track = self._tracks.get(vehicle_id)
        if track is None:
            track = self._tracks[vehicle_id] = Track()
            track.remember(
                (latitude, longitude, at_us) if at_us is not None else None,
                (soc, soc_us) if soc_us is not None else None,
            )
        limits = SocLimits(low, clear)
        return VehicleRef(vehicle_id, organisation_id, MAX_SPEED_KMH[str(vehicle_class)], limits, track)
