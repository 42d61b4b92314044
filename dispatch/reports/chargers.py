"""How a fleet's own ports were used and how long they were down, from their history. Reads only.

A port is an EVSE: what charges one vehicle at a time. It is down while none of its connectors works and it gives
nobody energy. Works: shown as available, occupied, charging or reserved; a silent one ("unknown") is not online.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import connection

from dispatch.reports.periods import Period
from dispatch.reports.uptime import Time, together
from fleetcharge.accounts.models import Organisation


class By(StrEnum):
    STATION = "station"
    PORT = "port"
    MONTH = "month"


@dataclass(frozen=True)
class Port:
    """One port in one stretch of time."""

    evse_id: int
    charger: str
    label: str
    station: str
    station_id: str
    month: str
    sessions: int
    time: Time


@dataclass(frozen=True)
class ChargerLine:
    """`station_id`, `charger`: where to look further; '' where there is no one such place."""

    name: str
    note: str
    station_id: str
    charger: str
    ports: int
    ports_below: int
    sessions: int
    time: Time


# A port is in service from its first word on; one that never said any is down since it was entered.
# A session counts for at most 31 days: one whose end nobody told would fill its port for ever.
_HISTORY = """
WITH windows AS (
    SELECT tstzrange(begins, ends) AS span, number
    FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) WITH ORDINALITY AS w(begins, ends, number)
), ports AS (
    SELECT e.id, e.evse_number, e.charger_id, COALESCE(c.ocpp_identity, '') AS charger,
           COALESCE(c.ocpp_identity || ' · ' || e.evse_number, NULLIF(e.physical_reference, ''), e.public_id) AS label,
           l.name, l.public_id, tstzrange(GREATEST(%(since)s, COALESCE(c.created_at, l.created_at)),
                                           GREATEST(%(until)s, COALESCE(c.created_at, l.created_at))) AS lifetime
    FROM stations_evse e JOIN stations_location l ON l.id = e.location_id
    JOIN stations_source n ON n.id = l.source_id LEFT JOIN stations_charger c ON c.id = e.charger_id
    WHERE NOT e.is_removed AND NOT l.is_removed
      AND (c.organisation_id = %(organisation)s OR c.id IS NULL AND n.organisation_id = %(organisation)s)
), plugs AS (
    SELECT k.id, k.evse_id, k.status FROM ports p JOIN stations_connector k ON k.evse_id = p.id WHERE NOT k.is_removed
), spoke AS (
    SELECT k.evse_id, min(CASE WHEN COALESCE(f.old, k.status) <> 'unknown' THEN '-infinity' ELSE f.at END) AS at
    FROM plugs k
    LEFT JOIN LATERAL (SELECT h.at, h.old FROM stations_statuschange h WHERE h.connector_id = k.id
                       ORDER BY h.at, h.id LIMIT 1) f ON true
    GROUP BY k.evse_id
), told AS (
    SELECT k.id, k.evse_id, %(since)s::timestamptz AS at, 0::bigint AS number,
           COALESCE(before.new, after.old, k.status) AS status
    FROM plugs k
    LEFT JOIN LATERAL (SELECT h.new FROM stations_statuschange h WHERE h.connector_id = k.id AND h.at <= %(since)s
                       ORDER BY h.at DESC, h.id DESC LIMIT 1) before ON true
    LEFT JOIN LATERAL (SELECT h.old FROM stations_statuschange h WHERE h.connector_id = k.id AND h.at > %(since)s
                       ORDER BY h.at, h.id LIMIT 1) after ON true
    UNION ALL
    SELECT k.id, k.evse_id, h.at, h.id, h.new FROM plugs k
    JOIN stations_statuschange h ON h.connector_id = k.id AND h.at > %(since)s AND h.at < %(until)s
), spans AS (
    SELECT id, evse_id, status, tstzrange(at, lead(at, 1, %(until)s::timestamptz)
                                              OVER (PARTITION BY id ORDER BY at, number)) AS span
    FROM told
), plugs_down AS (
    SELECT id, evse_id, COALESCE(range_agg(span) FILTER (WHERE status IN ('faulted', 'unavailable', 'unknown')),
                                 '{}'::tstzmultirange) AS down
    FROM spans GROUP BY id, evse_id
), used AS (
    SELECT k.evse_id, tstzrange(s.started_at, LEAST(GREATEST(s.started_at, COALESCE(s.ended_at, %(until)s)),
                                                    s.started_at + interval '31 days')) AS span,
           s.energy_wh > 0 AS gave, s.started_at
    FROM plugs k JOIN billing_chargingsession s ON s.connector_id = k.id
    WHERE s.state <> 'invalid' AND s.started_at < %(until)s AND s.started_at > %(since)s - interval '31 days'
), busy AS (
    SELECT evse_id, range_agg(span) AS busy, array_agg(started_at) AS begun,
           COALESCE(range_agg(span) FILTER (WHERE gave), '{}'::tstzmultirange) AS gave
    FROM used GROUP BY evse_id
), cared AS (
    SELECT p.id AS evse_id, range_agg(tstzrange(t.slot_starts_at, t.slot_ends_at)) AS span
    FROM ports p JOIN stations_maintenanceticket t ON t.charger_id = p.charger_id
    WHERE t.state IN ('planned', 'in_work', 'done') AND t.slot_starts_at IS NOT NULL GROUP BY p.id
), judged AS (
    SELECT p.*, d.down - COALESCE(b.gave, '{}'::tstzmultirange) AS outage,
           COALESCE(b.busy, '{}'::tstzmultirange) AS busy, b.begun, COALESCE(c.span, '{}'::tstzmultirange) AS cared,
           s.at AS spoke_at
    FROM ports p JOIN (SELECT evse_id, range_intersect_agg(down) AS down FROM plugs_down GROUP BY evse_id) d
      ON d.evse_id = p.id
    JOIN spoke s ON s.evse_id = p.id
    LEFT JOIN busy b ON b.evse_id = p.id LEFT JOIN cared c ON c.evse_id = p.id
)
SELECT j.id, j.charger, j.label, j.name, j.public_id, w.number,
       (SELECT count(*) FROM unnest(j.begun) AS began WHERE w.span @> began),
       {measured}, {outage}, {excluded}, {busy}
FROM judged j CROSS JOIN windows w
CROSS JOIN LATERAL (SELECT tstzmultirange(w.span * j.lifetime * tstzrange(j.spoke_at, NULL)) AS whole) x
WHERE NOT isempty(x.whole) ORDER BY j.name, j.charger, j.evse_number, j.id, w.number
"""
_SECONDS = "(SELECT COALESCE(round(sum(extract(epoch FROM upper(r) - lower(r)))), 0)::bigint FROM unnest({}) AS r)"
_STATEMENT = (
    _HISTORY.replace("{measured}", _SECONDS.format("x.whole"))
    .replace("{outage}", _SECONDS.format("x.whole * j.outage"))
    .replace("{excluded}", _SECONDS.format("x.whole * j.outage * j.cared"))
    .replace("{busy}", _SECONDS.format("x.whole * j.busy"))
)


def ports(organisation: Organisation, windows: Sequence[Period], *, now: datetime) -> list[Port]:
    """One row per own port and window that lies before `now`. One statement."""
    past = [one for one in windows if one.since < now]
    if not past:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT, _values(organisation, past, now))
        return [
            Port(evse, charger, label, name, place, past[window - 1].month, sessions, Time(*seconds))
            for evse, charger, label, name, place, window, sessions, *seconds in cursor.fetchall()
        ]


def _values(organisation: Organisation, past: Sequence[Period], now: datetime) -> dict[str, Any]:
    ends = [min(one.until, now) for one in past]
    return {
        "organisation": organisation.pk, "begins": [one.since for one in past], "ends": ends,
        "since": past[0].since, "until": ends[-1],
    }  # fmt: skip


def lines(organisation: Organisation, period: Period, by: By, *, now: datetime) -> list[ChargerLine]:
    """Stations by name, ports by charger, months as they follow."""
    windows = list(period.months()) if by is By.MONTH else [period]
    groups: dict[object, list[Port]] = {}
    for port in ports(organisation, windows, now=now):
        groups.setdefault(_KEYS[by](port), []).append(port)
    found = [_line(by, members) for members in groups.values()]
    return sorted(found, key=lambda line: line.name) if by is By.MONTH else found


_KEYS: dict[By, Callable[[Port], object]] = {
    By.STATION: lambda port: port.station_id,
    By.PORT: lambda port: port.evse_id,
    By.MONTH: lambda port: port.month,
}


def _line(by: By, members: list[Port]) -> ChargerLine:
    one = members[0]
    name, note, place, charger = {
        By.STATION: (one.station, "", one.station_id, ""),
        By.PORT: (one.label, one.station, one.station_id, one.charger),
        By.MONTH: (one.month, "", "", ""),
    }[by]
    return ChargerLine(
        name, note, place, charger, len(members), sum(port.time.is_below for port in members),
        sum(port.sessions for port in members), together(port.time for port in members),
    )  # fmt: skip


def total(found: list[ChargerLine]) -> Time:
    return together(line.time for line in found)
