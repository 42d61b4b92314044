"""A division as finance reads it: rupees per vehicle and per km, and who made the peak."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Count, ExpressionWrapper, Q, QuerySet, Sum

from billing.utility.evidence import grid_of
from billing.utility.models import UtilityAllocation, UtilityShare
from vehicles.models import Vehicle

# first and last odometer of the period; both ends of an index range of the days' partitions
_DISTANCES = """
SELECT v.id, last.odometer_m - first.odometer_m FROM unnest(%(vehicles)s::bigint[]) AS v(id)
CROSS JOIN LATERAL (SELECT odometer_m FROM vehicles_position p WHERE p.vehicle_id = v.id AND p.odometer_m IS NOT NULL
    AND p.fix_at >= %(since)s AND p.fix_at < %(until)s ORDER BY p.fix_at LIMIT 1) first
CROSS JOIN LATERAL (SELECT odometer_m FROM vehicles_position p WHERE p.vehicle_id = v.id AND p.odometer_m IS NOT NULL
    AND p.fix_at >= %(since)s AND p.fix_at < %(until)s ORDER BY p.fix_at DESC LIMIT 1) last
"""
COLUMNS = ("energy_paise", "losses_paise", "demand_paise", "fixed_paise", "other_paise", "total_paise")
IS_DEPOT = ExpressionWrapper(Q(session__isnull=True), output_field=BooleanField())
GUESTS, UNKNOWN, DEPOT = "guests", "unknown", "depot"


@dataclass(frozen=True)
class Row:
    """`who`: vehicle, guests, unknown (a session without a vehicle) or depot. `distance_m` None: no odometer told."""

    who: str
    vehicle_id: int | None
    name: str
    cost_centre: str
    sessions: int
    energy_wh: int
    peak_wh: int
    paise: dict[str, int]
    distance_m: int | None

    @property
    def total_paise(self) -> int:
        return self.paise["total_paise"]

    @property
    def paise_per_km(self) -> int | None:
        """Rounded half up; None without a distance."""
        metres = self.distance_m
        return (2 * self.total_paise * 1000 + metres) // (2 * metres) if metres else None


def by_vehicle(allocation: UtilityAllocation) -> list[Row]:
    """The dearest first, guests, unknown ones and the depot last; three queries."""
    sums = {name: Sum(name) for name in COLUMNS}
    groups = allocation.shares.annotate(is_depot=IS_DEPOT).values("vehicle", "cost_centre", "is_guest", "is_depot")
    groups = groups.order_by().annotate(
        sessions=Count("session"), wh=Sum("energy_wh"), peak=Sum("peak_wh"), **sums
    )  # fmt: skip
    found: list[Any] = list(groups)
    vehicles = Vehicle.objects.in_bulk([row["vehicle"] for row in found if row["vehicle"]])
    grid = grid_of(allocation.bill, allocation.bill.supply)
    metres = distances_m(sorted(vehicles), grid.started_at, grid.ended_at)
    rows = [_row(row, vehicles.get(row["vehicle"]), metres.get(row["vehicle"])) for row in found]
    return sorted(rows, key=lambda row: (row.vehicle_id is None, row.who, -row.total_paise, row.name))


def _row(found: dict[str, Any], vehicle: Vehicle | None, metres: int | None) -> Row:
    who = "vehicle" if vehicle else DEPOT if found["is_depot"] else GUESTS if found["is_guest"] else UNKNOWN
    name = vehicle.registration if vehicle else ""
    paise = {column: int(found[column]) for column in COLUMNS}
    return Row(
        who, vehicle.pk if vehicle else None, name, found["cost_centre"], found["sessions"], int(found["wh"]),
        int(found["peak"]), paise, metres,
    )  # fmt: skip


def distances_m(vehicle_ids: Sequence[int], since: datetime, until: datetime) -> dict[int, int]:
    """How far each went by its odometer; one that never told, or ran backwards, is missing."""
    if not vehicle_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_DISTANCES, {"vehicles": list(vehicle_ids), "since": since, "until": until})
        return {vehicle_id: metres for vehicle_id, metres in cursor.fetchall() if metres > 0}


def culprits(allocation: UtilityAllocation, limit: int | None = 20) -> QuerySet[UtilityShare]:
    """Who charged in the peak block, the greatest first."""
    rows = allocation.shares.filter(peak_wh__gt=0, session__isnull=False).order_by("-peak_wh", "pk")
    return rows.select_related("vehicle", "session__charger")[:limit]
