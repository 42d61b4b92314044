"""Big answers as PostgreSQL writes them: the shapes of stations/serializers.py, without an object per row in between.

tests/test_reads.py holds both against each other, field by field.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from django.db import connection

from stations.belief import FRESHNESS, times_of
from stations.models import Plug

CONNECTOR = f"""
    c.public_id, l.public_id AS station, e.public_id AS evse, c.connector_id, c.plug,
    %(labels)s::jsonb ->> c.plug AS plug_label, c.format, c.power_type, c.max_power_w, c.status,
    CASE c.status WHEN 'available' THEN 'available' WHEN 'occupied' THEN 'charging' WHEN 'charging' THEN 'charging'
        WHEN 'reserved' THEN 'charging' ELSE 'faulted' END AS coarse_status,
    c.status_reason, c.raw_status, c.status_since, c.heard_at, {FRESHNESS} AS freshness, c.error_code,
    e.charger_id IS NOT NULL OR 'RESERVABLE' = ANY(e.capabilities) AS is_reservable, c.tariff_id AS tariff
"""
NOT_REMOVED = "NOT c.is_removed AND NOT e.is_removed AND NOT l.is_removed"
CONNECTORS = f"""
SELECT coalesce(json_agg(shown), '[]')::text FROM (
    SELECT {CONNECTOR}
    FROM unnest(%(ids)s::bigint[]) WITH ORDINALITY AS wanted (id, place)
    JOIN stations_connector c ON c.id = wanted.id JOIN stations_evse e ON e.id = c.evse_id
    JOIN stations_location l ON l.id = e.location_id JOIN stations_source s ON s.id = l.source_id
    LEFT JOIN stations_charger h ON h.id = e.charger_id ORDER BY wanted.place
) shown
"""  # noqa: S608 (constants of this module)
STATIONS = f"""
SELECT coalesce(json_agg(shown), '[]')::text FROM (
    SELECT l.public_id, l.name, s.name AS network, l.address, l.city, l.state, l.postal_code, l.country_code,
        l.latitude, l.longitude, l.time_zone, l.opening_times, l.organisation_id IS NOT NULL AS is_private,
        wanted.distance_m, coalesce(p.total, 0) AS connectors_total, coalesce(p.available, 0) AS connectors_available,
        coalesce(p.connectors, '[]') AS connectors
    FROM unnest(%(ids)s::bigint[], %(distances)s::int[]) WITH ORDINALITY AS wanted (id, distance_m, place)
    JOIN stations_location l ON l.id = wanted.id JOIN stations_source s ON s.id = l.source_id
    LEFT JOIN LATERAL (
        SELECT count(*) AS total, json_agg(each) AS connectors,
            count(*) FILTER (WHERE each.status = 'available' AND each.freshness IN ('live', 'recent')) AS available
        FROM (
            SELECT {CONNECTOR} FROM stations_evse e JOIN stations_connector c ON c.evse_id = e.id
            LEFT JOIN stations_charger h ON h.id = e.charger_id
            WHERE e.location_id = l.id AND {NOT_REMOVED}
            ORDER BY e.evse_number, e.id, c.connector_id, c.id
        ) each
    ) p ON true
    ORDER BY wanted.place
) shown
"""  # noqa: S608
TABLE = f"""
SELECT pg_current_snapshot()::text,
    coalesce(json_agg(json_build_array(c.public_id, c.status, c.heard_at, l.public_id) ORDER BY c.id), '[]')::text
FROM stations_connector c JOIN stations_evse e ON e.id = c.evse_id JOIN stations_location l ON l.id = e.location_id
WHERE {NOT_REMOVED} AND (l.organisation_id IS NULL OR l.organisation_id = %(organisation_id)s)
"""  # noqa: S608
LABELS = {plug.value: str(plug.label) for plug in Plug}


def connectors_json(ids: Sequence[int], now: datetime) -> bytes:
    """The connectors of these primary keys, in this order, as a JSON list."""
    return _text(CONNECTORS, {"ids": _array(ids), **_instants(now)})


def stations_json(ids: Sequence[int], now: datetime, distance_m: Mapping[int, float] | None = None) -> bytes:
    """The sites of these primary keys with their connectors, in this order, as a JSON list."""
    distances = [round(distance_m[pk]) if distance_m is not None else None for pk in ids]
    return _text(STATIONS, {"ids": _array(ids), "distances": _array(distances), **_instants(now)})


def status_table(organisation_id: int) -> bytes:
    """Every connector the fleet may see with its status, and the cursor from which the stream goes on."""
    with connection.cursor() as cursor:
        cursor.execute(TABLE, {"organisation_id": organisation_id})
        at, rows = cursor.fetchone()
    columns = b'["connector","status","heard_at","station"]'
    return b'{"cursor":"%s","columns":%s,"rows":%s}' % (at.encode(), columns, rows.encode())


def page(results: bytes, *, following: str | None = None, previous: str | None = None) -> bytes:
    """A page of a list as every list of the API is shaped."""
    return b'{"next":%s,"previous":%s,"results":%s}' % (orjson.dumps(following), orjson.dumps(previous), results)


def _text(query: str, parameters: dict[str, Any]) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        (text,) = cursor.fetchone()
    return str(text).encode()


def _array(values: Iterable[int | None]) -> str:
    """As PostgreSQL writes it: the driver would look at every number by itself."""
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"


def _instants(now: datetime) -> dict[str, Any]:
    return {"labels": orjson.dumps(LABELS).decode(), **times_of(now)}
