"""What the page of a site or vehicle tells beside the drawer: use by the hour, faults, charge, sessions. Reads only."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from billing.models import ChargingSession
from billing.services.tariffs import zone_of
from fleetcharge.accounts.models import Organisation
from stations.models import EVSE, Connector, Location, StatusChange
from vehicles.fixes import SUSPECT_SOC
from vehicles.models import Vehicle

WEEKS, FAULT_DAYS, SHOWN = 4, 30, 20
CURVE, STEP, SILENCE = timedelta(hours=24), timedelta(minutes=10), timedelta(hours=1)
WIDTH, HEIGHT, LEFT, TOP = 960, 190, 52, 8
"""Of the drawn curve, in its own units."""
MONDAY = date(2024, 1, 1)  # any one: for the names of the days


@dataclass(frozen=True)
class Cell:
    """One hour of the week; `share` of the ports' time in a session, of 1."""

    x: int
    y: int
    share: float

    @property
    def percent(self) -> int:
        return round(100 * self.share)


# A session that began more than a month before is none that anybody waits for.
_USE = """
WITH used AS (
    SELECT s.started_at AT TIME ZONE %(zone)s AS begins, COALESCE(s.ended_at, %(until)s) AT TIME ZONE %(zone)s AS ends
    FROM billing_chargingsession s JOIN stations_connector k ON k.id = s.connector_id
    WHERE k.evse_id = ANY(%(ports)s) AND s.state <> 'invalid'
      AND s.started_at > %(since)s - interval '31 days' AND s.started_at < %(until)s
), hours AS (
    SELECT h, LEAST(ends, h + interval '1 hour', %(until)s AT TIME ZONE %(zone)s)
              - GREATEST(begins, h, %(since)s AT TIME ZONE %(zone)s) AS lasted
    FROM used, generate_series(date_trunc('hour', begins), LEAST(ends, begins + interval '31 days'), '1 hour') AS h
)
SELECT extract(isodow FROM h)::int - 1, extract(hour FROM h)::int, sum(extract(epoch FROM lasted))::float8
FROM hours WHERE lasted > interval '0' GROUP BY 1, 2
"""


def use_by_hour(location: Location, organisation: Organisation, *, now: datetime) -> list[list[Cell]]:
    """The last four weeks of the fleet's own ports there, a row per day from Monday, by the site's clock.

    Empty for the ports of others: how often those are used is for their owner.
    """
    ports = list(
        EVSE.objects.filter(location=location, charger__organisation=organisation, is_removed=False)
        .values_list("pk", flat=True)
    )  # fmt: skip
    if not ports:
        return []
    values: dict[str, Any] = {
        "ports": ports, "zone": zone_of(location.time_zone).key, "since": now - timedelta(weeks=WEEKS), "until": now,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_USE, values)
        seconds = {(day, hour): busy for day, hour, busy in cursor.fetchall()}
    whole = WEEKS * 3600 * len(ports)
    return [
        [Cell(hour, day, min(1.0, seconds.get((day, hour), 0.0) / whole)) for hour in range(24)] for day in range(7)
    ]


def faults(location: Location, *, now: datetime) -> QuerySet[StatusChange]:
    """The newest first."""
    broke = StatusChange.objects.filter(
        connector__evse__location=location, new=Connector.Status.FAULTED, at__gte=now - timedelta(days=FAULT_DAYS)
    )
    return broke.select_related("connector__evse").order_by("-at", "-pk")[:SHOWN]


@dataclass(frozen=True)
class Curve:
    """`lines`: points of polylines, with a gap where nothing was heard for an hour."""

    lines: list[str]
    first: float
    last: float
    lowest: float
    highest: float


_CHARGE = """
SELECT date_bin(%(step)s::interval, fix_at, %(since)s), avg(soc_permille)::float8 / 10 FROM vehicles_position
WHERE vehicle_id = %(vehicle)s AND fix_at >= %(since)s AND fix_at < %(until)s
  AND soc_permille IS NOT NULL AND flags & %(suspect)s = 0
GROUP BY 1 ORDER BY 1
"""


def charge_curve(vehicle: Vehicle, *, now: datetime) -> Curve | None:
    """As its tracker told it in the last day, the mean of every ten minutes; None where it told nothing."""
    since = now - CURVE
    values: dict[str, Any] = {"vehicle": vehicle.pk, "since": since, "until": now, "step": STEP, "suspect": SUSPECT_SOC}
    with connection.cursor() as cursor:
        cursor.execute(_CHARGE, values)
        told = cursor.fetchall()
    if not told:
        return None
    percents = [percent for _at, percent in told]
    return Curve(_lines(told, since), percents[0], percents[-1], min(percents), max(percents))


def _lines(told: list[tuple[datetime, float]], since: datetime) -> list[str]:
    """The last point of each stands twice, so that one by itself can be seen, too."""
    pieces = [[told[0]]]
    for before, point in pairwise(told):
        if point[0] - before[0] > SILENCE:
            pieces.append([])
        pieces[-1].append(point)
    return [" ".join(_point(at, percent, since) for at, percent in (*piece, piece[-1])) for piece in pieces]


def _point(at: datetime, percent: float, since: datetime) -> str:
    return f"{_x(at, since)},{_y(percent)}"


def _x(at: datetime, since: datetime) -> float:
    return round(LEFT + (at - since) / CURVE * (WIDTH - LEFT), 1)


def _y(percent: float) -> float:
    return round(TOP + (100 - percent) / 100 * (HEIGHT - 30), 1)


def hours_of(now: datetime) -> list[tuple[float, datetime]]:
    """Where each sixth hour stands below the curve."""
    since = now - CURVE
    return [(_x(at, since), at) for at in (since + timedelta(hours=6 * number) for number in range(4))]


def of_station(location: Location, organisation: Organisation, *, now: datetime) -> dict[str, Any]:
    week = use_by_hour(location, organisation, now=now)
    busiest = max((cell for row in week for cell in row), key=lambda cell: cell.share, default=None)
    days = [MONDAY + timedelta(days=number) for number in range(7)]
    return {
        "week": list(zip(days, week, strict=False)), "faults": faults(location, now=now),
        "busiest": busiest if busiest and busiest.share else None,
        "busiest_day": days[busiest.y] if busiest else None,
    }  # fmt: skip


def of_vehicle(vehicle: Vehicle, organisation: Organisation, *, now: datetime) -> dict[str, Any]:
    sessions = ChargingSession.objects.for_organisation(organisation).filter(vehicle=vehicle)
    return {
        "curve": charge_curve(vehicle, now=now), "curve_hours": hours_of(now), "levels": [(20, _y(20)), (80, _y(80))],
        "past_sessions": sessions.select_related("connector__evse__location", "cdr").order_by("-started_at")[:SHOWN],
    }  # fmt: skip
