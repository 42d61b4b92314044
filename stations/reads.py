"""Big answers as PostgreSQL writes them: the shapes of stations/serializers.py, without an object per row in between.

tests/test_reads.py holds both against each other, field by field.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

import orjson
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

from stations.belief import FRESHNESS, times_of
from stations.credits import CREDITS
from stations.evse_status import BY_RANK
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
    FROM <wanted>
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
        coalesce(p.connectors, '[]') AS connectors, {CREDITS} AS attribution
    FROM <wanted>
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
_OF_THE_DECIDING = ", ".join(
    f"(array_agg(each.{name} ORDER BY {BY_RANK}))[1] AS {name}"
    for name in ("status", "coarse_status", "status_since", "heard_at", "freshness")
)
EVSES = f"""
SELECT coalesce(json_agg(shown), '[]')::text FROM (
    SELECT e.public_id, l.public_id AS station, s.name AS network, e.evse_number, e.uid, e.physical_reference,
        e.capabilities, e.charger_id IS NOT NULL OR 'RESERVABLE' = ANY(e.capabilities) AS is_reservable,
        coalesce(p.status, 'unknown') AS status, coalesce(p.coarse_status, 'faulted') AS coarse_status,
        p.status_since, p.heard_at, coalesce(p.freshness, 'none') AS freshness,
        coalesce(p.max_power_w, 0) AS max_power_w,
        coalesce(p.connectors, '[]') AS connectors
    FROM <wanted>
    JOIN stations_evse e ON e.id = wanted.id JOIN stations_location l ON l.id = e.location_id
    JOIN stations_source s ON s.id = l.source_id
    LEFT JOIN LATERAL (
        SELECT {_OF_THE_DECIDING},
            max(each.max_power_w) AS max_power_w,
            json_agg(each ORDER BY each.connector_id, each.public_id) AS connectors
        FROM (
            SELECT {CONNECTOR} FROM stations_connector c
            LEFT JOIN stations_charger h ON h.id = e.charger_id WHERE c.evse_id = e.id AND NOT c.is_removed
        ) each
    ) p ON true
    ORDER BY wanted.place
) shown
"""  # noqa: S608
THESE = "unnest(%(ids)s::bigint[], %(distances)s::int[]) WITH ORDINALITY AS wanted (id, distance_m, place)"
OF_THE_PAGE = "(SELECT id, NULL::int, id FROM keys WHERE number <= %(size)s) AS wanted (id, distance_m, place)"
PAGE = """
WITH keys AS MATERIALIZED (SELECT found.id, row_number() OVER () AS number FROM (<keys>) AS found (id))
SELECT (SELECT coalesce(array_agg(id ORDER BY number), '{}')::text FROM keys), (<rows>)
"""
TABLE = f"""
SELECT pg_current_snapshot()::text,
    coalesce(json_agg(json_build_array(c.public_id, c.status, c.heard_at, l.public_id) ORDER BY c.id), '[]')::text
FROM stations_connector c JOIN stations_evse e ON e.id = c.evse_id JOIN stations_location l ON l.id = e.location_id
WHERE {NOT_REMOVED} AND (l.organisation_id IS NULL OR l.organisation_id = %(organisation_id)s)
"""  # noqa: S608
LABELS = {plug.value: str(plug.label) for plug in Plug}


class Keys:
    """Stands in for a list of primary keys where a paginator cuts its page out: the statement that finds the keys of
    the page writes its rows as well, in the order of the keys, whichever way it was looked for.
    """

    def __init__(self, rows: QuerySet[Any], write: str, now: datetime) -> None:
        """`write`: CONNECTORS, EVSES or STATIONS, as `rows` are."""
        self._rows, self._write, self._now = rows.values_list("pk"), write, now
        self.written = b"[]"

    def order_by(self, *names: str) -> Self:
        self._rows = self._rows.order_by(*names)
        return self

    def filter(self, *conditions: Any, **named: Any) -> Self:
        self._rows = self._rows.filter(*conditions, **named)
        return self

    def __getitem__(self, window: slice) -> list[int]:
        """The keys within; the last of them only says that the page has a next one, and is not written."""
        with connection.cursor() as cursor:
            try:
                keys = cursor.mogrify(*self._rows[window].query.sql_with_params())
            except EmptyResultSet:
                return []
            rows = self._write.replace("<wanted>", OF_THE_PAGE)
            statement = PAGE.replace("<rows>", rows).replace("<keys>", keys.replace("%", "%%"))
            size = window.stop - window.start - 1
            cursor.execute(statement, {"size": size, **_instants(self._now)})
            found, written = cursor.fetchone()
        self.written = written.encode()
        return [int(key) for key in found[1:-1].split(",") if key]


def connectors_json(ids: Sequence[int], now: datetime) -> bytes:
    """The connectors of these primary keys, in this order, as a JSON list."""
    return _written(CONNECTORS, ids, [None] * len(ids), now)


def evses_json(ids: Sequence[int], now: datetime) -> bytes:
    """The EVSEs of these primary keys with their connectors, in this order, as a JSON list."""
    return _written(EVSES, ids, [None] * len(ids), now)


def stations_json(ids: Sequence[int], now: datetime, distance_m: Mapping[int, float] | None = None) -> bytes:
    """The sites of these primary keys with their connectors, in this order, as a JSON list."""
    distances = [round(distance_m[pk]) if distance_m is not None else None for pk in ids]
    return _written(STATIONS, ids, distances, now)


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


def _written(write: str, ids: Sequence[int], distances: Sequence[int | None], now: datetime) -> bytes:
    with connection.cursor() as cursor:
        parameters = {"ids": _array(ids), "distances": _array(distances), **_instants(now)}
        cursor.execute(write.replace("<wanted>", THESE), parameters)
        (text,) = cursor.fetchone()
    return str(text).encode()


def _array(values: Iterable[int | None]) -> str:
    """As PostgreSQL writes it: the driver would look at every number by itself."""
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"


def _instants(now: datetime) -> dict[str, Any]:
    return {"labels": orjson.dumps(LABELS).decode(), **times_of(now)}
