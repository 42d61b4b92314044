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

SINCE_EVER, STILL = -(1 << 62), 1 << 62  # microseconds

# What ended over a month ago is of no ping that is taken.
FIND = """
SELECT a.device_id, v.id, v.organisation_id, m.vehicle_class, coalesce(v.soc_low_percent, o.soc_low_percent),
       coalesce(v.soc_clear_percent, o.soc_clear_percent), s.vehicle_id, s.latitude, s.longitude,
       (extract(epoch FROM s.position_at) * 1000000)::bigint, s.soc_percent,
       (extract(epoch FROM s.soc_at) * 1000000)::bigint, coalesce(v.watched_until > now(), false),
       (extract(epoch FROM a.starts_at) * 1000000)::bigint, (extract(epoch FROM a.ends_at) * 1000000)::bigint
FROM vehicles_deviceassignment a
JOIN vehicles_vehicle v ON v.id = a.vehicle_id AND v.is_active
JOIN vehicles_vehiclemodel m ON m.id = v.model_id
JOIN accounts_organisation o ON o.id = v.organisation_id
LEFT JOIN vehicles_vehiclestate s ON s.vehicle_id = v.id
WHERE a.device_id = ANY(%s) AND (a.ends_at IS NULL OR a.ends_at > now() - interval '31 days')
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


class Holders:
    """The vehicles a device reported for, each in its own time. `present`: whose it is now."""

    __slots__ = ("_since_us", "_spans", "present")

    def __init__(self) -> None:
        self.present: VehicleRef | None = None
        self._since_us = STILL
        self._spans: list[tuple[int, int, VehicleRef]] = []

    def add(self, ref: VehicleRef, starts_us: int | None, ends_us: int | None) -> None:
        starts_us = SINCE_EVER if starts_us is None else starts_us
        if ends_us is None:
            self.present, self._since_us = ref, starts_us
        else:
            self._spans.append((starts_us, ends_us, ref))

    def at(self, at_us: int) -> VehicleRef | None:
        """Whose a ping of that instant is."""
        if at_us >= self._since_us:
            return self.present
        return next((ref for starts_us, ends_us, ref in self._spans if starts_us <= at_us < ends_us), None)


NOBODY = Holders()


class Registry:
    """Devices looked up in bulk. A changed assignment or limit is honoured within KNOWN_SECONDS."""

    def __init__(self, database: AsyncDatabase, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._entries: dict[str, tuple[float, Holders]] = {}
        self._tracks: dict[int, Track] = {}
        self.watched: dict[str, VehicleRef] = {}  # whose connect page is open, as of the last look

    async def find(self, devices: Iterable[str]) -> dict[str, Holders]:
        """Whose each device is and was, NOBODY for those that nobody has claimed; at most one query."""
        now, entries = self._clock(), self._entries
        wanted = set(devices)
        if outdated := [device for device in wanted if device not in entries or entries[device][0] <= now]:
            await self._load(outdated, now)
        return {device: entries[device][1] if device in entries else NOBODY for device in wanted}

    def holder(self, device: str, at_us: int) -> VehicleRef | None:
        """Whose a ping was, as far as this process remembers."""
        entry = self._entries.get(device)
        return entry and entry[1].at(at_us)

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
            self._entries[device] = (now + UNKNOWN_SECONDS, NOBODY)
            self.watched.pop(device, None)
        found: dict[str, Holders] = {}
        for row in rows:
            self._hold(found.setdefault(row[0], Holders()), row)
        for device, holders in found.items():
            self._entries[device] = (now + KNOWN_SECONDS, holders)

    def _hold(self, holders: Holders, row: TupleRow) -> None:
        ref, (starts_us, ends_us) = self._ref(row), row[13:]
        holders.add(ref, starts_us, ends_us)
        if row[12] and ends_us is None:
            self.watched[row[0]] = ref

    def _ref(self, row: TupleRow) -> VehicleRef:
        _, vehicle_id, organisation_id, vehicle_class, low, clear, _, latitude, longitude, at_us, soc, soc_us = row[:12]
        track = self._tracks.get(vehicle_id)
        if track is None:
            track = self._tracks[vehicle_id] = Track()
            track.remember(
                (latitude, longitude, at_us) if at_us is not None else None,
                (soc, soc_us) if soc_us is not None else None,
            )
        limits = SocLimits(low, clear)
        return VehicleRef(vehicle_id, organisation_id, MAX_SPEED_KMH[str(vehicle_class)], limits, track)
