"""What of a vehicle changes more often than its name, less often than its place: driver, stop, source of charge."""

import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.utils import timezone

Detail = dict[str, Any]
REMEMBERED_CHANGES = 200

_ROWS = """
SELECT v.id, coalesce(h.name, d.name, '') AS driver, n.name AS stop, n.latitude, n.longitude,
       CASE WHEN t.soc_percent IS NULL THEN '' ELSE t.soc_source END AS soc_source,
       greatest(1, round(m.consumption_wh_per_km * v.appetite)::int) AS range_wh_per_km
  FROM vehicles_vehicle v
  JOIN vehicles_vehiclemodel m ON m.id = v.model_id
  LEFT JOIN vehicles_driver d ON d.id = v.default_driver_id
  LEFT JOIN vehicles_vehiclestate t ON t.vehicle_id = v.id
  LEFT JOIN (SELECT DISTINCT ON (s.vehicle_id) s.vehicle_id, r.name
               FROM vehicles_shift s JOIN vehicles_driver r ON r.id = s.driver_id
              WHERE s.organisation_id = %(organisation)s AND s.starts_at <= %(now)s AND s.ends_at >= %(now)s
              ORDER BY s.vehicle_id, s.starts_at DESC) h ON h.vehicle_id = v.id
  LEFT JOIN (SELECT DISTINCT ON (s.vehicle_id) s.vehicle_id, s.name, s.latitude, s.longitude
               FROM vehicles_stop s JOIN vehicles_vehicle o ON o.id = s.vehicle_id
              WHERE o.organisation_id = %(organisation)s AND s.done_at IS NULL
              ORDER BY s.vehicle_id, s.sequence) n ON n.vehicle_id = v.id
 WHERE v.organisation_id = %(organisation)s AND v.is_active
"""
"""When one shift ends as the next begins: the driver of the next."""


def read(organisation_id: int) -> dict[int, Detail]:
    """By vehicle in service. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, {"organisation": organisation_id, "now": timezone.now()})
        return {pk: _detail(*row) for pk, *row in cursor.fetchall()}


def _detail(
    driver: str, stop: str | None, latitude: float, longitude: float, soc_source: str, range_wh_per_km: int
) -> Detail:
    next_stop = None if stop is None else {"name": stop, "latitude": latitude, "longitude": longitude}
    return {"driver": driver, "next_stop": next_stop, "soc_source": soc_source, "range_wh_per_km": range_wh_per_km}


def revision(organisation_id: int) -> int:
    """A number that moves when a detail of any vehicle does. One query that sends no rows."""
    with connection.cursor() as cursor:
        sql = f"SELECT count(*), coalesce(sum(hashtextextended(r::text, 0)), 0) FROM ({_ROWS}) r"  # noqa: S608 (ours)
        cursor.execute(sql, {"organisation": organisation_id, "now": timezone.now()})
        return zlib.crc32(repr(cursor.fetchone()).encode()) or 1


def read_if_moved(organisation_id: int, held: int) -> tuple[int, dict[int, Detail]] | None:
    """None while `held` is the revision. The revision is read first: what changes meanwhile is read again."""
    found = revision(organisation_id)
    return None if found == held else (found, read(organisation_id))


@dataclass
class DetailBook:
    """The details of one fleet as its browsers were told, and which vehicles the last revisions were about."""

    revision: int = 0
    rows: dict[int, Detail] = field(default_factory=dict)
    _changes: deque[tuple[int, frozenset[int]]] = field(default_factory=lambda: deque(maxlen=REMEMBERED_CHANGES))
    """The revision before each change, and the vehicles it was about; the newest last."""

    def turn(self, revision: int, rows: dict[int, Detail]) -> dict[str, Any]:
        """Go on to a new revision; the message about what differs."""
        changed = frozenset(pk for pk, row in rows.items() if self.rows.get(pk) != row)
        self._changes.append((self.revision, changed))
        self.revision, self.rows = revision, rows
        return self._message(changed)

    def since(self, revision: int) -> dict[str, Any] | None:
        """What a page that holds `revision` lacks: nothing, the last changes, or everything."""
        if revision == self.revision:
            return None
        missed: frozenset[int] = frozenset()
        for before, changed in reversed(self._changes):
            missed |= changed
            if before == revision:
                return self._message(missed)
        return self._message(frozenset(self.rows))

    def _message(self, vehicle_ids: frozenset[int]) -> dict[str, Any]:
        vehicles = [{"id": pk, **self.rows[pk]} for pk in sorted(vehicle_ids & self.rows.keys())]
        return {"type": "details", "rev": self.revision, "vehicles": vehicles}
