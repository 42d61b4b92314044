"""Reservations that hold, with the bay as people find it; and where vehicles were whose session is in doubt."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from dispatch.models import Reservation
from dispatch.pages import bay_names
from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import geo
from stations.models import Connector
from vehicles.fixes import SUSPECT_POSITION

MOST = 500
FIX_WITHIN = timedelta(minutes=30)


def reservations(organisation: Organisation) -> list[dict[str, Any]]:
    """The next ones first. Two queries."""
    held = Reservation.objects.for_organisation(organisation).active().select_related("connector__evse")
    rows = list(held.order_by("starts_at", "number")[:MOST])
    bays = _bays({row.connector.evse.location_id for row in rows})
    return [
        {
            "number": row.number, "vehicle_id": row.vehicle_id, "station_id": row.connector.evse.location_id,
            "bay": bays.get(row.connector_id, ""), "starts_at": row.starts_at, "expires_at": row.expires_at,
            "state": row.state, "way": row.way,
        }
        for row in rows
    ]  # fmt: skip


def _bays(location_ids: set[int]) -> dict[int, str]:
    """By connector, as the drawer of its site names them."""
    plugs = Connector.objects.existing().filter(evse__location__in=location_ids).order_by(
        "evse__physical_reference", "evse__evse_number", "evse_id", "connector_id"
    )  # fmt: skip
    painted: dict[int, dict[int, str]] = defaultdict(dict)
    for pk, site, name in plugs.values_list("pk", "evse__location_id", "evse__physical_reference"):
        painted[site][pk] = name
    return {pk: bay for names in painted.values() for pk, bay in bay_names(names).items()}


def gaps(organisation: Organisation) -> list[dict[str, Any]]:
    """Of each open alert about money: from the plug to where the vehicle was when the session began. One query."""
    asked: Any = {"fleet": organisation.pk, "within": FIX_WITHIN, "suspect": SUSPECT_POSITION, "most": MOST}
    with connection.cursor() as cursor:
        cursor.execute(_GAPS_SQL, asked)
        rows = cursor.fetchall()
    return [_gap(*row) for row in rows]


def _gap(
    alert_id: int, station_id: int, latitude: float, longitude: float, fix_latitude_e7: int, fix_longitude_e7: int,
    fix_at: datetime,
) -> dict[str, Any]:  # fmt: skip
    fix = fix_latitude_e7 / 1e7, fix_longitude_e7 / 1e7
    return {
        "alert_id": alert_id, "station_id": station_id, "latitude": fix[0], "longitude": fix[1], "fix_at": fix_at,
        "distance_m": round(geo.distance_m(latitude, longitude, *fix)),
    }  # fmt: skip


_GAPS_SQL = """
SELECT a.id, l.id, l.latitude, l.longitude, place.latitude_e7, place.longitude_e7, place.fix_at
  FROM dispatch_alert a
  JOIN billing_chargingsession s ON s.id = a.session_id AND s.organisation_id = a.organisation_id
  JOIN stations_connector c ON c.id = s.connector_id JOIN stations_evse e ON e.id = c.evse_id
  JOIN stations_location l ON l.id = e.location_id
  CROSS JOIN LATERAL (
    SELECT p.latitude_e7, p.longitude_e7, p.fix_at FROM vehicles_position p
     WHERE p.vehicle_id = s.vehicle_id AND p.fix_at > s.started_at - %(within)s AND p.fix_at <= s.started_at
       AND p.flags & %(suspect)s = 0
     ORDER BY p.fix_at DESC LIMIT 1) AS place
 WHERE a.organisation_id = %(fleet)s AND a.kind = 'money' AND a.closed_at IS NULL
 ORDER BY a.opened_at DESC, a.id DESC LIMIT %(most)s
"""
