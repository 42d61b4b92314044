"""What a fleet's sessions drew, cost and emitted, by station, vehicle or month: of their final records. Reads only."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import connection

from billing.expenses import distances
from billing.expenses.distances import Distance
from billing.expenses.report import per_km, per_unit
from dispatch.reports.periods import Period
from fleetcharge.accounts.models import Organisation


class By(StrEnum):
    STATION = "station"
    VEHICLE = "vehicle"
    MONTH = "month"


@dataclass(frozen=True)
class EnergyLine:
    """`key` is None for sessions of no known vehicle. Money is in paise with GST, corrections counted.

    `priced_wh` is the part of `energy_wh` whose cost is known: what a kWh costs is of it alone. What a km costs is not
    known while a price is missing.
    """

    key: int | str | None
    name: str
    sessions: int
    unpriced: int
    energy_wh: int
    priced_wh: int
    seconds: int
    cost_paise: int
    emitted_g: int
    distance_m: int | None = None

    @property
    def paise_per_kwh(self) -> int | None:
        return per_unit(self.cost_paise, self.priced_wh)

    @property
    def paise_per_km(self) -> int | None:
        return None if self.unpriced else per_km(self.cost_paise, self.distance_m)


_KEYS = {
    By.STATION: ("e.location_id", "l.name"),
    By.VEHICLE: ("s.vehicle_id", "v.registration"),
    By.MONTH: ("to_char(c.ended_at AT TIME ZONE %(zone)s, 'YYYY-MM')", "''"),
}
# A record belongs to the day on which its session ended, and so do its corrections, whenever they were made. What it
# emitted is by the factor of that day; the first factor also stands for the days before it.
_ENERGY = """
WITH factors AS (
    SELECT day, grams, lead(day) OVER (ORDER BY day) AS next_day, row_number() OVER (ORDER BY day) = 1 AS is_first
    FROM unnest(%(days)s::date[], %(grams)s::int[]) AS told(day, grams)
), records AS (
    SELECT {key} AS key, {name} AS name, c.total_paise, s.adjusted_paise,
           (c.ended_at AT TIME ZONE %(zone)s)::date AS ended_on,
           extract(epoch FROM c.ended_at - c.started_at) AS lasted_s,
           COALESCE((SELECT a.energy_wh FROM billing_cdradjustment a WHERE a.cdr_id = c.id
                     ORDER BY a.number DESC LIMIT 1), c.energy_wh) AS energy_wh
    FROM billing_cdr c JOIN billing_chargingsession s ON s.id = c.session_id
    JOIN stations_connector p ON p.id = s.connector_id JOIN stations_evse e ON e.id = p.evse_id
    JOIN stations_location l ON l.id = e.location_id LEFT JOIN vehicles_vehicle v ON v.id = s.vehicle_id
    WHERE c.organisation_id = %(organisation)s AND c.ended_at >= %(since)s AND c.ended_at < %(until)s
)
SELECT r.key, COALESCE(max(r.name), ''), count(*), count(*) FILTER (WHERE r.total_paise IS NULL),
       sum(r.energy_wh)::bigint,
       COALESCE(sum(r.energy_wh) FILTER (WHERE r.total_paise IS NOT NULL), 0)::bigint, sum(r.lasted_s)::bigint,
       COALESCE(sum(r.total_paise + r.adjusted_paise), 0)::bigint, round(sum(r.energy_wh * f.grams) / 1000.0)::bigint
FROM records r JOIN factors f
  ON (r.ended_on >= f.day OR f.is_first) AND (f.next_day IS NULL OR r.ended_on < f.next_day)
GROUP BY r.key
"""


def lines(organisation: Organisation, period: Period, by: By) -> list[EnergyLine]:
    """Months as they follow, the rest by energy. One statement; of vehicles, one or two more for their distances."""
    key, name = _KEYS[by]
    with connection.cursor() as cursor:
        cursor.execute(_ENERGY.format(key=key, name=name), _values(organisation, period))
        found = [EnergyLine(*row) for row in cursor.fetchall()]
    if by is By.MONTH:
        return sorted(found, key=lambda line: str(line.key))
    if by is By.VEHICLE:
        found = _with_distances(found, period)
    return sorted(found, key=lambda line: (-line.energy_wh, line.name))


def _values(organisation: Organisation, period: Period) -> dict[str, Any]:
    return {
        "organisation": organisation.pk, "since": period.since, "until": period.until, "zone": period.zone.key,
        "days": [day for day, _grams, _source in settings.GRID_FACTORS],
        "grams": [grams for _day, grams, _source in settings.GRID_FACTORS],
    }  # fmt: skip


def _with_distances(found: list[EnergyLine], period: Period) -> list[EnergyLine]:
    vehicles = [line.key for line in found if isinstance(line.key, int)]
    known: Mapping[int, Distance] = distances.of_vehicles(vehicles, period.since, period.until) if vehicles else {}
    return [_with_distance(line, known.get(line.key) if isinstance(line.key, int) else None) for line in found]


def _with_distance(line: EnergyLine, distance: Distance | None) -> EnergyLine:
    return EnergyLine(**{**vars(line), "distance_m": distance.metres if distance else None})


def total(found: list[EnergyLine]) -> EnergyLine:
    """Of all lines; kilometres only count where somebody knows them, so there is no sum of them."""
    return EnergyLine(
        None, "", sum(line.sessions for line in found), sum(line.unpriced for line in found),
        sum(line.energy_wh for line in found), sum(line.priced_wh for line in found),
        sum(line.seconds for line in found),
        sum(line.cost_paise for line in found), sum(line.emitted_g for line in found),
    )  # fmt: skip
