"""Who came into a geofence or left one, every few seconds: the new positions of all vehicles whose fleet drew any.

Ingest does nothing for it. One read finds the vehicles with news, one brings their positions as columns, one their
standings; one transaction writes how far was judged, who stands where now, and what happened. What is older than ten
minutes, came late or out of order, is no vehicle's or made up by an app, is passed over: it tells nobody anything.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import orjson
from django.db import connection, transaction

from fleetcharge.lib.columns import EPOCH, read_columns
from fleetcharge.lib.events import publish_together
from vehicles.events import GeofenceCrossed
from vehicles.fixes import LATE, MOCK_LOCATION, SUSPECT_POSITION
from vehicles.geofences.judging import Drawn, Fences, Judged, Standing, Track
from vehicles.geofences.models import Geofence, GeofenceEvent, GeofenceStanding
from vehicles.geofences.shapes import Shape

FRESH = timedelta(minutes=10)
AHEAD = timedelta(minutes=2)  # of our clock, as ingest takes it
MICROSECOND = timedelta(microseconds=1)
NEVER = -1
PASSED_OVER = LATE | SUSPECT_POSITION | MOCK_LOCATION

# Vehicles with a newer state than was judged, in fleets that drew something.
WANTED = """
SELECT s.vehicle_id, v.organisation_id, g.revision::bigint, s.version, coalesce(c.revision, -1)::bigint,
       greatest(coalesce(c.checked_at, %(oldest)s), %(oldest)s)
FROM vehicles_geofenceset g
JOIN vehicles_vehicle v ON v.organisation_id = g.organisation_id AND v.is_active
JOIN vehicles_vehiclestate s ON s.vehicle_id = v.id
LEFT JOIN vehicles_geofencecursor c ON c.vehicle_id = s.vehicle_id
WHERE g.geofences > 0 AND s.position_at > %(oldest)s AND c.version IS DISTINCT FROM s.version
ORDER BY s.vehicle_id
"""

# OFFSET 0 keeps it at one look into the key per vehicle.
POSITIONS = """
SELECT p.* FROM unnest(%(vehicle_ids)s::int[], %(since_us)s::bigint[]) AS w(vehicle_id, since_us)
CROSS JOIN LATERAL (
    SELECT vehicle_id, fix_at, latitude_e7, longitude_e7, coalesce(accuracy_m, -1)::smallint
    FROM vehicles_position
    WHERE vehicle_id = w.vehicle_id AND fix_at > %(epoch)s::timestamptz + w.since_us * interval '1 microsecond'
      AND fix_at BETWEEN %(oldest)s AND %(newest)s AND flags & %(passed_over)s = 0
    OFFSET 0
) p ORDER BY 1, 2
"""

ADVANCE = """
INSERT INTO vehicles_geofencecursor (vehicle_id, checked_at, version, revision)
SELECT vehicle_id, %(epoch)s::timestamptz + checked_us * interval '1 microsecond', version, revision
FROM unnest(%(vehicle_id)s::int[], %(checked_us)s::bigint[], %(version)s::bigint[], %(revision)s::int[])
    AS n(vehicle_id, checked_us, version, revision)
ON CONFLICT (vehicle_id) DO UPDATE SET
    checked_at = greatest(vehicles_geofencecursor.checked_at, EXCLUDED.checked_at),
    version = EXCLUDED.version, revision = EXCLUDED.revision
"""

# A position that was told before, by whomever, is told no more.
TELL = """
INSERT INTO vehicles_geofenceevent (organisation_id, geofence_id, vehicle_id, kind, at, latitude, longitude)
SELECT organisation_id, geofence_id, vehicle_id, kind,
       %(epoch)s::timestamptz + at_us * interval '1 microsecond', latitude, longitude
FROM unnest(%(organisation_id)s::bigint[], %(geofence_id)s::bigint[], %(vehicle_id)s::bigint[], %(kind)s::text[],
            %(at_us)s::bigint[], %(latitude)s::float8[], %(longitude)s::float8[])
    AS n(organisation_id, geofence_id, vehicle_id, kind, at_us, latitude, longitude)
ORDER BY at_us, vehicle_id
ON CONFLICT DO NOTHING
RETURNING id, vehicle_id, organisation_id, geofence_id, kind, at
"""


class Rows(NamedTuple):
    """What WANTED answers, by column."""

    vehicle_id: Any
    organisation_id: Any
    revision: Any
    version: Any
    judged_revision: Any
    since_us: Any


class _Remembered:
    """The fences of each fleet as this process read them last."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, Fences]] = {}

    def of(self, organisation_id: int, revision: int) -> Fences:
        known = self._known.get(organisation_id)
        if known is None or known[0] != revision:
            known = self._known[organisation_id] = revision, _read_fences(organisation_id)
        return known[1]


remembered = _Remembered()


@transaction.atomic
def follow(*, now: datetime) -> int:
    """Judge the new positions of all fleets that drew something; how many crossings were told."""
    rows = Rows(*read_columns(WANTED, ("i8", "i8", "i8", "i8", "i8", "i8"), {"oldest": now - FRESH}))
    if not len(rows.vehicle_id):
        return 0
    tracks = _tracks(rows, now)
    events = list[dict[str, Any]]()
    for organisation_id, lines in _by_fleet(rows):
        own = [tracks[line] for line in lines if line in tracks]
        if own:
            events += _follow_fleet(organisation_id, int(rows.revision[lines[0]]), own)
    _advance(rows, tracks)
    return _tell(events)


def _follow_fleet(organisation_id: int, revision: int, tracks: list[Track]) -> list[dict[str, Any]]:
    before = _standings([track.vehicle_id for track in tracks])
    judged = remembered.of(organisation_id, revision).judge(tracks, {key: row[0] for key, row in before.items()})
    by_vehicle = {track.vehicle_id: track for track in tracks}
    _write_standings(judged, before, by_vehicle)
    return [
        {
            "organisation_id": organisation_id, "geofence_id": one.geofence_id, "vehicle_id": one.vehicle_id,
            "kind": GeofenceEvent.Kind.ENTERED.value if one.is_entry else GeofenceEvent.Kind.LEFT.value,
            "at_us": int(by_vehicle[one.vehicle_id].at_us[one.number]),
            "latitude": float(by_vehicle[one.vehicle_id].latitude[one.number]),
            "longitude": float(by_vehicle[one.vehicle_id].longitude[one.number]),
        }
        for one in judged.crossings
    ]  # fmt: skip


def _read_fences(organisation_id: int) -> Fences:
    rows = Geofence.objects.drawn().filter(organisation_id=organisation_id).order_by("pk")
    return Fences(Drawn(row.pk, row.revision, Shape(row.geometry, row.radius_m)) for row in rows)


def _tracks(rows: Rows, now: datetime) -> dict[int, Track]:
    """By the line of its vehicle in `rows`; who has no new position has none."""
    vehicle_id, at_us, latitude_e7, longitude_e7, accuracy_m = read_columns(
        POSITIONS, ("i4", "i8", "i4", "i4", "i2"), {
            "vehicle_ids": _literal(rows.vehicle_id), "since_us": _literal(rows.since_us), "epoch": EPOCH,
            "oldest": now - FRESH, "newest": now + AHEAD, "passed_over": PASSED_OVER,
        }
    )  # fmt: skip
    starts = np.searchsorted(vehicle_id, rows.vehicle_id).tolist()
    ends = np.searchsorted(vehicle_id, rows.vehicle_id, side="right").tolist()
    revisions: list[int] = rows.judged_revision.tolist()
    return {
        line: Track(
            int(rows.vehicle_id[line]), None if revisions[line] == NEVER else revisions[line], at_us[start:end],
            longitude_e7[start:end] / 1e7, latitude_e7[start:end] / 1e7, accuracy_m[start:end].astype(np.float64),
        )
        for line, (start, end) in enumerate(zip(starts, ends, strict=True)) if end > start
    }  # fmt: skip


def _by_fleet(rows: Rows) -> Iterable[tuple[int, list[int]]]:
    lines = sorted((int(organisation), line) for line, organisation in enumerate(rows.organisation_id))
    return [(organisation, [line for _, line in some]) for organisation, some in groupby(lines, itemgetter(0))]


def _standings(vehicle_ids: list[int]) -> dict[tuple[int, int], tuple[Standing, datetime]]:
    rows = GeofenceStanding.objects.filter(vehicle_id__in=vehicle_ids)
    values = rows.values_list("vehicle_id", "geofence_id", "is_inside", "is_doubted", "since")
    return {(vehicle, fence): (Standing(inside, doubted), since) for vehicle, fence, inside, doubted, since in values}


def _write_standings(
    judged: Judged, before: dict[tuple[int, int], tuple[Standing, datetime]], tracks: dict[int, Track]
) -> None:
    """Those that are another than they were; who is outside without doubt has no row."""
    settled = {(one.vehicle_id, one.geofence_id): one.number for one in judged.crossings}
    changed, gone = list[GeofenceStanding](), defaultdict[int, list[int]](list)
    for key, standing in judged.standings.items():
        if standing == Standing():
            if key in before:
                gone[key[1]].append(key[0])
        elif key not in before or before[key][0] != standing:
            is_new = key in settled or key not in before
            since = _instant(tracks[key[0]].at_us[settled.get(key, 0)]) if is_new else before[key][1]
            changed.append(GeofenceStanding(vehicle_id=key[0], geofence_id=key[1], **standing._asdict(), since=since))
    for geofence_id, vehicle_ids in gone.items():
        GeofenceStanding.objects.filter(geofence_id=geofence_id, vehicle_id__in=vehicle_ids).delete()
    GeofenceStanding.objects.bulk_create(
        changed, update_conflicts=True, unique_fields=["vehicle", "geofence"],
        update_fields=["is_inside", "is_doubted", "since"],
    )  # fmt: skip


def _advance(rows: Rows, tracks: dict[int, Track]) -> None:
    checked_us = rows.since_us.copy()
    for line, track in tracks.items():
        checked_us[line] = track.at_us[-1]
    judged = np.fromiter(tracks, dtype=np.int64) if tracks else np.zeros(0, dtype=np.int64)
    revision = rows.judged_revision.copy()
    revision[judged] = rows.revision[judged]
    known = np.flatnonzero(revision != NEVER)
    columns = {"vehicle_id": rows.vehicle_id, "checked_us": checked_us, "version": rows.version, "revision": revision}
    with connection.cursor() as cursor:
        cursor.execute(ADVANCE, {name: _literal(column[known]) for name, column in columns.items()} | {"epoch": EPOCH})


def _tell(events: list[dict[str, Any]]) -> int:
    if not events:
        return 0
    names = ("organisation_id", "geofence_id", "vehicle_id", "kind", "at_us", "latitude", "longitude")
    with connection.cursor() as cursor:
        columns = {name: [event[name] for event in events] for name in names}
        cursor.execute(TELL, columns | {"epoch": EPOCH})
        told = [GeofenceCrossed(*row) for row in cursor.fetchall()]
    publish_together(told)
    return len(told)


def _instant(at_us: Any) -> datetime:
    return EPOCH + int(at_us) * MICROSECOND


def _literal(column: Any) -> str:
    """A PostgreSQL array; without copies, orjson reads the memory of numpy."""
    return "{" + orjson.dumps(np.ascontiguousarray(column), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode() + "}"
